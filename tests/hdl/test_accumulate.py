"""Accumulate: scales, token shifts and sums kept from run to run, against the golden model."""

import random

import pytest
import torch

from hdl.accumulate import Accumulate
from spinteger.config import Config
from tests.hdl.drains import DRAINS, Loaded, Run, expect, random_runs, send_runs
from tests.hdl.streams import Bench, get, put, simulate

configs = pytest.mark.parametrize("cfg", DRAINS.values(), ids=DRAINS)
LATENCY = {"small": 5, "no_scales": 3, "no_kept_sums": 4, "neither": 1}


def drain(cfg: Config, loaded: Loaded, runs: list[Run], stall: float = 0.0,
          seed: int = 50) -> tuple[list, list[int]]:
    """All runs' sums, checked; returns (sum, cycle) pairs and the cycles tiles were taken in."""
    bench, received, ended, taken = Bench(Accumulate(cfg)), [], [0], []
    dut = bench.dut

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    def over(words: list) -> bool:
        ended[0] += words[-1].end if words else 0
        return ended[0] == len(runs)

    async def send(ctx):
        await put(ctx, dut.thr, loaded.words(cfg), rng(0), stall)
        await send_runs(ctx, dut, cfg, runs, lambda: ended[0], rng(1), stall)

    async def watch(ctx):
        async for _, _, cycle, valid, ready in ctx.tick().sample(
                bench.cycle, dut.psum.valid, dut.psum.ready):
            if valid and ready:
                taken.append(cycle)

    async def receive(ctx):
        received.extend(await get(ctx, dut.sum, over, rng(2), stall, bench.cycle))
        await ctx.tick()
        assert ctx.get(dut.empty)

    simulate(bench, send, receive, watch=[dut.sum], processes=[watch])
    check(cfg, loaded, runs, [word for word, _ in received])
    return received, taken


def check(cfg: Config, loaded: Loaded, runs: list[Run], words: list) -> None:
    """Every word, in order."""
    got = iter(words)
    for number, run in enumerate(runs):
        tokens, tiles, cols = run.v.shape
        for token in range(tokens):
            for tile in range(tiles):
                for column in range(cols):
                    word, where = next(got), (number, token, tile, column)
                    assert (word.v, word.overflow) == (
                        run.sums[token, tile, column],
                        run.overflow[token, tile, column]), where
                    assert word.theta == loaded.theta[run.settings["index"] + tile, column], where
                    at_end = column == cols - 1
                    assert (word.column, word.tile_end, word.last, word.drop, word.run) == (
                        column, at_end, tile == tiles - 1, 0, number % 2), where
                    assert word.end == (at_end and (token, tile) == (tokens - 1, tiles - 1)
                                        and not run.dropped), where
        if run.dropped:
            word = next(got)
            assert (word.tile_end, word.last, word.end, word.drop, word.run, word.overflow) == (
                1, 1, 1, 1, number % 2, 0), number
    assert next(got, None) is None


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8], ids=["free", "stalled", "slow"])
@configs
def test_runs_of_all_kinds(cfg: Config, stall: float) -> None:
    loaded = Loaded.random(cfg, seed=51)
    drain(cfg, loaded, random_runs(cfg, loaded, 40, seed=52), stall)


@configs
def test_a_sum_is_read_again_at_once(cfg: Config) -> None:
    """One tile of one token, pass after pass: the shortest way from a write to its read."""
    if not cfg.acc_depth:
        return
    loaded = Loaded.random(cfg, seed=53)
    for dropped in (False, True):
        runs = [Run(torch.full((1, 1, cfg.cols), 3 + number), {
                    "index": 0, "scale": 0, "acc_first": number % 9 == 0,
                    "acc_last": number % 9 == 8}, [0], dropped and number == 4)
                for number in range(18)]
        expect(cfg, runs, loaded)
        assert runs[17].sums.flatten().tolist() == [sum(range(12, 21))] * cfg.cols
        drain(cfg, loaded, runs)


def test_all_places_are_kept() -> None:
    cfg = DRAINS["small"].with_(acc_depth=48, tokens=16)
    loaded, gen = Loaded.random(cfg, seed=54), torch.Generator().manual_seed(55)
    runs = [Run(torch.randint(-99, 99, (4, 3, 4), generator=gen), {
                "index": 1, "scale": 0, "acc_first": number == 0, "acc_last": number == 3},
                [0] * 4) for number in range(4)]
    expect(cfg, runs, loaded)
    drain(cfg, loaded, runs)
    assert torch.equal(runs[3].sums, sum(run.v for run in runs))


@pytest.mark.parametrize("name", LATENCY)
@pytest.mark.parametrize("kept", [0, 1])
def test_one_column_per_cycle(name: str, kept: int) -> None:
    """Tiles back to back take C cycles each, kept or not."""
    cfg = DRAINS[name]
    loaded = Loaded.random(cfg, seed=56)
    runs = [Run(torch.ones(2, 2, cfg.cols, dtype=torch.int64), {
                "index": 0, "scale": 0, "acc_first": 1,
                "acc_last": not (kept and cfg.acc_depth)}, [0, 0])]
    expect(cfg, runs, loaded)
    received, taken = drain(cfg, loaded, runs)
    cycles = [cycle for _, cycle in received]
    assert cycles == list(range(cycles[0], cycles[0] + 4 * cfg.cols))
    assert [b - a for a, b in zip(taken, taken[1:], strict=False)] == [cfg.cols] * 3
    assert cycles[0] == taken[0] - (cfg.cols - 1) + LATENCY[name]


def test_every_multiplier_and_shift() -> None:
    """V at its ends and around zero, against all scales: up to the bit, what fits and what not."""
    cfg = Config(rows=1, cols=8, homes=1, int_lanes=1, k=1, depth=64, slots=1, tiles=4, wgt_bits=8,
                 exp_max=8, acc_depth=8, scale_bits=3)
    top = (1 << cfg.v_bits - 1) - 1
    ends = torch.tensor([1, -1, top, -top, 5, -(1 << cfg.v_bits - 2)])
    v = ends.repeat(3)[:, None, None].expand(18, 4, 8)
    shifts = [shift for shift in (0, 1, 15) for _ in ends]
    for mul in range(8):
        loaded = Loaded(torch.ones(4, 8, dtype=torch.int64),
                        torch.full((4, 8), mul), torch.arange(32).reshape(4, 8))
        runs = [Run(v, {"index": 0, "scale": 1, "acc_first": 1, "acc_last": 1}, shifts)]
        expect(cfg, runs, loaded)
        drain(cfg, loaded, runs)


def test_the_most_negative_value_on_the_way_is_an_overflow() -> None:
    """-1 << 31 fits 32 bits, but has no magnitude; that the sum is back in range is no excuse."""
    cfg = DRAINS["small"]
    loaded = Loaded.random(cfg, seed=57)
    loaded.mul[0], loaded.shift[0] = 1, 31
    keep = Run(torch.full((1, 1, 4), 100), {"index": 0, "scale": 0, "acc_first": 1, "acc_last": 0},
               [0])
    add = Run(torch.tensor([[[-1, 0, 0, -1]]]), {"index": 0, "scale": 1, "acc_first": 0,
                                                 "acc_last": 1}, [0])
    expect(cfg, [keep, add], loaded)
    assert add.overflow.flatten().tolist() == [1, 0, 0, 1]
    assert add.sums.flatten().tolist() == [100 - (1 << 31), 100, 100, 100 - (1 << 31)]
    drain(cfg, loaded, [keep, add])
