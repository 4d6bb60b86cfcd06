"""Player: every word of every visit's train, in order, without a gap, stopped at any moment."""

import random
from dataclasses import dataclass

import pytest

from hdl.player import PLAY_LATENCY, Player
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL

CONFIGS = {"small": SMALL, "1_lane": SMALL.with_(rows=1, homes=1, int_lanes=1),
           "window_1": SMALL.with_(window=1)}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


@dataclass
class Visit:
    """One tile of a token."""

    buf: int
    start: int
    left: int
    base: int
    fire: dict[str, int]


def memory_of(cfg: Config, layout, rng: random.Random) -> list[list]:
    """Random train words for both buffers; a token may lie anywhere, and `end` is the memory's."""
    return [[layout.from_bits(rng.getrandbits(layout.size)) for _ in range(cfg.train_depth)]
            for _ in range(2)]


def random_visit(cfg: Config, rng: random.Random, drop: float = 0.1) -> Visit:
    drops = rng.random() < drop
    left = 0 if drops else rng.choice((0, 1, rng.randrange(12)))
    fire = {"run": rng.getrandbits(1), "tile": rng.randrange(cfg.tiles), "last": rng.getrandbits(1),
            "end": rng.getrandbits(1), "drop": int(drops),
            "shift": rng.randrange(16) if cfg.shift_bits else 0}
    start = 0 if drops else rng.choice((0, cfg.train_depth - 1 - left,
                                        rng.randrange(cfg.train_depth - left)))
    return Visit(rng.getrandbits(1), start, left, rng.randrange(cfg.bank_depth), fire)


def run(cfg: Config, visits: list[Visit], stall: float, gap: float, seed: int) -> list[int]:
    """Check all words; returns for each the number of enabled cycles before it, the first visit
    being offered from the start unless `gap` delays it."""
    dut, rng = Player(cfg), random.Random(seed)
    memory = memory_of(cfg, dut.word.shape(), rng)
    want = [(visit, visit.start + n) for visit in visits for n in range(visit.left + 1)]
    when: list[int] = []

    async def bench(ctx):
        queue, here, enabled, at = list(visits), False, 0, 0
        word = memory[0][0]
        while at < len(want):
            here = bool(queue) and (here or rng.random() >= gap)
            en = rng.random() >= stall
            ctx.set(dut.visit.valid, here)
            if here:
                visit = queue[0]
                ctx.set(dut.visit.payload, {
                    "token": {"start": visit.start, "left": visit.left},
                    "base": visit.base, "fire": visit.fire})
            # The buffer of what is offered; another one's when nothing is.
            ctx.set(dut.buf, queue[0].buf if here else rng.getrandbits(1))
            ctx.set(dut.en, en)
            ctx.set(dut.word, word)

            valid = ctx.get(dut.valid)
            if valid:
                visit, place = want[at]
                stored, drop = memory[visit.buf][place], visit.fire["drop"]
                got = ctx.get(dut.event)
                for lane in range(cfg.rows):
                    event = stored.event[lane]
                    assert got[lane].valid == (event.valid and not drop)
                    if got[lane].valid:
                        assert (got[lane].row, got[lane].neg) == (event.row, event.neg)
                assert ctx.get(dut.base) == visit.base
                fire = ctx.get(dut.fire)
                assert {name: fire[name] for name in visit.fire} == visit.fire
                assert ctx.get(dut.snap) == (stored.snap or drop)
                if ctx.get(dut.snap):
                    assert ctx.get(dut.tile_end) == (stored.end or drop)
                    assert ctx.get(dut.dt) == (0 if drop else stored.dt)
            else:
                assert not ctx.get(dut.snap)
                assert not any(event.valid for event in ctx.get(dut.event)), "an event of no word"
            read, taken = ctx.get(dut.read), here and ctx.get(dut.visit.ready)
            assert en or not (read or taken), "moved while stopped"
            source = ctx.get(dut.read_buf), ctx.get(dut.addr)
            await ctx.tick()

            if taken:
                queue.pop(0)
                here = False
            if read:
                word = memory[source[0]][source[1]]
            if en:
                if valid:
                    when.append(enabled)
                    at += 1
                enabled += 1
        assert not queue

    simulate(Bench(dut), bench)
    return when


@pytest.mark.parametrize("stall, gap", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.8), (0.4, 0.5)],
                         ids=["free", "stopped", "late_visits", "both"])
@configs
def test_random_visits(cfg: Config, stall: float, gap: float) -> None:
    rng = random.Random(30)
    run(cfg, [random_visit(cfg, rng) for _ in range(60)], stall, gap, seed=31)


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["free", "stopped"])
@configs
def test_first_word_after_the_latency_then_one_each(cfg: Config, stall: float) -> None:
    """No gap between tiles, tokens and buffers, also of one word each and of dropped runs."""
    rng = random.Random(32)
    visits = [random_visit(cfg, rng) for _ in range(60)]
    when = run(cfg, visits, stall, 0.0, seed=33)
    assert when == list(range(PLAY_LATENCY, PLAY_LATENCY + sum(visit.left + 1 for visit in visits)))


def test_a_dropped_run_is_one_word_without_events() -> None:
    rng = random.Random(34)
    visits = [random_visit(SMALL, rng, drop=1.0) for _ in range(5)]
    assert run(SMALL, visits, 0.0, 0.0, seed=35) == [3, 4, 5, 6, 7]
