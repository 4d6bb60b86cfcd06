"""Attention's two products on integers, as a `transformers` attention function.

    scores   V[t, j] = sum_d Q[t, d] * K[j, d]      K: 4-bit codes, a scale per cached token
    context  V[t, d] = sum_j P[t, j] * V[j, d]      V: 4-bit codes, a scale per cached token

(docs/numerics.md, "Attention".) A scale per token of V does not factor out of the second sum, so
it goes into the probabilities before they are coded: P[t, j] * s_v[j]. Codes of a token then never
change once it is in the cache, whatever follows. Probabilities are unsigned; a row's largest is
level 127, whatever acts elsewhere are: the many small ones are spikes or silent, and how many are
salient depends on the model (7 % of SmolLM2's, 32 % of the small model's).

These make 4 bits enough, and none costs the machine more than columns left empty. Softmax does not
see a constant that is added to all keys, so their mean, found on calibration text, is taken off
them (as SageAttention does, arXiv 2410.02367, with the mean of the text at hand, which changes as
it grows). Q and K are turned by the same Hadamard matrix (QuaRot, arXiv 2404.00456), which leaves
their products and spreads large channels. A scale may clip: of a few shares of the largest value,
the one with the least squared error. And for V a scale may hold for a part of the head's values
only; each part is a product of its own, with its own codes of P.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from golden.act_coder import ActCoder, Counts
from golden.codes import round_half_away
from golden.gguf_model import ModelError
from golden.hybrid_linear import Product, Products, golden_products
from golden.rotation import rotation

#: The name that `transformers` knows it by.
NAME = "spinteger"
#: Level of a row's largest probability.
P_TOP = 127


#: Shares of a row's largest value that are tried as the top of its range.
SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)


def quantise_rows(x: Tensor, bits: int,
                  shares: Sequence[float] = (1.0,)) -> tuple[Tensor, Tensor]:
    """Symmetric codes with a scale per row: float [..., D] -> int8 [..., D], float64 [..., 1].

    Of several shares, each row takes that of the least squared error.
    """
    top = (1 << (bits - 1)) - 1
    largest = x.abs().amax(-1, keepdim=True).double()
    largest = torch.where(largest > 0, largest, top * torch.ones_like(largest))
    best = torch.full_like(largest, torch.inf)
    codes, scale = torch.zeros_like(x, dtype=torch.int8), torch.ones_like(largest)
    for share in shares:
        tried = largest * share / top
        code = round_half_away(x.double() / tried).clamp(-top, top)
        error = (x - code * tried).square().sum(-1, keepdim=True)
        better = error < best
        best = torch.where(better, error, best)
        codes = torch.where(better, code.to(torch.int8), codes)
        scale = torch.where(better, tried, scale)
    return codes, scale


@dataclass
class HybridAttention:
    """The attention of one module: codes Q and P, holds K and V as weights of `kv_bits`."""

    coder: ActCoder                     #: of Q
    window: int                         #: L of P, for what counts as salient
    kv_bits: int = 4
    products: Products | None = None    #: None: the golden ones
    shares: Sequence[float] = (1.0,)    #: for the scales of K
    k_mean: Tensor | None = None        #: taken off all keys: float [H, 1, D]
    rotate: bool = False                #: Q and K turned by a Hadamard matrix
    v_group: int = 0                    #: values of a token's V per scale; 0: all of a head's
    sharing: int = 1                    #: heads of queries that share their keys and values
    counts: Counts = field(default_factory=Counts)     #: of P
    head_dim: int = 0                   #: D
    pairs: int = 0                      #: of a query and a key that it may see, all heads
    keep: bool = False                  #: products are kept, for who wants to look at them
    #: Products of the last call, those that need nothing of each other together: the scores of all
    #: heads, then for each part of V the contexts of all heads.
    kept: list[list[Product]] = field(default_factory=list, repr=False)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
                 scaling: float) -> Tensor:
        """query [B, H, T, D]; key, value [B, H, S, D], float32 -> context [B, T, H, D]."""
        if self.k_mean is not None:
            key = key - self.k_mean.repeat_interleave(key.shape[1] // len(self.k_mean), 0)
        if self.rotate:
            turn = rotation(query.shape[-1])
            query, key = query @ turn, key @ turn
        self.kept, self.head_dim = [], query.shape[-1]
        q, s_q = self.coder(query)
        k, s_k = quantise_rows(key, self.kv_bits, self.shares)
        score = self._each(q, k.mT) * (s_q * scaling) * s_k.mT
        if mask is not None:
            score = score + mask[..., :key.shape[-2]]
        probability = score.softmax(-1)
        seen = probability > 0                                          # not what is masked
        self.pairs += int(seen.sum())
        contexts = []
        for part in value.split(self.v_group or value.shape[-1], -1):
            v, s_v = quantise_rows(part, self.kv_bits)
            p = probability * torch.where((v != 0).any(-1, keepdim=True), s_v, 0.0).mT
            top = p.amax(-1, keepdim=True)
            step = torch.where(top > 0, top, 1.0) / P_TOP
            level = round_half_away(p / step).to(torch.float32)
            self.counts.add(level[seen], self.window if self.coder.mode == "hybrid" else P_TOP)
            contexts.append(self._each(level, v) * step)
        return torch.cat(contexts, -1).to(torch.float32).transpose(1, 2).contiguous()

    def _each(self, level: Tensor, codes: Tensor) -> Tensor:
        """Products of every head: [B, H, T, K], int8 [B, H, K, N] -> float64 [B, H, T, N]."""
        products = self.products or golden_products
        heads = list(zip(level.flatten(0, 1).to(torch.int64), codes.flatten(0, 1), strict=True))
        if self.keep:
            self.kept.append(heads)
        sums = products(heads)
        return torch.stack(sums).unflatten(0, level.shape[:2]).double()


def float_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
                    scaling: float) -> Tensor:
    """What `HybridAttention` computes on integers, for who only wants to watch."""
    score = query @ key.mT * scaling
    if mask is not None:
        score = score + mask[..., :key.shape[-2]]
    return (score.softmax(-1) @ value).transpose(1, 2).contiguous()


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


def attention_modules(model: nn.Module) -> list[str]:
    """Names of a `transformers` model's attention modules. Raises `ModelError` without any."""
    found = [name for name, module in model.named_modules()
             if hasattr(module, "q_proj") and hasattr(module, "k_proj")]
    if not found or not hasattr(model, "set_attn_implementation"):
        raise ModelError(f"{type(model).__name__}: no attention of transformers' form; use a "
                         "recipe without attention")
    return found


def set_attention(model: nn.Module, attention: Mapping[str, Any]) -> None:
    """Let `attention` (called as `HybridAttention`) do the work of modules, by name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, attention_function)
    AttentionMaskInterface.register(NAME, eager_mask)
    for name, hybrid in attention.items():
        model.get_submodule(name).spinteger_attention = hybrid
    model.set_attn_implementation(NAME)                             # type: ignore[operator]
