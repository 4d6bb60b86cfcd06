"""Firing: the psum V of a neuron becomes its output level, by comparison with one threshold.

    level(V) = #{ m in 1..M : 2^(f+1) * |V| >= (2m - 1) * theta[n] }

(docs/numerics.md, "Firing".) theta is an integer with f fraction bits and carries the whole
requantisation scale, s_y / (s_w[n] * s_a) * 2^f: SpikeQuant's scale in the threshold (arXiv
2510.19498), our reading. V is complete before any comparison: Kirin's silence threshold (arXiv
2602.08817), our reading.

This file: where theta comes from, the count in three orders, and the integer multiply-shift
requantiser that firing replaces exactly.

The same count three ways, which must agree on every integer:
    fire_staircase  the descending threshold, M..1, fires once, at the first level it reaches
    fire_sar        successive approximation, one comparison per bit of M
    fire_closed     one division
All take V int64 [..., N], theta int64 [N], levels M >= 1, frac_bits f >= 0, and return the signed
level, int64 [..., N], |level| <= M. `unsigned` turns negative V into level 0. `silence` = z drops
outputs of |level| <= z to 0 (0 is lossless). They raise ThresholdError for a theta below 1,
ValueError for shapes and parameters that do not fit, OverflowError when 2^(f+1) * |V| passes 2^62.
"""

from __future__ import annotations

import torch
from torch import Tensor

from golden.codes import round_half_away
from spinteger.config import Config

#: Above every 2^(f+1) * |V| we accept: a threshold held here is never reached.
_NEVER = 1 << 62
#: Width limit of a threshold where no Config says less.
_THETA_BITS = 60


class ThresholdError(ValueError):
    """A threshold that cannot be used. `str()` is one line: the channel, the value, the range."""


def check_theta(theta: Tensor, cfg: Config | None = None) -> None:
    """Raise `ThresholdError` unless theta is int64 [N] with 1 <= theta < 2^theta_bits.

    theta_bits is cfg's, or 60 without one. The message names the first offending channel.
    """
    if theta.dtype != torch.int64 or theta.dim() != 1:
        raise ThresholdError(f"theta {theta.dtype} {list(theta.shape)}: must be int64 [N]")
    bits = cfg.theta_bits if cfg else _THETA_BITS
    bad = (theta < 1) | (theta >= 1 << bits)
    if bool(bad.any()):
        n = int(bad.nonzero()[0])
        raise ThresholdError(f"theta of channel {n}: {int(theta[n])}, must be 1..2^{bits} - 1")


def theta_from_scales(s_y: Tensor | float, s_w: Tensor, s_a: Tensor | float,
                      cfg: Config) -> Tensor:
    """theta = s_y / (s_w[n] * s_a) * 2^f, to the nearest integer, at least 1.

    s_w: float [N], scale per output channel. s_a, s_y: steps of the input and output acts, one
    number each per tensor (a per-token step does not fit a threshold). Returns int64 [N].
    A theta raised to 1 stands for a scale too fine for f: give cfg more frac_bits.
    Raises `ThresholdError` for scales not positive and finite, or a theta too wide for cfg.
    """
    s_y, s_a = (torch.as_tensor(s, dtype=torch.float64) for s in (s_y, s_a))
    if s_y.numel() != 1 or s_a.numel() != 1 or s_w.dim() != 1:
        raise ThresholdError(f"scales s_y {list(s_y.shape)}, s_w {list(s_w.shape)}, s_a "
                             f"{list(s_a.shape)}: must be one number, [N], one number")
    ratio = s_y.reshape(()) / (s_w.to(torch.float64) * s_a.reshape(()))
    bad = ~(torch.isfinite(ratio) & (ratio > 0))
    if bool(bad.any()):
        n = int(bad.nonzero()[0])
        raise ThresholdError(f"theta of channel {n}: scales s_y {float(s_y)}, s_w {float(s_w[n])}, "
                             f"s_a {float(s_a)} must be positive and finite")
    theta = round_half_away(ratio * 2.0 ** cfg.frac_bits).clamp(min=1)
    check_theta(theta, cfg)
    return theta


def theta_from_multiplier(mul: Tensor | int, shift: Tensor | int, frac_bits: int) -> Tensor:
    """theta = floor(2^(s+f) / Mul), which makes firing equal to `multiply_shift`.

    Exact for f >= `frac_bits_needed` (numerics.md, "Firing"). Floor, not round: a theta rounded up
    misses V that sit exactly on a tie.
    mul: Mul >= 1 and shift: s >= 1, int64 [N] or scalars. Returns int64, broadcast shape.
    Raises `ThresholdError` where theta would be below 1, ValueError where s + f passes 62.
    """
    mul, shift = _checked_multiplier(mul, shift)
    if int(shift.max()) + frac_bits > 62:
        raise ValueError(f"shift {int(shift.max())} + frac_bits {frac_bits}: must be at most 62")
    theta = torch.div(1 << (shift + frac_bits), mul, rounding_mode="floor")
    if bool((theta < 1).any()):
        n = int((theta < 1).flatten().nonzero()[0])
        raise ThresholdError(f"theta of channel {n}: multiplier exceeds 2^(shift + frac_bits), so "
                             "theta would be below 1")
    return theta


