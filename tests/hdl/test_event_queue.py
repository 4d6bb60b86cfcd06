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
        self.buckets: list[dict[int, list[Event]]] = [{}, {}]
        self.current: list[Event] = []          # of the bucket being popped
        self.out: Event | None = None
        self.rng = random.Random(1)

    async def cycle(self, ctx, push: tuple[int, int, Event] | None = None,
                    load: tuple[int, int] | None = None, forget: int = 0) -> bool:
        """push (buf, level, event), load (buf, level); returns whether the load was taken."""
        dut, rng = self.dut, self.rng
        buf, level, event = push or (rng.getrandbits(1), rng.randint(1, self.cfg.window), (0, 0))
        for name, value in zip(("buf", "level", "row", "neg"), (buf, level, *event), strict=True):
            ctx.set(getattr(dut, f"push_{name}"), value)
        ctx.set(dut.push, push is not None)
        assert ctx.get(dut.fill) == len(self.buckets[buf].get(level, []))  # pushing or not
        ctx.set(dut.forget, forget)
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
            self.buckets[buf].setdefault(level, []).append(event)
        for number in range(2):
            if forget >> number & 1:
                self.buckets[number] = {}
        return bool(takes)


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
            loads = [(drain, level) for level in range(cfg.window, -1, -1)]
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
            await rig.cycle(ctx, forget=1 << drain)
            for level in range(cfg.window + 1):            # now empty
                await rig.cycle(ctx, load=(drain, level))
                await rig.cycle(ctx)
                assert rig.out is None

    simulate(Bench(rig.dut), bench)


@configs
def test_every_bucket_holds_its_worst_case(cfg: Config) -> None:
    """All levels of both buffers full at once, `bucket_depth` events each; none is lost."""
    rig = Rig(cfg)

    async def bench(ctx):
        places = [(buf, level) for buf in range(2) for level in range(1, cfg.window + 1)]
        for number in range(cfg.bucket_depth):
            for buf, level in places:
                event = (number * cfg.homes % cfg.rows_k, (number + level + buf) % 2 * cfg.signed)
                await rig.cycle(ctx, (buf, level, event))
        for place in places:
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
        for row in range(rows):
            await rig.cycle(ctx, (0, full, (row, 0)))
            await rig.cycle(ctx, (1, 1, (row, 0)))
        outputs = []
        loads = [(0, full), (1, 1), (0, 0), (0, full)]
        for _ in range(3 * rows + 5):
            outputs.append(rig.out and rig.out[0])
            if await rig.cycle(ctx, load=loads[0] if loads else None):
                loads.pop(0)
        lifo = list(range(rows))[::-1]
        assert outputs == [None, None, *lifo, *lifo, None, *lifo, None, None]

    simulate(Bench(rig.dut), bench)


def test_forget_leaves_the_other_buffer() -> None:
    rig = Rig(SMALL)

    async def bench(ctx):
        for buf in range(2):
            for level in (1, 7):
                await rig.cycle(ctx, (buf, level, (buf + level, 1)))
        await rig.cycle(ctx, forget=0b01)
        for buf, level in ((0, 7), (1, 7), (0, 1), (1, 1)):
            await rig.cycle(ctx, load=(buf, level))
            await rig.cycle(ctx)
            assert rig.out == ((buf + level, 1) if buf else None)
        await rig.cycle(ctx, forget=0b11)
        await rig.cycle(ctx, load=(1, 7))
        await rig.cycle(ctx)
        assert rig.out is None

    simulate(Bench(rig.dut), bench)


def test_forget_as_the_last_bucket_leaves_and_the_other_buffer_is_pushed() -> None:
    """What the recorder's `done` does: the half is empty from the next cycle on."""
    rig = Rig(SMALL)

    async def bench(ctx):
        for row in range(3):
            await rig.cycle(ctx, (0, 2, (row, 0)))
        await rig.cycle(ctx, load=(0, 2))
        await rig.cycle(ctx)
        await rig.cycle(ctx)
        await rig.cycle(ctx, (1, 2, (4, 1)), forget=0b01)      # pops the last event
        await rig.cycle(ctx, (0, 2, (5, 1)), load=(0, 2))      # the load comes before this push
        await rig.cycle(ctx, (0, 2, (6, 0)), load=(0, 2))
        for place in ((0, 2), (1, 2)):
            await rig.cycle(ctx, load=place)
            await rig.cycle(ctx)
        await rig.cycle(ctx)

    simulate(Bench(rig.dut), bench)
