"""Bench of the IF bank: V and thresholds in, raw V, spikes in time order and salients out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
import torch
from cocotb.task import Task
from cocotb.triggers import ClockCycles, FallingEdge

from hdl.payloads import psum_layout
from sim import words
from sim.words import Ints
from tb.bench import Bench
from tb.if_golden import Sums, check_order, golden_tile, v_max
from tb.streams import Late, Sink, Source

torch.set_num_threads(1)


class IfBench(Bench):
    """The IF bank between two sources and a sink. `theta` [tiles, C] is what it has loaded."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.psum = Source(dut, "psum", self.stalls(stall))
        self.thr = Source(dut, "thr", self.stalls(stall))
        self.out = Sink(dut, "out", self.stalls(stall))
        self.sending: Task[None] | None = None
        self.theta = np.ones((self.cfg.tiles, self.cfg.cols), np.int64)

    @property
    def theta_max(self) -> int:
        """The largest threshold."""
        return (1 << self.cfg.theta_bits) - 1

    async def load(self, theta: Ints) -> None:
        """Store thresholds theta [tiles, C]."""
        self.theta[:len(theta)] = theta
        await self.wait("room for thresholds",
                        self.thr.send(words.thr_words(self.cfg, theta.ravel())))

    def psum_words(self, tiles: list[Sums]) -> list[int]:
        """The tiles' words, V and `fire` side by side."""
        fields = {f"fire.{name}": np.array([int(getattr(one, name)) for one in tiles])
                  for name in ("tile", "last", "raw", "unsigned", "spikes_only", "silence")}
        return words.pack(psum_layout(self.cfg), {"v.*": np.stack([one.v for one in tiles]),
                                                  **fields})

    def ended(self, count: int) -> Callable[[list[int]], bool]:
        """Condition for `receive`: so many ENDs have come."""
        seen = [0, 0]            # words looked at, ENDs among them

        def done(received: list[int]) -> bool:
            seen[1] += len(words.read_ends(self.cfg, received[seen[0]:]))
            seen[0] = len(received)
            return seen[1] >= count
        return done

    async def check(self, tiles: list[Sums]) -> None:
        """Send the tiles back to back and compare all that comes out, in order."""
        cycles = 10_000 + len(tiles) * (self.cfg.level_max + 100 if self.cfg.fire == "staircase"
                                        else 100)
        self.sending = cocotb.start_soon(self.psum.send(self.psum_words(tiles)))
        self.out.words.clear()
        received = await self.wait(f"END of all {len(tiles)} tiles",
                                   self.out.receive(self.ended(len(tiles))), cycles)
        check_order(self.cfg, received)
        for index, (got, one) in enumerate(zip(words.read_tiles(self.cfg, received), tiles,
                                               strict=True)):
            want = golden_tile(self.cfg, one, self.theta[one.tile])
            got.spikes.sort()            # columns of one step have no order
            assert got == want, (f"tile {index}, {one}, theta {self.theta[one.tile]}: got {got}, "
                                 f"want {want}")

    def random_theta(self) -> Ints:
        """Thresholds [tiles, C] of every size, the smallest and the largest among them."""
        gen, shape = self.numpy(), self.theta.shape
        theta = np.exp2(gen.random(shape) * self.cfg.theta_bits).astype(np.int64)
        theta = np.where(gen.random(shape) < 0.1, self.theta_max, theta)
        return np.clip(np.where(gen.random(shape) < 0.1, 1, theta), 1, self.theta_max)

    def random_sums(self, **fixed: Any) -> Sums:
        """V of levels 0 to past M, either sign; options at random unless given."""
        cfg, gen = self.cfg, self.numpy()
        tile = self.rng.randrange(cfg.tiles)
        level = np.exp2(gen.random(cfg.cols) * gen.choice([1, 4, 8, 14])) - 1
        v = (level * self.theta[tile] / (1 << cfg.frac_bits)).astype(np.int64)
        v = np.clip(v + gen.integers(-1, 2, cfg.cols), 0, v_max(cfg))
        last, raw, unsigned, spikes_only, quiet = (gen.random(5) < 0.3).tolist()
        made = Sums(v * gen.choice([-1, 1], cfg.cols), tile, last, raw, unsigned, spikes_only,
                    quiet * self.rng.randint(0, cfg.window))
        return replace(made, **fixed)

    def on_thresholds(self, tile: int, **options: bool) -> list[Sums]:
        """V just below, on and just above the threshold of chosen levels, both signs."""
        cfg, out = self.cfg, []
        levels = {1, 2, cfg.window, cfg.window + 1, cfg.sal_max, cfg.sal_max + 1, cfg.level_max,
                  # These round up to 128 * 2^e, which is re-coded as 64 * 2^(e+1).
                  *((cfg.sal_max << e) + (1 << e >> 1) for e in range(1, cfg.exp_max)),
                  *(self.rng.randint(1, cfg.level_max) for _ in range(6))}
        for m in sorted(levels):
            exact = -(-(2 * m - 1) * self.theta[tile] // (2 << cfg.frac_bits))
            for off in (-1, 0, 1):
                v = np.clip(exact + off, 0, v_max(cfg))
                sign = self.rng.choice((-1, 1))
                out.append(Sums(sign * v, tile, **options))
        return out


@cocotb.test()
async def raw_without_thresholds(dut):
    """Raw V passes before any threshold was ever stored, at both ends of its range."""
    bench = IfBench(dut, "raw_without_thresholds")
    await bench.start()
    gen, most = bench.numpy(), v_max(bench.cfg)
    tiles = [Sums(np.full(bench.cfg.cols, v), raw=True) for v in (0, most, -most, 1, -1)]
    tiles += [Sums(gen.integers(-most, most + 1, bench.cfg.cols), raw=True, last=i % 2 == 0)
              for i in range(10)]
    await bench.check(tiles)


@cocotb.test()
async def mixed_tiles(dut):
    """Raw and fired tiles back to back, every option, stalls on all streams."""
    for trial in range(6):
        bench = IfBench(dut, f"mixed_tiles/{trial}")
        if trial == 0:
            await bench.start()
        await bench.load(bench.random_theta())
        fixed = {"spikes_only": True} if trial % 2 else {}
        await bench.check([bench.random_sums(**fixed) for _ in range(12)])


@cocotb.test()
async def on_every_threshold(dut):
    """V exactly on thresholds, one below and one above, of theta from 1 to the largest."""
    bench = IfBench(dut, "on_every_threshold", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    theta = bench.random_theta()
    theta[0] = (2 << cfg.frac_bits) * np.arange(1, cfg.cols + 1)     # thresholds are whole V
    theta[1 % cfg.tiles, 0], theta[1 % cfg.tiles, -1] = bench.theta_max, 1
    theta[2 % cfg.tiles] = bench.rng.randint(1, 3 << cfg.frac_bits)
    await bench.load(np.minimum(theta, bench.theta_max))
    tiles = [one for tile in range(min(3, cfg.tiles)) for one in bench.on_thresholds(tile)]
    tiles += bench.on_thresholds(2 % cfg.tiles, unsigned=True)
    tiles += bench.on_thresholds(0, spikes_only=True)
    if cfg.fire == "staircase":                  # M cycles a tile
        tiles = bench.rng.sample(tiles, 60)
    await bench.check(tiles)


@cocotb.test()
async def extreme_sums(dut):
    """V = 0 and +-worst case against theta 1, middle and largest, with every option."""
    bench = IfBench(dut, "extreme_sums", stall=0.0)
    await bench.start()
    cfg, most = bench.cfg, v_max(bench.cfg)
    theta = np.full_like(bench.theta, bench.theta_max)
    theta[1 % cfg.tiles], theta[0] = bench.theta_max >> 1, 1
    await bench.load(theta)
    tiles = []
    for tile in range(min(3, cfg.tiles)):
        for v in (most, -most, most - 1, 0, 1, -1):
            for options in ({}, {"unsigned": True}, {"spikes_only": True}, {"raw": True},
                            {"silence": cfg.window}):
                tiles.append(Sums(np.full(cfg.cols, v), tile, **options))
    if cfg.fire == "staircase":
        tiles = bench.rng.sample(tiles, 45)
    await bench.check(tiles)


@cocotb.test()
async def every_level(dut):
    """Columns at every level of the window at once, in every order, with every silence level."""
    bench = IfBench(dut, "every_level", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    await bench.load(np.full_like(bench.theta, 1 << cfg.frac_bits))    # level = |V|
    tiles = []
    for silence in range(cfg.window + 1):
        for start in range(0, cfg.window + 3, cfg.cols):
            levels = start + np.arange(cfg.cols)
            bench.rng.shuffle(levels)
            sign = [bench.rng.choice((-1, 1)) for _ in levels]
            tiles.append(Sums(levels * sign, silence=silence, spikes_only=start % 2 == 0))
        tiles.append(Sums(np.full(cfg.cols, cfg.window), silence=silence, spikes_only=True))
    if cfg.fire == "staircase":
        tiles = bench.rng.sample(tiles, min(40, len(tiles)))
    await bench.check(tiles)


@cocotb.test()
async def thresholds_meanwhile(dut):
    """Thresholds of other tiles are stored while tiles fire."""
    bench = IfBench(dut, "thresholds_meanwhile")
    await bench.start()
    theta = bench.random_theta()
    await bench.load(theta)
    half = max(1, bench.cfg.tiles // 2)
    fresh = np.concatenate([theta[:half], bench.random_theta()[half:]])
    storing = cocotb.start_soon(bench.thr.send(words.thr_words(bench.cfg, fresh.ravel())))
    tiles = [bench.random_sums(tile=i % half, spikes_only=True) for i in range(10)]
    await bench.check(tiles)
    await bench.wait("end of storing", storing)
    bench.theta[:] = fresh
    await bench.check([bench.random_sums(spikes_only=True) for _ in range(10)])


@cocotb.test()
async def blocked_output(dut):
    """The output is refused for 3,000 cycles with tiles of both kinds waiting; nothing is lost."""
    for raw_first in (True, False):
        bench = IfBench(dut, f"blocked_output/{raw_first}", stall=0.0)
        if raw_first:
            await bench.start()
        await bench.load(bench.random_theta())
        tiles = [bench.random_sums(raw=i % 4 == (not raw_first)) for i in range(40)]
        bench.out.stalls = Late(3_000)
        check = cocotb.start_soon(bench.check(tiles))
        await ClockCycles(dut.clk, 2_900)
        await FallingEdge(dut.clk)
        assert not bench.out.words and bench.psum.sent < len(tiles), "refused words were dropped"
        await check


@cocotb.test()
async def reset_in_mid_run(dut):
    """Reset at random moments; the tiles after it are right, the thresholds kept."""
    bench = IfBench(dut, "reset_in_mid_run")
    await bench.start()
    theta = bench.random_theta()
    await bench.load(theta)
    for trial in range(6):
        check = cocotb.start_soon(bench.check([bench.random_sums() for _ in range(8)]))
        await ClockCycles(dut.clk, bench.rng.randint(1, 100))
        await bench.abort(check, *([bench.sending] if bench.sending else []))
        bench = IfBench(dut, f"reset_in_mid_run/{trial}")
        bench.theta[:] = theta
        await bench.check([bench.random_sums(spikes_only=True) for _ in range(3)])
