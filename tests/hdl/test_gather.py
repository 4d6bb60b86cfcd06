"""Gather: output words back into codes, rows of G, for all shapes of C and G."""

import random

import pytest
from torch import Tensor

import golden
from hdl.gather import Gather, can_chain
from spinteger.config import Config
from tests.hdl.chained import CONFIGS, configs, expected, random_levels, same
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import code_word


def tile_codes(cfg: Config, levels: Tensor, last: int = 0, buf: int = 0) -> list[dict]:
    """One tile, levels [C], as codes; with `last`, it completes a token."""
    q, e = golden.recode(levels, cfg)
    return [{"code": code_word(cfg, *pair), "last": last and column == cfg.cols - 1, "fail": 0,
             "buf": buf} for column, pair in
            enumerate(zip(q.tolist(), e.tolist(), strict=True))]


def run(cfg: Config, codes: list[dict], count: int, stall: float = 0.0,
        seed: int = 60) -> tuple[list, list[int]]:
    """(word, cycle) pairs of `act`, and the cycles in which codes were taken."""
    bench, received, taken = Bench(Gather(cfg)), [], []
    dut = bench.dut

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    async def send(ctx):
        taken.extend(await put(ctx, dut.chained, codes, rng(0), stall, bench.cycle))

    async def receive(ctx):
        received.extend(await get(ctx, dut.act, lambda ws: len(ws) == count, rng(1), stall,
                                  bench.cycle))
        for _ in range(3):
            await ctx.tick()
        assert ctx.get(dut.idle)

    simulate(bench, send, receive, watch=[dut.act])
    return received, taken


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8], ids=["free", "stalled", "slow"])
@configs
def test_tokens_of_some_tiles(cfg: Config, stall: float) -> None:
    """Tokens of 1 to 5 tiles; buffers alternate."""
    rng = random.Random(61)
    levels = random_levels(cfg, 40, seed=62)
    codes, want, at, buf = [], [], 0, 0
    while at + 5 <= len(levels):
        buf ^= 1
        tiles = levels[at:at + rng.randint(1, 5)]
        at += len(tiles)
        for number, tile in enumerate(tiles):
            codes += tile_codes(cfg, tile, number == len(tiles) - 1, buf)
        want += expected(cfg, [golden.recode(tiles.flatten(), cfg)], buf)
    received, _ = run(cfg, codes, len(want), stall)
    same(cfg, [word for word, _ in received], want)


@configs
def test_a_dropped_run_says_so_and_its_row_is_forgotten(cfg: Config) -> None:
    levels = random_levels(cfg, 5, seed=64)
    codes = tile_codes(cfg, levels[3])                                 # of a token that has two
    codes += [{"last": 1, "fail": 1, "buf": 0}]
    codes += tile_codes(cfg, levels[4], 1, buf=1)
    begun = expected(cfg, [golden.recode(levels[3], cfg)], 0)
    if cfg.cols % cfg.groups:
        begun.pop()                                                    # the row that is not full
    for word in begun:
        word["last"] = 0
    failed = [{"last": 1, "fail": 1, "buf": 0}]
    want = begun + failed + expected(cfg, [golden.recode(levels[4], cfg)], 1)
    received, _ = run(cfg, codes, len(want))
    same(cfg, [word for word, _ in received], want)


@configs
def test_a_code_per_cycle(cfg: Config) -> None:
    """And silent ones to fill a token's last row; a row comes a cycle after its last code."""
    levels = random_levels(cfg, 5, seed=66)
    codes = tile_codes(cfg, levels[4], 1) * 4
    rows = -(-cfg.cols // cfg.groups)
    received, taken = run(cfg, codes, 4 * rows)
    assert taken[0] == 0 and received[-1][1] == 4 * rows * cfg.groups
    if cfg.cols % cfg.groups == 0:
        assert taken == list(range(4 * cfg.cols))


def test_shapes_that_cannot_be_chained() -> None:
    assert not can_chain(Config(rows=3, cols=5, homes=1, int_lanes=3, k=40, depth=64))
    assert can_chain(Config(rows=3, cols=6, homes=1, int_lanes=3, k=40, depth=64))
    assert all(can_chain(cfg) for cfg in CONFIGS.values())
