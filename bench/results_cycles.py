"""Sections of docs/results.md: cycles, and area by block."""

from __future__ import annotations

from bench.results_base import Json, paragraphs, plot, shape, table
from spinteger import isa


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
