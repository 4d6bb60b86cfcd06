"""The work that `bench.fpga` measures arrays by: real layers, and how many cycles each array needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.rivals import Rival
from golden.realdata import RealLayer
from sim.predict import predict
from spinteger.config import Config

#: Shares of zeros that real activations are thinned out to: what a ReLU leaves.
SPARSE = (0.5, 0.7, 0.9)
#: The layers that are thinned out.
SPARSE_LAYERS = ("blk.15.gate_proj", "blk.15.down_proj")
SEED = 1


@dataclass(frozen=True)
class Work:
    """Layers to compute; a table column."""

    name: str
    layers: tuple[RealLayer, ...]

    @property
    def ops(self) -> int:
        """Useful operations: two per input, output and token, zeros included."""
        return sum(2 * len(layer.q) * layer.k * layer.n for layer in self.layers)


def dense(layers: Sequence[RealLayer]) -> Work:
    """The layers as they are."""
    return Work("dense", tuple(layers))


def sparse(layers: Sequence[RealLayer], share: float) -> Work:
    """The layers with inputs zeroed at random, salient ones too, until `share` of all are zero."""
    rng = np.random.default_rng(SEED)
    thinned = []
    for layer in layers:
        zeros = float((layer.q == 0).mean())
        keep = rng.random(layer.q.shape) >= max(0.0, (share - zeros) / (1 - zeros))
        thinned.append(replace(layer, q=np.where(keep, layer.q, 0).astype(layer.q.dtype),
                               e=np.where(keep, layer.e, 0).astype(layer.e.dtype)))
    return Work(f"{share:.0%} zeros", tuple(thinned))


def our_cycles(work: Work, cfg: Config) -> int:
    """Cycles of our machine, salient inputs included, loads hidden: the cycle model's."""
    return sum(predict(layer, cfg).compute_cycles for layer in work.layers)


def rival_cycles(work: Work, rival: Rival) -> float:
    """Cycles of a rival. A 4-bit one takes the codes cut off at its range: it has no others."""
    low, high = rival.shape.act_range[0], rival.shape.act_range[-1]
    return sum(rival.cycles(len(layer.q), layer.k, layer.n, np.clip(layer.x, low, high))
               for layer in work.layers)
