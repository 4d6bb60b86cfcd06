"""The step that costs least: squared error weighed against a price for every salient value.

    cost(s) = 1/2 sum_j F_j (x_j - s * level_j(s))^2 + price * #{j: |level_j(s)| > L}

per step, that is per token, or per token and weight group. F_j is how much the model minds an
error in input j (`golden.sensitivity`), so cost and price are nats of expected loss. One price for
a whole model spreads its salient values over layers, tokens and groups where they save most, which
one k_mad cannot: there every token of every layer is cut at the same multiple of its own spread.

The contract's rule is the cut by median absolute deviation (`golden.salient`). This one replaces
where the cut lies, and nothing of what follows: levels, window and salient integers are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from golden.codes import recode_to, value

#: Salient shares that are tried: the next larger value comes to the top of the window.
SHARES = (0.0, .002, .006, .01, .015, .02, .026, .033, .04, .048, .057, .068, .08, .1, .13, .16,
          .2, .25)
#: That value, in levels above L: below 1/2, else it would be salient itself. With few inputs to a
#: step, rounding differs enough between two of them to be worth the choice.
ABOVE, ABOVE_FEW = (0.4,), (0.1, 0.4)
FEW = 64


def searched_steps(x: Tensor, sensitivity: Tensor, price: float, window: int, sal_bits: int,
                   exp_max: int) -> Tensor:
    """The cheapest of some dozen steps. Raises ValueError where shapes do not fit.

    x: float [..., n], the inputs of one step; sensitivity: float [..., n], of the shape of x's
    last dimensions, or 1 where it is for all; price in nats; window: L.
    -> float64 [..., 1], units of x per level; 1 for zeros.
    """
    shape = sensitivity.shape
    if shape[-1:] != x.shape[-1:] or any(one not in (1, of) for one, of in zip(
            reversed(shape), reversed(x.shape), strict=False)) or len(shape) > x.dim():
        raise ValueError(f"acts {list(x.shape)}: sensitivity {list(shape)} does not fit")
    n, sal_max = x.shape[-1], (1 << (sal_bits - 1)) - 1
    size, half = x.abs().float(), sensitivity.float() / 2
    ranks = sorted({round(n * share) for share in SHARES})
    tops = size.topk(ranks[-1] + 1, -1).values
    best = torch.full((*x.shape[:-1], 1), torch.inf)
    chosen = torch.ones_like(best)
    for rank in ranks:
        for above in ABOVE_FEW if n <= FEW else ABOVE:
            step = tops[..., rank:rank + 1] / (window + above)
            usable = step > 0
            step = torch.where(usable, step, 1.0)
            level = (size / step).add_(0.5).floor_()
            level.clamp_(max=float(sal_max << exp_max))
            salient = (level > window).sum(-1, keepdim=True)
            large = level > sal_max
            if bool(large.any()):
                level[large] = value(recode_to(level[large].long(), sal_max, exp_max)).float()
            error = level.mul_(-step).add_(size).square_().mul_(half).sum(-1, keepdim=True)
            cost = error + price * salient
            better = usable & (cost < best)
            best = torch.where(better, cost, best)
            chosen = torch.where(better, step, chosen)
    return chosen.double()
