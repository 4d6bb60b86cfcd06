"""Cycles and events of a real layer on a configuration, by the cycle model: no simulation.

    predict(layer, cfg, tokens=8).gops(150.0)       # effective, at 150 MHz
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from golden.realdata import RealLayer
from sim.compiler import compile_stage, stages
from sim.estimate import estimate
from sim.layers import WAITING
from sim.plan import Layer
from spinteger.config import Config


@dataclass(frozen=True)
class Prediction:
    """One layer on one machine. Events are summed over the tokens."""

    layer: str
    tokens: int
    macs: int               #: useful multiply-accumulates: tokens * K * N, zeros included
    cycles: int             #: first beat in to last word out
    compute_cycles: int     #: ... less those that wait for weights, tokens or the output
    dense_cycles: int       #: of a dense R x C multiply array
    spike_rows: int         #: weight rows read for spikes
    salient_rows: int       #: ... for salient integers
    dense_rows: int         #: ... by a dense array: every input, every column tile
    v_adds: int             #: additions of S to V, per column
    outputs: int            #: sums fired

    def gops(self, mhz: float) -> float:
        """Effective 10^9 operations a second (two per MAC), loads hidden."""
        return 2e-3 * self.macs * mhz / self.compute_cycles


def predict(layer: RealLayer, cfg: Config, tokens: int | None = None) -> Prediction:
    """The layer's first `tokens` (all), fired. Raises `CompileError` where it does not fit."""
    q, e = (part[:tokens].astype(np.int64) for part in (layer.q, layer.e))
    jobs = [Layer(torch.as_tensor(layer.w).long(), torch.as_tensor(layer.theta))]
    program = compile_stage(cfg, jobs, stages(cfg, jobs, len(q))[0], q, e)
    found = estimate(program.packets, cfg)
    k, n = layer.w.shape
    tiles = cfg.col_tiles(n)
    salient = (np.abs(q) > cfg.window) | (e > 0)
    if not cfg.signed:
        salient |= q < 0
    live = (q != 0) & ~salient
    highest = np.where(live, np.abs(q), 0).max(axis=1)
    return Prediction(
        layer=layer.name, tokens=len(q), macs=len(q) * k * n, cycles=found.cycles,
        compute_cycles=found.cycles - sum(found.by_cause[cause] for cause in WAITING),
        dense_cycles=len(q) * -(-k // cfg.rows) * tiles, spike_rows=int(live.sum()) * tiles,
        salient_rows=int(salient.sum()) * tiles, dense_rows=len(q) * k * tiles,
        v_adds=int(highest.sum()) * tiles, outputs=len(q) * n)
