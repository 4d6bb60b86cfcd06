"""The whole array against the golden model: results first, then cycles."""

import random

import pytest
import torch
from torch import Tensor

import golden
from golden import Codes, trains
from hdl.array import HybridArray
from hdl.payloads import OutKind
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import (
    SMALL,
    Tile,
    act_words,
    expected_tiles,
    hard_codes,
    join,
    random_codes,
    random_theta,
    random_wgt,
    read_tiles,
    run_word,
    thr_words,
    wgt_words,
)

ONE_HOME = SMALL.with_(homes=1, depth=96, k=37)
CONFIGS = {
    "4x4": SMALL,
    "1x1": ONE_HOME.with_(rows=1, cols=1, int_lanes=1, k=17),
    "3x5": ONE_HOME.with_(rows=3, cols=5, int_lanes=3, k=24),
    "one_home": ONE_HOME,
    "four_homes": SMALL.with_(rows=16, homes=4, int_lanes=4),
    "eight_homes": SMALL.with_(rows=8, cols=2, homes=8, int_lanes=3, depth=256),
    "window_15_unsigned": SMALL.with_(window=15, signed=False),
    "int4_only": SMALL.with_(exp_max=0, sal_bits=4),
    "two_rows_a_beat": SMALL.with_(bus_bits=32),
    "no_sums": SMALL.with_(acc_depth=0, scale_bits=0),
    "staircase": SMALL.with_(fire="staircase", exp_max=0),
}


class Job:
    """An array with weights w [K, N] in slot 0, and thresholds. N is filled up to whole tiles."""

    def __init__(self, cfg: Config, w: Tensor):
        self.cfg = cfg
        n = cfg.col_tiles(w.shape[1]) * cfg.cols
        self.w = torch.nn.functional.pad(w, (0, n - w.shape[1]))
        self.theta = random_theta(cfg, n, seed=41)
        self.dut = HybridArray(cfg)
        self.bench = Bench(self.dut)

    async def load(self, ctx, rng: random.Random | None = None):
        await put(ctx, self.dut.wgt, wgt_words(self.cfg, self.w), rng)
        await put(ctx, self.dut.thr, thr_words(self.cfg, self.theta), rng)

    async def open(self, ctx, buf: int):
        ctx.set(self.dut.open, 1 << buf)
        await ctx.tick()
        ctx.set(self.dut.open, 0)

    def run(self, tokens: int, **options: int) -> dict:
        return run_word(self.cfg, *self.w.shape, tokens, **options)

    async def receive(self, ctx, runs: int, rng: random.Random | None = None) -> list[tuple]:
        """All words of so many runs, with their cycles."""
        ends = 0

        def done(words: list) -> bool:
            nonlocal ends
            ends += bool(words) and words[-1].kind == OutKind.END and words[-1].run_end
            return ends == runs

        return await get(ctx, self.dut.out, done, rng, 0.3, self.bench.cycle)

    def want(self, codes: Codes, **options: int) -> list[Tile]:
        return expected_tiles(self.cfg, golden.matmul(codes, self.w), self.theta, **options)


def first(codes: Codes, count: int) -> Codes:
    return Codes(codes.q[:count], codes.e[:count])


OPTIONS: list[dict[str, int]] = [{"raw": 1}, {}, {"unsigned": 1}, {"spikes_only": 1, "silence": 1}]


@pytest.mark.parametrize("name, stalls", [
    *((name, False) for name in CONFIGS),
    *((name, True) for name in ("4x4", "3x5", "four_homes", "staircase"))])
def test_runs(name, stalls):
    """Several runs on two buffers, back to back, with every setting; stalls on all streams."""
    cfg, rng = CONFIGS[name], random.Random(7) if stalls else None
    k = min(cfg.k, 29)
    job = Job(cfg, random_wgt(cfg, k, 2 * cfg.cols, seed=1))
    batches = [join(random_codes(cfg, 3, k, seed=2, salient=0.2), first(hard_codes(cfg, k), 5)),
               random_codes(cfg, 2, k, seed=3)]
    batches = [first(codes, trains.capacity(codes, cfg)) for codes in batches]
    runs = [(buf, option) for option in OPTIONS for buf in (0, 1)]
    got: list = []

    async def sender(ctx):
        await job.load(ctx, rng)
        for buf in (0, 1):
            await job.open(ctx, buf)
            await put(ctx, job.dut.act, act_words(cfg, batches[buf], buf), rng)

    async def runner(ctx):
        # The loader's mistakes are the dispatcher's to prevent: wait until weights are in.
        await ctx.tick().repeat(600)
        words = [job.run(len(batches[buf].q), buf=buf, **option) for buf, option in runs]
        await put(ctx, job.dut.run, words, rng)

    async def receiver(ctx):
        got.extend(await job.receive(ctx, len(runs), rng))

    simulate(job.bench, sender, runner, receiver, watch=[job.dut.out])
    want = [tile for buf, option in runs for tile in job.want(batches[buf], **option)]
    assert read_tiles(cfg, [word for word, _ in got]) == want


