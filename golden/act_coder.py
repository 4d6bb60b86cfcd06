"""Real acts to integer acts: the step of every token, levels, salient values; and what it counted.

The integers are those of `golden.salient` and `golden.codes`, bit for bit; this is the same
arithmetic for whole batches of a language model (checked against them in tests/golden).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from golden.codes import recode_to, value
from golden.salient import CONSTANT_CUT, MAD_TO_SIGMA, MEAN_TO_SIGMA

#: How acts are coded.
MODES = ("hybrid", "int8", "int4")


@dataclass
class Counts:
    """What acts became, summed over all that an `ActCoder` has coded."""

    values: int = 0
    salient: int = 0
    silent: int = 0

    def add(self, level: Tensor, window: int) -> None:
        """Count levels (float, any shape)."""
        size = level.abs()
        self.values += level.numel()
        self.salient += int((size > window).sum())
        self.silent += int((size == 0).sum())


@dataclass
class ActCoder:
    """Codes the inputs of one or more layers that share them.

    mode "hybrid": spikes up to `window`, salient values beyond, q of `sal_bits` and exponents up to
    `exp_max`. "int8" and "int4": every token's largest value at the top of the range, no hybrid.
    step: a static one, or None for one per token by median absolute deviation. pow2: rounded to the
    nearest power of two, so that a shift of V can apply it. Salient values take `sal_bits`, signed.
    """

    mode: str = "hybrid"
    k_mad: float = 3.0
    window: int = 7
    signed: bool = True
    sal_bits: int = 8
    exp_max: int = 9
    static: float | None = None
    pow2: bool = False
    snap: bool = False               #: steps a little smaller, so that a token's largest is exact
    salience: bool = True            #: False: values beyond the window are clipped to it
    counts: Counts = field(default_factory=Counts)
    _last: tuple[Tensor, Tensor, Tensor] | None = field(default=None, repr=False)
    _version: int = 0               # of the input that was coded last: it may be changed in place

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: float [..., K] -> (levels, float32 whole numbers [..., K]; steps, float64 [..., 1]).

        The same tensor is coded once, for all layers that share it.
        """
        if self._last is not None and self._last[0] is x and self._version == x._version:
            return self._last[1:]
        step = self.steps(x)
        level = self.levels(x, step)
        self.counts.add(level, self.window if self.mode == "hybrid" else 1 << 30)
        self._last, self._version = (x, level, step), x._version
        return level, step

    @property
    def last(self) -> Tensor:
        """The levels that were coded last, int64 [T, K]. Raises ValueError before the first."""
        if self._last is None:
            raise ValueError("nothing was coded yet")
        return self._last[1].reshape(-1, self._last[1].shape[-1]).to(torch.int64)

    def steps(self, x: Tensor) -> Tensor:
        """The step of every token, float64 [..., 1]."""
        if self.mode != "hybrid":
            top = 127 if self.mode == "int8" else 7
            largest = x.abs().amax(-1, keepdim=True).double()
            step = torch.where(largest > 0, largest, 1.0) / top
        elif self.static is not None:
            step = torch.full((*x.shape[:-1], 1), self.static, dtype=torch.float64)
        else:
            step = cut(x, self.k_mad) / (self.window + 0.5)
            if self.snap:
                step = self._snapped(x, step)
        return torch.exp2(torch.log2(step).round()) if self.pow2 else step

    def _snapped(self, x: Tensor, step: Tensor) -> Tensor:
        """The largest step up to `step` in which the token's largest value is some q * 2^e.

        A massive value is rounded to 8 bits, and what it is off by can outweigh all other
        errors of its token. A step smaller by 1/64 at most takes that away.
        """
        sal_max = (1 << (self.sal_bits - 1)) - 1
        largest = x.abs().amax(-1, keepdim=True).double()
        top = largest / step
        e = torch.ceil(torch.log2(top.clamp(min=1.0) / sal_max)).clamp(0, self.exp_max)
        q = torch.ceil(top / torch.exp2(e)).clamp(min=1.0)
        can = (q <= sal_max) & (top > sal_max)
        return torch.where(can, largest / (q * torch.exp2(e)), step)

    def levels(self, x: Tensor, step: Tensor) -> Tensor:
        """Levels as the array gets them, salient ones rounded to q * 2^e: float32 [..., K]."""
        size = (x.double().abs() / step)
        whole = size.trunc()
        size = (whole + (size - whole >= 0.5)).float()          # exact: whole numbers below 2^24
        if self.mode != "hybrid":
            return torch.copysign(size, x)
        if not self.salience:
            size.clamp_(max=float(self.window))
        sal_max = (1 << (self.sal_bits - 1)) - 1
        size.clamp_(max=float(sal_max << self.exp_max))
        large = size > sal_max
        if bool(large.any()):
            size[large] = value(recode_to(size[large].long(), sal_max, self.exp_max)).float()
        return torch.copysign(size, x) if self.signed else torch.where(x < 0, 0.0, size)


def cut(x: Tensor, k_mad: float) -> Tensor:
    """`golden.salient.mad_cut`, kept dimension: float [..., K] -> float64 [..., 1].

    Sorts float32, which orders as float64 does; all arithmetic is in float64.
    """
    n = x.shape[-1]
    ordered = x.sort(-1).values
    low, high = (ordered[..., i:i + 1].double() for i in ((n - 1) // 2, n // 2))
    median = low + (high - low) / 2
    deviation = (x.double() - median).abs()
    ranked = deviation.sort(-1).values
    low, high = (ranked[..., i:i + 1] for i in ((n - 1) // 2, n // 2))
    sigma = MAD_TO_SIGMA * (low + (high - low) / 2)
    absmax = x.abs().amax(-1, keepdim=True).double()
    if not bool((sigma > 0).all()):
        sigma = torch.where(sigma > 0, sigma, MEAN_TO_SIGMA * deviation.mean(-1, keepdim=True))
    constant = torch.where(absmax > 0, absmax * CONSTANT_CUT, torch.ones_like(absmax))
    return torch.where(sigma > 0, k_mad * sigma, constant)
