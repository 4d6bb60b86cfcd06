"""Weights: symmetric integers with one scale per output channel."""

from __future__ import annotations

import torch
from torch import Tensor

from golden.codes import round_half_away


def quantise_wgt(w: Tensor, bits: int = 4) -> tuple[Tensor, Tensor]:
    """Real weights as signed codes: w ~ w_int * s_w[n], round half away (numerics.md, "Codes").

    w: float [N, K], as torch.nn.Linear holds it. The scale is absmax / (2^(bits-1) - 1) per output
    channel, so codes are -7..7 for 4 bits; the hardware's -8 is never used.
    Returns (w_int int64 [K, N], transposed for the array; s_w float64 [N], in units of w per code).
    A row of zeros gets s_w = 1, so that dividing by it is safe.
    Raises ValueError when w is not [N, K], has no inputs or is not finite, or bits is below 2.
    """
    if w.dim() != 2 or w.shape[1] == 0:
        raise ValueError(f"weights {list(w.shape)}: must be [N, K], with K at least 1")
    if bits < 2:
        raise ValueError(f"weight bits {bits}: must be at least 2")
    w = w.to(torch.float64)
    if not bool(torch.isfinite(w).all()):
        raise ValueError("weights: not all values are finite")
    s_w = w.abs().amax(dim=1) / ((1 << (bits - 1)) - 1)
    s_w = torch.where(s_w > 0, s_w, torch.ones_like(s_w))
    w_int = round_half_away(w / s_w.unsqueeze(1))
    return w_int.t().contiguous(), s_w
