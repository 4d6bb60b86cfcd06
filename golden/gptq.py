"""GPTQ: weights rounded one input at a time, each error made up for by the inputs still to come.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
ICLR 2023 (arXiv 2210.17323), algorithm 1: with H = X X^T of the layer's inputs and U the upper
Cholesky factor of H^-1, input k of every output channel is rounded in turn, and

    w[j] -= (w[k] - q[k]) / U[k, k] * U[k, j]      for all j > k.

Scales are chosen before: per group and channel, the share of the largest weight that leaves the
least squared error, each input weighted by its power (the diagonal of H). Written for layers of a
few thousand inputs: without lazy batches, which change speed only, and without reordering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from golden.codes import round_half_away
from golden.grid import WgtGrid

#: Shares of the largest weight that are tried as the top of the range.
SHRINK = [1.0 - 0.025 * step for step in range(21)]
#: Of the mean of H's diagonal, added to it.
DAMP = 0.01


def scales(weight: Tensor, power: Tensor, bits: int) -> Tensor:
    """Best symmetric scale of every channel: weight float64 [N, K], power [K] -> [N]."""
    top = (1 << (bits - 1)) - 1
    largest = weight.abs().amax(1)
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    best = torch.full_like(largest, torch.inf)
    chosen = largest / top
    for share in SHRINK:
        scale = (largest * share / top).unsqueeze(1)
        error = ((weight - scale * (weight / scale).round().clamp(-top, top)) ** 2 * power).sum(1)
        chosen = torch.where(error < best, scale[:, 0], chosen)
        best = torch.minimum(best, error)
    return chosen


def upper_factor(hessian: Tensor) -> Tensor:
    """U with U^T U = H^-1, H damped: float64 [K, K]."""
    h = hessian.clone()
    diagonal = h.diagonal()
    diagonal[diagonal == 0] = 1.0               # an input that is always 0 may have any weight
    diagonal += DAMP * diagonal.mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    return torch.linalg.cholesky(inverse, upper=True)


def gptq(weight: Tensor, hessian: Tensor, group: int = 0, bits: int = 4) -> WgtGrid:
    """Quantise a layer: weight float [N, K], hessian float64 [K, K]; group 0: all inputs.

    Raises ValueError when shapes do not fit.
    """
    outputs, inputs = weight.shape
    group = group or inputs
    if hessian.shape != (inputs, inputs) or inputs % group:
        raise ValueError(f"weights {list(weight.shape)}: hessian {list(hessian.shape)} or group "
                         f"{group} does not fit")
    top = (1 << (bits - 1)) - 1
    w, u = weight.double().clone(), upper_factor(hessian)
    codes = torch.empty(inputs, outputs, dtype=torch.int8)
    found = []
    for k in range(inputs):
        if k % group == 0:
            part = slice(k, k + group)
            found.append(scales(w[:, part], hessian.diagonal()[part], bits))
        code = round_half_away(w[:, k] / found[-1]).clamp(-top, top)
        codes[k] = code.to(torch.int8)
        error = (w[:, k] - code * found[-1]) / u[k, k]
        w[:, k + 1:] -= error.unsqueeze(1) * u[k, k + 1:]
    return WgtGrid(codes, torch.stack(found), None, group, bits)


@torch.no_grad()
def hessians(model: nn.Module, rows: Iterable[Tensor],
             wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """X X^T of every wanted linear layer's inputs, float64 [K, K], by module name.

    rows: int64 [T] token ids each. Layers that share an input share the tensor.
    """
    sums: dict[str, Tensor] = {}
    #: Who saw an input first, in this forward pass, and in which state.
    first: dict[int, tuple[Any, str, int]] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0]
            seen = first.get(id(x))
            if seen is not None and seen[2] == x._version:
                sums[name] = sums[seen[1]]
                return
            first[id(x)] = x, name, x._version      # held, so that its id is not given again
            flat = x.reshape(-1, x.shape[-1]).double()
            if name in sums:
                sums[name] += flat.T @ flat
            else:
                sums[name] = flat.T @ flat
        return hook

    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in
             model.named_modules() if isinstance(module, nn.Linear) and wanted(name)]
    try:
        for row in rows:
            first.clear()
            model(row[None])
    finally:
        for handle in hooks:
            handle.remove()
    return sums
