"""Sequencer: order, timing and labels of steps, with lanes that hold any number of events."""

import random
from dataclasses import dataclass

import pytest

from hdl.sequencer import Sequencer
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL


@dataclass
class Token:
    """events[level] of the fullest lane; only levels that occur."""

    events: dict[int, int]
    run: dict[str, int]


def random_token(cfg: Config, rng: random.Random) -> Token:
    share = rng.choice([0, 0.2, 0.6, 1])
    events = {level: rng.randint(1, cfg.rows_k) for level in range(1, cfg.window + 1)
              if rng.random() < share}
    tiles = rng.choice([1, 1, 2, cfg.tiles])
    run = {"tile_last": tiles - 1, "stride": rng.randint(1, cfg.bank_depth // tiles),
           "raw": rng.getrandbits(1), "unsigned": rng.getrandbits(1),
           "spikes_only": rng.getrandbits(1), "silence": rng.randrange(cfg.window + 1)}
    return Token(events, run)


def steps(tokens: list[Token]) -> list[dict]:
    """Every step that must be issued, in order, with its number of cycles as `cost`."""
    out = []
    for number, token in enumerate(tokens):
        run = token.run
        levels = sorted(token.events, reverse=True) or [0]
        for tile in range(run["tile_last"] + 1):
            for here, there in zip(levels, [*levels, 0][1:], strict=True):
                tile_end, tile_last = here == levels[-1], tile == run["tile_last"]
                fire = {name: run[name] for name in ("raw", "unsigned", "spikes_only", "silence")}
                out.append({
                    "buf": number % 2, "level": here, "base": tile * run["stride"],
                    "dt": here - there, "tile_end": tile_end, "token_end": tile_end and tile_last,
                    "fire": fire | {"tile": tile, "last": tile_last},
                    "cost": max(1, token.events.get(here, 0)),
                })
    return out


def run(cfg: Config, tokens: list[Token], stall: float, gap: float, seed: int) -> int:
    """Check all steps; returns the enabled cycles from the first load to the last snapshot."""
    dut, rng, want = Sequencer(cfg), random.Random(seed), steps(tokens)
    spent = 0

    async def bench(ctx):
        nonlocal spent
        queue, here, loaded, done = list(enumerate(tokens)), False, 0, 0
        left = 0                # events of the fullest lane still to pop, this cycle's included
        base = None             # of the events at the queues' outputs
        while done < len(want):
            here = bool(queue) and (here or rng.random() >= gap)
            en = rng.random() >= stall
            ctx.set(dut.token.valid, here)
            if here:
                number, token = queue[0]
                ctx.set(dut.token.payload, {
                    "levels": sum(1 << level - 1 for level in token.events),
                    "buf": number % 2, "run": token.run})
            ctx.set(dut.en, en)
            ctx.set(dut.lanes_last, left <= 1)

            busy = loaded > done
            snap = ctx.get(dut.snap)
            assert snap == (busy and left <= 1)
            if base is not None:
                assert ctx.get(dut.base) == base
            if snap:
                step, ref = ctx.get(dut.step), want[done]
                for name in ("buf", "level", "base", "dt", "tile_end", "token_end"):
                    assert step[name] == ref[name], name
                for name, value in ref["fire"].items():
                    assert step.fire[name] == value, name
            finished = en and snap and want[done]["token_end"]
            assert ctx.get(dut.done) == (1 << want[done]["buf"] if finished else 0)
            load = ctx.get(dut.load)
            assert not load or (en and (not busy or snap)), "load in the middle of a step"
            if load:
                assert ctx.get(dut.load_buf) == want[loaded]["buf"]
                assert ctx.get(dut.load_level) == want[loaded]["level"]
            taken = here and ctx.get(dut.token.ready)
            await ctx.tick()

            if taken:
                queue.pop(0)
                here = False
            if en:
                spent += loaded > 0
                base = want[done]["base"] if busy else None
                left = max(0, left - 1)
                done += snap
                if load:
                    left = want[loaded]["cost"]
                    loaded += 1
        assert not queue

    simulate(Bench(dut), bench)
    return spent


CONFIGS = {"window_7": SMALL, "window_15": SMALL.with_(window=15),
           "window_1": SMALL.with_(window=1), "1_tile": SMALL.with_(tiles=1)}


@pytest.mark.parametrize("stall, gap", [(0.0, 0.0), (0.4, 0.0), (0.0, 0.7), (0.3, 0.3)],
                         ids=["free", "pipeline_stalls", "late_tokens", "both"])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_tokens(cfg: Config, stall: float, gap: float) -> None:
    rng = random.Random(20)
    run(cfg, [random_token(cfg, rng) for _ in range(25)], stall, gap, seed=21)


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["free", "pipeline_stalls"])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_steps_tiles_and_tokens_follow_without_a_gap(cfg: Config, stall: float) -> None:
    """Levels without events cost nothing, silent tokens one cycle a tile, nothing else anything."""
    rng = random.Random(22)
    tokens = [random_token(cfg, rng) for _ in range(25)]
    tokens += [Token({level: 1}, tokens[0].run) for level in range(1, cfg.window + 1)]
    tokens += [Token({}, tokens[1].run)] * 3
    assert run(cfg, tokens, stall, 0.0, seed=23) == sum(step["cost"] for step in steps(tokens))


@pytest.mark.parametrize("level", range(1, 8))
def test_one_step_for_one_event_at_any_level(level: int) -> None:
    token = Token({level: 1}, random_token(SMALL, random.Random(0)).run | {"tile_last": 0})
    assert run(SMALL, [token], 0.0, 0.0, seed=0) == 1
    assert steps([token])[0]["dt"] == level
