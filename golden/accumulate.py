"""The drain: what becomes of a psum V between integration and firing (docs/numerics.md).

    a = V
    a = (a * mul[n]) << shift[n]     group scale, where the run asks for it
    a = a << token_shift             the token's step as a power of two
    a = a + kept                     the sum of the passes before, for K beyond one pass

A group-wise wgt scale does not fit a threshold, since groups sum before they fire; so each group
is a pass of its own, scaled by the integer mul * 2^shift. Everything is an integer: nothing rounds,
and the order of passes does not matter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spinteger.config import Config

#: Largest left shift of a group scale.
SCALE_SHIFT_MAX = 31


def scaled_sum(V: Tensor, cfg: Config, *, mul: Tensor | None = None, shift: Tensor | None = None,
               token_shift: Tensor | None = None,
               kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One pass of the drain: (a, overflow), int64 and bool, of V's shape.

    V: int64 [..., N]. mul, shift: int64 [N], the group scale of each column. token_shift: int64,
    broadcastable to [...]. kept: int64 like V. None leaves the step out.
    `a` is modulo 2^acc_bits, two's complement. `overflow` says where the scaled value, the shifted
    value or the sum left -(2^(acc_bits-1) - 1) .. 2^(acc_bits-1) - 1.
    Raises ValueError for shapes that do not fit, and operands the hardware could not hold.
    """
    _check("psum", V, -_top(cfg), _top(cfg))
    a, overflow = V, torch.zeros_like(V, dtype=torch.bool)
    if mul is not None:
        _check("mul", mul, 0, (1 << cfg.scale_bits) - 1, V.shape[-1:])
        a, overflow = _wrap(a * mul, cfg), (a * mul).abs() > _top(cfg)
    if shift is not None:
        _check("shift", shift, 0, SCALE_SHIFT_MAX, V.shape[-1:])
        a, over = _shifted(a, shift, cfg)
        overflow = overflow | over
    if token_shift is not None:
        _check("token_shift", token_shift, 0, (1 << cfg.shift_bits) - 1)
        a, over = _shifted(a, token_shift.unsqueeze(-1), cfg)
        overflow = overflow | over
    if kept is not None:
        _check("kept", kept, -_top(cfg) - 1, _top(cfg), V.shape)
        overflow = overflow | ((a + kept).abs() > _top(cfg))
        a = _wrap(a + kept, cfg)
    if a.shape != V.shape:
        raise ValueError(f"psum {list(V.shape)} and shift {list(a.shape)} do not fit")
    return a, overflow


def _shifted(a: Tensor, shift: Tensor, cfg: Config) -> tuple[Tensor, Tensor]:
    """a << shift, wrapped, and where it does not fit. The bits that would be lost go first."""
    fits = a.abs() <= torch.full_like(a, _top(cfg)) >> shift
    low = a & ((1 << cfg.acc_bits) - 1)            # below 2^32: << 31 stays within int64
    return _wrap(low << shift, cfg), ~fits


def _wrap(a: Tensor, cfg: Config) -> Tensor:
    """The low acc_bits of a, as two's complement."""
    low = a & ((1 << cfg.acc_bits) - 1)
    return torch.where(low > _top(cfg), low - (1 << cfg.acc_bits), low)


def _top(cfg: Config) -> int:
    """The largest sum, and the largest magnitude that fires."""
    return (1 << (cfg.acc_bits - 1)) - 1


def _check(name: str, value: Tensor, low: int, high: int,
           shape: torch.Size | None = None) -> None:
    if value.dtype != torch.int64 or (shape is not None and value.shape != shape):
        raise ValueError(f"{name} {value.dtype} {list(value.shape)}: must be int64"
                         + (f" {list(shape)}" if shape is not None else ""))
    if value.numel() and (int(value.min()) < low or int(value.max()) > high):
        raise ValueError(f"{name} {int(value.min())}..{int(value.max())}: must be {low}..{high}")
