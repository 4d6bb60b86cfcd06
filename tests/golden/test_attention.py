"""Real attention in codes: shapes, ranges, what is masked, and that it is near the floats."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import attention, codes, fetch
from golden.attention import P_LEVELS, RealAttention, load_heads, make_head
from golden.layer import HybridLayer
from spinteger.config import Config

torch.set_num_threads(1)
CFG = Config()


@pytest.fixture(scope="module")
def floats() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """q, k, v of one made-up head, 12 tokens of 16."""
    gen = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(12, 16, generator=gen) * scale for scale in (3.0, 1.0, 0.5))
    return q, k, v


@pytest.fixture(scope="module")
def head(floats) -> RealAttention:
    return make_head("made up", *floats, CFG)


@pytest.fixture(scope="module")
def real() -> RealAttention:
    """A head of SmolLM2. Skips when the model cannot be fetched, except in CI."""
    try:
        return load_heads(15, [4], CFG)[0]
    except fetch.RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


def check(head: RealAttention, tokens: int, size: int) -> None:
    assert head.q.shape == head.e.shape == (tokens, size)
    assert head.k.shape == (size, tokens) and head.p.shape == (tokens, tokens)
    assert head.v.shape == (tokens, size)
    assert head.s_k.shape == (tokens,) and head.s_v.shape == (size,)
    for part in (head.q, head.e, head.k, head.p, head.v):
        assert part.dtype == np.int8
    codes.check_codes(head.queries, CFG)
    assert max(abs(head.k.astype(int)).max(), abs(head.v.astype(int)).max()) == 7
    assert head.p.min() == 0 and head.p.max() <= P_LEVELS
    assert not np.triu(head.p, 1).any() and head.p[0, 0] == P_LEVELS


def test_shapes_and_ranges(head):
    check(head, 12, 16)


def test_a_real_head(real):
    check(real, 16, 64)
    assert real.name == "blk.15.head.4"


def test_products_are_near_the_floats(head, floats):
    """V times its scales is the score, and the context, up to the coding."""
    q, k, v = (part.double() for part in floats)
    score = HybridLayer(torch.from_numpy(head.k).long(), None, CFG).forward(head.queries).V
    got = score * head.s_q * torch.from_numpy(head.s_k)
    want = q @ k.T
    assert (got - want).norm() / want.norm() < 0.2
    p = torch.from_numpy(head.p).long()
    context = HybridLayer(torch.from_numpy(head.v).long(), None, CFG).forward(
        codes.recode(p, CFG)).V
    got = context / P_LEVELS * torch.from_numpy(head.s_v)
    future = torch.ones(12, 12, dtype=torch.bool).triu(1)
    want = (want / 4).masked_fill(future, -torch.inf).softmax(-1) @ v
    assert (got - want).norm() / want.norm() < 0.2


@pytest.mark.parametrize("window", [7, 15])
def test_p_is_the_same_product_whichever_path_its_levels_take(head, window):
    """Levels above the window are salient integers; on an unsigned machine of 15 all are spikes."""
    cfg = CFG.with_(window=window, signed=window == 7)
    p = head.weights
    assert bool(codes.is_salient(p, cfg).any()) == (window == 7)
    V = HybridLayer(torch.from_numpy(head.v).long(), None, cfg).forward(p).V
    assert torch.equal(V, p.q @ torch.from_numpy(head.v).long())


def test_cache_keeps_heads_and_recovers(real, tmp_path: Path, monkeypatch, capsys):
    """Built once; a second call opens no model; a damaged file is built again."""
    class Model:
        reader = None
        seen = {"blk.15": tuple(torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(i))
                                for i in range(3))}
        runs = 0

        def __init__(self, path, blocks):
            assert list(blocks) == [15]

        def forward(self, ids):
            Model.runs += 1

    class Tokenizer:
        def encode(self, text):
            return list(range(8))

    monkeypatch.setattr(attention, "_Watching", Model)
    monkeypatch.setattr(attention, "fetch_gguf", lambda cache: tmp_path)
    monkeypatch.setattr(attention.tokenizer, "load_tokenizer", lambda reader: Tokenizer())
    first = load_heads(15, [0, 1], CFG, cache=tmp_path)
    again = load_heads(15, [1, 0], CFG, cache=tmp_path)
    assert Model.runs == 1 and [head.name for head in again] == ["blk.15.head.1", "blk.15.head.0"]
    for one, two in zip(first, reversed(again), strict=True):
        assert np.array_equal(one.q, two.q) and one.s_q == two.s_q
    (path,) = tmp_path.glob("blk.15.head.1-*.npz")
    path.write_bytes(path.read_bytes()[:100])
    load_heads(15, [0, 1], CFG, cache=tmp_path)
    assert Model.runs == 2 and "damaged" in capsys.readouterr().err
    load_heads(15, [0], CFG.with_(window=15), cache=tmp_path)
    assert Model.runs == 3, "another coding is another file"
