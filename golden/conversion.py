"""A PyTorch module becomes one on integers: `convert(model, recipe)`.

    model, grids, _ = load_gguf(path)
    report = convert(model, Recipe(k_mad=2.5), grids=grids)
    print(report)

Every `torch.nn.Linear` becomes a `HybridLinear`; with `attention` in the recipe, both products of
every attention of a `transformers` model do as well. Embedding, norms, softmax and activation
functions stay, and so does the output layer unless the recipe names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from golden.act_coder import ActCoder
from golden.gguf_model import ModelError
from golden.grid import WgtGrid
from golden.hybrid_attention import SHARES, HybridAttention, attention_modules, set_attention
from golden.hybrid_linear import HybridLinear, Products
from golden.layer_grids import layer_grid, output_layer
from golden.recipe import KINDS, Recipe
from golden.rotation import rotation

T = TypeVar("T")
#: Modules after which acts are never negative, by the layer that reads them and its neighbour.
_RELU_BEFORE = {"fc2": "activation_fn"}
#: Products of acts and weights, or with weights of their own, that are not linear layers.
_UNSUPPORTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Bilinear, nn.RNNBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Line:
    """What became of one module."""

    name: str
    shape: str
    how: str            #: "hybrid: ..." or "as it was: ..."
    converted: bool


@dataclass(frozen=True)
class Report:
    """What became of every module, and the coders by layer, which count what they code."""

    lines: tuple[Line, ...]
    coders: Mapping[str, ActCoder]
    attention: Mapping[str, HybridAttention]

    def __str__(self) -> str:
        width = max((len(line.name) for line in self.lines), default=0)
        return "\n".join(f"{line.name:{width}}  {line.shape:>14}  {line.how}"
                         for line in self.lines)


def convert(model: nn.Module, recipe: Recipe, *, grids: Mapping[str, WgtGrid] | None = None,
            calibration: Mapping[str, float] | None = None,
            sensitivities: Mapping[str, Tensor] | None = None,
            k_means: Mapping[str, Tensor] | None = None,
            q_sensitivities: Mapping[str, Tensor] | None = None,
            products: Products | None = None) -> Report:
    """Replace the layers of `model`, in place, by what the recipe says.

    grids: integer grids by module name, that layers came with (wgt "shipped") or that `gptq_grids`
    made (wgt "gptq"). calibration: static steps by module name (step "static"; `calibrate` makes
    them). sensitivities: of inputs by module name, for a recipe with a price
    (`golden.sensitivity`). k_means: of keys by attention module's name, for a recipe with k_mean
    (`golden.key_mean`). q_sensitivities: of queries, turned if the recipe has k_rotate, for
    attention with a price (`golden.sensitivity`). products: computes sums of integers; None: in
    floating point, faster (see `HybridLinear`).
    Raises `ModelError` naming the layer; the model is then as it was.
    """
    if recipe.acts == "float":
        return Report(tuple(_kept(model, "the recipe leaves acts as they are")), {}, {})
    if recipe.step == "static" and calibration is None:
        raise ModelError("a recipe with static steps needs a calibration "
                         "(golden.conversion.calibrate)")
    if recipe.price and sensitivities is None:
        raise ModelError("a recipe with a price needs sensitivities "
                         "(golden.sensitivity.sensitivities)")
    if recipe.price and recipe.attention and q_sensitivities is None:
        raise ModelError("a recipe with a price and attention needs sensitivities of queries "
                         "(golden.sensitivity.query_sensitivities)")
    if recipe.k_mean and k_means is None:
        raise ModelError("a recipe with k_mean needs means (golden.key_mean.key_means)")
    if isinstance(model, nn.Linear):
        raise ModelError("the model is a linear layer itself: put it into a torch.nn.Sequential")
    head = output_layer(model)
    inside = tuple(f"{name}." for name, module in model.named_modules()
                   if isinstance(module, nn.MultiheadAttention))
    made: dict[str, HybridLinear] = {}
    lines: list[Line] = []
    shared: dict[tuple[str, str, int], ActCoder] = {}
    coders: dict[str, ActCoder] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, nn.Linear) and name.startswith(inside):
            continue            # torch reads its weight itself; the line of its parent says so
        if isinstance(module, nn.Linear):
            shape = f"{module.in_features} -> {module.out_features}"
            if module is head and not recipe.head:
                lines.append(Line(name, shape, "as it was: output layer (recipe: head)", False))
                continue
            grid, how = layer_grid(name, module, recipe, grids or {})
            own = recipe.wgt == "shipped" and name in (grids or {})
            if recipe.step == "group" and (module.in_features % grid.group
                                           or not (own or recipe.group)):
                raise ModelError(f"{name}: a step per group needs weights in groups that divide "
                                 f"its {module.in_features} inputs (recipe: group, as 32)")
            if recipe.rotate and module.in_features % 2:
                raise ModelError(f"{name}: {module.in_features} inputs, an odd number cannot be "
                                 "turned")
            parent, last = split(name)
            kind = KINDS.get(last, "")
            # Layers of one kind beside each other read the same tensor: it is coded once.
            key = (parent, kind or name, grid.group)
            if key not in shared:
                shared[key] = _coder(model, name, module, recipe, grid.group,
                                     _of(name, sensitivities or {}, "sensitivity")
                                     if recipe.price else None)
                if recipe.step == "static":
                    shared[key].static = _of(name, calibration or {}, "step")
            coders[name] = shared[key]
            bias = None if module.bias is None else module.bias.detach()
            made[name] = HybridLinear(name, grid, bias, shared[key], products)
            lines.append(Line(name, shape, how, True))
        elif why := _other(module):
            lines.append(Line(name, type(module).__name__, f"as it was: {why}", False))
    if not made:
        raise ModelError(f"{type(model).__name__}: has no linear layer to convert")
    attention: dict[str, HybridAttention] = {}
    if recipe.attention:
        attention = _attentions(model, recipe, products, k_means or {}, q_sensitivities or {})
        lines += [Line(name, "both products", f"hybrid: K and V {recipe.kv_bits} bit", True)
                  for name in attention]
        set_attention(model, attention)
    for name, layer in made.items():
        parent, last = split(name)
        setattr(model.get_submodule(parent), last, layer)
    return Report(tuple(lines), coders, attention)


def split(name: str) -> tuple[str, str]:
    """(parent, last part) of a module's name."""
    parent, _, last = name.rpartition(".")
    return parent, last


