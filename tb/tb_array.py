"""Bench of the whole array: tokens and runs in, output words out, against the golden layer."""

from typing import Any

import cocotb
import numpy as np
import torch
from cocotb.task import Task
from cocotb.triggers import ClockCycles, FallingEdge, with_timeout

from golden import trains
from golden.codes import Codes
from golden.layer import HybridLayer
from sim import words
from sim.words import Ints
from tb.bench import PERIOD_NS, Bench
from tb.stimuli import random_codes, random_wgt
from tb.streams import NEVER, Sink, Source

torch.set_num_threads(1)


def random_theta(bench: Bench, v: Ints) -> Ints:
    """Thresholds [n] that spread the levels of `v` [tokens, n]: tiny to never reached."""
    cfg, gen = bench.cfg, bench.numpy()
    scale = np.maximum(np.abs(v).max(axis=0), 1) / gen.choice([0.3, 1, 5, 20, 300], v.shape[1])
    theta = (scale * (1 << cfg.frac_bits)).astype(np.int64)
    return np.clip(theta + gen.integers(-3, 4, v.shape[1]), 1, (1 << cfg.theta_bits) - 1)


class ArrayBench(Bench):
    """The array with a source or sink on each of its streams; everything in buffer 0, slot 0."""

    def __init__(self, dut: Any, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.sources = {name: Source(dut, name, self.stalls(stall))
                        for name in ("wgt", "thr", "act", "run")}
        self.out = Sink(dut, "out", self.stalls(stall))
        self.idle("open")
        self.jobs: list[Task[None]] = []        # what is being sent

    async def send(self, name: str, sent: list[int]) -> None:
        """Send words on a stream, within reason."""
        await with_timeout(self.sources[name].send(sent), (20_000 + 60 * len(sent)) * PERIOD_NS,
                           "ns")

    async def load(self, w: Ints, theta: Ints | None = None) -> None:
        """Load weights [k, n], and thresholds [n] if given."""
        await self.send("wgt", words.wgt_words(self.cfg, w))
        if theta is not None:
            await self.send("thr", words.thr_words(self.cfg, theta))

    async def encode(self, q: Ints, e: Ints) -> None:
        """Start to send tokens into buffer 0, which is opened for them."""
        while int(self.dut.encoding.value):
            await FallingEdge(self.dut.clk)
        self.dut.open.value = 1
        await FallingEdge(self.dut.clk)
        self.dut.open.value = 0
        self.jobs.append(cocotb.start_soon(self.send("act", words.act_words(self.cfg, q, e))))

    def patience(self, shape: tuple[int, int], tiles: int) -> int:
        """Cycles after which a run counts as hung: ten times the worst, for the stalls."""
        cfg, (tokens, k) = self.cfg, shape
        per_tile = 2 * k + 16 * cfg.tile_rows(k) + 4 * cfg.cols
        if cfg.fire == "staircase":
            per_tile += cfg.level_max
        return 20_000 + 10 * tokens * tiles * per_tile

    async def run(self, q: Ints, e: Ints, n: int, fresh: bool = True,
                  **options: int) -> list[words.Tile]:
        """Run tokens q, e [tokens, k] (sent first, if `fresh`); the tiles of n outputs."""
        tiles = self.cfg.col_tiles(n)
        if fresh:
            await self.encode(q, e)
        self.jobs.append(cocotb.start_soon(self.send("run", [
            words.run_word(self.cfg, q.shape[1], tiles, len(q), **options)])))
        ends = [0, 0]        # words looked at, ENDs among them

        def complete(received: list[int]) -> bool:
            ends[1] += len(words.read_ends(self.cfg, received[ends[0]:]))
            ends[0] = len(received)
            return ends[1] == len(q) * tiles

        self.out.words.clear()
        received = await with_timeout(self.out.receive(complete),
                                      self.patience(q.shape, tiles) * PERIOD_NS, "ns")
        return words.read_tiles(self.cfg, received)


def golden(cfg, w: Ints, theta: Ints | None, q: Ints, e: Ints,
           **options: int) -> tuple[Ints, Ints, Ints]:
    """The golden result of a layer, as numpy V, codes q, codes e (V again without theta)."""
    layer = HybridLayer(torch.tensor(w), None if theta is None else torch.tensor(theta), cfg,
                        unsigned_out=bool(options.get("unsigned", False)),
                        spikes_only=bool(options.get("spikes_only", False)),
                        silence=options.get("silence", 0))
    result = layer.forward(Codes(torch.tensor(q), torch.tensor(e)))
    v: Ints = result.V.numpy()
    if result.codes_out is None:
        return v, v, v
    return v, result.codes_out.q.numpy(), result.codes_out.e.numpy()


def fitting(cfg, q: Ints, e: Ints) -> tuple[Ints, Ints]:
    """The leading tokens that fit an activation buffer."""
    count = trains.capacity(Codes(torch.tensor(q), torch.tensor(e)), cfg)
    return q[:count], e[:count]


async def check(bench: ArrayBench, w: Ints, q: Ints, e: Ints, **options: int) -> None:
    """Run tokens raw and then, from the same buffer, fired; compare both with the golden model."""
    n = w.shape[1]
    v, _, _ = golden(bench.cfg, w, None, q, e)
    theta = random_theta(bench, v)
    await bench.load(w, theta)
    got = words.psums(bench.cfg, await bench.run(q, e, n, raw=True), n)
    assert np.array_equal(got, v), f"V differs at {np.argwhere(got != v)[:5].tolist()}"
    _, want_q, want_e = golden(bench.cfg, w, theta, q, e, **options)
    got_q, got_e = words.codes(bench.cfg, await bench.run(q, e, n, fresh=False, **options), n)
    wrong = (got_q != want_q) | (got_e != want_e)
    assert not wrong.any(), (f"levels differ at {np.argwhere(wrong)[:5].tolist()}: got "
                             f"{got_q[wrong][:5]}, want {want_q[wrong][:5]}")


@cocotb.test()
async def random_tokens(dut):
    """Random shapes (K rarely a multiple of the lanes), several tiles, stalls on every stream."""
    for trial in range(6):
        bench = ArrayBench(dut, f"random_tokens/{trial}")
        if trial == 0:
            await bench.start()
        k = bench.rng.randint(1, min(bench.cfg.k, 6 * bench.cfg.rows))
        tiles = bench.rng.randint(1, min(3, bench.cfg.tiles_resident(k)))
        n = bench.rng.randint(1, tiles * bench.cfg.cols)
        q, e = fitting(bench.cfg, *random_codes(bench, bench.rng.randint(1, 6), k))
        await check(bench, random_wgt(bench, k, n), q, e)


@cocotb.test()
async def extreme_tokens(dut):
    """Silent, all-salient, all-maximum, every level, one lane with all events; a few at a time."""
    bench = ArrayBench(dut, "extreme_tokens")
    await bench.start()
    cfg = bench.cfg
    k, n = min(cfg.k, 5 * cfg.rows + 1), min(2 * cfg.cols, cfg.tiles_resident(cfg.k) * cfg.cols)
    q = np.zeros((9, k), np.int64)
    e = np.zeros_like(q)
    q[1], e[1] = cfg.sal_max, cfg.exp_max                # all salient, the largest
    q[2] = cfg.window                                    # all at the maximum level
    q[3] = np.arange(k) % (cfg.window + 1)               # every level, and silence
    q[4, ::cfg.rows] = 1 + np.arange(len(q[4, ::cfg.rows])) % cfg.window    # lane 0 alone
    q[5, 0] = 1                                          # a single event, the last step
    q[6, -1] = cfg.window                                # a single event, the first step
    q[7], e[7] = cfg.sal_max, 0                          # all salient, plain integers
    if cfg.signed:
        q[3, ::2] *= -1
        q[7, ::3] *= -1
        q[8] = -cfg.window
    w = random_wgt(bench, k, n)
    w[:, 0], w[:, -1] = -cfg.wgt_max, cfg.wgt_max - 1    # the extremes of S and V
    at = 0
    while at < len(q):
        some = fitting(cfg, q[at:at + cfg.tokens], e[at:at + cfg.tokens])
        await check(bench, w, *some)
        at += len(some[0])


@cocotb.test()
async def options(dut):
    """Unsigned outputs, spikes only, silence levels."""
    bench = ArrayBench(dut, "options")
    await bench.start()
    k, n = min(bench.cfg.k, 3 * bench.cfg.rows), bench.cfg.cols
    for kind in ({"unsigned": True}, {"spikes_only": True},
                 {"silence": 1}, {"unsigned": True, "spikes_only": True, "silence": 2}):
        if kind.get("silence", 0) > bench.cfg.window:
            continue
        q, e = random_codes(bench, 2, k)
        await check(bench, random_wgt(bench, k, n), q, e, **kind)


@cocotb.test()
async def blocked_output(dut):
    """The output is refused for 5,000 cycles; nothing is lost, and the next run is right."""
    bench = ArrayBench(dut, "blocked_output", stall=0.0)
    await bench.start()
    k, n = min(bench.cfg.k, 2 * bench.cfg.rows), bench.cfg.cols
    q, e = fitting(bench.cfg, *random_codes(bench, 4, k))
    w = random_wgt(bench, k, n)
    await bench.load(w)
    patience = [5_000]

    def late() -> bool:
        patience[0] -= 1
        return patience[0] > 0

    bench.out.stalls = late
    got = words.psums(bench.cfg, await bench.run(q, e, n, raw=True), n)
    assert np.array_equal(got, golden(bench.cfg, w, None, q, e)[0])
    bench.out.stalls = NEVER
    await check(bench, w, q, e)


@cocotb.test()
async def reset_in_mid_run(dut):
    """Reset at random moments of a run; the run after it is right."""
    bench = ArrayBench(dut, "reset_in_mid_run", stall=0.2)
    await bench.start()
    k, n = min(bench.cfg.k, 3 * bench.cfg.rows), bench.cfg.cols
    for _ in range(5):
        q, e = fitting(bench.cfg, *random_codes(bench, 4, k, salient=0.3))
        w = random_wgt(bench, k, n)
        await bench.load(w)
        job = cocotb.start_soon(bench.run(q, e, n, raw=True))
        await ClockCycles(dut.clk, bench.rng.randint(1, 160))
        await bench.abort(job, *bench.jobs)
        bench = ArrayBench(dut, f"after/{bench.rng.random()}")
        await check(bench, w, q, e)


async def done(dut: Any) -> None:
    """Until a run is complete, in the middle of that very cycle."""
    while not int(dut.run_done.value):
        await FallingEdge(dut.clk)


@cocotb.test()
async def too_many_tokens(dut):
    """Tokens beyond the buffer's room end the run as dropped, and harm no later one."""
    bench = ArrayBench(dut, "too_many_tokens", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    k, n = cfg.k, cfg.cols
    q = np.full((min(cfg.tokens, cfg.list_depth // cfg.list_worst + 2), k), cfg.sal_max, np.int64)
    q[0] = 0
    e = np.zeros_like(q)
    kept = fitting(cfg, q, e)
    w = random_wgt(bench, k, n)
    await bench.load(w)
    if len(kept[0]) < len(q):
        cocotb.start_soon(bench.run(q, e, n, raw=True))
        await bench.wait("end of the run", done(dut), bench.patience(q.shape, 4))
        assert bool(dut.run_dropped.value) and int(dut.full.value) == 1
        await FallingEdge(dut.clk)
        await bench.abort(*bench.jobs)
        bench = ArrayBench(dut, "too_many_tokens/after", stall=0.0)
    q, e = fitting(cfg, *random_codes(bench, 2, min(cfg.k, 2 * cfg.rows)))
    await check(bench, random_wgt(bench, q.shape[1], n), q, e)
