"""Accumulate: scales, token shifts and sums kept from run to run, against the golden model."""

import random

import pytest
import torch

from hdl.accumulate import Accumulate, drain_latency
from spinteger.config import Config
from tests.hdl.drains import DRAINS, Loaded, Run, expect, random_runs, send_runs
from tests.hdl.streams import Bench, put, simulate

configs = pytest.mark.parametrize("cfg", DRAINS.values(), ids=DRAINS)
LATENCY = {"small": 8, "no_scales": 4, "no_kept_sums": 7, "neither": 2}


def drain(cfg: Config, loaded: Loaded, runs: list[Run], stall: float = 0.0,
          seed: int = 50) -> tuple[list[tuple], list[int]]:
    """All runs' sums, checked; returns (sum, cycle) pairs and the cycles tiles were taken in."""
    bench = Bench(Accumulate(cfg))
    dut, sums, entered, taken, over = bench.dut, [], [], [], {}
    due: list[int] = []                 # runs' last columns are through
    stored: list[int] = []
    now = [0]

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    def done() -> int:
        return sum(cycle <= now[0] for cycle in due)

    async def send(ctx):
        await put(ctx, dut.thr, loaded.words(cfg), rng(0), stall)
        await send_runs(ctx, dut, cfg, runs, done, rng(1), stall)
        while done() < len(runs):
            await ctx.tick()

    async def let_in(ctx):
        stalls = rng(2)
        while done() < len(runs):
            ctx.set(dut.room, stalls is None or stalls.random() >= stall)
            await ctx.tick()

    async def log(ctx):
        watched = (dut.psum.valid, dut.psum.ready, dut.enter, dut.tile, dut.sum_valid, dut.sum,
                   dut.wrapped, dut.stored, bench.cycle)
        async for _, _, valid, ready, enter, tile, sum_valid, word, wrapped, kept, cycle in (
                ctx.tick().sample(*watched)):
            now[0] = cycle
            if valid and ready:
                taken.append(cycle)
            if enter:
                entered.append(tile)
                if tile.end:
                    due.append(cycle + cfg.cols + drain_latency(cfg) + 3)
            if sum_valid:
                sums.append((word, cycle))
            if wrapped:
                over[cycle] = wrapped
            if kept:
                stored.append(cycle)

    simulate(bench, send, let_in, processes=[log])
    check(cfg, loaded, runs, sums, entered, over)
    assert len(stored) == sum(not run.settings["acc_last"] for run in runs)
    return sums, taken


def check(cfg: Config, loaded: Loaded, runs: list[Run], sums: list[tuple], entered: list,
          over: dict[int, int]) -> None:
    """Every sum and every tile, in order; an overflow is told of 2 cycles after its sum."""
    got, tiles_in = iter(sums), iter(entered)
    for number, run in enumerate(runs):
        tokens, tiles, cols = run.v.shape
        for token in range(tokens):
            for tile in range(tiles):
                info = next(tiles_in)
                last, whole = tile == tiles - 1, token == tokens - 1 and not run.dropped
                assert (info.run, info.last, info.end, info.drop) == (
                    number % 2, last, last and whole, 0), number
                for column in range(cols):
                    (word, cycle), where = next(got), (number, token, tile, column)
                    assert (word.v, word.run) == (run.sums[token, tile, column], number % 2), where
                    assert word.lowest == (word.v == -1 << cfg.acc_bits - 1), where
                    assert word.theta == loaded.theta[run.settings["index"] + tile, column], where
                    wraps = bool(run.overflow[token, tile, column])
                    assert over.pop(cycle + 2, 0) == (1 << number % 2 if wraps else 0), where
        if run.dropped:
            info = next(tiles_in)
            assert (info.run, info.last, info.end, info.drop) == (number % 2, 1, 1, 1), number
    assert next(got, None) is next(tiles_in, None) is None and not over


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
