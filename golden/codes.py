"""Activation codes: what one input of the array is, a spike, a silence or a salient integer.

An act is a whole number x of steps s_a (docs/numerics.md, "Codes"). It is carried as a pair
(q, e) with x = q * 2^e:

    silent    x = 0                    no event, no wgt read, no add
    spike     1 <= |x| <= L, e = 0     one event, at step t = L - |x|, with a sign
    salient   everything else          stays an integer, read by an integer lane

All three share one step, so they add into one psum without rescaling. That is the hybrid of
SpikeQuant (arXiv 2510.19498) and of Kirin's "spike matrix hybridisation" (arXiv 2602.08817); the
(q, e) form with one exponent per value is this project's, fixed in numerics.md.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from spinteger.config import Config

#: Real levels are cut off here before they become integers; any level_max is far below.
_LEVEL_CAP = float(1 << 52)


class CodeError(ValueError):
    """A code no encoder may produce. `str()` is one line: where, the value, the legal range."""


class Codes(NamedTuple):
    """Act codes, x = q * 2^e. `q`, `e`: int64 [..., K], same shape; x in steps of s_a."""

    q: Tensor
    e: Tensor


def round_half_away(x: Tensor) -> Tensor:
    """Round to the nearest integer, ties away from zero. float [...] -> int64 [...].

    Not `floor(|x| + 0.5)`: that addition itself rounds (0.49999999999999994 would become 1).
    Magnitudes are limited to 2^52, far above any level.
    Raises `CodeError` when a value is not finite.
    """
    x = x.to(torch.float64)
    if not bool(torch.isfinite(x).all()):
        raise CodeError(f"index {_first(~torch.isfinite(x))}: not a finite number")
    mag = x.abs().clamp(max=_LEVEL_CAP)
    whole = mag.trunc()
    whole = whole + (mag - whole >= 0.5)
    return torch.where(x < 0, -whole, whole).to(torch.int64)


def to_levels(x: Tensor, step: Tensor | float) -> Tensor:
    """Real acts as signed levels: round half away of x / step (numerics.md, "Firing", last lines).

    x: float [..., K]. step: s_a > 0, a scalar, or one per token [...], or shaped to broadcast.
    Returns int64 [..., K], in steps, not limited to any range yet.
    Raises `CodeError` for a step that is not positive and finite, or a non-finite x.
    """
    s = torch.as_tensor(step, dtype=torch.float64)
    if not bool((torch.isfinite(s) & (s > 0)).all()):
        raise CodeError(f"step {s.flatten().tolist()[:4]}: must be positive and finite")
    if s.dim() and s.dim() == x.dim() - 1:
        s = s.unsqueeze(-1)
    return round_half_away(x.to(torch.float64) / s)


def recode(level: Tensor, cfg: Config) -> Codes:
    """Signed levels as codes, by the one rule for inputs and for fired outputs.

    level: int64 [...]. |level| is limited to cfg.level_max = sal_max * 2^E first. Then e is the
    fewest bits to drop so that q = (|level| + 2^(e-1)) >> e (|level| itself for e = 0) is at most
    cfg.sal_max (numerics.md, "Firing"). Since sal_max >= L, levels 0..L come back as (level, 0).
    """
    return recode_to(level, cfg.sal_max, cfg.exp_max)


def recode_to(level: Tensor, sal_max: int, exp_max: int) -> Codes:
    """`recode` for q up to `sal_max` and exponents up to `exp_max`, without a machine."""
    mag = level.abs().clamp(max=sal_max << exp_max)
    q, e = mag.clone(), torch.zeros_like(mag)
    for bits in range(1, exp_max + 1):
        more = q > sal_max
        q = torch.where(more, (mag + (1 << (bits - 1))) >> bits, q)
        e = torch.where(more, torch.full_like(e, bits), e)
    return Codes(torch.where(level < 0, -q, q), e)


def encode(x: Tensor, step: Tensor | float, cfg: Config) -> Codes:
    """Real acts as codes: `recode(to_levels(x, step))`. Shapes and units as there.

    Raises `CodeError` also where cfg is unsigned and a value rounds to a negative level.
    """
    codes = recode(to_levels(x, step), cfg)
    check_codes(codes, cfg)
    return codes


def value(codes: Codes) -> Tensor:
    """The integer the array sees, x = q * 2^e, in steps of s_a. int64 [..., K]."""
    return codes.q << codes.e


def is_silent(codes: Codes, cfg: Config) -> Tensor:
    """Bool [..., K]: x = 0, whatever its exponent. No event, nothing to add."""
    return codes.q == 0


def is_spike(codes: Codes, cfg: Config) -> Tensor:
    """Bool [..., K]: 1 <= |x| <= L without an exponent; exactly one event."""
    return (codes.q != 0) & (codes.e == 0) & (codes.q.abs() <= cfg.window)


def is_salient(codes: Codes, cfg: Config) -> Tensor:
    """Bool [..., K]: not silent, and beyond the window or carrying an exponent.

    A small q with e > 0 is salient: with sal_bits = 4 and L = 7, level 8 is coded 4 * 2^1.
    """
    return (codes.q != 0) & ((codes.e > 0) | (codes.q.abs() > cfg.window))


def check_codes(codes: Codes, cfg: Config) -> None:
    """Raise `CodeError` for the first code the machine would refuse; return None otherwise.

    Legal: int64 q and e of one shape; |q| <= cfg.sal_max; 0 <= e <= cfg.exp_max; q >= 0 when cfg
    is unsigned. The message names the index (as in `codes.q[index]`), the value and the range.
    """
    q, e = codes
    if q.dtype != torch.int64 or e.dtype != torch.int64 or q.shape != e.shape:
        raise CodeError(f"codes: q {q.dtype} {list(q.shape)} and e {e.dtype} {list(e.shape)} "
                        "must both be int64, of one shape")
    low = -cfg.sal_max if cfg.signed else 0
    bad_q = (q < low) | (q > cfg.sal_max)
    bad_e = (e < 0) | (e > cfg.exp_max)
    if not bool((bad_q | bad_e).any()):
        return
    at = _first(bad_q | bad_e)
    if bool(bad_q[at]):
        kind = "signed" if cfg.signed else "unsigned"
        raise CodeError(f"act index {at}: q = {int(q[at])}, must be {low}..{cfg.sal_max} "
                        f"({kind} {cfg.sal_bits}-bit codes)")
    raise CodeError(f"act index {at}: exponent e = {int(e[at])}, must be 0..{cfg.exp_max}")


def check_wgt(w: Tensor, cfg: Config) -> None:
    """Raise `CodeError` unless w is int64 [K, N] of codes the hardware holds, -8..7 for 4 bit."""
    if w.dtype != torch.int64 or w.dim() != 2:
        raise CodeError(f"wgt: {w.dtype} {list(w.shape)} must be int64 [K, N]")
    low, high = -cfg.wgt_max, cfg.wgt_max - 1
    bad = (w < low) | (w > high)
    if bool(bad.any()):
        at = _first(bad)
        raise CodeError(f"wgt index {at}: {int(w[at])}, must be {low}..{high} "
                        f"({cfg.wgt_bits}-bit codes)")


def _first(mask: Tensor) -> tuple[int, ...]:
    """Index of the first True of `mask`, in row-major order."""
    return tuple(int(i) for i in mask.nonzero()[0])
