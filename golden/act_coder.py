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
from golden.step_search import searched_steps

#: How acts are coded.
MODES = ("hybrid", "int8", "int4")
#: What becomes of a half: away from zero (the contract), to the even neighbour; "down" cuts off.
ROUNDINGS = ("away", "even", "down")


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
    `exp_max`. "int8" and "int4": the largest value at the top of the range, no hybrid.
    Steps are per token, or per token and `group` inputs; by median absolute deviation, or, with a
    `price`, the cheapest (`golden.step_search`), or one `static` step. pow2: rounded to the
    nearest power of two, so that a shift of V can apply it. Salient values take `sal_bits`, signed.
    """

    mode: str = "hybrid"
    k_mad: float = 3.0
    price: float = 0.0               #: nats that a salient value must save; 0: cut by k_mad
    sensitivity: Tensor | None = None    #: of every input, float [K]; with a price
    group: int = 0                   #: inputs per step; 0: all of a token's
    window: int = 7
    signed: bool = True
    sal_bits: int = 8
    exp_max: int = 9
    static: float | None = None
    pow2: bool = False
    snap: bool = False               #: steps a little smaller, so that a token's largest is exact
    salience: bool = True            #: False: values beyond the window are clipped to it
    rounding: str = "away"           #: one of `ROUNDINGS`
    rotation: Tensor | None = None   #: orthogonal, float [K, K]: inputs are turned before all else
    counts: Counts = field(default_factory=Counts)
    _last: tuple[Tensor, Tensor, Tensor] | None = field(default=None, repr=False)
    _version: int = 0               # of the input that was coded last: it may be changed in place

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: float [..., K] -> (levels, float32 whole numbers [..., K]; steps, float64 [..., G]).

        The same tensor is coded once, for all layers that share it.
        """
        if self._last is not None and self._last[0] is x and self._version == x._version:
            return self._last[1:]
        turned = self.turned(x)
        step = self.steps(turned)
        level = self.levels(turned, step)
        self.counts.add(level, self.window if self.mode == "hybrid" else 1 << 30)
        self._last, self._version = (x, level, step), x._version
        return level, step

    @property
    def last(self) -> Tensor:
        """The levels that were coded last, int64 [T, K]. Raises ValueError before the first."""
        if self._last is None:
            raise ValueError("nothing was coded yet")
        return self._last[1].reshape(-1, self._last[1].shape[-1]).to(torch.int64)

    def turned(self, x: Tensor) -> Tensor:
        """What is coded: float [..., K] -> [..., K]."""
        return x if self.rotation is None else x @ self.rotation

    def _parts(self, x: Tensor) -> Tensor:
        """The inputs of each step: [..., K] -> [..., G, K / G]."""
        return x.unflatten(-1, (-1, self.group or x.shape[-1]))

    def steps(self, x: Tensor) -> Tensor:
        """The steps of every token, float64 [..., G]."""
        parts = self._parts(x)
        if self.mode != "hybrid":
            top = 127 if self.mode == "int8" else 7
            largest = parts.abs().amax(-1, keepdim=True).double()
            step = torch.where(largest > 0, largest, 1.0) / top
        elif self.static is not None:
            step = torch.full((*parts.shape[:-1], 1), self.static, dtype=torch.float64)
        elif self.price:
            assert self.sensitivity is not None
            kept = parts if self.signed else parts.clamp(min=0)
            step = searched_steps(kept, self._parts(self.sensitivity), self.price, self.window,
                                  self.sal_bits, self.exp_max)
        else:
            step = cut(parts, self.k_mad) / (self.window + 0.5)
            if self.snap:
                step = self._snapped(parts, step)
        return (torch.exp2(torch.log2(step).round()) if self.pow2 else step)[..., 0]

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
        """Levels as the array gets them, salient ones rounded to q * 2^e: float32 [..., K].

        step: float64 [..., G].
        """
        size = (self._parts(x).double().abs() / step.unsqueeze(-1)).flatten(-2)
        if self.rounding == "even":
            size = size.round()
        else:
            whole = size.trunc()
            size = whole if self.rounding == "down" else whole + (size - whole >= 0.5)
        size = size.float()                                     # exact: whole numbers below 2^24
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
