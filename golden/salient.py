"""Which acts are salient: the cut, by median absolute deviation, and the step it gives.

    cut = k_mad * 1.4826 * median(|x - median(x)|)        s_a = cut / (L + 1/2)

(docs/numerics.md, "Where the step comes from"; detection by median absolute deviation is
SpikeQuant's, arXiv 2510.19498, the formula our reading.) 1.4826 makes the MAD of normal data equal
its standard deviation. An act beyond the cut rounds to a level above L, so it is salient; lower
k_mad means more salient values and less error.

All of this is arithmetic on real numbers, in float64; it happens before the integers start.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAD_TO_SIGMA = 1.4826
#: sqrt(pi / 2): the same for the mean absolute deviation.
MEAN_TO_SIGMA = 1.2533141373155003
#: Cut of a constant token, in units of its absmax: keeps it just inside the window.
CONSTANT_CUT = 33 / 32


def true_median(x: Tensor) -> Tensor:
    """Median over the last dimension, the mean of the two middle values when K is even.

    x: float [..., K] -> [...]. (`torch.median` would return the lower of the two.)
    """
    n = x.shape[-1]
    ordered = x.sort(dim=-1).values
    low, high = ordered[..., (n - 1) // 2], ordered[..., n // 2]
    return low + (high - low) / 2


def mad_cut(x: Tensor, k_mad: float, dim: int = -1) -> Tensor:
    """Largest |act| that is still a spike, per token. In the units of x.

    x: float [..., K] (K along `dim`) -> float64 [...] (without `dim`), always positive.

    When over half of a token's values are equal, as after a ReLU, its MAD is 0. Then the mean
    absolute deviation stands in, k_mad * 1.2533 * mean(|x - median(x)|) (the usual replacement,
    Iglewicz and Hoaglin 1993). It is 0 only for a constant token, whose cut is 33/32 of its
    absmax: all its acts are spikes of level L. An all-zero token has cut 1: everything silent.

    Raises ValueError when x is empty along `dim` or not finite, or k_mad is not positive.
    """
    x = x.to(torch.float64).movedim(dim, -1)
    if x.shape[-1] == 0:
        raise ValueError(f"acts {list(x.shape)}: no values to take a median of")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("acts: not all values are finite")
    if not k_mad > 0:
        raise ValueError(f"k_mad {k_mad}: must be positive")
    deviation = (x - true_median(x).unsqueeze(-1)).abs()
    sigma = MAD_TO_SIGMA * true_median(deviation)
    sigma = torch.where(sigma > 0, sigma, MEAN_TO_SIGMA * deviation.mean(dim=-1))
    absmax = x.abs().amax(dim=-1)
    constant = torch.where(absmax > 0, absmax * CONSTANT_CUT, torch.ones_like(absmax))
    return torch.where(sigma > 0, k_mad * sigma, constant)


def mad_step(x: Tensor, window: int, k_mad: float) -> Tensor:
    """Step s_a of every token: cut / (L + 1/2), so the cut itself rounds between L and L + 1.

    x: float [..., K], window: L. Returns float64 [...], units of x per level. Errors as `mad_cut`.
    """
    if window < 1:
        raise ValueError(f"window {window}: must be at least 1")
    return mad_cut(x, k_mad) / (window + 0.5)


def static_step(x: Tensor, window: int, k_mad: float) -> float:
    """One step s_a for a whole tensor, from calibration acts x (float, any shape).

    A static step is what one threshold per channel can absorb (numerics.md, "What one threshold
    can absorb"). Errors as `mad_cut`.
    """
    return float(mad_step(x.reshape(-1), window, k_mad))
