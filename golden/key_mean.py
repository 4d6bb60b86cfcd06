"""The mean of every head's keys on calibration text, which softmax does not miss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from golden.hybrid_attention import attention_modules, float_attention, set_attention


@dataclass
class _Watch:
    """Attention in floating point, which sums up the keys that it sees."""

    total: Tensor | None = None
    count: int = 0

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
                 scaling: float) -> Tensor:
        """As `HybridAttention`."""
        seen = key.double().sum((0, 2), keepdim=True)[0]                # [H, 1, D]
        self.total = seen if self.total is None else self.total + seen
        self.count += key.shape[0] * key.shape[2]
        return float_attention(query, key, value, mask, scaling)


@torch.no_grad()
def key_means(model: nn.Module, rows: Iterable[Tensor],
              tell: Callable[[], None] = lambda: None) -> dict[str, Tensor]:
    """Means by attention module's name, float32 [H, 1, D], after the rotary embedding.

    rows: int64 [T] token ids each. Heads that share their keys have a mean each, all the same.
    Raises `ModelError` for a model without attention of transformers' form.
    """
    trial = copy.deepcopy(model)
    watches = {name: _Watch() for name in attention_modules(trial)}
    set_attention(trial, watches)
    for row in rows:
        trial(row[None], use_cache=False)
        tell()
    return {name: (watch.total / watch.count).float() for name, watch in watches.items()
            if watch.total is not None}
