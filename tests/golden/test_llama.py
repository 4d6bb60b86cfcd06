"""The float Llama: right on a tiny random file by construction, sane on real English."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from golden import fetch, realdata
from golden.llama import ALIASES, Llama
from golden.tokenizer import load_tokenizer

DIM, HIDDEN, HEADS, KV, BLOCKS, VOCAB = 32, 48, 4, 2, 2, 20


@pytest.fixture(scope="module")
def real() -> Llama:
    """SmolLM2. Skips when it cannot be fetched, except in CI."""
    try:
        return Llama(fetch.fetch_gguf())
    except fetch.RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


def write_gguf(path: Path, arch: str = "llama") -> Path:
    """A random two-block model: 4 heads over 2 key-value heads, tied embedding."""
    rng = np.random.default_rng(3)
    out = gguf.GGUFWriter(path, arch)
    out.add_block_count(BLOCKS)
    out.add_embedding_length(DIM)
    out.add_feed_forward_length(HIDDEN)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV)
    out.add_rope_freq_base(100.0)
    out.add_layer_norm_rms_eps(1e-5)
    kv = DIM // HEADS * KV
    shapes = {"attn_q": (DIM, DIM), "attn_k": (kv, DIM), "attn_v": (kv, DIM),
              "attn_output": (DIM, DIM), "ffn_gate": (HIDDEN, DIM), "ffn_up": (HIDDEN, DIM),
              "ffn_down": (DIM, HIDDEN), "attn_norm": (DIM,), "ffn_norm": (DIM,)}
    tensors = {f"blk.{i}.{name}": shape for i in range(BLOCKS) for name, shape in shapes.items()}
    for name, shape in {**tensors, "token_embd": (VOCAB, DIM), "output_norm": (DIM,)}.items():
        value = rng.normal(size=shape) / (DIM ** 0.5 if len(shape) > 1 else 1.0)
        out.add_tensor(f"{name}.weight", value.astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Llama:
    return Llama(write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf"))


def slow_reference(model: Llama, tokens: list[int]) -> Tensor:
    """The same model written another way: Hugging Face's half-split RoPE on q and k weights
    permuted back, one head and one position at a time. Logits [T, vocabulary], float64."""
    def weight(name: str) -> Tensor:
        return model.tensor(name).double()

    def norm(name: str, x: Tensor) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight(name)

    size = DIM // HEADS
    order = torch.cat((torch.arange(0, size, 2), torch.arange(1, size, 2)))

    def heads(name: str, x: Tensor, position: int) -> list[Tensor]:
        out = []
        for w in weight(name).split(size):
            y = w[order] @ x
            angle = position * 100.0 ** (-torch.arange(0, size, 2).double() / size)
            a, b = y[:size // 2], y[size // 2:]
            out.append(torch.cat((a * angle.cos() - b * angle.sin(),
                                  b * angle.cos() + a * angle.sin())))
        return out

    x = weight("token_embd")[torch.tensor(tokens)]
    for blk in (f"blk.{i}" for i in range(BLOCKS)):
        y = norm(f"{blk}.attn_norm", x)
        q = [heads(f"{blk}.attn_q", row, t) for t, row in enumerate(y)]
        k = [heads(f"{blk}.attn_k", row, t) for t, row in enumerate(y)]
        v = [(weight(f"{blk}.attn_v") @ row).split(size) for row in y]
        mixed = []
        for t in range(len(tokens)):
            parts = []
            for h in range(HEADS):
                g = h // (HEADS // KV)
                score = torch.stack([q[t][h] @ k[u][g] / size ** 0.5 for u in range(t + 1)])
                parts.append(sum(p * v[u][g] for u, p in enumerate(score.softmax(0))))
            mixed.append(torch.cat(parts))
        x = x + torch.stack(mixed) @ weight(f"{blk}.attn_output").T
        y = norm(f"{blk}.ffn_norm", x)
        gate = y @ weight(f"{blk}.ffn_gate").T
        x = x + (gate * gate.sigmoid() * (y @ weight(f"{blk}.ffn_up").T)) \
            @ weight(f"{blk}.ffn_down").T
    return norm("output_norm", x) @ weight("token_embd").T


def test_equals_a_slow_reference(tiny: Llama) -> None:
    tokens = [3, 1, 4, 1, 5, 9, 2]
    logits, _ = tiny.forward(tokens)
    torch.testing.assert_close(logits.double(), slow_reference(tiny, tokens), rtol=0, atol=1e-4)


def test_the_past_does_not_see_the_future(tiny: Llama) -> None:
    long, _ = tiny.forward([3, 1, 4, 1, 5])
    torch.testing.assert_close(long[:3], tiny.forward([3, 1, 4])[0], rtol=0, atol=1e-5)


def test_capture_takes_either_name(tiny: Llama) -> None:
    names = [f"blk.1.{kind}" for pair in ALIASES.items() for kind in pair]
    _, got = tiny.forward([3, 1, 4], capture=names)
    assert list(got) == names
    for alias, inner in ALIASES.items():
        assert got[f"blk.1.{alias}"] is got[f"blk.1.{inner}"]
        assert got[f"blk.1.{alias}"].shape == (3, tiny.weight(f"blk.1.{alias}").shape[1])
    assert torch.equal(got["blk.1.q_proj"], got["blk.1.v_proj"])


def test_attend_sees_every_block_and_may_change_it(tmp_path: Path, tiny: Llama) -> None:
    """Heads over their key-value heads, after RoPE; what it returns is what the block goes on
    with."""
    class Watching(Llama):
        seen: dict[str, tuple[Tensor, ...]] = {}
        silent = False

        def attend(self, blk: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self.seen[blk] = q, k, v
            out = super().attend(blk, q, k, v)
            return torch.zeros_like(out) if self.silent else out

    model = Watching(write_gguf(tmp_path / "tiny.gguf"))
    logits, _ = model.forward([3, 1, 4, 1])
    assert torch.equal(logits, tiny.forward([3, 1, 4, 1])[0])
    assert list(model.seen) == [f"blk.{i}" for i in range(BLOCKS)]
    for parts in model.seen.values():
        assert all(part.shape == (HEADS, 4, DIM // HEADS) for part in parts)
        for part in parts[1:]:
            assert torch.equal(part[0], part[1]) and torch.equal(part[2], part[3])
            assert not torch.equal(part[0], part[2])
    model.silent = True
    assert not torch.allclose(model.forward([3, 1, 4, 1])[0], logits)


@pytest.mark.parametrize("name", ["blk.2.q_proj", "blk.0.nope", "q_proj", "blk.0.attn_norm"])
def test_unknown_layer_is_refused(tiny: Llama, name: str) -> None:
    with pytest.raises(KeyError, match="no linear layer"):
        tiny.forward([1], capture=[name])


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="falcon"):
        Llama(write_gguf(tmp_path / "other.gguf", "falcon"))


def test_metadata_of_the_real_model(real: Llama) -> None:
    assert (real.blocks, real.dim, real.hidden, real.heads, real.kv_heads) == (30, 576, 1536, 9, 3)
    assert (real.head_dim, real.rope_base) == (64, 100000.0)


def test_perplexity_on_english(real: Llama) -> None:
    """29 on the whole excerpt, 213 with RoPE on the wrong pairs: far from the limit both ways."""
    text = realdata.TEXT.read_text(encoding="utf-8")
    ids = load_tokenizer(real.reader).encode(text)[:200]
    assert 5 < real.perplexity(ids) < 60
