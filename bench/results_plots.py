"""The plots of docs/results.md, as SVG: same figures, same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib

from bench.results_base import Json, shape
from bench.results_energy import total
from bench.results_fpga import best, front, label

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (after the choice of a backend without a screen)

#: Text stays text: small files. The salt fixes the names of what is referred to.
STYLE: Any = {"svg.hashsalt": "spinteger", "svg.fonttype": "none", "font.size": 9,
              "axes.axisbelow": True, "legend.frameon": False}
OURS, THEIRS = "tab:blue", "tab:gray"


def drawing(rows: int, columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """An empty figure and its panels."""
    figure, panels = pyplot.subplots(rows, columns, figsize=(width, height), layout="constrained",
                                     squeeze=False)
    return figure, list(panels.flat)


def saved(figure: Any) -> bytes:
    """A figure as SVG."""
    held = io.BytesIO()
    figure.savefig(held, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return held.getvalue()


def styled(draw: Callable[[Json], Any]) -> Callable[[Json], bytes]:
    """The SVG of what a function draws, in our style whatever the user's."""
    def render(report: Json) -> bytes:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            return saved(draw(report))
    return render


def cycles(report: Json) -> Any:
    """Ratio to the dense array per layer, and the live share."""
    layers = report["layers"]
    figure, (axes,) = drawing(1, 1, 8, 4)
    places = range(len(layers))
    axes.bar(places, [one["ratio"] for one in layers], color=OURS, label="cycles")
    axes.plot(places, [one["live"] for one in layers], "_", markersize=18, markeredgewidth=2.5,
              color="tab:orange", label="live share")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(places, [one["layer"].removesuffix("_proj") for one in layers], rotation=45,
                    ha="right")
    axes.set(ylabel="relative to a dense array", ylim=(0, None))
    axes.legend(loc="lower left", frameon=True, framealpha=1)
    axes.grid(axis="y", alpha=0.3)
    return figure


def area(report: Json) -> Any:
    """LUT by block."""
    blocks = sorted(report["blocks"].items(), key=lambda item: int(item[1]["lut"]))
    figure, (axes,) = drawing(1, 1, 8, 4)
    bars = axes.barh([name for name, _ in blocks], [one["lut"] for _, one in blocks], color=OURS)
    axes.bar_label(bars, padding=3, fmt="{:,.0f}")
    axes.set(xlabel=f"LUT of the {shape(report)} machine")
    axes.margins(x=0.1)
    axes.grid(axis="x", alpha=0.3)
    return figure


def rivals(report: Json) -> Any:
    """Dense GOPS per kLUT, arrays and machines."""
    figure, panels = drawing(1, 2, 9, 4)
    for axes, level in zip(panels, ("array", "machine"), strict=True):
        rows = sorted((one for one in report["rows"] if one["level"] == level),
                      key=lambda one: float(one["gops_per_klut"]["dense"]))
        bars = axes.barh([one["name"] + ("" if one["exact"] else " *") for one in rows],
                         [one["gops_per_klut"]["dense"] for one in rows],
                         color=[OURS if one["name"].startswith("ours") else THEIRS
                                for one in rows])
        axes.bar_label(bars, padding=3, fmt="%.1f")
        axes.set(title=f"{level}s, {shape(report)}", xlabel="dense GOPS per kLUT")
        axes.margins(x=0.12)
        axes.grid(axis="x", alpha=0.3)
    return figure


def stack(design: Json) -> list[tuple[str, str, float]]:
    """What a design's logic takes: name, colour, pJ."""
    array = design["array"]
    return [("gates", "tab:blue", array["logic"] - array["glitches"]),
            ("glitches", "tab:cyan", array["glitches"]),
            ("registers", "tab:green", array["registers"]), ("clock", "tab:orange", array["clock"]),
            ("control", "lightgray", total(design["total"]) - total(array))]


def energy(report: Json) -> Any:
    """Energy per effective MAC by kind, and beside it what memories take by the model."""
    layers = report["layers"]
    longest = max(len(one["designs"]) for one in layers.values())
    figure, panels = drawing(len(layers), 1, 9, len(layers) * (1.2 + 0.32 * longest))
    for axes, (name, layer) in zip(panels, layers.items(), strict=True):
        for at, one in enumerate(layer["designs"]):
            start = 0.0
            for words, colour, value in stack(one):
                axes.barh(at - 0.12, value, 0.5, left=start, color=colour,
                          label=words if at == 0 else None)
                start += value
            axes.barh(at + 0.28, one["memory_bits"] * report["memory_pj_per_bit"], 0.2,
                      color="white", edgecolor="black", linewidth=0.6, hatch="////",
                      label="memory (model)" if at == 0 else None)
        axes.set_yticks(range(len(layer["designs"])), _names(layer["designs"]))
        axes.invert_yaxis()
        axes.set(title=f"{name}, {shape(report)}, {report['library']}",
                 xlabel="pJ per effective MAC")
        axes.grid(axis="x", alpha=0.3)
    panels[0].legend()
    return figure


def _names(designs: Sequence[Json]) -> list[str]:
    return [f"{one['name']}, {one['bits'].removeprefix('W4 ')}" for one in designs]


def explore(report: Json) -> Any:
    """Effective throughput against LUTs; points on the front are joined and named."""
    points = report["points"]
    on_front = front(points)
    figure, (axes,) = drawing(1, 1, 8, 5)
    axes.scatter([best(one)["lut"] for one in points], [one["gops"] for one in points], s=18,
                 color=THEIRS, label="points")
    axes.plot([best(one)["lut"] for one in on_front], [one["gops"] for one in on_front], "o-",
              color=OURS, label="no other has more in fewer LUTs")
    for one in on_front:
        axes.annotate(label(one, points), (best(one)["lut"], one["gops"]),
                      textcoords="offset points", xytext=(6, -10), fontsize=7)
    axes.set(xlabel="LUTs (ECP5)", ylabel="effective GOPS", xlim=(0, None), ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


#: By the first part of a benchmark's name.
PLOTS = {name: styled(draw) for name, draw in (
    ("cycles", cycles), ("area", area), ("fpga", rivals), ("energy", energy),
    ("explore", explore))}
