"""A GGUF file as a `transformers` Llama, with the integer grid of its 4-bit weights kept.

Two details of GGUF files that are easy to get wrong:

* llama.cpp's converter permutes the rows of `attn_q` and `attn_k` inside each head, for a rotary
  embedding of adjacent pairs. `transformers` turns (i, i + d/2): the rows go back to their places.
* a missing `output.weight` means that the token embedding is the output layer too (tied).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from golden.grid import WgtGrid

#: Tensors of a block by their names in a GGUF file, and in a `transformers` Llama.
_BLOCK = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
          "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
          "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
          "ffn_norm": "post_attention_layernorm"}
#: Values of a block of Q4_0 and Q4_1, and its bytes.
GROUP = 32


class ModelError(ValueError):
    """A model cannot be loaded or converted. `str()` names the file or the layer, and why."""


def _unpermuted(rows: Any, heads: int) -> Any:
    """Rows of `attn_q` or `attn_k` (first axis) in the order of `transformers`."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:]).swapaxes(
        1, 2).reshape(rows.shape)


def grid_of(raw: NDArray[np.uint8], kind: gguf.GGMLQuantizationType) -> WgtGrid | None:
    """Codes, scales and offsets of a tensor of 4-bit blocks of 32; None for other types.

    raw: the file's bytes, [N, ...]. Q4_1: w = d * n + m with n = 0..15; Q4_0: w = d * (n - 8).
    """
    if kind not in (gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q4_1):
        return None
    has_min = kind == gguf.GGMLQuantizationType.Q4_1
    blocks = raw.reshape(raw.shape[0], -1, 20 if has_min else 18)        # [N, G, bytes]
    scales = np.ascontiguousarray(blocks[..., :4 if has_min else 2]).view(np.float16)
    d = scales[..., 0].astype(np.float64)
    nibbles = blocks[..., 4 if has_min else 2:]
    n = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.int8) - 8
    offset = None
    if has_min:
        offset = torch.from_numpy((scales[..., 1].astype(np.float64) + 8 * d).T.copy())
    return WgtGrid(torch.from_numpy(n.reshape(raw.shape[0], -1).T.copy()),
                   torch.from_numpy(d.T.copy()), offset, GROUP)


class GgufFile:
    """One open file: metadata, tensors, tokenizer. Raises `ModelError` when it is damaged."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.reader = gguf.GGUFReader(self.path)
        except FileNotFoundError:
            raise ModelError(f"{self.path}: no such file") from None
        except (OSError, ValueError, IndexError, KeyError, OverflowError) as why:
            raise ModelError(f"{self.path}: not a whole GGUF file ({why})") from why
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}

    def meta(self, key: str, default: Any = None) -> Any:
        """One metadata value; `ModelError` when there is none and no default."""
        field = self.reader.get_field(key)
        if field is not None:
            return field.contents()
        if default is None:
            raise ModelError(f"{self.path}: no metadata {key!r}")
        return default

    def tensor(self, name: str) -> Tensor:
        """A tensor's values, float32. Raises `ModelError` when there is none."""
        if name not in self.tensors:
            raise ModelError(f"{self.path}: no tensor {name!r}")
        raw = self.tensors[name]
        return torch.from_numpy(np.array(gguf.quants.dequantize(raw.data, raw.tensor_type),
                                         np.float32))


def load_gguf(path: str | Path) -> tuple[nn.Module, dict[str, WgtGrid], GgufFile]:
    """(a `LlamaForCausalLM`, float32, in eval mode; grids by module name; the open file).

    Only layers of Q4_0 or Q4_1 have a grid. Raises `ModelError`.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    file = GgufFile(path)
    arch = file.meta("general.architecture")
    if arch != "llama":
        raise ModelError(f"{path}: architecture {arch!r}, only 'llama' can be read from GGUF")
    heads = int(file.meta("llama.attention.head_count"))
    kv_heads = int(file.meta("llama.attention.head_count_kv", heads))
    dim, blocks = int(file.meta("llama.embedding_length")), int(file.meta("llama.block_count"))
    embedding = file.tensor("token_embd.weight")
    tied = "output.weight" not in file.tensors
    state = {"model.embed_tokens.weight": embedding,
             "model.norm.weight": file.tensor("output_norm.weight"),
             "lm_head.weight": embedding if tied else file.tensor("output.weight")}
    grids: dict[str, WgtGrid] = {}
    for block in range(blocks):
        for name, module in _BLOCK.items():
            source, target = f"blk.{block}.{name}.weight", f"model.layers.{block}.{module}"
            value = file.tensor(source)
            grid = grid_of(file.tensors[source].data, file.tensors[source].tensor_type)
            turned = {"attn_q": heads, "attn_k": kv_heads}.get(name)
            if turned:
                value = _unpermuted(value, turned)
            if grid is not None:
                grids[target] = grid if not turned else grid.reordered(
                    _unpermuted(torch.arange(len(value)), turned))
            state[f"{target}.weight"] = value
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=embedding.shape[0], hidden_size=dim, num_hidden_layers=blocks,
        intermediate_size=int(file.meta("llama.feed_forward_length")), num_attention_heads=heads,
        num_key_value_heads=kv_heads, tie_word_embeddings=tied,
        head_dim=int(file.meta("llama.attention.key_length", dim // heads)),
        max_position_embeddings=int(file.meta("llama.context_length", 2048)),
        rms_norm_eps=float(file.meta("llama.attention.layer_norm_rms_epsilon")),
        rope_theta=float(file.meta("llama.rope.freq_base", 10000.0))))
    known = {"token_embd.weight", "output_norm.weight", "output.weight"} | {
        f"blk.{block}.{name}.weight" for block in range(blocks) for name in _BLOCK}
    if more := sorted(set(file.tensors) - known):
        raise ModelError(f"{path}: tensor {more[0]!r} is of a Llama that is not known here")
    scaling = file.meta("llama.rope.scaling.type", "none")
    if scaling != "none":
        raise ModelError(f"{path}: rotary embedding scaled by {scaling!r}: not known here")
    try:
        model.load_state_dict(state)
    except RuntimeError as why:
        raise ModelError(f"{path}: {str(why).splitlines()[-1].strip()}") from why
    return cast(nn.Module, model.eval()), grids, file
