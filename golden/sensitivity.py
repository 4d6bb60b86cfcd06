"""How much a model minds an error in each input of each layer: the Fisher information's diagonal.

    F_j = E[(d log p(y | x) / d x_j)^2],   y drawn from the model itself

An error e_j that is random and small costs 1/2 F_j e_j^2 nats (the second-order expansion of the
Kullback-Leibler divergence; as in Optimal Brain Damage, LeCun 1990, for inputs instead of
weights). The first token of a window is left out: attention uses it as a sink, its gradients are up
to thousands of times others', and a mean with it would say nothing about all the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from golden.hybrid_attention import attention_modules, float_attention, set_attention
from golden.rotation import rotation


def sensitivities(model: nn.Module, rows: Iterable[Tensor],
                  tell: Callable[[], None] = lambda: None, seed: int = 1) -> dict[str, Tensor]:
    """F of every linear layer's inputs, float64 [K], by module name; nats per squared unit of x.

    model: as `transformers`' causal models, with `get_input_embeddings`; left as it was. rows:
    int64 [T] token ids each, of calibration text. `tell` is called after each; `seed` draws y.
    Means are of the tokens that a layer sees; one that sees none is left out.
    """
    wanted = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    sums = {name: torch.zeros(part.in_features, dtype=torch.float64)
            for name, part in wanted.items()}
    counts = dict.fromkeys(sums, 0)
    inputs: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            args[0].retain_grad()
            inputs[name] = args[0]
        return hook

    def take(tokens: int) -> None:
        for name, x in inputs.items():
            first = 1 if x.numel() == tokens * x.shape[-1] else 0       # 0: an expert, of some
            counts[name] += x.numel() // x.shape[-1] - first
            if x.grad is not None:              # else nothing that was predicted came of it
                grad = x.grad.reshape(-1, x.shape[-1])[first:]
                sums[name] += grad.double().square().sum(0)
        inputs.clear()
        tell()

    hooks = [part.register_forward_pre_hook(watch(name)) for name, part in wanted.items()]
    try:
        _backward(model, rows, take, seed)
    finally:
        for handle in hooks:
            handle.remove()
    return {name: total / counts[name] for name, total in sums.items() if counts[name]}


@dataclass
class _Watch:
    """Attention in floating point, which keeps the queries that it sees, turned or not."""

    turned: bool
    query: Tensor | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
                 scaling: float) -> Tensor:
        """As `HybridAttention`."""
        if self.turned:
            turn = rotation(query.shape[-1])
            query, key = query @ turn, key @ turn
        query.retain_grad()
        self.query = query
        return float_attention(query, key, value, mask, scaling)


def query_sensitivities(model: nn.Module, rows: Iterable[Tensor], turned: bool = False,
                        tell: Callable[[], None] = lambda: None, seed: int = 1
                        ) -> dict[str, Tensor]:
    """F of every attention module's queries, float64 [H, 1, D], by the module's name.

    After the rotary embedding; turned: and after the Hadamard matrix. Otherwise as `sensitivities`.
    Raises `ModelError` for a model without attention of transformers' form.
    """
    trial = copy.deepcopy(model)
    watches = {name: _Watch(turned) for name in attention_modules(trial)}
    set_attention(trial, watches)
    sums: dict[str, Tensor] = {}
    count = 0

    def take(tokens: int) -> None:
        nonlocal count
        count += tokens - 1
        for name, watch in watches.items():
            if watch.query is not None and watch.query.grad is not None:
                found = watch.query.grad[0, :, 1:].double().square().sum(1, keepdim=True)
                sums[name] = sums[name] + found if name in sums else found
            watch.query = None
        tell()

    _backward(trial, rows, take, seed)
    return {name: total / count for name, total in sums.items()}


def _backward(model: nn.Module, rows: Iterable[Tensor], take: Callable[[int], None],
              seed: int) -> None:
    """Gradients of every window's loss; `take` is called after each, with its tokens."""
    flags = [(part, part.requires_grad) for part in model.parameters()]
    embedding: Any = model.get_input_embeddings()               # type: ignore[operator]
    draw = torch.Generator().manual_seed(seed)
    try:
        for part, _ in flags:
            part.requires_grad_(False)
        embedding.weight.requires_grad_(True)       # so that all acts after it have gradients
        for row in rows:
            with torch.enable_grad():
                logits = model(row[None], use_cache=False).logits[0].float()
                y = torch.multinomial(logits.detach().softmax(-1), 1, generator=draw)[:, 0]
                fn.cross_entropy(logits, y, reduction="sum").backward()
            embedding.weight.grad = None
            take(len(row))
    finally:
        for part, flag in flags:
            part.requires_grad_(flag)
