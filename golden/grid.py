"""Weights as integers on a grid: codes, a scale per group and column, and perhaps an offset."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class WgtGrid:
    """w[k, n] = scale[g, n] * code[k, n] + offset[g, n], with g = k // group.

    One group of all K inputs is a scale per output channel, which a threshold can absorb. More
    groups take a pass each. An offset multiplies the sum of a group's acts: one more column, all
    whose codes are 1, gives that sum (docs/numerics.md, "Integration": a zero point is a virtual
    input with the weights' sum; here the weights have one, and the acts are summed).
    """

    codes: Tensor              #: int8 [K, N], signed, of `bits` bits
    scale: Tensor              #: float64 [G, N]
    offset: Tensor | None      #: float64 [G, N]
    group: int                 #: inputs per group; K when there is one
    bits: int = 4
    turned: bool = False       #: of weights turned by a Hadamard matrix (`golden.rotation`)

    @property
    def groups(self) -> int:
        """G."""
        return self.scale.shape[0]

    def weight(self) -> Tensor:
        """The real weights, float32 [N, K], as `torch.nn.Linear` has them."""
        scale = self.scale.repeat_interleave(self.group, 0)[:len(self.codes)]
        w = self.codes * scale
        if self.offset is not None:
            w = w + self.offset.repeat_interleave(self.group, 0)[:len(self.codes)]
        return w.T.to(torch.float32).contiguous()

    def reordered(self, columns: Tensor) -> WgtGrid:
        """Output channel n becomes what channel columns[n] was. columns: int64 [N]."""
        return WgtGrid(self.codes[:, columns].contiguous(), self.scale[:, columns].contiguous(),
                       None if self.offset is None else self.offset[:, columns].contiguous(),
                       self.group, self.bits, self.turned)
