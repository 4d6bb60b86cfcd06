"""The words and tables of docs/results.md: a function per section, see `bench.results`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from spinteger import isa

Json = dict[str, Any]
T = TypeVar("T")

#: Horowitz, ISSCC 2014, 45 nm: pJ of an INT8 addition, of an INT8 multiply-accumulate.
ADD, MAC = 0.03, 0.23
#: Salient shares at which `saving` and `gain` give what the papers state.
KIRIN_SHARE, SPIKEQUANT_SHARE = 0.0264, 0.10
#: A mark in a table.
STAR = " \\*"


class ResultsError(RuntimeError):
    """The page cannot be made; one line that says what would work."""


@dataclass(frozen=True)
class Source:
    """A benchmark's file."""

    name: str
    title: str
    path: str
    command: str                #: that makes it
    report: Json | None         #: None: not measured


Sources = Mapping[str, Source]


def guarded(source: Source, use: Callable[[Json], T]) -> T:
    """Use a report. Raises `ResultsError` when it is not what its benchmark writes."""
    assert source.report is not None
    try:
        return use(source.report)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = (f"has no {error.args[0]}" if isinstance(error, KeyError) else
                f"is not as expected ({error})")
        raise ResultsError(f"{source.path}: {what}; make it anew: {source.command}") from error


def rendered(source: Source, render: Callable[[Json], str]) -> str:
    """A report's text, or that there is none."""
    if source.report is None:
        return f"{source.title[0].upper()}{source.title[1:]}: not measured: `{source.command}`"
    return guarded(source, render)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table in Markdown; the first `left` columns hold words."""
    lines = [list(head), ["---"] * left + ["---:"] * (len(head) - left), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def paragraphs(*parts: str) -> str:
    """What there is of these, a blank line between."""
    return "\n\n".join(part for part in parts if part)


def plot(name: str, words: str) -> str:
    """A plot, by the name that `bench.results` writes it under."""
    return f"![{words}](results/{name}.svg)"


def shape(report: Json) -> str:
    """Rows and columns of the machine."""
    return f"{report['config']['rows']}×{report['config']['cols']}"


# -- how it was made -------------------------------------------------------------------------------

INTRO = """# Results

