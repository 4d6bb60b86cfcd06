"""Gather: output words back into codes, rows of G, for all shapes of C and G."""

import random

import pytest
import torch
from torch import Tensor

import golden
from golden import Codes
from hdl.gather import Gather, can_chain
from hdl.payloads import code_layout
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import SMALL, code_word

WIDE = SMALL.with_(rows=16, homes=2, list_depth=512)      # G = 8
CONFIGS = {
    "C4_G2": SMALL,
    "C4_G1": SMALL.with_(homes=4, train_depth=512, int_lanes=1),
    "C8_G2": SMALL.with_(cols=8),
    "C1_G1": Config(rows=1, cols=1, homes=1, int_lanes=1, k=16, depth=64, tiles=4, exp_max=2,
                    frac_bits=6, theta_bits=18),
    "C3_G3": Config(rows=3, cols=3, homes=1, int_lanes=3, k=16, depth=64, tiles=4, exp_max=2,
                    frac_bits=6, theta_bits=18),
    "C5_G2": SMALL.with_(cols=5),
    "C1_G2": SMALL.with_(cols=1),
    "C4_G8": WIDE,
    "C3_G8": WIDE.with_(cols=3, window=15),
    "C6_G4": SMALL.with_(rows=8, cols=6, homes=2),
    "plain_int8": SMALL.with_(exp_max=0),
    "salient_below_window": SMALL.with_(sal_bits=4),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


def random_levels(cfg: Config, tiles: int, seed: int) -> Tensor:
    """Signed levels [tiles, C], silent, spikes and salients, the largest and the smallest."""
    gen = torch.Generator().manual_seed(seed)
    shape, top = (tiles, cfg.cols), cfg.level_max
    small = torch.randint(-cfg.window, cfg.window + 1, shape, generator=gen)
    big = torch.randint(-top, top + 1, shape, generator=gen)
    draw = torch.rand(shape, generator=gen)
    levels = torch.where(draw < 0.3, big, torch.where(draw < 0.8, small, 0))
    levels[0], levels[1], levels[2] = top, -top, 0
    levels[3] = torch.where(torch.arange(cfg.cols) % 2 == 1, -cfg.window, cfg.window)
    return levels


def expected(cfg: Config, tokens: list[Codes], buf: int) -> list[dict]:
    """The `act` words of complete tokens, codes [N] each, the last row filled up."""
    out = []
    for codes in tokens:
        pairs = list(zip(codes.q.tolist(), codes.e.tolist(), strict=True))
        pairs += [(0, 0)] * (-len(pairs) % cfg.groups)
        rows = [pairs[first:first + cfg.groups] for first in range(0, len(pairs), cfg.groups)]
        out += [{"code": [code_word(cfg, *pair) for pair in row], "last": row is rows[-1],
                 "fail": 0, "buf": buf} for row in rows]
    return out


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


def same(cfg: Config, words: list, want: list[dict]) -> None:
    assert len(words) == len(want)
    for number, (word, fields) in enumerate(zip(words, want, strict=True)):
        assert (word.last, word.fail, word.buf) == (
            fields["last"], fields["fail"], fields["buf"]), number
        if not fields["fail"]:
            for place in range(cfg.groups):
                code = code_layout(cfg).const(fields["code"][place])
                assert word.code[place] == code, (number, place)


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
