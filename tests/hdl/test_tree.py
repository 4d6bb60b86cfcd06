"""Adder tree and sign tree together: root sign * sum = sum of +-w, after tree_depth cycles."""

import itertools
import random
from collections.abc import Iterable

import pytest
from amaranth.hdl import Module, Signal

from hdl.tree import AdderTree, SignTree, node_count, tree_depth, tree_levels
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate


def config(rows: int, wgt_bits: int = 4, signed: bool = True, tree_step: int = 1) -> Config:
    return Config(rows=rows, cols=1, homes=1, int_lanes=1, k=64, depth=128, tiles=1,
                  wgt_bits=wgt_bits, signed=signed, tree_step=tree_step)


def check(cfg: Config, vectors: Iterable[tuple[list[int], int]], stall: float = 0.0) -> None:
    """Send (codes, signs) one per enabled cycle; every cycle's output is the reference's."""
    rng = random.Random(2)
    m = Module()
    m.submodules.tree = tree = AdderTree(cfg)
    m.submodules.signs = signs = SignTree(cfg)
    assert len(tree.sum) == cfg.wgt_bits + tree_levels(cfg)
    subtracts = cfg.signed and node_count(cfg) > 0
    assert ("sub" in tree.signature.members) == subtracts
    root_neg = Signal()               # what the column registers: signs come a cycle ahead
    with m.If(tree.en):
        m.d.sync += root_neg.eq(signs.root)
        if subtracts:
            m.d.sync += tree.sub.eq(signs.sub)

    async def bench(ctx):
        pipe = [None] + [0] * (tree_depth(cfg) - 1) if tree_depth(cfg) else []
        words = list(vectors)
        following = [negs for _, negs in words[1:]] + [0]
        ctx.set(tree.en, 1)
        ctx.set(signs.en, 1)
        ctx.set(signs.neg, words[0][1])
        await ctx.tick()
        for (codes, negs), next_negs in zip(words, following, strict=True):
            want = sum(-w if negs >> lane & 1 else w for lane, w in enumerate(codes))
            while True:
                en = rng.random() >= stall
                ctx.set(tree.en, en)
                ctx.set(signs.en, en)
                ctx.set(tree.wgt, codes)
                ctx.set(signs.neg, next_negs)
                total = ctx.get(tree.sum)
                root = ctx.get(root_neg) if cfg.signed else 0
                assert [want, *pipe][-1] in (None, -total if root else total)
                await ctx.tick()
                if en:
                    pipe = [want, *pipe][:len(pipe)]
                    break

    simulate(Bench(m), bench)


def flushed(cfg: Config, vectors: Iterable[tuple[list[int], int]]) -> list[tuple[list[int], int]]:
    """The vectors, then idle cycles until the last sum is out."""
    return [*vectors, *[([0] * cfg.rows, 0)] * (tree_depth(cfg) + 1)]


@pytest.mark.parametrize("rows, wgt_bits", [(1, 3), (2, 3), (3, 2), (4, 2)])
def test_every_vector(rows: int, wgt_bits: int) -> None:
    cfg = config(rows, wgt_bits)
    low = -(1 << wgt_bits - 1)
    check(cfg, flushed(cfg, [
        (list(codes), negs)
        for codes in itertools.product(range(low, -low), repeat=rows)
        for negs in range(1 << rows)]))


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("rows, tree_step", [
    (1, 1), (2, 1), (3, 1), (5, 1), (6, 1), (7, 1), (13, 1), (16, 1),
    (1, 4), (3, 2), (5, 2), (13, 3), (16, 2), (16, 4), (16, 8)])
def test_random_and_extreme_vectors(rows: int, tree_step: int, stall: float) -> None:
    cfg, rng = config(rows, tree_step=tree_step), random.Random(rows)
    every = (1 << rows) - 1
    vectors = [([code] * rows, negs) for code in (-8, 7, 0) for negs in (0, every, every // 3)]
    vectors += [([rng.choice([-8, -7, -1, 0, 0, 1, 7]) for _ in range(rows)],
                 rng.getrandbits(rows)) for _ in range(150)]
    rng.shuffle(vectors)
    check(cfg, flushed(cfg, vectors), stall)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_unsigned_has_no_subtraction(rows: int) -> None:
    cfg, rng = config(rows, signed=False), random.Random(rows)
    vectors = [([code] * rows, 0) for code in (-8, 7)]
    vectors += [([rng.randint(-8, 7) for _ in range(rows)], 0) for _ in range(100)]
    check(cfg, flushed(cfg, vectors), 0.3)


@pytest.mark.parametrize("rows, depth", [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (16, 4), (17, 5)])
def test_depth_and_nodes(rows: int, depth: int) -> None:
    cfg = config(rows)
    assert (tree_depth(cfg), node_count(cfg)) == (depth, rows - 1)


@pytest.mark.parametrize("rows, step, depth", [(1, 2, 0), (2, 2, 1), (8, 2, 2), (16, 2, 2),
                                               (16, 3, 2), (16, 4, 1), (17, 4, 2)])
def test_a_stage_has_several_levels(rows: int, step: int, depth: int) -> None:
    assert tree_depth(config(rows, tree_step=step)) == depth
