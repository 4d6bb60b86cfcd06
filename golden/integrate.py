"""Integration: spikes and salient integers into one psum V, four ways that must agree.

    matmul         V = sum_k x[k] * w[k, n], the definition
    ramp           step by step, as the papers' neurons would
    ramp_skipping  the same, jumping over steps in which nothing happens
    buckets        sums per level first, in any order of inputs: for hardware that cannot sort

All from docs/numerics.md, "Integration (ramp)": a spike of level l enters the running sum S at step
L - l, S is added to V at the end of every step, so the spike counts l times. No multiplier.

Throughout: codes [..., K], w int64 [K, N] codes, V int64 [..., N] in units of s_a * s_w[n].
All raise ValueError for shapes that do not fit; those that take a cfg raise `CodeError` for codes
that it does not allow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from golden.codes import Codes, check_codes, check_wgt, is_salient, is_spike, value
from spinteger.config import Config

#: Integers up to here are exact in float64, so are sums of them that stay below.
_FLOAT_EXACT = 1 << 53


def matmul_exact(x: Tensor, w: Tensor) -> Tensor:
    """x @ w on integers, exact. x int64 [..., K], w int64 [K, N] -> int64 [..., N].

    Computed in float64 (torch multiplies int64 matrices slowly) when K * max|x| * max|w| proves
    that no partial sum can leave the exact range, in int64 otherwise.
    Raises ValueError for shapes that do not fit, OverflowError where int64 could overflow.
    """
    if w.dim() != 2 or x.dim() < 1 or x.shape[-1] != w.shape[0]:
        raise ValueError(f"acts {list(x.shape)} do not fit wgt {list(w.shape)}: "
                         "the last dimension of acts must equal the first of wgt, K")
    bound = x.shape[-1] * _peak(x) * _peak(w)
    if bound < _FLOAT_EXACT:
        return (x.to(torch.float64) @ w.to(torch.float64)).to(torch.int64)
    if bound >= 1 << 63:
        raise OverflowError(f"psum: K * max|act| * max|wgt| = {bound} does not fit 64 bits")
    return x @ w


def matmul(codes: Codes, w: Tensor) -> Tensor:
    """V by definition: the plain integer matrix product of `value(codes)` and w."""
    return matmul_exact(value(codes), w)


def ramp(codes: Codes, w: Tensor, cfg: Config) -> tuple[Tensor, Tensor]:
    """V literally step by step, t = 0..L-1: S += +-w of the step's spikes, then V += S.

    Returns (V [..., N] with the salients added, S_trace int64 [..., L, N]: S after each step).
    """
    _check(codes, w, cfg)
    S = torch.zeros(*codes.q.shape[:-1], w.shape[1], dtype=torch.int64)
    V, trace = S.clone(), []
    for t in range(cfg.window):
        S = S + matmul_exact(_signs_at(codes, cfg, cfg.window - t), w)
        V = V + S
        trace.append(S)
    return V + integer_lanes(codes, w, cfg), torch.stack(trace, dim=-2)


def ramp_skipping(codes: Codes, w: Tensor, cfg: Config) -> Tensor:
    """V by visiting, per token, only the steps that hold an event.

    On arriving at such a step, the steps passed since the last one are made up for at once:
    V += S * dt. The end of the window, t = L, closes the account. Returns V [..., N].
    """
    _check(codes, w, cfg)
    S = torch.zeros(*codes.q.shape[:-1], w.shape[1], dtype=torch.int64)
    V, last = S.clone(), torch.zeros(*codes.q.shape[:-1], 1, dtype=torch.int64)
    for t in range(cfg.window):
        signs = _signs_at(codes, cfg, cfg.window - t)
        live = (signs != 0).any(dim=-1, keepdim=True)
        V = torch.where(live, V + S * (t - last), V)
        S = torch.where(live, S + matmul_exact(signs, w), S)
        last = torch.where(live, torch.full_like(last, t), last)
    return V + S * (cfg.window - last) + integer_lanes(codes, w, cfg)


def buckets(codes: Codes, w: Tensor, cfg: Config) -> Tensor:
    """V without any order among inputs: B[l] += +-w, then two running sums over l = L..1.

    Inputs are taken one at a time, last first, to show that order does not matter.
    Returns V [..., N].
    """
    _check(codes, w, cfg)
    *lead, inputs = codes.q.shape
    level = torch.where(is_spike(codes, cfg), codes.q, 0)
    B = torch.zeros(*lead, cfg.window + 1, w.shape[1], dtype=torch.int64)
    for k in reversed(range(inputs)):
        at = level[..., k].abs()[..., None, None].expand(*lead, 1, w.shape[1])
        B.scatter_add_(-2, at, level[..., k].sign()[..., None, None] * w[k])
    S = torch.zeros(*lead, w.shape[1], dtype=torch.int64)
    V = S.clone()
    for ell in range(cfg.window, 0, -1):
        S = S + B[..., ell, :]
        V = V + S
    return V + integer_lanes(codes, w, cfg)


def integer_lanes(codes: Codes, w: Tensor, cfg: Config) -> Tensor:
    """What the salient inputs alone add to V: sum of (w * q) << e, one exponent after another."""
    _check(codes, w, cfg)
    salient = is_salient(codes, cfg)
    V = torch.zeros(*codes.q.shape[:-1], w.shape[1], dtype=torch.int64)
    for e in range(cfg.exp_max + 1):
        mine = salient & (codes.e == e)
        if bool(mine.any()):
            V = V + (matmul_exact(torch.where(mine, codes.q, 0), w) << e)
    return V


def zero_point_psum(w: Tensor, zero: int) -> Tensor:
    """What a zero point adds to V when codes stand for x - zero: one virtual input of value `zero`
    with weight -sum_k w[k, n]. Returns int64 [N], to be added to V.
    """
    return -zero * w.sum(dim=0)


def _signs_at(codes: Codes, cfg: Config, level: int) -> Tensor:
    """int64 [..., K]: +1 or -1 where an input spikes at `level`, else 0."""
    hit = is_spike(codes, cfg) & (codes.q.abs() == level)
    return torch.where(hit, codes.q.sign(), 0)


def _check(codes: Codes, w: Tensor, cfg: Config) -> None:
    check_codes(codes, cfg)
    check_wgt(w, cfg)
    if codes.q.dim() < 1 or codes.q.shape[-1] != w.shape[0]:
        raise ValueError(f"acts {list(codes.q.shape)} do not fit wgt {list(w.shape)}: "
                         "the last dimension of acts must equal the first of wgt, K")


def _peak(x: Tensor) -> int:
    """max|x| as a Python int, 0 when empty."""
    return max(abs(int(x.min())), abs(int(x.max()))) if x.numel() else 0