def test_overflowing_buffer():
    """Tokens that do not fit: those before leave, the run ends dropped, the buffer opens anew."""
    cfg = SMALL.with_(train_depth=48, list_depth=48)
    k = cfg.k
    codes = random_codes(cfg, 9, k, seed=5, salient=0.0, silent=0.0)
    fitting = trains.capacity(codes, cfg)
    assert 0 < fitting < 9
    job = Job(cfg, random_wgt(cfg, k, cfg.cols, seed=1))
    got: list = []
    dropped = []

    async def bench(ctx):
        await job.load(ctx)
        await job.open(ctx, 1)
        await put(ctx, job.dut.act, act_words(cfg, codes, 1))
        while ctx.get(job.dut.encoding):
            await ctx.tick()
        assert ctx.get(job.dut.bad) == ctx.get(job.dut.full) == 0b10
        await put(ctx, job.dut.run, [job.run(9, buf=1, raw=1)])
        await ctx.tick().until(job.dut.run_done)
        await job.open(ctx, 1)
        assert ctx.get(job.dut.bad) == 0
        await put(ctx, job.dut.act, act_words(cfg, first(codes, 2), 1))
        await put(ctx, job.dut.run, [job.run(2, buf=1, raw=1)])

    async def receiver(ctx):
        got.extend(await job.receive(ctx, 2))

    async def watch(ctx):
        async for _, _, done, drop in ctx.tick().sample(job.dut.run_done, job.dut.run_dropped):
            if done:
                dropped.append(drop)

    simulate(job.bench, bench, receiver, processes=[watch])
    words = [word for word, _ in got]
    tiles = read_tiles(cfg, words)
    want = job.want(first(codes, fitting), raw=1)
    assert tiles == [*want, Tile(last=True), *job.want(first(codes, 2), raw=1)]
    assert dropped == [1, 0]


def test_chained_run():
    """A chained run's codes are the other buffer's tokens, bit for bit."""
    cfg = SMALL
    n = 3 * cfg.cols
    job = Job(cfg, random_wgt(cfg, n, n, seed=1))
    codes = random_codes(cfg, 4, n, seed=2)
    got: list = []

    async def bench(ctx):
        await job.load(ctx)
        await job.open(ctx, 0)
        await put(ctx, job.dut.act, act_words(cfg, codes, 0))
        await job.open(ctx, 1)
        runs = [job.run(4, host=0, chain=1, chain_buf=1), job.run(4, buf=1, raw=1)]
        await put(ctx, job.dut.run, runs)

    async def receiver(ctx):
        got.extend(await job.receive(ctx, 1))

    simulate(job.bench, bench, receiver)
    levels = golden.fire_closed(golden.matmul(codes, job.w), job.theta, cfg.level_max,
                                cfg.frac_bits)
    assert read_tiles(cfg, [word for word, _ in got]) == job.want(
        golden.recode(levels, cfg), raw=1)


@pytest.mark.parametrize("name", ["4x4", "four_homes"])
def test_cycles(name):
    """Once the pipeline is full a tile takes what the docstring says, to the cycle."""
    cfg = CONFIGS[name]
    k, tiles = cfg.k, 8
    if tiles > cfg.tiles_resident(k):
        cfg = cfg.with_(depth=2 * tiles * cfg.tile_rows(k), tiles=tiles)
    job = Job(cfg, random_wgt(cfg, k, tiles * cfg.cols, seed=1))
    for codes in (random_codes(cfg, 1, k, seed=2, salient=0.05),      # the spikes' time
                  random_codes(cfg, 1, k, seed=3, salient=0.9),       # V's adder's
                  random_codes(cfg, 1, k, seed=4, salient=0.0, silent=0.97)):     # the IF bank's
        times: list[int] = []

        async def bench(ctx, codes=codes):
            await job.load(ctx)
            await job.open(ctx, 0)
            await put(ctx, job.dut.act, act_words(cfg, codes))
            while ctx.get(job.dut.encoding):
                await ctx.tick()
            await put(ctx, job.dut.run, [job.run(1, spikes_only=1, silence=cfg.window)])

        async def receiver(ctx, times=times):
            words = await job.receive(ctx, 1)
            times += [cycle for word, cycle in words if word.kind == OutKind.END]

        simulate(job.bench, bench, receiver)
        gaps = {later - sooner for sooner, later in zip(times[2:], times[3:], strict=False)}
        train = trains.trains(codes, cfg)[0]
        top = train.levels.bit_length()
        adder = top + max(1, train.list_length)
        assert gaps == {max(train.length, adder, cfg.cols + 1)}, (name, train.length, adder)
