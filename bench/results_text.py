"""The words of docs/results.md, and its sections in order: see `bench.results`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.results_base import (
    Json,
    Source,
    Sources,
    guarded,
    paragraphs,
    rendered,
    shape,
    table,
)
from bench.results_cycles import area, block, cycles, lanes, simspeed
from bench.results_energy import ENERGY, counts, energy
from bench.results_fpga import baseline, bitstream, explore, rivals
from bench.results_models import GROUPS, MODELS, models

# -- how it was made -------------------------------------------------------------------------------

INTRO = """# Results

Every figure on this page comes from a JSON file in [results](results), written by a benchmark of
this repository with open tools. None is typed by hand, but for the constants of the papers.
`python -m bench.results` makes the page and its plots from these files;
`python -m bench.results --run` measures everything first. Goals that were missed, what was tried
and what limits them: [goals.md](goals.md)."""


def made(sources: Sources) -> str:
    """Commands, configurations, versions; where the files disagree."""
    there = [source for source in sources.values() if source.report is not None]
    rows, usual = [], _usual(there)
    for source in sources.values():
        machine = guarded(source, lambda report: _machine(report, usual)) if source.report else ""
        rows.append((source.title, f"`{source.command}`", machine or "not measured"))
    options = ", ".join(f"{name} {value}" for name, value in usual.items())
    return paragraphs(
        "## How it was made", table(("figures", "command", "machine"), rows, left=3),
        f"Options that a row does not name: {options}." if options else "",
        "**The files disagree on the configuration**: rows that name options were measured with "
        "other ones than the rest." if any(", " in row[2] for row in rows) else "",
        _versions(there))


def _usual(there: Sequence[Source]) -> dict[str, str]:
    """Options as most files have them."""
    found: dict[str, Counter[str]] = {}
    for source in there:
        for name, value in guarded(source, lambda report: dict(report["config"])).items():
            if name not in ("rows", "cols"):
                found.setdefault(name, Counter())[str(value)] += 1
    return {name: values.most_common(1)[0][0] for name, values in found.items()}


def _machine(report: Json, usual: Mapping[str, str]) -> str:
    """Shape, and options that are not as usual."""
    if "points" in report:
        return "many"
    return ", ".join([shape(report)] + [f"{name} {value}" for name, value in
                                        report["config"].items() if name in usual
                                        and str(value) != usual[name]])


def _versions(there: Sequence[Source]) -> str:
    """What all files agree on, and what not."""
    found: dict[str, dict[str, list[str]]] = {}
    for source in there:
        pairs = guarded(source, lambda report: {"spinteger": report["spinteger"],
                                                **report["versions"]})
        for name, version in pairs.items():
            found.setdefault(name, {}).setdefault(str(version), []).append(source.name)
    agreed = [f"{name} {next(iter(by))}" for name, by in found.items() if len(by) == 1]
    differ = [f"{name} is " + ", ".join(f"{version} in {' and '.join(names)}"
                                        for version, names in by.items())
              for name, by in found.items() if len(by) > 1]
    return paragraphs(f"Versions: {', '.join(agreed)}." if agreed else "",
                      f"**The files disagree on versions**: {'; '.join(differ)}." if differ else "")


# -- page ------------------------------------------------------------------------------------------

NOT_CLAIMED = """## What is not claimed

- No silicon: nothing here was measured on a chip.
- No wires between standard cells but a constant per pin: no placement, no routing.
- Memories by a model: bits moved times a constant, in a column of its own. No leakage.
- Whole models: 8,000 tokens of one novel (sizes of groups: 4,000), on which recipes were also
  compared: prices and cuts are chosen by this text, and differences within two standard errors are
  noise. Cycles and energies are of matrix products only, and of attention where a recipe has it.
- No power of an FPGA board was measured.
- Rivals are our own implementations, with the same care and the same test; not their authors' code.
- Cycles exclude loads where it says so. GOPS on the FPGA assume that loads are hidden, and are
  effective: two operations per input, output and token, zeros included. *n% zeros* are real layers
  with inputs zeroed at random, not a sparse model.
- A placement is one of many: Fmax differs from seed to seed."""

METHOD = """## Method in short

- **Cycles**: the RTL runs the real layers, and every result is compared with the golden model.
- **FPGA**: one flow for all: generator, Yosys, nextpnr, the same harness of registers. \\* marks
  arrays that cannot represent salient inputs: their results would be wrong. *ours-nodsp* has its
  multipliers in LUTs, at the clock of ours (modelled). Boards and checks: [fpga.md](fpga.md).
  Rivals: [bench/rivals](../bench/rivals/).
- **Energy**: one flow for all, on two cell libraries; how, and how far to trust it:
  [energy.md](energy.md).
- Only placement has a seed of its own, printed above; the zeros of thinned layers have a fixed one.
"""


def page(sources: Iterable[Source]) -> str:
    """The page. Raises `ResultsError`."""
    by_name = {source.name: source for source in sources}
    energies = {name: one for name, one in by_name.items() if name.startswith("energy-")}

    def show(name: str, render: Callable[[Json], str]) -> str:
        return rendered(by_name[name], render)

    return paragraphs(
        INTRO, made(by_name),
        "## Cycles on real layers", show("cycles", cycles),
        "### A whole block", show("block", block),
        "### Ways to balance lanes", show("lanes", lanes),
        "### Speed of simulation", show("simspeed", simspeed),
        "## Area by block", show("area", area),
        "## FPGA", "### Our bitstream", show("bitstream", bitstream),
        "### The most lanes that were routed", show("bitstream-large", bitstream),
        show("pnr-baseline", baseline),
        "### Ours and rivals", *(show(name, rivals(name)) for name in ("fpga-16x16", "fpga-8x8")),
        "## Energy", ENERGY,
        *(part for name, one in energies.items() for part in (
            f"### {one.title[0].upper()}{one.title[1:]}", show(name, energy(name)))),
        "## Exploration", show("explore", explore),
        "## The papers' operation counts beside what was measured",
        show("cycles", lambda report: counts(report, energies)),
        "## Language models", MODELS, "### SmolLM2",
        show("evaluate-smollm2", lambda report: models(report, "evaluate-smollm2")),
        "#### Sizes of weight groups", GROUPS, show("groups-smollm2", models),
        "### A small model of our own",
        show("evaluate-tiny", lambda report: models(report, "evaluate-tiny")),
        "#### With attention", show("evaluate-tiny-attention", models),
        "#### One choice changed at a time", show("ablation-tiny", models),
        NOT_CLAIMED, METHOD)
