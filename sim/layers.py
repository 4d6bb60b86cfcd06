"""Real layers on the simulated machine: the rows of the README, `make demo`, `make sim`."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from golden.codes import Codes
from golden.digits import CONFIG as DIGITS_CONFIG
from golden.digits import DigitsMLP
from golden.layer import HybridLayer
from golden.realdata import RealLayer
from sim.accelerator import Accelerator, Layer, LayerOutput
from sim.backends import Throttle
from sim.estimate import estimate
from spinteger import isa
from spinteger.config import Config

#: Causes that are no work of the array: waiting for the host, or nothing to do.
WAITING = ("weights", "acts", "output", "idle")


@dataclass(frozen=True)
class LayerRow:
    """One layer, or several in one program, on one simulator. Shares are of all inputs."""

    layer: str
    simulator: str
    k: int                      #: inputs
    n: int                      #: outputs that were run (Icarus runs take the first ones)
    tokens: int
    salient: float              #: share of inputs that are salient integers
    live: float                 #: share of inputs that are spikes
    cycles: int                 #: first beat in to last word out
    compute_cycles: int         #: ... less those that wait for weights, tokens or the output
    dense_cycles: int           #: of a dense R x C multiply array: tokens * ceil(K/R) * ceil(N/C)
    estimated: int              #: cycles that `sim.estimate` predicts
    counters: dict[str, int]    #: `spinteger.isa.COUNTERS`
    mismatches: int             #: values of V and fired codes that differ from the golden model

    @property
    def ratio(self) -> float:
        """Cycles of the array, relative to the dense one."""
        return self.compute_cycles / self.dense_cycles

    def as_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return {**asdict(self), "ratio": self.ratio}


def _row(name: str, accelerator: Accelerator, simulator: str, shapes: Sequence[tuple[int, int]],
         tokens: int, mismatches: int) -> LayerRow:
    cfg, counters = accelerator.cfg, accelerator.counters()
    every = accelerator.throttle.input_every if accelerator.throttle else 1
    assert sum(counters[name] for name, _ in isa.CAUSES) == counters["cycles"], counters
    coded = sum(counters[name] for name in ("silent", "spiking", "salient_inputs"))
    # Missing inputs of a last row are silent, and no inputs.
    inputs = coded - counters["tokens"] * sum(
        cfg.tile_rows(k) * cfg.groups - k for k, _ in shapes) // len(shapes)
    return LayerRow(
        layer=name, simulator=simulator, k=shapes[0][0], n=shapes[-1][1], tokens=tokens,
        salient=counters["salient_inputs"] / inputs, live=counters["spiking"] / inputs,
        cycles=counters["cycles"],
        compute_cycles=counters["cycles"] - sum(counters[name] for name in WAITING),
        dense_cycles=tokens * sum(-(-k // cfg.rows) * cfg.col_tiles(n) for k, n in shapes),
        estimated=sum(estimate(program.packets, cfg, every).cycles
                      for program in accelerator.programs),
        counters=counters, mismatches=mismatches)


def differing(got: LayerOutput, V: Tensor | None, codes: Codes | None = None) -> int:
    """Values of a result that are not the golden model's."""
    if got.V is not None:
        assert V is not None
        return int((got.V != V).sum())
    assert got.codes is not None and codes is not None
    return int(((got.codes.q != codes.q) | (got.codes.e != codes.e)).sum())


def run_layer(layer: RealLayer, simulator: str, cfg: Config, tokens: int | None = None,
              outputs: int | None = None, throttle: Throttle | None = None) -> LayerRow:
    """Run a real layer, or its first `tokens` and `outputs`, on the RTL: V raw, then fired.

    Every integer is compared; the cycles are the fired run's. `simulator`: a backend of
    `sim.backends` with a clock. Raises ValueError when K does not fit the machine, what the
    backend raises when the simulation does not finish.
    """
    if layer.k > cfg.k:
        raise ValueError(f"layer {layer.name}: K = {layer.k} does not fit --k {cfg.k}")
    w = torch.as_tensor(layer.w)[:, :outputs].long()
    theta = torch.as_tensor(layer.theta)[:outputs]
    codes = Codes(*(part[:tokens] for part in layer.codes))
    want = HybridLayer(w, theta, cfg).forward(codes)
    accelerator = Accelerator(cfg, simulator, throttle=throttle)
    accelerator.load(Layer(w, None))
    wrong = differing(accelerator.run(codes), want.V)
    accelerator.load(Layer(w, theta))
    wrong += differing(accelerator.run(codes), None, want.codes_out)
    return _row(layer.name, accelerator, simulator, [(layer.k, w.shape[1])], len(codes.q), wrong)


def run_digits(mlp: DigitsMLP, simulator: str, images: int = 64,
               cfg: Config = DIGITS_CONFIG) -> tuple[LayerRow, float]:
    """Run the ReLU network from pixels to logits, its layers chained on chip.

    Returns the row of the whole network and the accuracy of the classes that the RTL gives.
    """
    codes = Codes(torch.as_tensor(mlp.q)[:images].long(), torch.as_tensor(mlp.e)[:images].long())
    layers = [Layer(torch.as_tensor(layer.w).long(),
                    None if layer.theta is None else torch.as_tensor(layer.theta), unsigned=True)
              for layer in mlp.layers]
    V, inputs = None, codes
    for layer in layers:
        theta = None if layer.theta is None else torch.as_tensor(layer.theta)
        V, _, fired = HybridLayer(torch.as_tensor(layer.w), theta, cfg,
                                  unsigned_out=True).forward(inputs)
        inputs = fired if fired is not None else inputs
    accelerator = Accelerator(cfg, simulator)
    accelerator.load(layers)
    got = accelerator.run(codes)
    if accelerator.notes:
        raise ValueError(f"the network does not chain: {'; '.join(accelerator.notes)}")
    row = _row("digits", accelerator, simulator, [tuple(layer.w.shape) for layer in layers],
               len(codes.q), differing(got, V))
    assert got.V is not None
    labels = torch.as_tensor(mlp.labels)[:images]
    return row, float((got.V.argmax(dim=1) == labels).double().mean())


def layer_table(rows: Iterable[LayerRow], cfg: Config, title: str = "") -> Table:
    """The rows as a table for the terminal."""
    table = Table(title=title or f"Real layers on the {cfg.rows}x{cfg.cols} machine", box=None,
                  header_style="bold", title_justify="left")
    for name in ("layer", "simulator"):
        table.add_column(name)
    for name in ("K", "N", "tokens", "salient", "live", "cycles", "estimate", "wait: weights",
                 "wait: tokens", "compute", "dense", "vs dense", "vs live", "wrong"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.layer, row.simulator, str(row.k), str(row.n), str(row.tokens),
            f"{row.salient:.1%}", f"{row.live:.1%}", f"{row.cycles:,}",
            f"{row.estimated / row.cycles - 1:+.1%}",
            f"{row.counters['weights'] / row.cycles:.1%}",
            f"{row.counters['acts'] / row.cycles:.1%}", f"{row.compute_cycles:,}",
            f"{row.dense_cycles:,}", f"{row.ratio:.3f}x", f"{row.ratio / row.live:.2f}x",
            _count(row.mismatches))
    return table


def _count(wrong: int) -> str:
    return "[green]0[/]" if wrong == 0 else f"[bold red]{wrong:,}[/]"


def all_exact(rows: Sequence[LayerRow]) -> bool:
    """There are rows, and none has a mismatch."""
    return bool(rows) and all(row.mismatches == 0 for row in rows)
