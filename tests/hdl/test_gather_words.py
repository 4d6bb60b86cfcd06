"""Gather words: output words back into codes, rows of G, for all shapes of C and G."""

import random

import pytest
from torch import Tensor

import golden
from hdl.gather_words import GatherWords
from hdl.payloads import OutKind
from spinteger.config import Config
from tests.hdl.chained import configs, expected, random_levels, same
from tests.hdl.streams import Bench, get, put, simulate


def tile_words(cfg: Config, levels: Tensor, last: int, rng: random.Random) -> list[dict]:
    """One tile, levels [C], as words; salients in any order."""
    q, e = golden.recode(levels, cfg)
    salient = [n for n in range(cfg.cols) if abs(int(levels[n])) > cfg.window]
    rng.shuffle(salient)
    words = [{"kind": OutKind.SALIENT, "column": n,
              "data": int(q[n]) % (1 << cfg.sal_bits) | int(e[n]) << cfg.sal_bits}
             for n in salient]
    for level in range(cfg.window, 0, -1):
        fires = sum(1 << n for n in range(cfg.cols) if abs(int(levels[n])) == level)
        negs = sum(1 << n for n in range(cfg.cols) if int(levels[n]) == -level)
        if fires:
            words.append({"kind": OutKind.SPIKE, "step": cfg.window - level,
                          "data": fires | negs << cfg.cols})
    return [*words, {"kind": OutKind.END, "last": last}]


def run(cfg: Config, script: list[tuple[list[dict], dict[str, int]]], count: int,
        stall: float = 0.0, seed: int = 60) -> tuple[list, list[int]]:
    """Send parts of words, each with its `fail`, `buf`, `complete`; (word, cycle) pairs of `act`,
    and the cycles in which ENDs were taken."""
    bench, received, ends = Bench(GatherWords(cfg)), [], []
    dut = bench.dut

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    async def send(ctx):
        stalls = rng(0)
        for words, controls in script:
            for name in ("fail", "buf", "complete"):
                ctx.set(getattr(dut, name), controls.get(name, 0))
            cycles = await put(ctx, dut.words, words, stalls, stall, bench.cycle)
            ends.append(cycles[-1])

    async def receive(ctx):
        if count:
            received.extend(await get(ctx, dut.act, lambda ws: len(ws) == count, rng(1), stall,
                                      bench.cycle))

    simulate(bench, send, receive, watch=[dut.act])
    return received, ends


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8], ids=["free", "stalled", "slow"])
@configs
def test_tokens_of_some_tiles(cfg: Config, stall: float) -> None:
    """Tokens of 1 to 5 tiles; some are put together from several runs; buffers alternate."""
    rng = random.Random(61)
    levels = random_levels(cfg, 40, seed=62)
    script, want, at, buf = [], [], 0, 0
    while at + 5 <= len(levels):
        buf ^= 1
        runs = [rng.randint(1, 3) for _ in range(rng.randint(1, 2))]
        tiles = levels[at:at + sum(runs)]
        at += sum(runs)
        rows = iter(tiles)
        for number, length in enumerate(runs):
            for tile in range(length):
                script.append((tile_words(cfg, next(rows), tile == length - 1, rng), {
                    "buf": buf, "complete": number == len(runs) - 1}))
        want += expected(cfg, [golden.recode(tiles.flatten(), cfg)], buf)
    received, _ = run(cfg, script, len(want), stall)
    same(cfg, [word for word, _ in received], want)


@configs
def test_a_dropped_run_says_so_and_its_row_is_forgotten(cfg: Config) -> None:
    rng, levels = random.Random(63), random_levels(cfg, 5, seed=64)
    one = [(tile_words(cfg, levels[3], 0, rng), {"complete": 1})]      # of a token that has two
    dropped = [([{"kind": OutKind.END, "last": 1}], {"fail": 1, "complete": 1})]
    whole = [(tile_words(cfg, levels[4], 1, rng), {"complete": 1, "buf": 1})]
    begun = expected(cfg, [golden.recode(levels[3], cfg)], 0)
    if cfg.cols % cfg.groups:
        begun.pop()                                                    # the row that is not full
    for word in begun:
        word["last"] = 0
    failed = [{"last": 1, "fail": 1, "buf": 0}]
    want = begun + failed + expected(cfg, [golden.recode(levels[4], cfg)], 1)
    received, _ = run(cfg, one + dropped + whole, len(want))
    same(cfg, [word for word, _ in received], want)


@configs
def test_time_of_a_tile(cfg: Config) -> None:
    """Whole rows: C/G cycles from END on, in the last of which it is taken. One by one: C, one
    per full row, those of the filling, and one."""
    rng, levels = random.Random(65), random_levels(cfg, 5, seed=66)
    script = [(tile_words(cfg, levels[2], 1, rng), {"complete": 1}) for _ in range(4)]   # silent
    rows = -(-cfg.cols // cfg.groups)
    received, ends = run(cfg, script, 4 * rows)
    took = rows if cfg.cols % cfg.groups == 0 else rows * (cfg.groups + 1) + 1
    assert [b - a for a, b in zip(ends, ends[1:], strict=False)] == [took] * 3
