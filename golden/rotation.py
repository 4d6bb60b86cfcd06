"""A Hadamard rotation of a layer's inputs, which spreads large values over many.

QuaRot (Ashkboos et al., arXiv 2404.00456) turns acts by an orthogonal matrix and weights by the
same, so that the product stays and outliers go. There most rotations melt into the weights before;
here every layer's inputs are turned as they come (what QuaRot does before `down_proj`), so nothing
else in a model changes. Sizes without a Hadamard matrix of a power of two are turned in blocks.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=8)
def rotation(size: int) -> Tensor:
    """H, orthogonal, float32 [size, size]: blocks of the largest power of two that divides size."""
    block = size & -size
    h = torch.ones(1, 1)
    while len(h) < block:                                       # Sylvester's construction
        h = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), h)
    return torch.block_diag(*[h / block ** 0.5] * (size // block))
