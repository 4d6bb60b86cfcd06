"""Bench of the whole array: tokens in, spikes and integers out, against the golden layer."""

import cocotb
import numpy as np
import torch
from cocotb.task import Task
from cocotb.triggers import ClockCycles, FallingEdge, with_timeout

from golden.codes import Codes
from golden.layer import HybridLayer
from sim import words
from spinteger.config import Config
from tb.bench import PERIOD_NS, Bench
from tb.streams import NEVER, Sink, Source

torch.set_num_threads(1)


def random_codes(bench: Bench, tokens: int, k: int, salient: float = 0.1):
    """Tokens q, e [tokens, k]: spikes of all levels, silence, and a share of salient values."""
    cfg, gen = bench.cfg, np.random.default_rng(bench.rng.getrandbits(32))
    low = -1 if cfg.signed else 0
    q = gen.integers(low * cfg.window, cfg.window + 1, (tokens, k))
    q[gen.random(q.shape) < gen.random()] = 0
    e = np.zeros_like(q)
    is_salient = gen.random(q.shape) < salient
    q[is_salient] = gen.integers(low * cfg.sal_max, cfg.sal_max + 1, is_salient.sum())
    e[is_salient] = gen.integers(0, cfg.exp_max + 1, is_salient.sum())
    e[q == 0] = 0
    return q, e


def random_wgt(bench: Bench, k: int, n: int):
    """Weight codes [k, n] over the hardware's whole range, -8 included."""
    gen = np.random.default_rng(bench.rng.getrandbits(32))
    return gen.integers(-bench.cfg.wgt_max, bench.cfg.wgt_max, (k, n))


def random_theta(bench: Bench, v):
    """Thresholds [n] that spread the levels of `v` [tokens, n]: tiny to never reached."""
    cfg, gen = bench.cfg, np.random.default_rng(bench.rng.getrandbits(32))
    scale = np.maximum(np.abs(v).max(axis=0), 1) / gen.choice([0.3, 1, 5, 20, 300], v.shape[1])
    theta = (scale * (1 << cfg.frac_bits)).astype(np.int64)
    return np.clip(theta + gen.integers(-3, 4, v.shape[1]), 1, (1 << cfg.theta_bits) - 1)