def frac_bits_needed(L: int, mul: Tensor | int) -> int:
    """Fraction bits f with f >= log2(L * Mul), for the largest Mul given.

    L is the largest level that is fired: the window for spikes-only outputs, M = 127 * 2^E with
    salient ones. Why it is enough: a V that must not fire level m is short of it by at least
    2^(f+1) / Mul, and the floor lowers the threshold by at most (2m - 1) * (Mul - 1) / Mul, less.
    """
    top = L * int(torch.as_tensor(mul).max())
    if top < 1:
        raise ValueError(f"level {L} and multiplier: must be at least 1")
    return (top - 1).bit_length()


def multiply_shift(V: Tensor, mul: Tensor | int, shift: Tensor | int, M: int) -> Tensor:
    """The usual integer requantiser: (|V| * Mul + 2^(s-1)) >> s, limited to M, with V's sign.

    V: int64 [..., N]; mul, shift: as in `theta_from_multiplier`. Returns int64 [..., N].
    Raises ValueError for mul or shift below 1, OverflowError where the product passes 62 bits.
    """
    mul, shift = _checked_multiplier(mul, shift)
    peak = max(abs(int(V.min())), abs(int(V.max()))) if V.numel() else 0
    if peak * int(mul.max()) + (1 << int(shift.max())) >= _NEVER:
        raise OverflowError(f"psum {peak} * multiplier {int(mul.max())} does not fit 62 bits")
    level = ((V.abs() * mul + (1 << (shift - 1))) >> shift).clamp(max=M)
    return torch.where(V < 0, -level, level)


def fire_staircase(V: Tensor, theta: Tensor, levels: int, frac_bits: int,
                   unsigned: bool = False, silence: int = 0) -> Tensor:
    """The threshold descends from level M to 1; every neuron fires once, when it is reached.

    M steps, so neurons leave in order of level, largest first. See the module for arguments.
    """
    scaled = _scaled(V, theta, levels, frac_bits, silence)
    level = torch.zeros_like(V)
    fired = torch.zeros_like(V, dtype=torch.bool)
    for m in range(levels, 0, -1):
        fires = ~fired & (scaled >= _threshold(torch.tensor(m), theta))
        level[fires] = m
        fired |= fires
    return _signed(level, V, unsigned, silence)


def fire_sar(V: Tensor, theta: Tensor, levels: int, frac_bits: int,
             unsigned: bool = False, silence: int = 0) -> Tensor:
    """The level bit by bit, most significant first, then limited to M.

    A bit stays set when the threshold of the level so far is reached. Correct because thresholds
    grow with m. See the module for arguments.
    """
    scaled = _scaled(V, theta, levels, frac_bits, silence)
    level = torch.zeros_like(V)
    for bit in reversed(range(levels.bit_length())):
        trial = level + (1 << bit)
        level = torch.where(scaled >= _threshold(trial, theta), trial, level)
    return _signed(level.clamp(max=levels), V, unsigned, silence)


def fire_closed(V: Tensor, theta: Tensor, levels: int, frac_bits: int,
                unsigned: bool = False, silence: int = 0) -> Tensor:
    """min(M, floor((2^(f+1) * |V| + theta) / (2 * theta))): round half away from zero, limited.

    See the module for arguments.
    """
    scaled = _scaled(V, theta, levels, frac_bits, silence)
    level = torch.div(scaled + theta, 2 * theta, rounding_mode="floor")
    return _signed(level.clamp(max=levels), V, unsigned, silence)


def _scaled(V: Tensor, theta: Tensor, levels: int, frac_bits: int, silence: int) -> Tensor:
    """Check everything, then 2^(f+1) * |V|, int64 [..., N]."""
    check_theta(theta)
    if V.dtype != torch.int64 or V.dim() < 1 or V.shape[-1] != theta.shape[0]:
        raise ValueError(f"psum {V.dtype} {list(V.shape)} must be int64 [..., N] with one of "
                         f"{theta.shape[0]} thresholds per channel")
    if levels < 1 or frac_bits < 0 or silence < 0:
        raise ValueError(f"levels {levels} must be at least 1, frac_bits {frac_bits} and silence "
                         f"{silence} at least 0")
    peak = max(abs(int(V.min())), abs(int(V.max()))) if V.numel() else 0
    if peak << (frac_bits + 1) >= _NEVER:
        raise OverflowError(f"psum {peak} with {frac_bits} fraction bits: "
                            f"2^(f+1)*|V| must stay below 2^62")
    return V.abs() << (frac_bits + 1)


def _threshold(m: Tensor, theta: Tensor) -> Tensor:
    """(2m - 1) * theta, held at 2^62 where the product would pass it (int64 would wrap)."""
    odd = 2 * m - 1
    fits = theta <= torch.div(torch.tensor(_NEVER), odd, rounding_mode="floor")
    return torch.where(fits, odd * theta, torch.tensor(_NEVER))


def _checked_multiplier(mul: Tensor | int, shift: Tensor | int) -> tuple[Tensor, Tensor]:
    """Both as int64 tensors, both at least 1."""
    m, s = torch.as_tensor(mul), torch.as_tensor(shift)
    if m.dtype != torch.int64 or s.dtype != torch.int64 or bool((m < 1).any() | (s < 1).any()):
        raise ValueError("multiplier and shift must be int64 and at least 1")
    return m, s


def _signed(level: Tensor, V: Tensor, unsigned: bool, silence: int) -> Tensor:
    """Give the level V's sign (or drop negatives), and drop levels up to `silence`."""
    level = torch.where(level <= silence, 0, level)
    return torch.where(V < 0, 0 if unsigned else -level, level)
