"""Counters: every cycle has one cause, nothing is lost, and a copy has all that was before it."""

import random

import pytest

from hdl.counters import LATCH_MAX, ROUND, Counters, step_max
from spinteger import isa
from spinteger.config import PRESETS, Config
from tests.hdl.streams import Bench, simulate

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "default": Config(),
    "one_lane": Config(rows=1, cols=1, homes=1, int_lanes=1, k=16, depth=64, tiles=4, exp_max=2,
                       frac_bits=6, theta_bits=18),
    "odd": Config(rows=3, cols=5, homes=1, int_lanes=3, k=40, depth=64, tiles=4, exp_max=2,
                  frac_bits=6, theta_bits=18),
}
#: Of these at most one is up (`hdl.payloads.activity_layout`).
EXCLUSIVE = ("play", "ramp", "integer", "firing", "await_acts", "draining")
INPUTS = ("loading_weights", "loading_acts", "encoding", "rows_loaded", "rows_skipped")
Cycle = dict[str, int]
QUIET: Cycle = dict.fromkeys((*EXCLUSIVE, "blocked", "token", "tile", "events", "salients",
                              "silent",
                              "spiking", "salient_inputs", *INPUTS), 0)


class Model:
    """The counters as plain sums of the cycles seen."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.clear()

    def clear(self) -> None:
        self.sums = dict.fromkeys(isa.COUNTERS, 0)
        self.idle_lanes = 0

    def cause(self, now: Cycle) -> str:
        """The cause of a cycle; counts its idle lanes."""
        stopped = "output" if now["blocked"] else "firing"
        if now["play"]:
            before = self.idle_lanes // self.cfg.rows
            self.idle_lanes += self.cfg.rows - now["events"]
            return "events" if self.idle_lanes // self.cfg.rows == before else "longest_lane"
        for name in ("ramp", "integer"):
            if now[name]:
                return name
        if now["firing"] or now["draining"]:
            return stopped
        if now["await_acts"]:
            return "acts"
        if now["loading_weights"]:
            return "weights"
        if now["loading_acts"] or now["encoding"]:
            return "acts"
        return "output" if now["blocked"] else "idle"

    def count(self, now: Cycle) -> None:
        for name in ("cycles", self.cause(now)):
            self.sums[name] += 1
        self.sums["spikes"] += now["events"] * now["play"]
        for name in ("salients", "silent", "spiking", "salient_inputs", "rows_loaded",
                     "rows_skipped"):
            self.sums[name] += now[name]
        self.sums["tokens"] += now["token"]
        self.sums["tiles"] += now["tile"]


def random_cycle(cfg: Config, rng: random.Random, most: bool = False) -> Cycle:
    """What could happen in a cycle; `most`: all numbers as large as they get."""
    def number(high: int) -> int:
        return high if most else rng.randint(0, high)

    steps = step_max(cfg)
    busy = rng.choice((*EXCLUSIVE, None, None))
    return {
        **{name: int(name == busy) for name in EXCLUSIVE},
        **{name: rng.getrandbits(1) for name in ("blocked", "token", "tile", "loading_weights",
                                                 "loading_acts")},
        "encoding": rng.choice((0, 0, 1, 2, 3)), "events": number(cfg.rows),
        **{name: number(steps[name]) for name in ("salients", "silent", "spiking",
                                                  "salient_inputs", "rows_loaded",
                                                  "rows_skipped")}}


def drive(ctx, dut: Counters, now: Cycle) -> None:
    """Put a cycle on the inputs."""
    for name in INPUTS:
        ctx.set(getattr(dut, name), now[name])
    ctx.set(dut.activity, {name: value for name, value in now.items() if name not in INPUTS})


class Checker:
    """Drives cycles, keeps a model of what was counted, and checks copies against it."""

    def __init__(self, ctx, dut: Counters):
        self.ctx, self.dut, self.model = ctx, dut, Model(dut.cfg)
        self.copy: dict[str, int] = {}

    async def cycle(self, now: Cycle, clear: bool = False, latch: bool = False) -> None:
        ctx, dut = self.ctx, self.dut
        drive(ctx, dut, now)
        ctx.set(dut.clear, clear)
        ctx.set(dut.latch, latch)
        await ctx.tick()
        if clear:
            self.model.clear()
        else:
            self.model.count(now)

    async def read(self, cycles) -> dict[str, int]:
        """All counters of the copy, their words in any order, while `cycles()` go on."""
        words = list(range(1 << len(self.dut.addr)))
        random.Random(6).shuffle(words)
        got = {}
        for at, word in enumerate([*words, 0, 0]):
            self.ctx.set(self.dut.addr, word)
            if at >= 2:
                got[words[at - 2]] = self.ctx.get(self.dut.value)
            await self.cycle(cycles())
        assert not any(got[word] for word in words if word >= ROUND)
        return {name: got[2 * n] | got[2 * n + 1] << 32 for n, name in enumerate(isa.COUNTERS)}

    async def check_all(self, rng: random.Random, most: bool = False) -> None:
        """Latch, then read all counters while they count on."""
        def cycles() -> Cycle:
            return random_cycle(self.dut.cfg, rng, most)

        before = dict(self.model.sums)
        await self.cycle(cycles(), latch=True)
        for _ in range(LATCH_MAX):
            if not self.ctx.get(self.dut.copying):
                break
            await self.cycle(cycles())
        assert not self.ctx.get(self.dut.copying)
        after = dict(self.model.sums)
        self.copy = await self.read(cycles)
        for name, value in self.copy.items():
            assert before[name] <= value <= after[name], name
        assert sum(self.copy[name] for name, _ in isa.CAUSES) == self.copy["cycles"]

    async def check_exactly(self) -> None:
        """The same, while nothing goes on: only idle cycles may come later."""
        for _ in range(3):
            await self.cycle(QUIET)
        await self.cycle(QUIET, latch=True)
        want = dict(self.model.sums)
        while self.ctx.get(self.dut.copying):
            await self.cycle(QUIET)
        self.copy = await self.read(lambda: QUIET)
        late = self.copy["cycles"] - want["cycles"]
        assert 0 <= late <= LATCH_MAX
        assert self.copy == want | {"cycles": want["cycles"] + late, "idle": want["idle"] + late}


def run(cfg: Config, job) -> None:
    """Run `job(checker)` on fresh counters."""
    dut = Counters(cfg)

    async def bench(ctx):
        await job(Checker(ctx, dut))

    simulate(Bench(dut), bench)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_cycles(cfg: Config) -> None:
    """Clears at random moments, and copies at random moments after them, some of them twice."""
    rng = random.Random(1)

    async def job(check: Checker) -> None:
        await check.check_all(rng)               # just after reset
        for _ in range(12):
            for _ in range(rng.choice((0, 1, 2, 5, ROUND, 3 * ROUND))):
                await check.cycle(random_cycle(cfg, rng), clear=rng.random() < 0.02,
                                  latch=rng.random() < 0.05)
            await check.check_all(rng)
            await check.check_exactly()

    run(cfg, job)


@pytest.mark.parametrize("offset", range(0, 2 * ROUND, 7))
def test_latch_and_clear_at_every_moment_of_a_round(offset: int) -> None:
    """Clear and latch, each at many places of a round, and one soon after another."""
    rng = random.Random(offset)

    async def job(check: Checker) -> None:
        for _ in range(offset):
            await check.cycle(random_cycle(TINY, rng))
        await check.cycle(random_cycle(TINY, rng), clear=True)
        await check.check_all(rng)
        for gap in (0, 1, 7, ROUND - 1):
            await check.cycle(random_cycle(TINY, rng), clear=True)
            for _ in range(gap):
                await check.cycle(random_cycle(TINY, rng))
            await check.cycle(random_cycle(TINY, rng), clear=True)
            for _ in range(offset % 5):
                await check.cycle(random_cycle(TINY, rng))
            await check.check_exactly()
        for _ in range(offset):
            await check.cycle(random_cycle(TINY, rng), latch=True)
        await check.check_all(rng)

    run(TINY, job)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_largest_steps(cfg: Config) -> None:
    """All numbers at their maximum for many rounds, right after a clear, too."""
    rng = random.Random(2)

    async def job(check: Checker) -> None:
        for _ in range(2):
            for _ in range(6 * ROUND):
                await check.cycle(random_cycle(cfg, rng, most=True))
            await check.check_all(rng, most=True)
            await check.check_exactly()
            await check.cycle(random_cycle(cfg, rng), clear=True)

    run(cfg, job)


def test_a_carry_into_the_high_word() -> None:
    """A counter's low word runs over."""
    dut, rng = Counters(TINY), random.Random(7)

    async def bench(ctx):
        check, index = Checker(ctx, dut), isa.COUNTERS.index("spikes")
        await check.check_exactly()
        memory = dut.memory.data
        ctx.set(memory[2 * index], (1 << 32) - 512)
        for _ in range(4 * ROUND):
            await check.cycle(random_cycle(TINY, rng) | {"play": 1, "events": TINY.rows}
                              | dict.fromkeys(EXCLUSIVE[1:], 0))
        check.model.sums["spikes"] += (1 << 32) - 512
        await check.check_exactly()
        assert check.copy["spikes"] > 1 << 32

    simulate(Bench(dut), bench)