class ArrayBench(Bench):
    """The array with a source or sink on each of its streams."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.sources = {name: Source(dut, name, self.stalls(stall))
                        for name in ("wgt", "thr", "act")}
        self.out = Sink(dut, "out", self.stalls(stall))
        self.sending: Task[None] | None = None      # sends tokens

    async def load(self, w, theta=None) -> None:
        """Load weights [k, n], and thresholds [n] if given."""
        rows = words.wgt_words(self.cfg, w)
        await with_timeout(self.sources["wgt"].send(rows), (10_000 + 40 * len(rows)) * PERIOD_NS,
                           "ns")
        if theta is not None:
            thresholds = words.thr_words(self.cfg, theta)
            await with_timeout(self.sources["thr"].send(thresholds),
                               (10_000 + 40 * len(thresholds)) * PERIOD_NS, "ns")

    def patience(self, shape: tuple[int, int], tiles: int) -> int:
        """Cycles after which a run counts as hung: ten times the worst, for the stalls."""
        cfg, (tokens, k) = self.cfg, shape
        per_tile = k + 16 * cfg.tile_rows(k) + 4 * cfg.cols
        if cfg.fire == "staircase":
            per_tile += cfg.level_max
        return 15_000 + 10 * tokens * tiles * per_tile

    async def run(self, q, e, n: int, **options) -> list[words.Tile]:
        """Send tokens q, e [tokens, k]; the tiles that come back for n outputs."""
        cfg, tiles = self.cfg, self.cfg.col_tiles(n)
        self.dut.run.value = words.run_word(cfg, q.shape[1], tiles, **options)
        self.sending = cocotb.start_soon(self.sources["act"].send(words.act_words(cfg, q, e)))
        ends = [0, 0]        # words looked at, ENDs among them

        def complete(received: list[int]) -> bool:
            ends[1] += len(words.read_ends(cfg, received[ends[0]:]))
            ends[0] = len(received)
            return ends[1] == len(q) * tiles

        self.out.words.clear()
        received = await with_timeout(self.out.receive(complete),
                                      self.patience(q.shape, tiles) * PERIOD_NS, "ns")
        return words.read_tiles(cfg, received)


def golden(cfg: Config, w, theta, q, e, **options):
    """The golden result of a layer, as numpy V, codes q, codes e."""
    layer = HybridLayer(torch.tensor(w), None if theta is None else torch.tensor(theta), cfg,
                        unsigned_out=options.get("unsigned", False),
                        spikes_only=options.get("spikes_only", False),
                        silence=options.get("silence", 0))
    result = layer.forward(Codes(torch.tensor(q), torch.tensor(e)))
    if theta is None:
        return result.V.numpy(), None, None
    assert result.codes_out is not None
    return result.V.numpy(), result.codes_out.q.numpy(), result.codes_out.e.numpy()


async def check(bench: ArrayBench, w, q, e, **options) -> None:
    """Run tokens raw and fired, and compare both with the golden model."""
    n = w.shape[1]
    v, _, _ = golden(bench.cfg, w, None, q, e)
    theta = random_theta(bench, v)
    await bench.load(w, theta)
    if not options:
        got = words.psums(bench.cfg, await bench.run(q, e, n, raw=True), n)
        assert np.array_equal(got, v), f"V differs at {np.argwhere(got != v)[:5].tolist()}"
    _, want_q, want_e = golden(bench.cfg, w, theta, q, e, **options)
    got_q, got_e = words.codes(bench.cfg, await bench.run(q, e, n, **options), n)
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
        q, e = random_codes(bench, bench.rng.randint(1, 6), k)
        await check(bench, random_wgt(bench, k, n), q, e)


@cocotb.test()
async def extreme_tokens(dut):
    """Silent, all-salient, all-maximum, every level, one lane with all events; back to back."""
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
    await check(bench, w, q, e)


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
        q, e = random_codes(bench, 3, k)
        await check(bench, random_wgt(bench, k, n), q, e, **kind)


@cocotb.test()
async def blocked_output(dut):
    """The output is refused for 5,000 cycles; nothing is lost, and the next run is right."""
    bench = ArrayBench(dut, "blocked_output", stall=0.0)
    await bench.start()
    k, n = min(bench.cfg.k, 2 * bench.cfg.rows), bench.cfg.cols
    q, e = random_codes(bench, 8, k)
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
        q, e = random_codes(bench, 4, k, salient=0.3)
        w = random_wgt(bench, k, n)
        await bench.load(w)
        job = cocotb.start_soon(bench.run(q, e, n, raw=True))
        await ClockCycles(dut.clk, bench.rng.randint(1, 120))
        job.cancel()
        if bench.sending is not None:
            bench.sending.cancel()
        await FallingEdge(dut.clk)
        await bench.reset()
        fresh = ArrayBench(dut, f"after/{bench.rng.random()}")
        await check(fresh, w, q, e)


@cocotb.test()
async def too_long(dut):
    """A token longer than K raises `overflow` and harms no later token."""
    bench = ArrayBench(dut, "too_long", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    assert not bool(dut.overflow.value)
    n = cfg.cols
    q, e = random_codes(bench, 1, cfg.rows_k * cfg.rows + cfg.rows)
    w = random_wgt(bench, cfg.rows_k * cfg.rows, n)
    await bench.load(w)
    got = words.psums(cfg, await bench.run(q, e, n, raw=True), n)
    assert bool(dut.overflow.value)
    kept = cfg.rows_k * cfg.rows
    assert np.array_equal(got, (q[:, :kept] * (1 << e[:, :kept])) @ w)
    q, e = random_codes(bench, 2, min(cfg.k, 2 * cfg.rows))
    await check(bench, random_wgt(bench, q.shape[1], n), q, e)
