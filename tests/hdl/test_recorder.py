"""Recorder: order, timing and labels of train words, with lanes that hold any number of events."""

import itertools
import random

import pytest

from hdl.recorder import Recorder
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL

CONFIGS = {"window_7": SMALL, "window_15": SMALL.with_(window=15),
           "window_1": SMALL.with_(window=1),
           "1_lane": SMALL.with_(rows=1, homes=1, int_lanes=1),
           "unsigned": SMALL.with_(signed=False)}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)

#: lane -> level -> (row, neg), the first one popped first
Token = list[dict[int, list[tuple[int, int]]]]


def random_token(cfg: Config, rng: random.Random) -> Token:
    share, full = rng.choice([0, 0.2, 0.6, 1]), rng.choice([1, 2, 5])
    token: Token = [{} for _ in range(cfg.rows)]
    for level in range(1, cfg.window + 1):
        if rng.random() < share:
            counts = [rng.randint(0, full) for _ in token]
            counts[rng.randrange(cfg.rows)] = full
            for lane, count in zip(token, counts, strict=True):
                lane[level] = [(rng.randrange(cfg.rows_k), rng.getrandbits(1) * cfg.signed)
                               for _ in range(count)]
    return token


def levels_of(token: Token) -> list[int]:
    return sorted({level for lane in token for level in lane if lane[level]}, reverse=True)


def words_of(token: Token) -> list[dict]:
    """The train that must be written."""
    words, levels = [], levels_of(token)
    for level, below in zip(levels or [0], [*levels[1:], 0], strict=True):
        longest = max(1, *(len(lane.get(level, [])) for lane in token))
        for at in range(longest):
            events = [lane.get(level, []) for lane in token]
            words.append({"events": [lane[at] if at < len(lane) else None for lane in events],
                          "snap": at == longest - 1, "dt": level - below, "end": False})
    words[-1]["end"] = True
    return words


def run(cfg: Config, tokens: list[Token], gap: float, seed: int) -> list[list[int]]:
    """Check all words; returns the cycles of each token: offered, then those of its words."""
    dut, rng, trace = Recorder(cfg), random.Random(seed), []

    async def bench(ctx):
        lanes: list[list] = [[] for _ in range(cfg.rows)]       # still to pop, this cycle's first
        queue, here, at = [*enumerate(tokens)], False, 0
        heads = [{"buf": rng.getrandbits(1), "shift": rng.randrange(16), "fail": rng.getrandbits(1),
                  "list_start": rng.randrange(99)} for _ in tokens]
        want = [(number, word) for number, token in enumerate(tokens) for word in words_of(token)]
        cycle = 0
        while want or here:
            if queue and not here and rng.random() >= gap:
                here = True
                if len(trace) == queue[0][0]:
                    trace.append([cycle])
            ctx.set(dut.coded.valid, here)
            if here:
                number, token = queue[0]
                ctx.set(dut.coded.payload, heads[number] | {
                    "queue": number % 2, "levels": sum(1 << n - 1 for n in levels_of(token))})
            for lane, left in enumerate(lanes):
                ctx.set(dut.last[lane], len(left) <= 1)

            if ctx.get(dut.word_valid):
                number, word = want.pop(0)
                got, head = ctx.get(dut.word), ctx.get(dut.token)
                assert [(e.row, e.neg) if e.valid else None for e in got.event] == word["events"]
                assert (got.snap, got.end) == (word["snap"], word["end"])
                assert not got.snap or got.dt == word["dt"]
                assert {name: head[name] for name in heads[number]} == heads[number]
                trace[number].append(cycle)
            load, ready = ctx.get(dut.load), ctx.get(dut.coded.ready) and here
            assert ctx.get(dut.busy) or not (here or ctx.get(dut.word_valid))
            if load:
                assert all(len(left) <= 1 for left in lanes), "load in the middle of a level"
                bucket = ctx.get(dut.load_queue), ctx.get(dut.load_level)
                loaded = levels_of(queue[0][1])[at]         # fails if there is none to load
                assert here and bucket == (queue[0][0] % 2, loaded)
            await ctx.tick()

            for lane, left in enumerate(lanes):       # the queues' output registers
                event = left.pop(0) if left else None
                ctx.set(dut.valid[lane], event is not None)
                ctx.set(dut.row[lane], event[0] if event else rng.randrange(cfg.rows_k))
                ctx.set(dut.neg[lane], event[1] if event else 0)
            if load:
                lanes = [list(lane.get(loaded, [])) for lane in queue[0][1]]
                at += 1
            if ready:
                assert not any(lanes) and at == len(levels_of(queue[0][1]))
                queue.pop(0)
                here, at = False, 0
            cycle += 1
        assert not ctx.get(dut.word_valid) and not queue

    simulate(Bench(dut), bench)
    return trace


@pytest.mark.parametrize("gap", [0.0, 0.7], ids=["free", "late_tokens"])
@configs
def test_random_tokens(cfg: Config, gap: float) -> None:
    rng = random.Random(20)
    run(cfg, [random_token(cfg, rng) for _ in range(25)], gap, seed=21)


@configs
def test_first_word_after_three_cycles_then_one_a_cycle_and_one_between_levels(cfg: Config) -> None:
    """Levels without events cost nothing, silent tokens one cycle; the next token follows after
    the three cycles in which the token before is let go of."""
    rng = random.Random(22)
    tokens = [random_token(cfg, rng) for _ in range(12)]
    tokens += [[{level: [(0, 0)]}, *[{}] * (cfg.rows - 1)] for level in range(1, cfg.window + 1)]
    tokens += [[{}] * cfg.rows] * 3
    trace = run(cfg, tokens, 0.0, seed=23)
    for token, (offered, *cycles) in zip(tokens, trace, strict=True):
        words = words_of(token)
        levels = itertools.accumulate([0, *(word["snap"] for word in words[:-1])])
        assert cycles == [offered + 3 + n + before for n, before in enumerate(levels)]
    for (_, *one), (_, *two) in zip(trace, trace[1:], strict=False):
        assert two[0] == one[-1] + 4


@pytest.mark.parametrize("level", range(1, 8))
def test_one_word_for_one_event_at_any_level(level: int) -> None:
    token: Token = [{}, {level: [(3, 1)]}, {}, {}]
    (_, *cycles), = run(SMALL, [token], 0.0, seed=0)
    assert len(cycles) == 1 and words_of(token)[0]["dt"] == level