Every figure on this page comes from a JSON file in [results](results), written by a benchmark of
this repository with open tools. None is typed by hand, but for the constants of the papers.
`python -m bench.results` makes the page and its plots from these files;
`python -m bench.results --run` measures everything first."""


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


# -- cycles ----------------------------------------------------------------------------------------

def cycles(report: Json) -> str:
    """Real layers."""
    layers = report["layers"]
    tokens = "/".join(sorted({str(one["tokens"]) for one in layers}))
    wrong = sum(one["mismatches"] for one in layers)
    within = sum(one["ratio"] <= 1 for one in layers)
    rows = [(one["layer"], f"{one['k']} → {one['n']}", f"{one['live']:.1%}",
             f"{one['salient']:.1%}", f"{one['compute_cycles']:,}", f"{one['dense_cycles']:,}",
             f"**{one['ratio']:.2f}**", f"{one['ratio'] / one['live']:.2f}",
             f"{one['cycles'] / one['dense_cycles']:.2f}") for one in layers]
    return paragraphs(
        f"Layers of SmolLM2-135M with their true inputs, {tokens} tokens, on the {shape(report)} "
        f"machine with a {report['config']['bus_bits']}-bit bus, simulated as RTL. *live* inputs "
        "are spikes. *dense* is an array of the same shape that multiplies everything, one MAC "
        "per PE and cycle, its loads not counted. *cycles* are ours less those in which the "
        "machine waits for weights or tokens; *all in* counts those too, for a layer all by "
        "itself.",
        table(("layer", "K → N", "live", "salient", "cycles", "dense", "ratio", "ratio / live",
               "all in"), rows),
        f"At or below the dense array's cycles: {within} of {len(rows)} layers. Values that "
        f"differ from the golden model: **{wrong}**.",
        plot("cycles", "Cycles relative to a dense array, per layer, with the live share"))


def block(report: Json) -> str:
    """A transformer block, and where its cycles go."""
    counters, spent, dense = report["counters"], report["cycles"], report["dense_cycles"]
    causes = [(meaning, f"{counters[name]:,}", f"{counters[name] / spent:.1%}")
              for name, meaning in isa.CAUSES]
    return paragraphs(
        f"Block {report['block']} as one program: {len(report['mismatches'])} products, "
        f"{report['tokens']} tokens, {report['heads']} heads, loads under the computation, "
        f"{report['config']['bus_bits']}-bit bus. **{spent:,} cycles** all in, "
        f"**{spent / dense:.2f}×** the dense array's {dense:,}; "
        f"{report['compute_cycles'] / dense:.2f}× without waiting for the host. Live share "
        f"{report['live']:.2f}. Values that differ from the golden model: "
        f"**{sum(report['mismatches'].values())}**.",
        table(("where the cycles go", "cycles", "share"), causes))


def lanes(report: Json) -> str:
    """The model of lane balancing."""
    goal, layers = report["goal"], len(report["live"])
    rows = [(one["idea"], f"{one['weight_copies']:g}",
             "?" if one["lut_per_lane"] is None else f"{one['lut_per_lane']:g}",
             f"{one['mean']:.3f}", f"{one['mean_of_events']:.3f}",
             f"{one['layers_within_dense']}/{layers}", f"{one['layers_within_live']}/{layers}")
            for one in report["ideas"]]
    return paragraphs(
        "A model of the events of the same layers: ways to let lanes wait less, in cycles "
        "relative to dense. What was built is marked; the table above measures it.",
        table(("idea", "copies of weights", "LUT more per lane", "mean", "events alone",
               f"within {goal['dense']:.2f}", f"within {goal['live']:.1f} live"), rows))


def simspeed(report: Json) -> str:
    """Simulators."""
    return paragraphs(
        f"The whole {shape(report)} machine on {report['layer']}, on the machine that measured "
        "it, per second of CPU time.",
        table(("simulation", "cycles", "cycles a second", "seconds to build", "words"),
              [(one["backend"], f"{one['cycles']:,}", f"{one['cycles_per_s']:,.0f}",
                "" if one["build_s"] is None else f"{one['build_s']:.0f}",
                "exact" if one["exact"] else "**wrong**") for one in report["rows"]]))


# -- FPGA ------------------------------------------------------------------------------------------

def area(report: Json) -> str:
    """Blocks after synthesis."""
    lanes_ = report["config"]["rows"] * report["config"]["cols"]
    blocks = sorted(report["blocks"].items(), key=lambda item: -item[1]["lut"])
    rows = [(name, f"{one['lut']:,}", f"{one['lut'] / lanes_:.1f}", f"{one['ff']:,}",
             str(one["ebr"]), str(one["dsp"])) for name, one in
            [*blocks, ("**whole machine**", report["total"])]]
    return paragraphs(
        f"The {shape(report)} machine on {report['target'].upper()}, after synthesis, before "
        "placement. LUT = LUT4 + 2·CCU2C (+ 6 per 16×4 RAM). *Per lane* is per lane and column.",
        table(("block", "LUT", "per lane", "FF", "EBR", "DSP"), rows),
        plot("area", "LUT by block"))


def bitstream(report: Json) -> str:
    """Our machine on a board."""
    placed = report["placement"]
    names = [name for name in ("LUT", "FF", "EBR", "DSP") if name in placed["available"]]
    blocks = sorted(report["blocks"].items(), key=lambda item: -item[1]["LUT"])
    counts = [*blocks, ("**all, after synthesis**", report["after_synthesis"]),
              ("**placed**", placed["used"]), ("the part holds", placed["available"])]
    rows = [[name, *(f"{one.get(kind, 0):,}" for kind in names)] for name, one in counts]
    rows.append(["used", *(f"{placed['used'][kind] / placed['available'][kind]:.0%}"
                           for kind in names)])
    seeds = ", ".join(f"{seed}: {mhz:.1f} MHz" for seed, mhz in placed["tried"].items())
    return paragraphs(
        f"The {shape(report)} machine behind a UART on {report['board']} ({placed['part']}), "
        f"placed and routed: **Fmax {placed['mhz']:.1f} MHz**, clock {report['clock_mhz']:g} MHz, "
        f"{report['lut_per_lane']:.1f} LUT per lane, seed {report['seed']} (tried: {seeds}).",
        table(("block", *names), rows),
        f"Critical path, {sum(one['ns'] for one in placed['path']):.2f} ns:",
        _path(placed["path"]),
        "Made with " + ", ".join(f"{name} {version}" for name, version in
                                 report["versions"].items()) + ".")


def _path(path: Sequence[Json]) -> str:
    """A critical path, cut where it enters another block."""
    rows = []
    for name, group in groupby(path, lambda one: str(one["block"])):
        spent: Counter[str] = Counter()
        for one in group:
            spent[one["kind"] if one["kind"] in ("carry", "routing") else "logic"] += one["ns"]
        rows.append((name, *(f"{spent[kind]:.2f}" for kind in ("logic", "carry", "routing"))))
    return table(("block", "logic ns", "carry ns", "wire ns"), rows)


def rivals(name: str) -> Callable[[Json], str]:
    """Ours and rivals on one part; `name`: of the plot."""
    def render(report: Json) -> str:
        how = ("synthesis only, all at one stated clock" if report["quick"] else
               f"placed and routed, best of {report['seeds']} seeds from {report['seed']} on")
        paths = [f"{one['level']} {one['mhz']:.1f} MHz (" + ", ".join(
            f"{block} {ns:.1f} ns" for block, ns in one["measured"]["path"] if ns) + ")"
            for one in report["rows"] if one["name"] == "ours"]
        return paragraphs(
            f"{shape(report)} on {report['part']}, {how}; {len(report['layers'])} real layers.",
            *(f"**{words}**\n\n{_rows(report, level)}" for level, words in (
                ("array", "Arrays: from codes and weights in block memory to finished sums"),
                ("machine", "Machines: a rival's array and the parts of ours that it would need "
                            "as well (modelled)"))),
            f"Critical paths of ours: {'; '.join(paths)}.", _fpga_goals(report),
            plot(name, "Effective GOPS per kLUT on dense layers, ours and rivals"))
    return render


def _rows(report: Json, level: str) -> str:
    """Arrays or machines, the best per LUT first."""
    rows = [one for one in report["rows"] if one["level"] == level]
    works = list(rows[0]["gops"])
    return table(
        ("", "LUT", "FF", "EBR", "DSP", "MHz", "LUT per MAC", "peak GOPS",
         *(f"{work}: GOPS, per kLUT" for work in works)),
        [(f"**{one['name']}**" if one["name"].startswith("ours") else
          one["name"] + ("" if one["exact"] else STAR),
          *(f"{one['measured'][kind]:,}" for kind in ("lut", "ff", "ebr", "dsp")),
          f"{one['mhz']:.0f}", f"{one['lut_per_mac']:.1f}", f"{one['peak_gops']:.1f}",
          *(f"{one['gops'][work]:.1f}, {one['gops_per_klut'][work]:.2f}" for work in works))
         for one in sorted(rows, key=lambda one: -one["gops_per_klut"][works[0]])])


def _fpga_goals(report: Json) -> str:
    rows = []
    for one in report["goals"]:
        wanted, ratio = one["wanted"], one["ratio"]
        rows.append((one["level"], f"{one['goal']} ({one['rival']})", f"{ratio:.2f}×",
                     "none" if wanted is None else f"{wanted:g}×",
                     "" if wanted is None else state(ratio / wanted)))
    return "Goals, in dense GOPS per kLUT:\n\n" + table(
        ("level", "against", "ours over theirs", "goal", "state"), rows, left=2)


def state(share: float) -> str:
    """Of a goal of which this share was reached."""
    return f"reached, {share:.2f}× of it" if share >= 1 else f"**missed by {1 / share:.2f}×**"


def baseline(report: Json) -> str:
    """The machine of the regression test."""
    figures = report["figures"]
    return (f"`make pnr` guards a small {shape(report)} machine with short memories: "
            f"{figures['lut_per_lane']:.1f} LUT per lane, {figures['mhz']:.1f} MHz with seed "
            f"{report['seed']}; critical path through {', '.join(figures['path'])}.")


# -- energy ----------------------------------------------------------------------------------------

def total(part: Mapping[str, float]) -> float:
    """Dynamic energy of `bench.gates.energy.Parts`."""
    return part["logic"] + part["registers"] + part["clock"]


def best_tree(layer: Json, bits: int) -> Json | None:
    """The adder tree of so many bits of activations whose array takes least energy."""
    trees = [one for one in layer["designs"][1:] if "tree" in one["name"]
             and one["bits"].endswith(f"A{bits}")]
    return min(trees, key=lambda one: total(one["array"]), default=None)


def energy(name: str) -> Callable[[Json], str]:
    """Ours and rivals on gates; `name`: of the plot."""
    def render(report: Json) -> str:
        layers = report["layers"]
        late = sorted({one["name"] for layer in layers.values() for one in layer["designs"]
                       if one["path"] * report["clock_mhz"] > 1000})
        return paragraphs(
            f"{shape(report)}, {report['cells']}, {report['clock_mhz']:g} MHz, first "
            f"{report['tokens']} tokens, column tiles: {report['tiles']}. pJ per effective "
            f"MAC: *array*, *logic* in total, *memory* by the model "
            f"({report['memory_pj_per_bit']:.2f} pJ per bit).",
            _designs(report), f"Slower than this clock: {', '.join(late)}." if late else "",
            plot(name, "Energy per effective MAC, ours and rivals"),
            f"Ours by block, pJ per effective MAC:\n\n{_blocks(layers)}",
            _energy_goals(report), _break_even(report))
    return render


def _designs(report: Json) -> str:
    layers = report["layers"]
    head = ["design", "bits"] + [f"{layer}: {column}" for layer in layers
                                 for column in ("array", "ours is", "logic", "memory")]
    rows = []
    for at, first in enumerate(next(iter(layers.values()))["designs"]):
        row = [f"**{first['name']}**" if at == 0 else first["name"], first["bits"]]
        for layer in layers.values():
            one, mine = layer["designs"][at], layer["designs"][0]
            share = total(mine["array"]) / total(one["array"])
            row += [f"{total(one['array']):.2f}", f"{share:.2f}×" if at else "",
                    f"{total(one['total']):.2f}",
                    f"{one['memory_bits'] * report['memory_pj_per_bit']:.2f}"]
        rows.append(row)
    return table(head, rows, left=2)


def _blocks(layers: Mapping[str, Json]) -> str:
    found = {layer: one["designs"][0] for layer, one in layers.items()}
    mine = next(iter(found.values()))["blocks"]
    names = sorted(mine, key=lambda name: -total(mine[name]))
    rows = [[name] + [text for one in found.values() for text in (
        f"{total(one['blocks'][name]):.3f}", f"{one['blocks'][name]['clock']:.3f}")]
        for name in names]
    rows.append(["**all**"] + [text for one in found.values() for text in (
        f"{total(one['total']):.3f}", f"{one['total']['clock']:.3f}")])
    return table(["block"] + [f"{layer}{words}" for layer in found
                              for words in ("", ": clock")], rows)


def _trees(report: Json) -> list[tuple[str, Json, str, Json, float]]:
    """Layer, its figures, words for the best tree, that tree, the goal against it."""
    return [(layer, one, f"the best W4A{bits} adder tree ({tree['name']})", tree, float(goal))
            for bits, goal in report["goals"].items() for layer, one in report["layers"].items()
            if (tree := best_tree(one, int(bits)))]


def _energy_goals(report: Json) -> str:
    rows = []
    for layer, one, words, tree, goal in _trees(report):
        share = total(one["designs"][0]["array"]) / total(tree["array"])
        rows.append((layer, words, f"{share:.2f}×", f"{goal:.2f}×", state(goal / share)))
    return "Goals, ours over theirs, arrays only:\n\n" + table(
        ("layer", "against", "ours over theirs", "goal", "state"), rows, left=2) if rows else ""


def _break_even(report: Json) -> str:
    """What the energy of an event lets one say of other live shares."""
    rows = []
    for layer, one, words, tree, _ in _trees(report):
        mine, theirs = total(one["designs"][0]["array"]), total(tree["array"])
        spike, counts = one["events"]["spike_column"], one["counts"]
        live = counts["spikes"] / (counts["inputs"] * report["tiles"])
        rest = mine - live * spike
        rows.append((layer, words, f"{live:.0%}", f"{spike:.2f}", f"{rest:.2f}", f"{theirs:.2f}",
                     _share((theirs - rest) / spike) if spike > 0 else "?",
                     _share(live * theirs / mine)))
    idle = [f"{_idle(report, one):.0%} on {layer}" for layer, one in report["layers"].items()]
    return paragraphs(
        "Break-even, energies in pJ:\n\n" + table(
            ("layer", "against", "live", "a spike, per column", "rest of ours per MAC",
             "theirs per MAC", "at the same cycles", "in proportion"), rows, left=2)
        if rows else "",
        "As much of our logic's energy as a machine takes in which nothing happens: "
        f"{', '.join(idle)}.")


def _idle(report: Json, layer: Json) -> float:
    mine, config = layer["designs"][0], report["config"]
    cycles_ = mine["cycles_per_mac"] / (config["rows"] * config["cols"])
    return float(layer["events"]["idle_cycle"] * cycles_ / total(mine["total"]))


def _share(share: float) -> str:
    return "never" if share <= 0 else "always" if share >= 1 else f"{share:.0%}"


ENERGY = """Mapped to standard cells and simulated with cell delays on real activations: glitches
and the clock are counted, memories are a model in a column of their own, leakage is left out. An
effective MAC is one of the dense layer, whether its input is zero or not. *array* holds the blocks
that every array has; the goals compare these, and *ours is* is our array over theirs. *logic* adds
control: ours has the whole rest of the machine there (front end, encoder, IF bank, counters), which
the rivals are not asked for. W4A4 rivals clip salient inputs, so they compute something else.

