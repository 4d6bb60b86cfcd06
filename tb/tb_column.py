"""Bench of the columns: leaves, products and V as streams, against the golden ramp."""

from collections.abc import Sequence
from dataclasses import dataclass

import cocotb
import numpy as np
import torch
from cocotb.task import Task
from cocotb.triggers import ClockCycles, FallingEdge

from golden.codes import Codes
from golden.events import events, salient_list
from golden.integrate import ramp
from hdl.payloads import fire_layout, prod_layout, psum_layout
from sim import words
from sim.words import Ints
from tb.bench import Bench
from tb.stimuli import extreme_codes, random_codes, random_wgt
from tb.streams import Late, Sink, Source
from tb.tops import ColumnTop

torch.set_num_threads(1)


@dataclass
class Job:
    """One tile: its words on both streams, the V it must give and the labels beside it."""

    leaves: list[int]
    prods: list[int]
    v: Ints
    fire: int


class ColumnBench(Bench):
    """The columns between two sources and a sink, each with stalls of its own."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.leaf_layout = ColumnTop(self.cfg).leaf_layout
        self.leaf = Source(dut, "leaf", self.stalls(stall))
        self.prod = Source(dut, "prod", self.stalls(stall))
        self.psum = Sink(dut, "psum", self.stalls(stall))
        self.sending: list[Task[None]] = []

    def tile(self, q: Ints, e: Ints, w: Ints, idle: float = 0.0) -> Job:
        """The tile of token q, e [K] and weights w [K, C]. `idle`: share of empty leaf words."""
        codes = Codes(torch.tensor(q), torch.tensor(e))
        leaves = self._leaves(codes, w, idle)
        fire_bits = fire_layout(self.cfg).size
        at = self.leaf_layout["fire"].offset
        labels = [self.rng.getrandbits(fire_bits) for _ in leaves]      # only the last one's count
        return Job([word | label << at for word, label in zip(leaves, labels, strict=True)],
                   self._prods(codes, w), ramp(codes, torch.tensor(w), self.cfg)[0].numpy(),
                   labels[-1])

    def _leaves(self, codes: Codes, w: Ints, idle: float) -> list[int]:
        """Step by step, one event per lane and word, a lane's events at random words. Which lane
        an event is in makes no difference to the columns: here k mod R."""
        cfg, rng = self.cfg, self.rng
        by_level: dict[int, list[tuple[int, int]]] = {}
        for step, k, sign in events(codes, cfg)[0]:
            by_level.setdefault(cfg.window - step, []).append((k, sign))
        levels = sorted(by_level, reverse=True) or [0]
        wgt, neg, snap, dt, tile_end = [], [], [], [], []
        for level, after in zip(levels, [*levels[1:], 0], strict=True):
            lanes: list[list[tuple[int, int]]] = [[] for _ in range(cfg.rows)]
            for k, sign in by_level.get(level, []):
                lanes[k % cfg.rows].append((k, sign))
            length = max(1, *(len(lane) for lane in lanes))
            length += sum(rng.random() < idle for _ in range(length))
            codes_here = np.zeros((length, cfg.rows, cfg.cols), np.int64)
            negs = np.zeros((length, cfg.rows), np.int64)
            for number, lane in enumerate(lanes):
                for word, (k, sign) in zip(rng.sample(range(length), len(lane)), lane,
                                           strict=True):
                    codes_here[word, number], negs[word, number] = w[k], sign < 0
            wgt.append(codes_here)
            neg.append(negs)
            snap += [0] * (length - 1) + [1]
            dt += [0] * (length - 1) + [level - after]
            tile_end += [0] * (length - 1) + [after == 0]
        signs = np.concatenate(neg) << np.arange(cfg.rows)
        return words.pack(self.leaf_layout, {
            "wgt.*.*": np.concatenate(wgt), "neg": signs.sum(axis=1), "snap": np.array(snap),
            "dt": np.array(dt), "tile_end": np.array(tile_end)})

    def _prods(self, codes: Codes, w: Ints) -> list[int]:
        """One salient input per integer lane and word; at least one word."""
        cfg = self.cfg
        lists: list[list[Ints]] = [[] for _ in range(cfg.int_lanes)]
        for k, value, exponent in salient_list(codes, cfg)[0]:
            lists[k % cfg.int_lanes].append(w[k] * (value << exponent))
        prod = np.zeros((max(1, *(len(one) for one in lists)), cfg.cols), np.int64)
        for one in lists:
            prod[:len(one)] += np.array(one, np.int64).reshape(-1, cfg.cols)
        return self.prod_words(prod)

    def prod_words(self, prod: Ints) -> list[int]:
        """The words of one tile's products [n, C]."""
        return words.pack(prod_layout(self.cfg), {
            "prod.*": prod, "last": np.arange(len(prod)) == len(prod) - 1})

    def send(self, jobs: Sequence[Job]) -> None:
        """Send all tiles' words, back to back on each stream."""
        self.sending = [
            cocotb.start_soon(self.leaf.send(word for job in jobs for word in job.leaves)),
            cocotb.start_soon(self.prod.send(word for job in jobs for word in job.prods))]

    async def check(self, jobs: Sequence[Job]) -> None:
        """Run the tiles and compare every V."""
        self.send(jobs)
        received = await self.wait("V of all tiles", self.psum.take(len(jobs)))
        for task in self.sending:
            await self.wait("end of sending", task, 100)
        layout = psum_layout(self.cfg)
        labels = [word >> layout["fire"].offset for word in received]
        assert labels == [job.fire for job in jobs], "another tile's labels beside V"
        got = words.unpack(layout, "v.*", received)
        want = np.stack([job.v for job in jobs])
        wrong = np.argwhere(got != want)
        assert not len(wrong), (f"V differs at (tile, column) {wrong[:5].tolist()}: got "
                                f"{got[got != want][:5]}, want {want[got != want][:5]}")


