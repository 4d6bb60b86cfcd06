"""Attention's two products on integers, as a `transformers` attention function.

    scores   V[t, j] = sum_d Q[t, d] * K[j, d]      K: 4-bit codes, a scale per cached token
    context  V[t, d] = sum_j P[t, j] * V[j, d]      V: 4-bit codes, a scale per cached token

(docs/numerics.md, "Attention".) A scale per token of V does not factor out of the second sum, so
it goes into the probabilities before they are coded: P[t, j] * s_v[j]. Codes of a token then never
change once it is in the cache, whatever follows. Probabilities are unsigned; a row's largest is
level 127, so few are salient and the many small ones are spikes or silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from golden.act_coder import ActCoder, Counts
from golden.codes import round_half_away
from golden.hybrid_linear import Products, golden_products

#: Level of a row's largest probability.
P_TOP = 127


def quantise_rows(x: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Symmetric codes with a scale per row: float [..., D] -> int8 [..., D], float64 [..., 1]."""
    scale = x.abs().amax(-1, keepdim=True).double() / ((1 << (bits - 1)) - 1)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return round_half_away(x.double() / scale).to(torch.int8), scale


@dataclass
class HybridAttention:
    """The attention of one module: codes Q and P, holds K and V as 4-bit weights."""

    coder: ActCoder                     #: of Q
    window: int                         #: L of P, for what counts as salient
    kv_bits: int = 4
    products: Products | None = None    #: None: the golden ones
    counts: Counts = field(default_factory=Counts)     #: of P

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
                 scaling: float) -> Tensor:
        """query [B, H, T, D]; key, value [B, H, S, D], float32 -> context [B, T, H, D]."""
        q, s_q = self.coder(query)
        k, s_k = quantise_rows(key, self.kv_bits)
        v, s_v = quantise_rows(value, self.kv_bits)
        score = self._each(q, k.mT) * (s_q * scaling) * s_k.mT
        if mask is not None:
            score = score + mask[..., :key.shape[-2]]
        p = score.softmax(-1) * s_v.mT
        step = p.amax(-1, keepdim=True) / P_TOP
        level = round_half_away(p / step).to(torch.float32)
        self.counts.add(level, self.window)
        return (self._each(level, v) * step).to(torch.float32).transpose(1, 2).contiguous()

    def _each(self, level: Tensor, codes: Tensor) -> Tensor:
        """Products of every head: [B, H, T, K], int8 [B, H, K, N] -> float64 [B, H, T, N]."""
        products = self.products or golden_products
        sums = products(list(zip(level.flatten(0, 1).to(torch.int64), codes.flatten(0, 1),
                                 strict=True)))
        return torch.stack(sums).unflatten(0, level.shape[:2]).double()


def attention_function(module: nn.Module, query: Tensor, key: Tensor, value: Tensor,
                       attention_mask: Tensor | None, scaling: float = 1.0, dropout: float = 0.0,
                       **more: Any) -> tuple[Tensor, None]:
    """What `transformers` calls; the module's `spinteger_attention` does the work.

    Raises `NotImplementedError` for scores that are changed in ways that are not known here.
    """
    for name in ("softcap", "s_aux"):
        if more.get(name) is not None:
            raise NotImplementedError(f"attention with {name}: not known; use a recipe without "
                                      "attention")
    heads = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(heads, 1) for part in (key, value))
    hybrid: HybridAttention = module.spinteger_attention  # type: ignore[assignment]
    return hybrid(query, key, value, attention_mask, scaling), None