Break-even figures are calculated, not measured: the live share below which our array would take
less than theirs. *at the same cycles*: only the energy of spikes goes, all else stays. *in
proportion*: all of ours shrinks with the live share, the most that can be hoped for. Both leave
theirs as it is, though it gates zeros too. Above the live share, ours takes less already."""


# -- exploration -----------------------------------------------------------------------------------

def best(point: Json) -> Json:
    """A point's area as it is known best."""
    return dict(point["placed"] or point["area"])


def front(points: Sequence[Json]) -> list[Json]:
    """Points that no other beats in both throughput and LUTs, by LUTs."""
    def beats(a: Json, b: Json) -> bool:
        x, y = (a["gops"], -best(a)["lut"]), (b["gops"], -best(b)["lut"])
        return x != y and x[0] >= y[0] and x[1] >= y[1]

    return sorted((one for one in points if not any(beats(other, one) for other in points)),
                  key=lambda one: int(best(one)["lut"]))


def label(point: Json, points: Sequence[Json]) -> str:
    """The shape, and those options in which the points differ."""
    config = point["config"]
    return ", ".join([shape(point)] + [
        f"{name} {value}" for name, value in config.items() if name not in ("rows", "cols")
        and any(str(other["config"][name]) != str(value) for other in points)])


def explore(report: Json) -> str:
    """Points by throughput per LUT."""
    points = report["points"]
    on_front, rows = front(points), []
    for one in sorted(points, key=lambda one: -one["gops_per_klut"]):
        found = best(one)
        rows.append((label(one, points) + STAR * (one in on_front), f"{found['lut']:,}",
                     f"{found['ff']:,}", str(found["ebr"]), str(found["dsp"]),
                     f"{found['mhz']:.0f}{'' if one['placed'] else '?'}", f"{one['ratio']:.2f}×",
                     f"{one['gops']:.1f}", f"{one['gops_per_klut']:.2f}"))
    return paragraphs(
        f"{len(points)} machines on {len(report['layers'])} layers, {report['tokens']} tokens: "
        "cycles by the cycle model, area by synthesis for ECP5. MHz with a question mark are "
        "guessed from the netlist. \\*: no other point has more throughput in fewer LUTs.",
        table(("machine", "LUT", "FF", "EBR", "DSP", "MHz", "vs dense", "GOPS", "GOPS/kLUT"),
              rows),
        plot("explore", "Effective throughput against LUTs"))


