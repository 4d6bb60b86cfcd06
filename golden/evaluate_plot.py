"""Perplexity against energy, as `golden.evaluate --plot` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from golden.cache import replacing

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (after the choice of a backend without a screen)

#: Ways of counting, by the figures' key: title of the axis.
ENERGIES = {"energy_opcount": "pJ per MAC, by operation count",
            "energy_movement": "pJ per MAC, with data movement"}


def front(lines: Sequence[dict[str, Any]], energy: str) -> list[dict[str, Any]]:
    """Recipes that no other beats in both perplexity and energy, by energy."""
    found: list[dict[str, Any]] = []
    for one in sorted(lines, key=lambda one: (one[energy], one["ppl"])):
        if not found or one["ppl"] < found[-1]["ppl"]:
            found.append(one)
    return found


def plot(title: str, lines: Sequence[dict[str, Any]], path: Path) -> None:
    """A panel per way of counting; recipes on the front are joined.

    Where a recipe converts attention, its energies are of that too: not drawn beside others.
    """
    priced = [one for one in lines if "energy_opcount" in one]
    priced = [one for one in priced if not one["settings"]["attention"]] or priced
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4.5), layout="constrained", sharey=True)
    for axes, (energy, words) in zip(panels, ENERGIES.items(), strict=True):
        joined = front(priced, energy)
        axes.plot([one[energy] for one in joined], [one["ppl"] for one in joined], "o-",
                  color="tab:blue", label="no other is better in both")
        axes.scatter([one[energy] for one in priced], [one["ppl"] for one in priced], s=18,
                     color="tab:gray", zorder=1)
        for one in priced:
            axes.annotate(one["recipe"], (one[energy], one["ppl"]), textcoords="offset points",
                          xytext=(5, 4), fontsize=7)
        axes.axhline(lines[0]["ppl"], color="tab:green", ls="--", lw=1, label=lines[0]["recipe"])
        axes.set(xlabel=words, yscale="log" if max(one["ppl"] for one in priced)
                 > 3 * lines[0]["ppl"] else "linear")
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="perplexity", title=title)
    panels[0].legend(frameon=False, fontsize=8)
    with replacing(path) as part:
        figure.savefig(part, format=path.suffix[1:],
                       metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
