"""A float32 Llama, read straight from a GGUF file: the source of real layer inputs.

Every shape comes from the file's metadata. Linear weights are kept as the file stores them,
`[N, K]` (outputs, inputs), dequantised on first use. One sequence at a time, no KV cache: this
is a reference to capture activations from, not a serving engine.

Two details of GGUF files that are easy to get wrong:

* llama.cpp's converter permutes the rows of `attn_q` and `attn_k` inside each head, so that the
  rotary embedding turns *adjacent* pairs (2i, 2i+1). Hugging Face checkpoints turn (i, i + d/2).
  Here the file's order is kept and adjacent pairs are turned.
* a missing `output.weight` means that the token embedding is the output layer too (tied).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as fn

#: Linear layers of a block, under their Hugging Face names and their names in a GGUF file.
ALIASES = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
           "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}


class Llama:
    """The model of one GGUF file.

    `forward` returns logits; `capture` names linear layers whose inputs to hand back as well.
    A subclass may override `linear` to run some layers another way, e.g. on integer codes.
    Raises `ValueError` when the file holds another architecture.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.reader = gguf.GGUFReader(self.path)
        arch = self._meta("general.architecture")
        if arch != "llama":
            raise ValueError(f"{self.path}: architecture {arch!r}, only 'llama' is supported")
        self.blocks = int(self._meta("llama.block_count"))
        self.dim = int(self._meta("llama.embedding_length"))
        self.hidden = int(self._meta("llama.feed_forward_length"))
        self.heads = int(self._meta("llama.attention.head_count"))
        self.kv_heads = int(self._meta("llama.attention.head_count_kv", self.heads))
        self.head_dim = int(self._meta("llama.attention.key_length", self.dim // self.heads))
        self.rope_dim = int(self._meta("llama.rope.dimension_count", self.head_dim))
        self.rope_base = float(self._meta("llama.rope.freq_base", 10000.0))
        self.norm_eps = float(self._meta("llama.attention.layer_norm_rms_epsilon"))
        self._raw = {t.name: t for t in self.reader.tensors}
        self._cache: dict[str, Tensor] = {}
        self._captured: dict[str, Tensor] = {}

    def _meta(self, key: str, default: Any = None) -> Any:
        """One metadata value; `default` (or `KeyError`) when the file does not have it."""
        field = self.reader.get_field(key)
        if field is None:
            if default is None:
                raise KeyError(f"{self.path}: no metadata {key!r}")
            return default
        return field.contents()

    # -- weights ---------------------------------------------------------------------------------

    def canonical(self, name: str) -> str:
        """'blk.5.q_proj' or 'blk.5.attn_q' -> 'blk.5.attn_q'. `KeyError` when there is none."""
        *front, kind = name.split(".")
        gguf_name = ".".join([*front, ALIASES.get(kind, kind)])
        if kind not in (*ALIASES, *ALIASES.values()) or f"{gguf_name}.weight" not in self._raw:
            raise KeyError(f"no linear layer {name!r}: use blk.0 .. blk.{self.blocks - 1} and one "
                           f"of {', '.join(ALIASES)}")
        return gguf_name

    def tensor(self, name: str) -> Tensor:
        """Tensor `name` of the file (without '.weight'), dequantised: float32, linear [N, K]."""
        if name not in self._cache:
            raw = self._raw[f"{name}.weight"]
            value = gguf.quants.dequantize(raw.data, raw.tensor_type)
            self._cache[name] = torch.from_numpy(np.array(value, np.float32))
        return self._cache[name]

    def weight(self, name: str) -> Tensor:
        """Weight of a linear layer by either of its names: float32 [N, K]."""
        return self.tensor(self.canonical(name))

    # -- forward ---------------------------------------------------------------------------------

    def linear(self, name: str, x: Tensor) -> Tensor:
        """The linear layer `name` (GGUF name) on x [T, K] float32: [T, N] float32."""
        return x @ self.tensor(name).T

    def _linear(self, name: str, x: Tensor) -> Tensor:
        if name in self._captured:
            self._captured[name] = x
        return self.linear(name, x)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        """RMSNorm over the last axis with gain `name`."""
        return fn.rms_norm(x, (self.dim,), self.tensor(name), self.norm_eps)

    def _rope(self, x: Tensor) -> Tensor:
        """Turn adjacent pairs of x [heads, T, head_dim] by position * base^(-2i/rope_dim)."""
        rot, rest = x[..., :self.rope_dim], x[..., self.rope_dim:]
        freq = self.rope_base ** (-torch.arange(0, self.rope_dim, 2).double() / self.rope_dim)
        angle = torch.outer(torch.arange(x.shape[1]).double(), freq)
        cos, sin = angle.cos().float(), angle.sin().float()
        even, odd = rot[..., 0::2], rot[..., 1::2]
        turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
        return torch.cat((turned, rest), -1)

    def _attention(self, blk: str, x: Tensor) -> Tensor:
        """Causal grouped-query attention of x [T, dim]: [T, dim]."""
        def split(kind: str, heads: int) -> Tensor:
            return self._linear(f"{blk}.{kind}", x).unflatten(-1, (heads, -1)).transpose(0, 1)

        q = self._rope(split("attn_q", self.heads))
        k = self._rope(split("attn_k", self.kv_heads))
        v = split("attn_v", self.kv_heads)
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
        out = self.attend(blk, q, k, v)
        return self._linear(f"{blk}.attn_output", out.transpose(0, 1).flatten(1))

    def attend(self, blk: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """softmax(q k^T / sqrt(d)) v, causal, of q, k, v [heads, T, head_dim]: the same shape.

        `blk` names the block ("blk.3"), for subclasses that look in or compute it another way.
        """
        score = q @ k.transpose(1, 2) / math.sqrt(self.head_dim)
        future = torch.ones(score.shape[-2:], dtype=torch.bool).triu(1)
        return score.masked_fill(future, -math.inf).softmax(-1) @ v

    def _mlp(self, blk: str, x: Tensor) -> Tensor:
        """SiLU-gated MLP of x [T, dim]: [T, dim]."""
        gate = fn.silu(self._linear(f"{blk}.ffn_gate", x))
        return self._linear(f"{blk}.ffn_down", gate * self._linear(f"{blk}.ffn_up", x))

    @torch.no_grad()
    def forward(self, tokens: Iterable[int],
                capture: Iterable[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Run one sequence of T token ids.

        Returns logits [T, vocabulary] float32 and, for every name in `capture` (as given), the
        input of that linear layer, [T, K] float32.
        """
        wanted = {name: self.canonical(name) for name in capture}
        self._captured = dict.fromkeys(wanted.values(), torch.empty(0))
        x = self.tensor("token_embd")[torch.tensor(list(tokens))]
        for i in range(self.blocks):
            x = x + self._attention(f"blk.{i}", self._norm(f"blk.{i}.attn_norm", x))
            x = x + self._mlp(f"blk.{i}", self._norm(f"blk.{i}.ffn_norm", x))
        head = "output" if "output.weight" in self._raw else "token_embd"
        logits = self._norm("output_norm", x) @ self.tensor(head).T
        captured, self._captured = self._captured, {}
        return logits, {name: captured[inner] for name, inner in wanted.items()}

    def perplexity(self, tokens: list[int]) -> float:
        """exp of the mean negative log likelihood (nats) of tokens 1.. given those before."""
        logits, _ = self.forward(tokens[:-1])
        return math.exp(fn.cross_entropy(logits, torch.tensor(tokens[1:])).item())
