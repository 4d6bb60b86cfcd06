"""Walk: all tiles of all tokens in order, as they become ready; failed buffers; without gaps."""

import random
from dataclasses import dataclass, field

import pytest

from hdl.walk import Walk
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL

CONFIGS = {"small": SMALL, "1_tile": SMALL.with_(tiles=1), "1_token": SMALL.with_(tokens=1),
           "no_shift": SMALL.with_(scale_bits=0)}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


@dataclass
class Run:
    """A run, what its buffer's table holds, and how many of its tokens will ever be ready."""

    buf: int
    tokens: int
    tiles: int
    base: int
    stride: int
    table: list[dict]
    complete: int       #: == tokens, or the buffer turns bad after so many

    def visits(self) -> list[tuple[int | None, int]]:
        """(token, tile) of every visit; token None is the one that says `drop`."""
        visits: list[tuple[int | None, int]] = [
            (token, tile) for token in range(self.complete) for tile in range(self.tiles)]
        return visits + [(None, 0)] * (self.complete < self.tokens)


@dataclass
class Trace:
    """Cycles of every visit, by run, and those in which it said `waits`."""

    visits: list[list[int]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)


def random_entry(cfg: Config, rng: random.Random) -> dict:
    return {"start": rng.randrange(cfg.train_depth), "left": rng.randrange(cfg.train_depth),
            "list_start": rng.randrange(cfg.list_depth),
            "shift": rng.randrange(16) if cfg.shift_bits else 0,
            "count": [rng.randint(0, cfg.list_worst) for _ in range(cfg.int_lanes)]}


