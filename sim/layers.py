"""Real layers on the simulated array: the measured row of the README, `make demo`, `make sim`."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from golden.digits import CONFIG as DIGITS_CONFIG
from golden.digits import DigitsMLP
from golden.realdata import RealLayer
from sim.runner import BenchError, run
from spinteger.config import Config


@dataclass(frozen=True)
class LayerRow:
    """One layer on one simulator. Shares are of all inputs; cycles exclude loading weights."""

    layer: str
    simulator: str
    k: int                      #: inputs
    n: int                      #: outputs that were run (Icarus runs take the first ones)
    tokens: int
    salient: float              #: share of inputs that are salient integers
    live: float                 #: share of inputs that are spikes
    cycles: int                 #: first code in to last word out, fired, all tokens
    dense_cycles: int           #: of a dense R x C multiply array: tokens * ceil(K/R) * ceil(N/C)
    utilisation: float          #: events popped / (lanes * cycles)
    load_cycles: int            #: loading weights and thresholds, one row a cycle
    mismatches_v: int           #: values of V that differ from the golden model
    mismatches_levels: int      #: fired codes that differ

    @property
    def mismatches(self) -> int:
        """All values that differ."""
        return self.mismatches_v + self.mismatches_levels

    def as_json(self) -> dict[str, Any]:
        """The row as plain values, with `mismatches`."""
        return {**asdict(self), "mismatches": self.mismatches}


def _row(name: str, simulator: str, cfg: Config, result: dict[str, Any]) -> LayerRow:
    k, n, tokens = result["k"], result["n"], result["tokens"]
    tiles = cfg.col_tiles(n)
    inputs = k * tokens
    return LayerRow(
        layer=name, simulator=simulator, k=k, n=n, tokens=tokens,
        salient=result["salients"] / inputs, live=result["spikes"] / inputs,
        cycles=result["cycles"], dense_cycles=tokens * cfg.tile_rows(k) * tiles,
        utilisation=result["spikes"] * tiles / (cfg.rows * result["cycles"]),
        load_cycles=result["load_cycles"], mismatches_v=result["mismatches_v"],
        mismatches_levels=result["mismatches_levels"])


def simulate(simulator: str, cfg: Config, arrays: dict[str, Any],
             unsigned: bool = False) -> list[dict[str, Any]]:
    """Run the layer bench on a job. Mismatches are results; anything else that fails raises."""
    with tempfile.TemporaryDirectory(prefix="spinteger-") as folder:
        job = Path(folder) / "job.npz"
        np.savez(job, **arrays)
        result = run("layer", simulator, cfg, options={"job": str(job), "unsigned": unsigned})
    if not result.data:
        raise BenchError("\n".join(result.failed.values()) or "the layer bench left no result")
    return list(result.data)


def run_layer(layer: RealLayer, simulator: str, cfg: Config, tokens: int | None = None,
              outputs: int | None = None) -> LayerRow:
    """Run a real layer, or its first `tokens` and `outputs`, on the RTL; compare every integer.

    Raises ValueError when K does not fit the configuration, `BenchError` when the simulation
    does not finish.
    """
    if layer.k > cfg.k:
        raise ValueError(f"layer {layer.name}: K = {layer.k} does not fit --k {cfg.k}")
    arrays = {"q": layer.q[:tokens], "e": layer.e[:tokens], "w0": layer.w[:, :outputs],
              "theta0": layer.theta[:outputs]}
    return _row(layer.name, simulator, cfg, simulate(simulator, cfg, arrays)[0])


def run_digits(mlp: DigitsMLP, simulator: str, images: int = 64,
               cfg: Config = DIGITS_CONFIG) -> tuple[list[LayerRow], float]:
    """Run the ReLU network layer by layer, each on the codes that the RTL fired before.

    Returns the rows and the accuracy of the classes that the RTL gives.
    """
    arrays: dict[str, Any] = {"q": mlp.q[:images], "e": mlp.e[:images]}
    for index, layer in enumerate(mlp.layers):
        arrays[f"w{index}"] = layer.w
        if layer.theta is not None:
            arrays[f"theta{index}"] = layer.theta
    results = simulate(simulator, cfg, arrays, unsigned=True)
    rows = [_row(f"digits.{index + 1}", simulator, cfg, result)
            for index, result in enumerate(results)]
    classes = np.array(results[-1]["classes"])
    return rows, float((classes == np.asarray(mlp.labels)[:images]).mean())


def layer_table(rows: Iterable[LayerRow], cfg: Config, title: str = "") -> Table:
    """The rows as a table for the terminal."""
    table = Table(title=title or f"Real layers on the {cfg.rows}x{cfg.cols} array", box=None,
                  header_style="bold", title_justify="left")
    for name in ("layer", "simulator"):
        table.add_column(name)
    for name in ("K", "N", "tokens", "salient", "live", "cycles", "dense", "vs dense",
                 "lane use", "V wrong", "levels wrong"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.layer, row.simulator, str(row.k), str(row.n), str(row.tokens),
            f"{row.salient:.1%}", f"{row.live:.1%}", f"{row.cycles:,}", f"{row.dense_cycles:,}",
            f"{row.cycles / row.dense_cycles:.2f}x", f"{row.utilisation:.0%}",
            _count(row.mismatches_v), _count(row.mismatches_levels))
    return table


def _count(wrong: int) -> str:
    return "[green]0[/]" if wrong == 0 else f"[bold red]{wrong:,}[/]"


def all_exact(rows: Sequence[LayerRow]) -> bool:
    """There are rows, and none has a mismatch."""
    return bool(rows) and all(row.mismatches == 0 for row in rows)