# -- operation counts ------------------------------------------------------------------------------

def hybrid(salient: float) -> float:
    """pJ per input and output of a hybrid that is counted by its operations only."""
    return (1 - salient) * ADD + salient * MAC


def saving(salient: float) -> float:
    """Share of the operations' energy that it saves."""
    return 1 - hybrid(salient) / MAC


def gain(salient: float) -> float:
    """How many times less energy its operations take."""
    return MAC / hybrid(salient)


def counts(report: Json, measured: Mapping[str, Source]) -> str:
    """The papers' operation counts, and what was measured, side by side."""
    found = {name: source for name, source in measured.items() if source.report is not None}
    rows = []
    for one in report["layers"]:
        p = one["salient"]
        rows.append([one["layer"], f"{p:.2%}", f"{saving(p):.1%}", f"{gain(p):.2f}×"]
                    + [guarded(source, partial(_measured, one["layer"]))
                       for source in found.values()])
    names = [f"measured, {source.title.removeprefix('energy, ')}: W4A4, W4A8"
             for source in found.values()]
    return paragraphs(
        COUNTS, table(("layer", "salient", "counted: saving", "counted: ratio", *names), rows),
        "" if found else "Nothing is measured yet to stand beside these.")


def _measured(name: str, report: Json) -> str:
    """Energy of the best trees' arrays over ours."""
    layer = report["layers"].get(name)
    if layer is None:
        return "–"
    mine, trees = total(layer["designs"][0]["array"]), [best_tree(layer, bits) for bits in (4, 8)]
    return ", ".join(f"{total(tree['array']) / mine:.2f}×" if tree else "–" for tree in trees)


