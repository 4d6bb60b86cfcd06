"""Sections of docs/results.md: our bitstream, rivals on an FPGA, the exploration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

from bench.results_base import STAR, Json, paragraphs, plot, shape, table
from gen.pareto import pareto


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
         *(f"{work}: GOPS, per kLUT" for work in works), "placed and routed by"),
        [(f"**{one['name']}**" if one["name"].startswith("ours") else
          one["name"] + ("" if one["exact"] else STAR),
          *(f"{one['measured'][kind]:,}" for kind in ("lut", "ff", "ebr", "dsp")),
          f"{one['mhz']:.0f}", f"{one['lut_per_mac']:.1f}", f"{one['peak_gops']:.1f}",
          *(f"{one['gops'][work]:.1f}, {one['gops_per_klut'][work]:.2f}" for work in works),
          one["measured"].get("way", ""))
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


# -- exploration -----------------------------------------------------------------------------------

def best(point: Json) -> Json:
    """A point's area as it is known best."""
    return dict(point["placed"] or point["area"])


def front(points: Sequence[Json]) -> list[Json]:
    """Points that no other beats in both throughput and LUTs, by LUTs."""
    return sorted(pareto(points, lambda one: one["gops"], lambda one: -best(one)["lut"]),
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
    energy = report["energy_of"] is not None
    for one in sorted(points, key=lambda one: -one["gops_per_klut"]):
        found = best(one)
        rows.append((label(one, points) + STAR * (one in on_front), f"{found['lut']:,}",
                     f"{found['ff']:,}", str(found["ebr"]), str(found["dsp"]),
                     f"{found['mhz']:.0f}{'' if one['placed'] else '?'}", f"{one['ratio']:.2f}×",
                     f"{one['gops']:.1f}", f"{one['gops_per_klut']:.2f}",
                     *((f"{one['logic_pj_per_mac']:.1f}", f"{one['weights_pj_per_mac']:.1f}")
                       if energy else ())))
    return paragraphs(
        f"{len(points)} machines on {len(report['layers'])} layers, {report['tokens']} tokens: "
        "cycles by the cycle model, area by synthesis for ECP5. MHz with a question mark are "
        "guessed from the netlist. \\*: no other point has more throughput in fewer LUTs.",
        f"Energy, pJ per effective MAC, is estimated from events as measured on "
        f"{report['energy_of']}: all logic, and reading rows of weights by the memory model."
        if energy else "",
        table(("machine", "LUT", "FF", "EBR", "DSP", "MHz", "vs dense", "GOPS", "GOPS/kLUT",
               *(("logic", "weights") if energy else ())), rows),
        plot("explore", "Effective throughput against LUTs"))
