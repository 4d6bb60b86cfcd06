"""Bench of the IF bank: runs of V in, raw sums, spikes in time order, salients and codes out."""

from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np
import torch
from cocotb.task import Task
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly

from hdl.gather import can_chain
from hdl.payloads import act_layout, out_layout, psum_layout, settings_layout
from sim import words
from sim.words import Ints
from tb.bench import Bench
from tb.if_golden import Act, Golden, Result, Run, check_order, v_max
from tb.streams import Late, Sink, Source

torch.set_num_threads(1)


class IfBench(Bench):
    """The IF bank between two sources and two sinks. `golden` knows what it has loaded."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.psum = Source(dut, "psum", self.stalls(stall))
        self.thr = Source(dut, "thr", self.stalls(stall))
        self.out = Sink(dut, "out", self.stalls(stall))
        self.act = Sink(dut, "act", self.stalls(stall))
        self.golden = Golden(self.cfg)
        self.ended: list[tuple[bool, bool]] = []    # (dropped, overflow) of runs that ended
        self.settings = [0, 0]
        self.idle("settings")
        self.tasks: list[Task[Any]] = []

    @property
    def theta_max(self) -> int:
        """The largest threshold."""
        return (1 << self.cfg.theta_bits) - 1

    async def load(self, theta: Ints, mul: Ints | None = None, shift: Ints | None = None) -> None:
        """Store thresholds, and scales, [slots * tiles, C]."""
        cfg, golden = self.cfg, self.golden
        golden.theta[:len(theta)] = theta
        sent = words.thr_words(cfg, theta.ravel())
        if cfg.scale_bits and mul is not None and shift is not None:
            golden.mul[:], golden.shift[:] = mul, shift
            sent += words.scale_words(cfg, mul.ravel(), shift.ravel())
        await self.wait("room for thresholds", self.thr.send(sent))

    def psum_words(self, number: int, run: Run) -> list[int]:
        """The run's words, V and `fire` side by side; a dropped one's END after them."""
        tokens, tiles, cols = run.v.shape
        token, tile = (axis.ravel() for axis in np.indices((tokens, tiles)))
        last = tile == tiles - 1
        fields = {"v.*": run.v.reshape(-1, cols), "fire.tile": tile, "fire.last": last,
                  "fire.end": last & (token == tokens - 1) & (not run.dropped),
                  "fire.drop": np.zeros_like(tile)}
        if self.cfg.shift_bits and run.shifts:
            fields["fire.shift"] = np.array(run.shifts)[token]
        if run.dropped:
            fields = {name: np.concatenate([values, values[:1] * 0 if len(values) else np.zeros(
                (1, cols) if name == "v.*" else 1, np.int64)]) for name, values in fields.items()}
            fields["fire.drop"][-1] = 1
        fields["fire.run"] = np.full(len(fields["v.*"]), number % 2)
        return words.pack(psum_layout(self.cfg), fields)

    async def send(self, runs: list[Run]) -> None:
        """The runs' sums, at most two runs in flight, whose settings the port has."""
        layout = settings_layout(self.cfg)
        for number, run in enumerate(runs):
            while len(self.ended) < number - 1:
                await FallingEdge(self.dut.clk)
            values = {name: np.array([int(getattr(run, name))]) for name, _ in layout}
            self.settings[number % 2], = words.pack(layout, values)
            self.dut.settings.value = self.settings[0] | self.settings[1] << layout.size
            await self.psum.send(self.psum_words(number, run))

    async def watch(self) -> None:
        """Note every run's end, and what had left by then."""
        while True:
            await FallingEdge(self.dut.clk)
            await ReadOnly()
            if bool(self.dut.run_done.value):
                self.ended.append((bool(self.dut.run_dropped.value),
                                   bool(self.dut.run_overflow.value)))
            else:
                assert not bool(self.dut.run_dropped.value)
                assert not bool(self.dut.run_overflow.value)

    def done(self, count: int) -> Callable[[list[int]], bool]:
        """Condition for `receive`: so many ENDs have come."""
        seen = [0, 0]            # words looked at, ENDs among them

        def over(received: list[int]) -> bool:
            seen[1] += len(words.read_ends(self.cfg, received[seen[0]:]))
            seen[0] = len(received)
            return seen[1] >= count
        return over

    async def check(self, runs: list[Run]) -> None:
        """Send the runs back to back and compare all that comes out, in order."""
        cfg = self.cfg
        want = [self.golden.run(run) for run in runs]
        tiles = [tile for result in want for tile in result.tiles]
        acts = [act for result in want for act in result.acts]
        cycles = 10_000 + sum(run.v.shape[0] * run.v.shape[1] for run in runs) * (
            cfg.level_max + 200 if cfg.fire == "staircase" else 200)
        self.ended.clear()
        self.out.words.clear()
        self.act.words.clear()
        self.tasks = [cocotb.start_soon(job) for job in (
            self.watch(), self.send(runs), self.act.receive(lambda ws: len(ws) >= len(acts)))]
        received = await self.wait(f"END of all {len(tiles)} tiles",
                                   self.out.receive(self.done(len(tiles))), cycles)
        received_acts = await self.wait(f"all {len(acts)} words to the encoder", self.tasks[2],
                                        cycles)
        await self.wait("end of all sums", self.tasks[1], cycles)
        for _ in range(cycles):
            if len(self.ended) == len(runs):
                break
            await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        assert bool(self.dut.idle.value) and not bool(self.dut.out__valid.value)
        assert not bool(self.dut.act__valid.value)
        self.tasks.pop(0).cancel()
        self.compare(runs, want, received, received_acts)

    def compare(self, runs: list[Run], want: list[Result], received: list[int],
                received_acts: list[int]) -> None:
        """All words and all ends."""
        cfg = self.cfg
        assert self.ended == [(result.dropped, result.overflow) for result in want]
        check_order(cfg, received)
        got_tiles = iter(words.read_tiles(cfg, received))
        run_ends = int(words.unpack(out_layout(cfg), "run_end", received).sum()) if received else 0
        assert run_ends == sum(run.host for run in runs)
        acts = self.read_acts(received_acts)
        for number, (run, result) in enumerate(zip(runs, want, strict=True)):
            for index, tile in enumerate(result.tiles):
                got = next(got_tiles)
                got.spikes.sort()            # columns of one step have no order
                assert got == tile, f"run {number}, tile {index}, {run}: got {got}, want {tile}"
            for act in result.acts:
                assert acts.pop(0) == act, f"run {number}, {run}"
        assert not acts and next(got_tiles, None) is None

    def read_acts(self, received: list[int]) -> list[Act]:
        """Words to the encoder."""
        cfg, layout = self.cfg, act_layout(self.cfg)
        if not received:
            return []
        q = words.unpack(layout, "code.*.q", received).tolist()
        e = (words.unpack(layout, "code.*.e", received) if cfg.exp_bits
             else np.zeros((len(received), cfg.groups), np.int64)).tolist()
        last, fail, buf = (words.unpack(layout, name, received).tolist()
                           for name in ("last", "fail", "buf"))
        return [Act([] if failed else list(zip(qs, es, strict=True)), bool(end), bool(failed), to)
                for qs, es, end, failed, to in zip(q, e, last, fail, buf, strict=True)]

    # -- stimuli ---------------------------------------------------------------------------------

    def random_theta(self) -> Ints:
        """Thresholds of every size, the smallest and the largest among them."""
        gen, shape = self.numpy(), self.golden.theta.shape
        theta = np.exp2(gen.random(shape) * self.cfg.theta_bits).astype(np.int64)
        theta = np.where(gen.random(shape) < 0.1, self.theta_max, theta)
        return np.clip(np.where(gen.random(shape) < 0.1, 1, theta), 1, self.theta_max)

    def random_scales(self) -> tuple[Ints, Ints]:
        """Multipliers of all sizes, shifts mostly small."""
        gen, shape = self.numpy(), self.golden.mul.shape
        shift = np.where(gen.random(shape) < 0.02, 31, gen.integers(0, 5, shape))
        return gen.integers(0, 1 << self.cfg.scale_bits, shape), shift

    def random_v(self, index: int, tokens: int, tiles: int) -> Ints:
        """V [tokens, tiles, C] of levels 0 to past M, either sign."""
        cfg, gen, shape = self.cfg, self.numpy(), (tokens, tiles, self.cfg.cols)
        level = np.exp2(gen.random(shape) * gen.choice([1, 4, 8, 14], (tokens, tiles, 1))) - 1
        v = (level * self.golden.theta[index:index + tiles] / (1 << cfg.frac_bits)).astype(np.int64)
        v = np.clip(v + gen.integers(-1, 2, shape), 0, v_max(cfg))
        return v * gen.choice([-1, 1], shape)

    def random_run(self, tokens: int, tiles: int, **fixed: Any) -> Run:
        """A run whose settings are random unless given."""
        cfg, rng = self.cfg, self.rng
        index = rng.randint(0, cfg.slots * cfg.tiles - tiles)
        flags = {name: rng.random() < 0.3 for name in ("raw", "unsigned", "spikes_only")}
        settings: dict[str, Any] = {
            **flags, "silence": rng.choice([0, 0, 0, rng.randint(0, cfg.window)]),
            "scale": bool(cfg.scale_bits) and rng.random() < 0.4, "index": index, **fixed}
        if cfg.shift_bits:
            settings["shifts"] = [rng.choice([0, 0, 0, 1, 3]) for _ in range(tokens)]
        return Run(self.random_v(settings["index"], tokens, tiles), **settings)

    def random_runs(self, count: int, **fixed: Any) -> list[Run]:
        """Runs of all kinds: passes that follow each other, chains, dropped ones."""
        cfg, rng = self.cfg, self.rng
        runs: list[Run] = []
        while len(runs) < count:
            tokens, tiles = rng.randint(1, 3), rng.randint(1, min(3, cfg.tiles))
            fits = tokens * tiles * cfg.cols <= cfg.acc_depth
            passes = rng.choice([1, 1, 2, 4]) if fits else 1
            for number in range(passes):
                last = number == passes - 1
                run = self.random_run(tokens, tiles, **{
                    "acc_first": number == 0, "acc_last": last, "host": last} | fixed)
                run.dropped = rng.random() < 0.1
                if run.dropped:
                    run.v = run.v[:rng.randint(0, tokens)]
                if last and not run.raw and can_chain(cfg) and rng.random() < 0.5:
                    run.chain, run.host = True, rng.random() < 0.5
                    run.chain_buf = rng.getrandbits(1)
                runs.append(run)
        return runs

    def on_thresholds(self, tile: int, **options: Any) -> Run:
        """V just below, on and just above the threshold of chosen levels, both signs."""
        cfg, out = self.cfg, []
        levels = {1, 2, cfg.window, cfg.window + 1, cfg.sal_max, cfg.sal_max + 1, cfg.level_max,
                  # These round up to 128 * 2^e, which is re-coded as 64 * 2^(e+1).
                  *((cfg.sal_max << e) + (1 << e >> 1) for e in range(1, cfg.exp_max)),
                  *(self.rng.randint(1, cfg.level_max) for _ in range(6))}
        for m in sorted(levels):
            exact = -(-(2 * m - 1) * self.golden.theta[tile] // (2 << cfg.frac_bits))
            for off in (-1, 0, 1):
                v = np.clip(exact + off, 0, v_max(cfg))
                out.append(self.rng.choice((-1, 1)) * v)
        if cfg.fire == "staircase":                  # M cycles a tile
            out = self.rng.sample(out, 12)
        return Run(np.stack(out)[:, None, :], tile, **options)


@cocotb.test()
async def raw_without_thresholds(dut):
    """Raw V passes before any threshold was ever stored, at both ends of its range."""
    bench = IfBench(dut, "raw_without_thresholds")
    await bench.start()
    gen, most, cols = bench.numpy(), v_max(bench.cfg), bench.cfg.cols
    ends = np.array([0, most, -most, 1, -1])[:, None, None] * np.ones((1, 1, cols), np.int64)
    await bench.check([Run(ends, raw=True),
                       Run(gen.integers(-most, most + 1, (5, 2, cols)), raw=True)])


@cocotb.test()
async def mixed_runs(dut):
    """Runs of all kinds back to back, every option, stalls on all streams."""
    for trial in range(6):
        bench = IfBench(dut, f"mixed_runs/{trial}")
        if trial == 0:
            await bench.start()
        await bench.load(bench.random_theta(), *bench.random_scales())
        await bench.check(bench.random_runs(12, **({"spikes_only": True} if trial % 2 else {})))


@cocotb.test()
async def on_every_threshold(dut):
    """V exactly on thresholds, one below and one above, of theta from 1 to the largest."""
    bench = IfBench(dut, "on_every_threshold", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    theta = bench.random_theta()
    theta[0] = (2 << cfg.frac_bits) * np.arange(1, cfg.cols + 1)     # thresholds are whole V
    theta[1, 0], theta[1, -1] = bench.theta_max, 1
    theta[2] = bench.rng.randint(1, 3 << cfg.frac_bits)
    await bench.load(np.minimum(theta, bench.theta_max))
    await bench.check([bench.on_thresholds(0), bench.on_thresholds(1), bench.on_thresholds(2),
                       bench.on_thresholds(2, unsigned=True),
                       bench.on_thresholds(0, spikes_only=True)])


@cocotb.test()
async def extreme_sums(dut):
    """V = 0 and +-worst case against theta 1, middle and largest, with every option."""
    bench = IfBench(dut, "extreme_sums", stall=0.0)
    await bench.start()
    cfg, most = bench.cfg, v_max(bench.cfg)
    theta = np.full_like(bench.golden.theta, bench.theta_max)
    theta[0], theta[1] = 1, bench.theta_max >> 1
    await bench.load(theta)
    v = np.array([most, -most, most - 1, 0, 1, -1])[:, None, None] * np.ones(
        (1, 3, cfg.cols), np.int64)
    if cfg.fire == "staircase":
        v = v[::2]
    await bench.check([Run(v, **options) for options in (
        {}, {"unsigned": True}, {"spikes_only": True}, {"raw": True}, {"silence": cfg.window})])


@cocotb.test()
async def every_level(dut):
    """Columns at every level of the window at once, in every order, with every silence level."""
    bench = IfBench(dut, "every_level", stall=0.0)
    await bench.start()
    cfg, runs = bench.cfg, []
    await bench.load(np.full_like(bench.golden.theta, 1 << cfg.frac_bits))    # level = |V|
    for silence in range(cfg.window + 1):
        tokens = []
        for start in range(0, cfg.window + 3, cfg.cols):
            levels = start + np.arange(cfg.cols)
            bench.rng.shuffle(levels)
            tokens.append(levels * [bench.rng.choice((-1, 1)) for _ in levels])
        tokens.append(np.full(cfg.cols, cfg.window))
        few = cfg.fire == "staircase" or silence % 2 == 0
        runs.append(Run(np.stack(tokens)[:, None, :], silence=silence, spikes_only=few))
    await bench.check(runs)


@cocotb.test()
async def kept_sums(dut):
    """Many passes over the same places, as large as they fit, then as small as there are."""
    bench = IfBench(dut, "kept_sums", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    if not cfg.acc_depth:
        return
    await bench.load(bench.random_theta(), *bench.random_scales())
    tiles = min(cfg.tiles, cfg.acc_depth // cfg.cols)
    tokens = cfg.acc_depth // cfg.cols // tiles
    for shape in ((tokens, tiles), (1, 1)):
        runs = [bench.random_run(*shape, index=0, raw=number == 8, scale=False,
                                 acc_first=number % 3 == 0, acc_last=number % 3 == 2,
                                 host=number % 3 == 2) for number in range(9)]
        await bench.check(runs)


@cocotb.test()
async def chained_tokens(dut):
    """Tokens put together from the tiles of several runs, with others between."""
    bench = IfBench(dut, "chained_tokens")
    await bench.start()
    if not can_chain(bench.cfg):
        return
    await bench.load(bench.random_theta())
    runs = []
    for number in range(8):
        parts = bench.rng.randint(1, 3)
        for part in range(parts):
            runs.append(bench.random_run(
                1, bench.rng.randint(1, 2), raw=False, scale=False, chain=True,
                host=bench.rng.random() < 0.3, chain_buf=number % 2,
                chain_last=part == parts - 1))
            runs[-1].dropped = number == 5 and part == parts - 1
            if bench.rng.random() < 0.5:
                runs.append(bench.random_run(1, 1, scale=False))
    await bench.check(runs)


@cocotb.test()
async def thresholds_meanwhile(dut):
    """Thresholds of other tiles are stored while tiles fire."""
    bench = IfBench(dut, "thresholds_meanwhile")
    await bench.start()
    theta = bench.random_theta()
    await bench.load(theta)
    half = len(theta) // 2
    fresh = np.concatenate([theta[:half], bench.random_theta()[half:]])
    storing = cocotb.start_soon(bench.thr.send(words.thr_words(bench.cfg, fresh.ravel())))
    await bench.check([bench.random_run(2, 1, index=i % half, spikes_only=True, scale=False)
                       for i in range(6)])
    await bench.wait("end of storing", storing)
    bench.golden.theta[:] = fresh
    await bench.check([bench.random_run(1, 1, spikes_only=True, scale=False) for _ in range(10)])


@cocotb.test()
async def blocked_output(dut):
    """The output is refused for 3,000 cycles with tiles of both kinds waiting; nothing is lost."""
    for raw_first in (True, False):
        bench = IfBench(dut, f"blocked_output/{raw_first}", stall=0.0)
        if raw_first:
            await bench.start()
        await bench.load(bench.random_theta())
        runs = [bench.random_run(30, 1, raw=raw_first, spikes_only=True),
                bench.random_run(30, 1, raw=not raw_first, spikes_only=True)]
        bench.out.stalls = Late(3_000)
        check = cocotb.start_soon(bench.check(runs))
        await ClockCycles(dut.clk, 2_900)
        await FallingEdge(dut.clk)
        assert not bench.out.words and bench.psum.sent < 60, "refused words were dropped"
        await check


@cocotb.test()
async def reset_in_mid_run(dut):
    """Reset at random moments; the runs after it are right, the thresholds kept."""
    bench = IfBench(dut, "reset_in_mid_run")
    await bench.start()
    theta, scales = bench.random_theta(), bench.random_scales()
    await bench.load(theta, *scales)
    for trial in range(6):
        check = cocotb.start_soon(bench.check(bench.random_runs(8)))
        await ClockCycles(dut.clk, bench.rng.randint(1, 150))
        await bench.abort(check, *bench.tasks)
        before = bench.golden
        bench = IfBench(dut, f"reset_in_mid_run/{trial}")
        bench.golden.theta, bench.golden.mul, bench.golden.shift = (
            before.theta, before.mul, before.shift)
        await bench.check(bench.random_runs(3, spikes_only=True))
