"""Plots of explorations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from gen.pareto import pareto
from gen.sweep import Result

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (after the choice of a backend without a screen)


def front_plot(results: Sequence[Result], labels: Sequence[str], path: Path) -> None:
    """Effective throughput against LUTs; points on the front are joined and named."""
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    front = sorted(pareto(results, lambda one: one.gops, lambda one: -one.best.lut),
                   key=lambda one: one.best.lut)
    axes.scatter([one.best.lut for one in results], [one.gops for one in results], s=18,
                 color="tab:gray", label="points")
    axes.plot([one.best.lut for one in front], [one.gops for one in front], "o-",
              color="tab:blue", label="no other has more in fewer LUTs")
    for one, label in zip(results, labels, strict=True):
        if one in front:
            axes.annotate(label, (one.best.lut, one.gops), textcoords="offset points",
                          xytext=(6, -10), fontsize=7)
    axes.set(xlabel="LUTs (ECP5)", ylabel="effective GOPS", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