def _kept(model: nn.Module, why: str) -> Iterable[Line]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            yield Line(name, f"{module.in_features} -> {module.out_features}",
                       f"as it was: {why}", False)
        elif other := _other(module):
            yield Line(name, type(module).__name__, f"as it was: {other}", False)


def _other(module: nn.Module) -> str:
    """Why a module that multiplies by weights, or may, is left as it is; "" for all others."""
    if isinstance(module, _UNSUPPORTED):
        return "not a linear layer"
    if isinstance(module, (nn.Linear, nn.Embedding, nn.EmbeddingBag)):
        return ""
    held = [tuple(part.shape) for part in module.parameters(recurse=False)
            if part.dim() > 1 and min(part.shape) > 1]      # of experts, routers, positions
    return f"holds a parameter of {' x '.join(map(str, held[0]))} itself" if held else ""


def _coder(model: nn.Module, name: str, module: nn.Linear, recipe: Recipe, group: int = 0,
           sensitivity: Tensor | None = None) -> ActCoder:
    """Codes a layer's inputs."""
    coder = recipe.coder(name, _after_relu(model, *split(name)), group, sensitivity)
    if recipe.rotate:
        coder.rotation = rotation(module.in_features)
    return coder


def _after_relu(model: nn.Module, parent: str, last: str) -> bool:
    neighbour = _RELU_BEFORE.get(last)
    return neighbour is not None and isinstance(
        getattr(model.get_submodule(parent), neighbour, None), nn.ReLU)


def _of(name: str, found: Mapping[str, T], what: str) -> T:
    """What calibration found for a layer."""
    if name not in found:
        raise ModelError(f"{name}: the calibration has no {what} for it")
    return found[name]


# -- attention -------------------------------------------------------------------------------------

def _attentions(model: nn.Module, recipe: Recipe, products: Products | None,
                k_means: Mapping[str, Tensor],
                q_sensitivities: Mapping[str, Tensor]) -> dict[str, HybridAttention]:
    """One per attention module. Raises `ModelError` without any."""
    return {name: HybridAttention(
                recipe.coder(f"{name}.q_proj", sensitivity=_of(
                    name, q_sensitivities, "sensitivity of queries") if recipe.price else None),
                recipe.unsigned_window or recipe.window,
                recipe.kv_bits, products, SHARES if recipe.k_clip else (1.0,),
                _of(name, k_means, "mean of keys") if recipe.k_mean else None, recipe.k_rotate,
                recipe.v_group,
                getattr(model.get_submodule(name), "num_key_value_groups", 1))
            for name in attention_modules(model)}


# -- calibration -----------------------------------------------------------------------------------

@torch.no_grad()
def calibrate(model: nn.Module, recipe: Recipe, rows: Iterable[Tensor]) -> dict[str, float]:
    """Static steps by module name: the median of the tokens' own steps on calibration text.

    rows: int64 [T] token ids each. The model is left as it was.
    """
    steps: dict[str, list[Tensor]] = {}

    def watch(name: str, coder: ActCoder) -> object:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            steps.setdefault(name, []).append(coder.steps(coder.turned(inputs[0])).flatten())
        return hook

    hooks = [module.register_forward_pre_hook(watch(
                 name, _coder(model, name, module, recipe)))  # type: ignore
             for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    try:
        for row in rows:
            model(row[None])
    finally:
        for hook in hooks:
            hook.remove()
    return {name: float(torch.cat(parts).median()) for name, parts in steps.items()}