def random_jobs(bench: ColumnBench, count: int, idle: float = 0.0) -> list[Job]:
    """Tiles of random sizes, K rarely a multiple of the lanes."""
    cfg, jobs = bench.cfg, []
    for _ in range(count):
        k = bench.rng.randint(1, min(cfg.k, 6 * cfg.rows))
        q, e = random_codes(bench, 1, k, salient=bench.rng.choice((0.0, 0.1, 0.5)))
        jobs.append(bench.tile(q[0], e[0], random_wgt(bench, k, cfg.cols), idle))
    return jobs


@cocotb.test()
async def random_tiles(dut):
    """Random tiles back to back, empty words among them, stalls on all three streams."""
    for trial in range(10):
        bench = ColumnBench(dut, f"random_tiles/{trial}")
        if trial == 0:
            await bench.start()
        await bench.check(random_jobs(bench, 8, idle=bench.rng.choice((0.0, 0.3))))


@cocotb.test()
async def extreme_tiles(dut):
    """Silence, saturation, dt from 1 to L, one lane alone; weights at both ends of their range."""
    bench = ColumnBench(dut, "extreme_tiles", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    q, e = extreme_codes(cfg, cfg.k)
    w = random_wgt(bench, cfg.k, cfg.cols)
    w[:, 0], w[:, -1] = -cfg.wgt_max, cfg.wgt_max - 1
    await bench.check([bench.tile(q[i], e[i], w) for i in bench.rng.sample(range(len(q)), len(q))])


@cocotb.test()
async def level_gaps(dut):
    """Every pair of levels as the only two steps: dt of all lengths, after one event or many."""
    bench = ColumnBench(dut, "level_gaps", stall=0.0)
    await bench.start()
    cfg, jobs = bench.cfg, []
    w = random_wgt(bench, cfg.k, cfg.cols)
    for high in range(1, cfg.window + 1):
        for low in range(high):
            count = bench.rng.randint(1, min(cfg.k, 2 * cfg.rows))
            q = np.where(np.arange(cfg.k) < count, low, 0)
            q[-1] = high
            jobs.append(bench.tile(q, np.zeros_like(q), w))
    bench.rng.shuffle(jobs)
    await bench.check(jobs[:40])


@cocotb.test()
async def largest_products(dut):
    """V at both ends of its range: every input salient, q = -128, the largest exponent."""
    bench = ColumnBench(dut, "largest_products")
    await bench.start()
    cfg, jobs = bench.cfg, []
    most = cfg.wgt_max << (cfg.sal_bits - 1 + cfg.exp_max)
    inputs = cfg.groups * cfg.rows_k
    lanes = [min(cfg.int_lanes, inputs - n) for n in range(0, inputs, cfg.int_lanes)]
    for signs in ((1, 1), (-1, -1), (1, -1), (-1, 1)):
        prod = np.repeat(np.array(lanes)[:, None] * most, cfg.cols, axis=1)
        prod[:, ::2] *= signs[0]
        prod[:, 1::2] *= signs[1]
        job = bench.tile(np.zeros(1, np.int64), np.zeros(1, np.int64),
                         random_wgt(bench, 1, cfg.cols))
        jobs.append(Job(job.leaves, bench.prod_words(prod), prod.sum(axis=0), job.fire))
    assert abs(jobs[0].v).max() == inputs * most
    await bench.check(jobs)


@cocotb.test()
async def one_stream_late(dut):
    """Products that come long after the window, and long before it; V taken late."""
    for late in ("leaf", "prod", "psum"):
        bench = ColumnBench(dut, f"one_stream_late/{late}", stall=0.0)
        if late == "leaf":
            await bench.start()
        jobs = random_jobs(bench, 6)
        getattr(bench, late).stalls = Late(3_000)
        check = cocotb.start_soon(bench.check(jobs))
        await ClockCycles(dut.clk, 2_900)
        await FallingEdge(dut.clk)
        assert not bench.psum.words and not all(task.done() for task in bench.sending), (
            "V left before it was complete, or words were taken that nobody waits for")
        await check


@cocotb.test()
async def full_rate(dut):
    """Without stalls the leaves are taken one a cycle, step after step, tile after tile."""
    bench = ColumnBench(dut, "full_rate", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    steps = min(cfg.window, max(1, cfg.k // cfg.rows))      # one word each, none skipped
    q = np.repeat(np.arange(steps, 0, -1), cfg.rows)[:cfg.k]
    q[-1] = 1
    w = random_wgt(bench, len(q), cfg.cols)
    jobs = [bench.tile(q, np.zeros_like(q), w) for _ in range(20)]
    bench.send(jobs)
    taking = cocotb.start_soon(bench.psum.take(len(jobs)))
    total = sum(len(job.leaves) for job in jobs)
    await bench.wait("end of the leaves", bench.sending[0], total + 20)
    await bench.wait("V of all tiles", taking, 100)


@cocotb.test()
async def reset_in_mid_run(dut):
    """Reset at random moments; the tiles after it are right."""
    bench = ColumnBench(dut, "reset_in_mid_run")
    await bench.start()
    for trial in range(8):
        bench.send(random_jobs(bench, 6))
        taking = cocotb.start_soon(bench.psum.take(6))
        await ClockCycles(dut.clk, bench.rng.randint(1, 60))
        await bench.abort(taking, *bench.sending)
        bench = ColumnBench(dut, f"reset_in_mid_run/{trial}")
        await bench.check(random_jobs(bench, 2))
