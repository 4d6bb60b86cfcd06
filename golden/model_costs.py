"""What the products of a converted model cost per token: shares, energies, cycles on an array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from golden.act_coder import Counts
from golden.conversion import Report
from golden.hybrid_attention import HybridAttention
from golden.hybrid_linear import HybridLinear, Product
from golden.model_energy import BATCH, SCALE_BITS, Traffic, movement, op_count
from golden.recipe import Recipe


class Array(Protocol):
    """Knows how long a machine takes (`sim.model_cycles.CycleModel`)."""

    def layers(self, model: nn.Module, levels: Mapping[str, Tensor],
               window: int) -> tuple[float, float]:
        """(cycles, a dense array's cycles) per token of a model's linear layers.

        levels: of every layer, int64 [T, K]; window: the machine's L.
        """

    def products(self, products: Sequence[Product], window: int) -> tuple[float, float]:
        """The same of these products, whose rows are the tokens."""


def costs(model: nn.Module, report: Report, recipe: Recipe) -> dict[str, float]:
    """Shares and energies of all that the model computed since it was converted; {} of nothing.

    macs and energies (pJ per MAC of a dense model): of linear layers and, where the recipe has it,
    attention, per token, only keys counted that a query may see. salient, salient_by_mac, zeros and
    rows_read: of the inputs of linear layers; salient_q, zeros_q, salient_p, zeros_p: of attention.
    """
    linear = [(report.coders[name], layer) for name, layer in model.named_modules()
              if isinstance(layer, HybridLinear) and report.coders[name].counts.values]
    if not linear:                          # nothing was computed
        return {}
    parts: list[tuple[float, Traffic]] = []
    by_mac = macs = tokens = 0.0
    for coder, layer in linear:             # a layer that the text never called is left out
        grid, counts = layer.grid, coder.counts
        scales = grid.scale.numel() * SCALE_BITS * (1 if grid.offset is None else 2)
        traffic = Traffic(layer.in_features, layer.out_features, 1 - counts.silent / counts.values,
                          counts.salient / counts.values,
                          grid.bits + scales / grid.codes.numel(), coder.window, grid.groups,
                          recipe.acts, grid.groups if coder.group else 1, grid.bits)
        times = counts.values / layer.in_features
        parts.append((times, traffic))
        macs += times * traffic.macs
        by_mac += times * traffic.macs * traffic.salient
        tokens = max(tokens, times)
    distinct = _total({id(coder): coder.counts for coder, _ in linear}.values())
    found = {"salient": distinct.salient / distinct.values, "salient_by_mac": by_mac / macs,
             "zeros": distinct.silent / distinct.values,
             "rows_read": 1 - distinct.silent / distinct.values,
             "time_steps": recipe.window + 1 if recipe.acts == "hybrid" else 0}
    used = [one for one in report.attention.values() if one.pairs]
    for key, counted in (("q", [one.coder.counts for one in used]),
                         ("p", [one.counts for one in used])):
        if counted:
            total = _total(counted)
            found[f"salient_{key}"] = total.salient / total.values
            found[f"zeros_{key}"] = total.silent / total.values
    for one in used:
        parts += _attention(one, recipe)
    macs = sum(times * traffic.macs for times, traffic in parts)
    return {**found, "macs": macs / tokens,
            "energy_opcount": sum(times * op_count(one) for times, one in parts) / macs,
            "energy_movement": sum(times * movement(one) for times, one in parts) / macs}


def _total(counts: Any) -> Counts:
    return Counts(*(sum(getattr(one, name) for one in counts)
                    for name in ("values", "salient", "silent")))


def _attention(one: HybridAttention, recipe: Recipe) -> Iterator[tuple[float, Traffic]]:
    """Both products of a head's queries, and how often they were computed.

    K and V come from memory like weights, once per batch of tokens for all heads that share them.
    """
    q, p = one.coder.counts, one.counts
    queries, slices = q.values / one.head_dim, p.values / one.pairs
    keys, bits = one.pairs / queries, one.kv_bits
    yield queries, Traffic(one.head_dim, keys, 1 - q.silent / q.values, q.salient / q.values,
                           bits + SCALE_BITS / one.head_dim, recipe.window, 1, recipe.acts, 1,
                           bits, one.sharing)
    # Probabilities have 127 levels also where other acts have 7.
    acts = "int8" if recipe.acts == "int4" else recipe.acts
    yield queries * slices, Traffic(
        keys, one.head_dim / slices, 1 - p.silent / p.values, p.salient / p.values,
        bits + SCALE_BITS * slices / one.head_dim, one.window, 1, acts, 1, bits,
        one.sharing)


@torch.no_grad()
def on_array(model: Any, report: Report, row: Tensor, window: int,
             array: Array) -> dict[str, float]:
    """Cycles per token, dense ones beside them; `cycles_attention` is part of `cycles`.

    Linear layers: of the first `BATCH` tokens of a window, int64 [T], and none of a layer that they
    do not reach. Attention: of as many in the middle of it, with all keys up to there; one module
    stands for all. Its contexts wait for the softmax of its scores, so they are programs of their
    own.
    """
    model(row[None, :BATCH], use_cache=False)
    cycles, dense = array.layers(model, {name: coder.last[:BATCH]
                                            for name, coder in report.coders.items()
                                            if coder.counts.values}, window)
    if not report.attention:
        return {"cycles": cycles, "cycles_dense": dense}
    modules = list(report.attention.values())
    chosen = modules[len(modules) // 2]
    chosen.keep = True
    model(row[None, :(len(row) + BATCH) // 2], use_cache=False)
    chosen.keep = False
    more = more_dense = 0.0
    for program in chosen.kept:
        found = array.products([(level[-BATCH:], codes) for level, codes in program], window)
        more, more_dense = more + len(modules) * found[0], more_dense + len(modules) * found[1]
    chosen.kept = []
    return {"cycles": cycles + more, "cycles_dense": dense + more_dense,
            "cycles_attention": more, "cycles_attention_dense": more_dense}
