"""Event queue: cycle by cycle against lists of events, and golden.trains.counts."""

import random

import pytest

from golden import trains
from hdl.event_queue import EventQueue
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL, hard_codes, join, random_codes

CONFIGS = {
    "signed": SMALL,
    "unsigned_15": SMALL.with_(signed=False, window=15),
    "window_1": SMALL.with_(window=1),
    "one_row": SMALL.with_(k=2),
    "one_home": SMALL.with_(homes=1),
    "16_rows": SMALL.with_(k=32),
    "4_homes": SMALL.with_(homes=4),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
Event = tuple[int, int]        # row, neg


class Rig:
    """An event queue beside its reference; `cycle` drives one clock cycle and compares."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.dut = EventQueue(cfg)
        self.filling: dict[int, list[Event]] = {}                   # of the token being pushed
        self.buckets: list[dict[int, list[Event]]] = [{}, {}]       # moved, by buffer
        self.current: list[Event] = []          # of the bucket being popped
        self.out: Event | None = None
        self.rng = random.Random(1)

    async def cycle(self, ctx, push: tuple[int, int, Event] | None = None,
                    load: tuple[int, int] | None = None,
                    move: tuple[int, int] | None = None) -> bool:
        """push (buf, level, event) or move (buf, level); load (buf, level). Returns whether the
        load was taken."""
        dut, rng = self.dut, self.rng
        assert not (push and move)
        idle = rng.getrandbits(1), rng.randint(1, self.cfg.window)
        buf, level, event = push or (*(move or idle), (0, 0))
        for name, value in zip(("buf", "level", "row", "neg"), (buf, level, *event), strict=True):
            ctx.set(getattr(dut, f"push_{name}"), value)
        ctx.set(dut.push, push is not None)
        ctx.set(dut.move, move is not None)
        assert ctx.get(dut.fill) == len(self.filling.get(level, []))    # pushing or not
        last = len(self.current) <= 1
        assert ctx.get(dut.last) == last
        takes = load if last else None
        ctx.set(dut.load, takes is not None)
        if takes:
            ctx.set(dut.load_buf, takes[0])
            ctx.set(dut.load_level, takes[1])
        assert ctx.get(dut.valid) == (self.out is not None)
        if self.out is not None:
            assert (ctx.get(dut.row), ctx.get(dut.neg)) == self.out
        await ctx.tick()
        self.out = self.current.pop() if self.current else None
        if takes:
            self.current = list(self.buckets[takes[0]].get(takes[1], []))
        if push:
            self.filling.setdefault(level, []).append(event)
        if move:
            self.buckets[buf][level] = self.filling.pop(level, [])
        return bool(takes)

    async def move_all(self, ctx, buf: int) -> None:
        """What follows a token's last row."""
        for level in range(self.cfg.window, 0, -1):
            await self.cycle(ctx, move=(buf, level))


def lane_events(train: trains.Train, cfg: Config, lane: int) -> list[tuple[int, Event]]:
    """(level, event) of one lane, in the order in which the encoder stores them."""
    events, levels = [], [n + 1 for n in range(cfg.window) if train.levels >> n & 1]
    for word in range(train.length):
        if train.valid[word, lane]:
            events.append((levels[-1], (int(train.row[word, lane]), int(train.neg[word, lane]))))
        if train.snap[word] and levels:
            levels.pop()
    return sorted(events, key=lambda event: event[1][0])


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@configs
def test_tokens_popped_while_the_next_is_pushed(cfg: Config, stall: float) -> None:
    """Levels downwards; pushes and pops are independent."""
    k = cfg.k
    codes = join(hard_codes(cfg, k), random_codes(cfg, 6, k, seed=6, salient=0.05))
    counts, tokens = trains.counts(codes, cfg), trains.trains(codes, cfg)
    rng, rig = random.Random(7), Rig(cfg)

    async def bench(ctx):
        for token in range(len(tokens) + 1):
            fill, drain = token % 2, 1 - token % 2
            pushes = lane_events(tokens[token], cfg, lane=0) if token < len(tokens) else []
            loads = [(drain, level) for level in range(cfg.window, 0, -1)] if token else []
            popped = 0
            while pushes or loads or rig.current or rig.out:
                push = None
                if pushes and rng.random() >= stall:
                    level, event = pushes.pop(0)
                    push = (fill, level, event)
                popped += rig.out is not None
                load = loads[0] if loads and rng.random() >= stall else None
                if await rig.cycle(ctx, push, load):
                    loads.pop(0)
            if token:
                assert popped == int(counts[token - 1, 0].sum())
            await rig.move_all(ctx, fill)

    simulate(Bench(rig.dut), bench)


@configs
def test_every_bucket_holds_its_worst_case(cfg: Config) -> None:
    """All levels of both buffers full at once, `bucket_depth` events each; none is lost."""
    rig = Rig(cfg)

    async def bench(ctx):
        levels = range(1, cfg.window + 1)
        for buf in range(2):
            for number in range(cfg.bucket_depth):
                for level in levels:
                    row = number * cfg.homes % cfg.rows_k
                    await rig.cycle(ctx, (buf, level, (row, (number + level) % 2 * cfg.signed)))
            await rig.move_all(ctx, buf)
        for place in ((buf, level) for buf in range(2) for level in levels):
            popped = 0
            assert await rig.cycle(ctx, load=place)
            while rig.current or rig.out:
                popped += rig.out is not None
                await rig.cycle(ctx)
            assert popped == cfg.bucket_depth

    simulate(Bench(rig.dut), bench)


@configs
def test_first_event_after_two_edges_then_one_per_cycle_without_gap(cfg: Config) -> None:
    """A bucket of n events takes max(1, n) cycles; the next one follows at once."""
    rig, full, rows = Rig(cfg), cfg.window, cfg.bucket_depth

    async def bench(ctx):
        for buf, level in ((0, full), (1, 1)):
            for row in range(rows):
                await rig.cycle(ctx, (buf, level, (row, 0)))
            await rig.move_all(ctx, buf)
        outputs = []
        empty = [(1, full)] if full > 1 else []
        loads = [(0, full), (1, 1), *empty, (0, full)]
        for _ in range(3 * rows + 5):
            outputs.append(rig.out and rig.out[0])
            if await rig.cycle(ctx, load=loads[0] if loads else None):
                loads.pop(0)
        lifo = list(range(rows))[::-1]
        gap = [None] * len(empty)
        assert outputs == [None, None, *lifo, *lifo, *gap, *lifo, *[None] * (3 - len(gap))]

    simulate(Bench(rig.dut), bench)


def test_a_moved_count_stays_until_the_next_and_the_other_buffers_is_its_own() -> None:
    rig = Rig(SMALL)

    async def pops(ctx, buf: int, level: int, rows: list[int]):
        assert await rig.cycle(ctx, load=(buf, level))
        got = []
        while rig.current:
            await rig.cycle(ctx)
            got.append(rig.out[0])
        assert got == rows

    async def bench(ctx):
        for buf in range(2):
            for level in (1, 7):
                await rig.cycle(ctx, (buf, level, (buf + level, 1)))
            await rig.move_all(ctx, buf)
        for _ in range(2):
            await pops(ctx, 0, 7, [7])
            await pops(ctx, 1, 7, [8])
            await pops(ctx, 1, 3, [])
        await rig.cycle(ctx, (0, 7, (3, 0)))
        await rig.cycle(ctx, (0, 7, (4, 0)))
        await rig.move_all(ctx, 0)
        await pops(ctx, 0, 7, [4, 3])
        await pops(ctx, 0, 1, [])
        await pops(ctx, 1, 1, [2])

    simulate(Bench(rig.dut), bench)


def test_a_token_is_moved_and_pushed_while_the_last_bucket_leaves() -> None:
    rig = Rig(SMALL)

    async def bench(ctx):
        for row in range(5):
            await rig.cycle(ctx, (0, 2, (row, 0)))
        await rig.move_all(ctx, 0)
        await rig.cycle(ctx, (1, 2, (5, 1)), load=(0, 2))
        await rig.cycle(ctx, (1, 2, (6, 1)))
        await rig.cycle(ctx, move=(1, 2))
        while rig.current:
            await rig.cycle(ctx)
        await rig.cycle(ctx, (0, 2, (7, 1)))            # the next token, in the buffer that left
        assert await rig.cycle(ctx, (0, 1, (8, 1)), load=(1, 2))
        for _ in range(4):
            await rig.cycle(ctx)

    simulate(Bench(rig.dut), bench)
