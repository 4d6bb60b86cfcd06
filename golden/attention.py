"""Real attention as the array computes it: Q and P are activations, K and V are 4-bit weights.

The array cannot tell a cached K or V from a weight tile (docs/numerics.md, "Attention"):

    scores   V[t, j] = sum_d Q[t, d] * K[j, d]     K^T: a weight [head_dim, T], a scale per token
    context  V[t, d] = sum_j P[t, j] * V[j, d]     V: a weight [T, head_dim], a scale per channel

Q is coded like any layer input, one static MAD step per tensor. P, the causal softmax, is
unsigned, 15 steps of 1/15 (numerics: L = 15). On a machine with window 7 the levels 8..15 of P
are salient integers, with window 15 they are spikes; V is the same.

The data: SmolLM2-135M on the text of `golden.realdata`; the queries of one head with the keys and
values of its key/value head, after the rotary embedding.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden import codes, llama, salient, tokenizer, wgt
from golden.cache import cache_dir, load_npz, recipe, save_npz
from golden.codes import Codes
from golden.fetch import GGUF_SHA256, fetch_gguf
from golden.realdata import CODING_FIELDS, K_MAD, TEXT, TOKENS
from spinteger.config import Config

#: Levels of P, which lies in 0..1.
P_LEVELS = 15


@dataclass(frozen=True, eq=False)
class RealAttention:
    """One head's two matrix products, in codes. T tokens, D = head_dim."""

    name: str                   #: "blk.2.head.0"
    q: NDArray[np.int8]         #: Q, [T, D], with
    e: NDArray[np.int8]         #: ... exponents
    k: NDArray[np.int8]         #: K^T as weights, [D, T], -7 .. 7
    p: NDArray[np.int8]         #: P, [T, T], 0 .. 15, zero above the diagonal
    v: NDArray[np.int8]         #: V as weights, [T, D]
    s_q: float                  #: step of Q
    s_k: NDArray[np.float64]    #: [T], weight scale per cached token
    s_v: NDArray[np.float64]    #: [D], weight scale per channel

    @property
    def queries(self) -> Codes:
        """Q as the golden model takes it, int64 tensors [T, D]."""
        return Codes(torch.from_numpy(self.q).long(), torch.from_numpy(self.e).long())

    @property
    def weights(self) -> Codes:
        """P as the golden model takes it, int64 tensors [T, T]."""
        p = torch.from_numpy(self.p).long()
        return Codes(p, torch.zeros_like(p))


class _Watching(llama.Llama):
    """Keeps q, k and v of the blocks it is told to."""

    def __init__(self, path: Path, blocks: Iterable[int]):
        super().__init__(path)
        self.seen: dict[str, tuple[Tensor, Tensor, Tensor]] = {
            f"blk.{block}": (torch.empty(0),) * 3 for block in blocks}

    def attend(self, blk: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """As the model, with a look."""
        if blk in self.seen:
            self.seen[blk] = q, k, v
        return super().attend(blk, q, k, v)


def make_head(name: str, q: Tensor, k: Tensor, v: Tensor, cfg: Config,
              k_mad: float = K_MAD) -> RealAttention:
    """Code one head from its real q, k, v, float [T, D]."""
    s_q = salient.static_step(q, cfg.window, k_mad)
    q_codes = codes.encode(q, s_q, cfg)
    score = q @ k.T / q.shape[1] ** 0.5
    future = torch.ones_like(score, dtype=torch.bool).triu(1)
    p = codes.to_levels(score.masked_fill(future, -torch.inf).softmax(-1), 1 / P_LEVELS)
    k_int, s_k = wgt.quantise_wgt(k, cfg.wgt_bits)
    v_int, s_v = wgt.quantise_wgt(v.T, cfg.wgt_bits)
    q_int, e, k_small, p_small, v_small = (
        part.numpy().astype(np.int8) for part in (*q_codes, k_int, p, v_int))
    return RealAttention(name, q_int, e, k_small, p_small, v_small, s_q, s_k.numpy(), s_v.numpy())


def load_heads(block: int, heads: Iterable[int], cfg: Config | None = None, *,
               cache: Path | None = None) -> list[RealAttention]:
    """Heads of a block, from the cache, or built in one run of the model.

    Raises `RealDataUnavailable` and `HashMismatch` as `golden.fetch.fetch_gguf`, `IndexError` for
    a head that there is not.
    """
    cfg, heads = cfg or Config(), list(heads)
    key = recipe(codes, llama, salient, tokenizer, wgt, sys.modules[__name__],
                 cfg=[getattr(cfg, field) for field in CODING_FIELDS], tokens=TOKENS,
                 gguf=GGUF_SHA256, text=TEXT.read_text(encoding="utf-8"))
    paths = {head: (cache or cache_dir()) / f"blk.{block}.head.{head}-{key}.npz" for head in heads}
    found: dict[int, RealAttention] = {}
    for head, path in paths.items():
        data = load_npz(path)
        if data is not None and set(data) == {f.name for f in fields(RealAttention)}:
            found[head] = RealAttention(**data)
    missing = [head for head in heads if head not in found]
    if missing:
        model = _Watching(fetch_gguf(cache), [block])
        ids = tokenizer.load_tokenizer(model.reader).encode(TEXT.read_text(encoding="utf-8"))
        model.forward(ids[:TOKENS])
        q, k, v = model.seen[f"blk.{block}"]
        for head in missing:
            found[head] = make_head(f"blk.{block}.head.{head}", q[head], k[head], v[head], cfg)
            save_npz(paths[head], {f.name: getattr(found[head], f.name)
                                   for f in fields(RealAttention)})
    return [found[head] for head in heads]