COUNTS = f"""Two different things, side by side, and never in one number.

*Counted* is what the papers' energy figures fit. p is the share of salient inputs; each of them is
an INT8 MAC, every other input an INT8 addition: {MAC} and {ADD} pJ at 45 nm (Horowitz, ISSCC 2014).

- Saving: 1 − [(1−p)·{ADD} + p·{MAC}] / {MAC}. It is {saving(KIRIN_SHARE):.2%} at
  p = {KIRIN_SHARE:.2%}, which Kirin states (arXiv 2602.08817).
- Ratio: {MAC} / [(1−p)·{ADD} + p·{MAC}]. It is {gain(SPIKEQUANT_SHARE):.2f}× at
  p = {SPIKEQUANT_SHARE:.0%}, which SpikeQuant states (arXiv 2510.19498).

No clock, no registers, no accumulators and no data movement are in these.

*Measured* is the energy of the best W4A4 and of the best W4A8 adder tree's array, over that of our
array, on gates, for the first tokens of the layer. Above 1, ours takes less."""


# -- page ------------------------------------------------------------------------------------------

NOT_CLAIMED = """## What is not claimed

- No silicon: nothing here was measured on a chip.
- No wires between standard cells but a constant per pin: no placement, no routing.
- Memories by a model: bits moved times a constant, in a column of its own. No leakage.
- Whole-model accuracy is not measured here (issue 5): layers equal the golden model, which is not
  the float model.
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
        show("pnr-baseline", baseline),
        "### Ours and rivals", *(show(name, rivals(name)) for name in ("fpga-16x16", "fpga-8x8")),
        "## Energy", ENERGY,
        *(part for name, one in energies.items() for part in (
            f"### {one.title[0].upper()}{one.title[1:]}", show(name, energy(name)))),
        "## Exploration", show("explore", explore),
        "## The papers' operation counts beside what was measured",
        show("cycles", lambda report: counts(report, energies)),
        NOT_CLAIMED, METHOD)
