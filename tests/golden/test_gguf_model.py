"""GGUF files as transformers models: the grid is exact, logits are those of our own reader."""

import gguf
import numpy as np
import pytest
import torch

from golden.fetch import fetch_gguf
from golden.gguf_model import GgufFile, ModelError, grid_of, load_gguf
from golden.llama import Llama

DIM, HIDDEN, HEADS, KV, VOCABULARY = 64, 96, 4, 2, 40


def write(path, arch="llama", quantise=gguf.GGMLQuantizationType.Q4_1, leave_out=(), more=()):
    """A small random Llama, linear layers in 4-bit blocks; path."""
    rng = np.random.default_rng(1)
    file = gguf.GGUFWriter(path, arch)
    file.add_block_count(1)
    file.add_context_length(32)
    file.add_embedding_length(DIM)
    file.add_feed_forward_length(HIDDEN)
    file.add_head_count(HEADS)
    file.add_head_count_kv(KV)
    file.add_layer_norm_rms_eps(1e-5)
    shapes = {"attn_q": (DIM, DIM), "attn_k": (DIM // 2, DIM), "attn_v": (DIM // 2, DIM),
              "attn_output": (DIM, DIM), "ffn_gate": (HIDDEN, DIM), "ffn_up": (HIDDEN, DIM),
              "ffn_down": (DIM, HIDDEN)}
    for name, shape in shapes.items():
        value = rng.normal(0, 0.2, shape).astype(np.float32)
        if name not in leave_out:
            file.add_tensor(f"blk.0.{name}.weight", gguf.quants.quantize(value, quantise),
                            raw_dtype=quantise)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        file.add_tensor(f"{name}.weight", np.ones(DIM, np.float32))
    for name in more:
        file.add_tensor(name, np.ones(DIM, np.float32))
    file.add_tensor("token_embd.weight", rng.normal(0, 1, (VOCABULARY, DIM)).astype(np.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q4_1])
def test_a_small_model(tmp_path, kind):
    path = write(tmp_path / "m.gguf", quantise=kind)
    model, grids, _ = load_gguf(path)
    assert len(grids) == 7
    for name, grid in grids.items():
        assert torch.equal(grid.weight(), model.get_submodule(name).weight), name
        assert grid.codes.min() >= -8 and grid.codes.max() <= 7
        assert (grid.offset is None) == (kind == gguf.GGMLQuantizationType.Q4_0)
    ids = list(range(0, 24, 2))
    want, _ = Llama(path).forward(ids)
    with torch.no_grad():
        got = model(torch.tensor([ids])).logits[0]
    assert torch.allclose(got, want, atol=1e-4)


def test_other_types_have_no_grid():
    assert grid_of(np.zeros((2, 34), np.uint8), gguf.GGMLQuantizationType.Q8_0) is None


def test_smollm2(real_model):
    model, grids, _ = load_gguf(fetch_gguf())
    assert len(grids) == 210
    for name in ("model.layers.0.self_attn.q_proj", "model.layers.29.mlp.down_proj"):
        assert torch.equal(grids[name].weight(), model.get_submodule(name).weight)
    ids = list(range(100, 120))
    want, _ = Llama(fetch_gguf()).forward(ids)
    with torch.no_grad():
        assert torch.allclose(model(torch.tensor([ids])).logits[0], want, atol=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file(tmp_path, share):
    data = write(tmp_path / "m.gguf").read_bytes()
    short = tmp_path / "short.gguf"
    short.write_bytes(data[:int(len(data) * share)])
    with pytest.raises(ModelError, match="short.gguf"):
        load_gguf(short)


def test_other_files(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_gguf(tmp_path / "none.gguf")
    (tmp_path / "text.gguf").write_text("hello " * 100)
    with pytest.raises(ModelError, match="text.gguf"):
        load_gguf(tmp_path / "text.gguf")
    with pytest.raises(ModelError, match="'mamba'"):
        load_gguf(write(tmp_path / "arch.gguf", arch="mamba"))
    with pytest.raises(ModelError, match="ffn_up"):
        load_gguf(write(tmp_path / "missing.gguf", leave_out=("ffn_up",)))
    with pytest.raises(ModelError, match="blk.0.attn_q.bias"):
        load_gguf(write(tmp_path / "bias.gguf", more=("blk.0.attn_q.bias",)))
    with pytest.raises(ModelError, match="no metadata 'llama.nothing'"):
        GgufFile(write(tmp_path / "fine.gguf")).meta("llama.nothing")
