"""How much a model minds an error in each input of each layer: the Fisher information's diagonal.

    F_j = E[(d log p(y | x) / d x_j)^2],   y drawn from the model itself

An error e_j that is random and small costs 1/2 F_j e_j^2 nats (the second-order expansion of the
Kullback-Leibler divergence; as in Optimal Brain Damage, LeCun 1990, for inputs instead of
weights). The first token of a window is left out: attention uses it as a sink, its gradients are up
to thousands of times others', and a mean with it would say nothing about all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn


def sensitivities(model: nn.Module, rows: Iterable[Tensor],
                  tell: Callable[[], None] = lambda: None, seed: int = 1) -> dict[str, Tensor]:
    """F of every linear layer's inputs, float64 [K], by module name; nats per squared unit of x.

    model: as `transformers`' causal models, with `get_input_embeddings`; left as it was. rows:
    int64 [T] token ids each, of calibration text. `tell` is called after each; `seed` draws y.
    """
    wanted = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    flags = [(part, part.requires_grad) for part in model.parameters()]
    embedding: Any = model.get_input_embeddings()               # type: ignore[operator]
    draw = torch.Generator().manual_seed(seed)
    sums = {name: torch.zeros(part.in_features, dtype=torch.float64)
            for name, part in wanted.items()}
    count = 0
    inputs: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            args[0].retain_grad()
            inputs[name] = args[0]
        return hook

    hooks = [part.register_forward_pre_hook(watch(name)) for name, part in wanted.items()]
    try:
        for part, _ in flags:
            part.requires_grad_(False)
        embedding.weight.requires_grad_(True)       # so that all acts after it have gradients
        for row in rows:
            with torch.enable_grad():
                logits = model(row[None], use_cache=False).logits[0].float()
                y = torch.multinomial(logits.detach().softmax(-1), 1, generator=draw)[:, 0]
                fn.cross_entropy(logits, y, reduction="sum").backward()
            for name, x in inputs.items():
                assert x.grad is not None
                sums[name] += x.grad.reshape(-1, x.shape[-1])[1:].double().square().sum(0)
            count += len(row) - 1
            inputs.clear()
            embedding.weight.grad = None
            tell()
    finally:
        for handle in hooks:
            handle.remove()
        for part, flag in flags:
            part.requires_grad_(flag)
    return {name: total / max(count, 1) for name, total in sums.items()}