def test_every_cause() -> None:
    """All combinations of what decides the cause, except for lanes, which follow below."""
    idle = random_cycle(TINY, random.Random(3)) | dict.fromkeys(EXCLUSIVE, 0)
    cases = [idle | {"play": 0, "events": 0, "blocked": blocked, "loading_weights": weights,
                     "loading_acts": acts, "encoding": encoding}
             | ({busy: 1} if busy else {})
             for busy in (*EXCLUSIVE, None) for blocked in (0, 1) for weights in (0, 1)
             for acts in (0, 1) for encoding in range(4)]
    want = {"ramp": 32, "integer": 32, "firing": 32, "output": 33, "weights": 16, "acts": 46,
            "longest_lane": 32, "events": 0}

    async def job(check: Checker) -> None:
        await check.cycle(idle, clear=True)
        for now in cases:
            await check.cycle(now)
        await check.check_exactly()
        assert {name: check.copy[name] for name in want} == want

    run(TINY, job)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_longest_lane_is_whole_cycles_of_idle_lanes(cfg: Config) -> None:
    """Every number of events, in every order of two: floor(idle lanes / R) cycles."""
    counts = range(cfg.rows + 1) if cfg.rows <= 4 else (0, 1, 7, cfg.rows - 1, cfg.rows)
    quiet = random_cycle(cfg, random.Random(4)) | dict.fromkeys(EXCLUSIVE, 0)

    async def job(check: Checker) -> None:
        await check.cycle(quiet | {"play": 1, "events": 0})
        await check.cycle(quiet | {"play": 1, "events": 0}, clear=True)
        played = [events for one in counts for two in counts for events in (one, two)]
        for events in played:
            await check.cycle(quiet | {"play": 1, "events": events})
        await check.check_exactly()
        idle = sum(cfg.rows - events for events in played)
        assert check.copy["longest_lane"] == idle // cfg.rows
        assert check.copy["events"] == len(played) - idle // cfg.rows
        assert check.copy["spikes"] == sum(played)

    run(cfg, job)


def test_reset_in_mid_count() -> None:
    """After a reset all counters are zero, whatever memory holds."""
    dut, rng = Counters(TINY), random.Random(5)
    bench = Bench(dut)

    async def testbench(ctx):
        for trial in range(5):
            check = Checker(ctx, dut)
            for _ in range(trial):
                await check.cycle(random_cycle(TINY, rng))
            if trial % 2:
                await check.check_all(rng)
            await check.check_exactly()
            for _ in range(rng.randint(1, 2 * ROUND)):
                await check.cycle(random_cycle(TINY, rng), latch=trial % 2 == 0)
            ctx.set(bench.rst, 1)
            await ctx.tick()
            ctx.set(bench.rst, 0)

    simulate(bench, testbench)
