"""The weights of a model's layers as integers: their own grid, rounded, or by GPTQ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from golden.gguf_model import ModelError
from golden.gptq import gptq, hessians
from golden.grid import WgtGrid
from golden.recipe import Recipe
from golden.rotation import rotation
from golden.wgt import quantise_wgt


def output_layer(model: nn.Module) -> nn.Module | None:
    """The layer that gives logits, of a `transformers` model; None for others."""
    get = getattr(model, "get_output_embeddings", None)
    return get() if callable(get) else None


def layer_grid(name: str, module: nn.Linear, recipe: Recipe,
               grids: Mapping[str, WgtGrid]) -> tuple[WgtGrid, str]:
    """A layer's weights as integers, and how that was done; grids: by module name.

    Raises `ModelError` naming the layer.
    """
    weight = module.weight.detach()
    if bad := int((~torch.isfinite(weight)).sum()):
        raise ModelError(f"{name}: weights are not all finite ({bad} are NaN or infinite)")
    if recipe.wgt == "shipped" and name in grids:
        grid = _fitting(name, module, grids)
        if grid.turned:
            raise ModelError(f"{name}: its grid is of weights turned by a Hadamard matrix, so it "
                             "is no grid that a model is shipped with: use wgt gptq")
        kind = "offsets" if grid.offset is not None else "symmetric"
        return grid, f"hybrid: its own {grid.bits}-bit weights, groups of {grid.group}, {kind}"
    if recipe.wgt == "gptq":
        if name not in grids:
            raise ModelError(f"{name}: a recipe with GPTQ needs its grids "
                             "(golden.layer_grids.gptq_grids)")
        grid, how = _fitting(name, module, grids), "by GPTQ"
        if grid.offset is not None:
            raise ModelError(f"{name}: its grid has offsets, so GPTQ did not make it "
                             "(golden.layer_grids.gptq_grids)")
        asked = _group(name, module, recipe), recipe.wgt_bits, recipe.rotate
        if (grid.group, grid.bits, grid.turned) != asked:
            texts = [f"groups of {group}, {bits} bits, {'' if turned else 'not '}turned"
                     for group, bits, turned in ((grid.group, grid.bits, grid.turned), asked)]
            raise ModelError(f"{name}: its grid is of {texts[0]}, the recipe of {texts[1]}: make "
                             "it by the same recipe (golden.layer_grids.gptq_grids)")
    else:
        turned = weight @ rotation(module.in_features) if recipe.rotate else weight
        grid, how = rounded(turned, _group(name, module, recipe), recipe.wgt_bits), "rounded"
    if recipe.rotate:
        how += ", turned by a Hadamard matrix"
    what = "one scale per channel" if grid.groups == 1 else f"groups of {grid.group}"
    return grid, f"hybrid: INT{grid.bits}, {what}, {how}"


def _fitting(name: str, module: nn.Linear, grids: Mapping[str, WgtGrid]) -> WgtGrid:
    """The layer's grid, if it has the layer's shape."""
    grid, shape = grids[name], (module.in_features, module.out_features)
    if tuple(grid.codes.shape) != shape:
        raise ModelError(f"{name}: its grid is of {tuple(grid.codes.shape)} weights, the layer of "
                         f"{shape}")
    return grid


def _group(name: str, module: nn.Linear, recipe: Recipe) -> int:
    """Inputs per weight scale."""
    group = recipe.group or module.in_features
    if module.in_features % group:
        raise ModelError(f"{name}: {module.in_features} inputs are no multiple of the weight group "
                         f"{group}; use a divisor, or 0 for one scale per channel")
    return group


def group_sizes(model: nn.Module, recipe: Recipe) -> dict[str, int]:
    """Inputs per weight scale of every layer that the recipe converts, unless its own grid is kept.

    Raises `ModelError` naming a layer that its groups do not divide.
    """
    head = output_layer(model)
    return {name: _group(name, module, recipe) for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and (recipe.head or module is not head)}


def gptq_grids(model: nn.Module, recipe: Recipe, rows: Iterable[Tensor],
               tell: Callable[[str], None] = lambda name: None) -> dict[str, WgtGrid]:
    """Weights of every layer that the recipe converts, by GPTQ on calibration text.

    rows: int64 [T] token ids each; inputs are those of the float model. `tell` is called with each
    layer's name. Raises `ModelError`.
    """
    groups = group_sizes(model, recipe)
    found = {}
    for name, hessian in hessians(model, rows, lambda name: name in groups).items():
        tell(name)
        layer: Any = model.get_submodule(name)
        weight = layer.weight.detach()
        if recipe.rotate:
            turn = rotation(weight.shape[1])
            weight, hessian = weight @ turn, turn.double().T @ hessian @ turn.double()
        found[name] = replace(gptq(weight, hessian, groups[name], recipe.wgt_bits),
                              turned=recipe.rotate)
    return found


def rounded(weight: Tensor, group: int, bits: int = 4) -> WgtGrid:
    """Symmetric codes by rounding to nearest: weight float [N, K], K a multiple of group."""
    parts = [quantise_wgt(part, bits) for part in weight.split(group, 1)]
    return WgtGrid(torch.cat([codes for codes, _ in parts]).to(torch.int8),
                   torch.stack([scale for _, scale in parts]), None, group, bits)
