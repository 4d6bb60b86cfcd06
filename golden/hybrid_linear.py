"""A linear layer on integers: codes its input, sums products of integers, scales the sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from golden.act_coder import ActCoder
from golden.grid import WgtGrid

#: One product of integers: levels int64 [T, K], codes int8 [K, N].
Product = tuple[Tensor, Tensor]
#: The sums int64 [T, N] of products that need nothing of each other: the machine's, or
#: `golden_products`.
Products = Callable[[Sequence[Product]], list[Tensor]]
#: A float32 holds every whole number up to here.
EXACT = float(1 << 24)


def golden_products(products: Sequence[Product]) -> list[Tensor]:
    """V = level . codes of each, exactly."""
    return [golden_product(level, codes) for level, codes in products]


def golden_product(level: Tensor, codes: Tensor) -> Tensor:
    """V = level . codes, exactly. int64 [T, K], int8 [K, N] -> int64 [T, N]."""
    most = float(codes.float().abs().max()) if codes.numel() else 0.0
    top = level.abs().sum(-1).max().item() * most if level.numel() else 0.0
    kind = torch.float32 if top < EXACT else torch.float64
    return (level.to(kind) @ codes.to(kind)).to(torch.int64)


class HybridLinear(nn.Module):
    """What a `torch.nn.Linear` becomes.

    products None: fast, in floating point; with one weight scale per channel its sums are exact
    integers nevertheless, with groups they are rounded as float32 is. Otherwise every sum is an
    integer of `products`, group by group, and scales apply in float64: the same on any backend.
    Steps are one per token, or one per token and weight group. Where the coder turns its inputs,
    the grid is of weights so turned.
    """

    _weight: Tensor             # what the fast way multiplies by: codes, or real weights

    def __init__(self, name: str, grid: WgtGrid, bias: Tensor | None, coder: ActCoder,
                 products: Products | None = None) -> None:
        super().__init__()
        self.name, self.grid, self.bias, self.coder, self.products = (
            name, grid, bias, coder, products)
        self.in_features, self.out_features = grid.codes.shape
        self._single = grid.groups == 1 and grid.offset is None
        self._most = float(grid.codes.float().abs().max())
        self.register_buffer("_weight", grid.codes.T.to(torch.float32).contiguous()
                             if self._single else grid.weight(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [..., K] -> float32 [..., N]."""
        level, step = self.coder(x)
        if self.products is not None:
            rows = level.reshape(-1, level.shape[-1]).to(torch.int64)
            y = self._sums(rows, step.reshape(-1, step.shape[-1]))
            y = y.reshape(*level.shape[:-1], -1).to(torch.float32)
        elif self._single:                              # and so one step
            weight = self._weight
            if bool((level.abs().sum(-1) * self._most >= EXACT).any()):
                y = fn.linear(level.double(), weight.double())
            else:
                y = fn.linear(level, weight).double()
            y = (y * (step * self.grid.scale[0])).to(torch.float32)
        elif step.shape[-1] == 1:
            y = fn.linear(level, self._weight) * step.to(torch.float32)
        else:
            coded = level.unflatten(-1, (step.shape[-1], -1)) * step.to(torch.float32).unsqueeze(-1)
            y = fn.linear(coded.flatten(-2), self._weight)
        return y if self.bias is None else y + self.bias

    def passes(self, level: Tensor) -> list[Product]:
        """A product for each weight group: level int64 [T, K]."""
        codes = self.grid.codes
        if self.grid.offset is not None:                # one more column gives the acts' own sum
            codes = torch.cat([codes, torch.ones(len(codes), 1, dtype=torch.int8)], 1)
        size = self.grid.group
        return list(zip(level.split(size, 1), codes.split(size), strict=True))

    def _sums(self, level: Tensor, step: Tensor) -> Tensor:
        """Sums, steps, scales and offsets applied: int64 [T, K], float64 [T, G or 1] -> [T, N]."""
        assert self.products is not None
        found = self.products(self.passes(level))
        steps = step.expand(-1, len(found))
        total = torch.zeros(len(level), self.out_features, dtype=torch.float64)
        for group, sums in enumerate(found):
            part = sums[:, :self.out_features] * self.grid.scale[group]
            if self.grid.offset is not None:
                part += sums[:, -1:] * self.grid.offset[group]
            total += part * steps[:, group:group + 1]
        return total

    def extra_repr(self) -> str:
        """For `print(model)`."""
        return (f"{self.in_features} -> {self.out_features}, {self.grid.groups} groups, "
                f"acts {self.coder.mode}")