def random_run(cfg: Config, rng: random.Random, fail: float = 0.0) -> Run:
    tokens, tiles = (rng.choice((1, rng.randint(1, most), most)) for most in
                     (cfg.tokens, cfg.tiles))
    stride = rng.randint(1, cfg.slot_rows // tiles)
    complete = rng.randrange(tokens) if rng.random() < fail else tokens
    return Run(rng.getrandbits(1), tokens, tiles, rng.randrange(cfg.slots) * cfg.slot_rows, stride,
               [random_entry(cfg, rng) for _ in range(tokens)], complete)


def run(cfg: Config, runs: list[Run], come: float = 1.0, take: float = 1.0, offer: float = 1.0,
        seed: int = 0) -> Trace:
    """Check every visit of the runs. Per cycle, with these probabilities a token becomes ready
    (1: all are at once), a visit is taken, the next run is there."""
    dut, rng, trace = Walk(cfg), random.Random(seed), Trace([[] for _ in runs])

    async def bench(ctx):
        cycle = at = 0
        here = False
        queue = [*enumerate(runs)]
        ready, bad = [0, 0], 0
        held = None                       # an offered visit that was not taken
        over = False                      # all visits of the run are
        before = [0, 0]                   # tokens ready a cycle ago
        while queue:
            number, now = queue[0]
            if not here and rng.random() < offer:
                here, at = True, 0
                want = now.visits()
                ready[now.buf], bad = 0, 0
            if here:
                if come == 1:
                    ready[now.buf] = now.complete
                elif ready[now.buf] < now.complete and rng.random() < come:
                    ready[now.buf] += 1
                if ready[now.buf] == now.complete < now.tokens and rng.random() < max(come, 0.3):
                    bad |= 1 << now.buf
                ctx.set(dut.run.payload, {
                    "buf": now.buf, "token_last": now.tokens - 1, "base": now.base,
                    "stride": now.stride, "tile_last": now.tiles - 1})
            ctx.set(dut.run.valid, here)
            ctx.set(dut.slot, number % 2)
            for buf in range(2):
                # The other buffer's count means nothing.
                ctx.set(dut.ready[buf], ready[buf] if here and buf == now.buf
                        else rng.randint(0, cfg.tokens))
            ctx.set(dut.bad, bad if here else rng.getrandbits(2))
            taken = rng.random() < take
            ctx.set(dut.visit.ready, taken)

            valid = ctx.get(dut.visit.valid)
            bits = ctx.get(dut.visit.payload).as_bits()
            assert held in (None, bits) and (held is None or valid), "a visit was withdrawn"
            held = bits if valid and not taken else None
            last = False
            if valid:
                token, tile = want[at]
                last = at == len(want) - 1
                got = ctx.get(dut.visit.payload)
                fire = got.fire
                if token is None:
                    assert fire.drop and got.token.as_bits() == 0
                else:
                    entry = now.table[token]
                    assert ready[now.buf] > token, "it was not ready"
                    assert {name: got.token[name] for name in entry if name != "count"} | {
                        "count": list(got.token.count)} == entry
                    assert fire.shift == entry["shift"] and not fire.drop
                assert (fire.run, fire.tile) == (number % 2, tile)
                assert got.base == now.base + tile * now.stride
                assert fire.last == (token is None or tile == now.tiles - 1)
                assert fire.end == last
            assert ctx.get(dut.run.ready) == over
            if ctx.get(dut.waits):
                token = want[at][0] if at < len(want) else None
                assert not valid and (token is None or before[now.buf] <= token)
                trace.waits.append(cycle - 1)
            before = list(ready)
            ask = ctx.get(dut.ask)
            await ctx.tick()
            cycle += 1

            if ask.en:
                assert ask.buf == now.buf and ask.token < ready[now.buf]
                ctx.set(dut.entry, now.table[ask.token])
            if valid and taken:
                trace.visits[number].append(cycle - 1)
                at += 1
            if over:
                queue.pop(0)
                here = False
            over = valid and taken and last

    simulate(Bench(dut), bench)
    return trace


@pytest.mark.parametrize("come, take, offer", [
    (1, 1, 1), (1, 0.4, 0.3), (0.1, 1, 1), (0.3, 0.5, 0.5), (0.02, 0.9, 1)],
    ids=["free", "slow_taker", "slow_tokens", "all_slow", "very_slow_tokens"])
@configs
def test_random_runs(cfg: Config, come: float, take: float, offer: float) -> None:
    rng = random.Random(f"{come}{take}")
    count = 6 if come < 0.1 else 15
    run(cfg, [random_run(cfg, rng, fail=0.3) for _ in range(count)], come, take, offer, seed=1)


@pytest.mark.parametrize("complete", range(4))
def test_a_failed_buffer_ends_the_run_after_its_complete_tokens(complete: int) -> None:
    rng = random.Random(2)
    failing = random_run(SMALL, rng)
    failing.tokens, failing.complete = 4, complete
    failing.table = [random_entry(SMALL, rng) for _ in range(4)]
    run(SMALL, [random_run(SMALL, rng), failing, random_run(SMALL, rng), failing, failing])


@pytest.mark.parametrize("tiles", range(1, 5))
def test_a_visit_every_third_cycle(tiles: int) -> None:
    """Fetching the next token's entry takes 3 cycles, beside the visits; a run's first visit
    comes 4 cycles after the run, which is let go of a cycle after its last one."""
    rng = random.Random(3)
    runs = [random_run(SMALL, rng) for _ in range(3)]
    for one in runs:
        one.tokens = one.complete = 5
        one.tiles, one.stride = tiles, 2
        one.table = [random_entry(SMALL, rng) for _ in range(5)]
    trace = run(SMALL, runs)
    for visits in trace.visits:
        each = 3 * tiles
        assert [cycle - visits[0] for cycle in visits] == [
            token * each + 3 * tile for token in range(5) for tile in range(tiles)]
    starts = [0, *(visits[-1] + 2 for visits in trace.visits)]
    assert [visits[0] - start for visits, start in zip(trace.visits, starts, strict=False)] == [
        4, 4, 4]


def test_waits_says_so_in_every_cycle_until_the_token_comes() -> None:
    rng = random.Random(4)
    one = random_run(SMALL, rng)
    one.tokens = one.complete = SMALL.tokens
    one.tiles, one.table = 1, [random_entry(SMALL, rng) for _ in range(SMALL.tokens)]
    one.stride = 1
    trace = run(SMALL, [one], come=0.05)
    visits, = trace.visits
    # A visit comes four cycles after its token: those do not count as waiting for it, nor does
    # the cycle after a visit, in which it is let go of.
    assert trace.waits == [cycle for cycle in range(visits[-1])
                           if not set(range(cycle - 1, cycle + 5)) & set(visits)]
