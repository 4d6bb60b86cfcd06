"""Sections of docs/results.md: energy on gates, and the papers' operation counts beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from bench.results_base import Json, Source, guarded, paragraphs, plot, shape, table
from bench.results_fpga import state

#: Horowitz, ISSCC 2014, 45 nm: pJ of an INT8 addition, of an INT8 multiply-accumulate.
ADD, MAC = 0.03, 0.23
#: Salient shares at which `saving` and `gain` give what the papers state.
KIRIN_SHARE, SPIKEQUANT_SHARE = 0.0264, 0.10


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
            f"{report['tokens']} tokens, column tiles at most {report['tiles']}. pJ per effective "
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
        live = counts["spikes"] / (counts["inputs"] * one["tiles"])
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
