"""Event queue: cycle by cycle against lists of events, and golden.level_counts."""

import random

import pytest

import golden
from golden import Codes
from hdl.event_queue import EventQueue
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL, hard_codes, join, random_codes

CONFIGS = {
    "signed": SMALL,
    "unsigned_15": SMALL.with_(signed=False, window=15),
    "window_1": SMALL.with_(window=1),
    "one_row": SMALL.with_(k=4),
    "16_rows": SMALL.with_(k=64),
}
Event = tuple[int, int]        # row, neg


class Rig:
    """An event queue beside its reference; `cycle` drives one clock cycle and compares."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.dut = EventQueue(cfg)
        self.buckets: list[dict[int, list[Event]]] = [{}, {}]
        self.current: list[Event] = []          # of the bucket being popped
        self.out: Event | None = None

    async def cycle(self, ctx, push: tuple[int, int, Event] | None = None, en: int = 1,
                    load: tuple[int, int] | None = None, forget: int = 0) -> bool:
        """push (buf, level, event), load (buf, level); returns whether the load was taken."""
        dut = self.dut
        ctx.set(dut.push, push is not None)
        if push:
            buf, level, event = push
            for name, value in zip(("buf", "level", "row", "neg"), (buf, level, *event),
                                   strict=True):
                ctx.set(getattr(dut, f"push_{name}"), value)
        ctx.set(dut.en, en)
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
        if en:
            self.out = self.current.pop() if self.current else None
            if takes:
                self.current = list(self.buckets[takes[0]].get(takes[1], []))
        if push:
            self.buckets[buf].setdefault(level, []).append(event)
        for buf in range(2):
            if forget >> buf & 1:
                self.buckets[buf] = {}
        return bool(en and takes)


def lane_spikes(cfg: Config, codes: Codes, token: int, lane: int) -> list[tuple[int, Event]]:
    """(level, event) of one lane's inputs, in the order the encoder stores them."""
    return [(cfg.window - t, (k // cfg.rows, int(sign < 0)))
            for t, k, sign in sorted(golden.events.events(codes, cfg)[token], key=lambda e: e[1])
            if k % cfg.rows == lane]


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_tokens_popped_while_the_next_is_pushed(cfg: Config, stall: float) -> None:
    """Two tiles per token, levels downwards; pushes, pops and stalls are independent."""
    k = cfg.k
    codes = join(hard_codes(cfg, k), random_codes(cfg, 6, k, seed=6, salient=0.05))
    counts = golden.level_counts(codes, cfg, cfg.rows)
    rng, rig = random.Random(7), Rig(cfg)

    async def bench(ctx):
        for token in range(codes.q.shape[0] + 1):
            fill, drain = token % 2, 1 - token % 2
            pushes = (lane_spikes(cfg, codes, token, lane=0)
                      if token < codes.q.shape[0] else [])
            loads = [(drain, level) for _ in range(2) for level in range(cfg.window, -1, -1)]
            popped = 0
            while pushes or loads or rig.current or rig.out:
                en = rng.random() >= stall
                push = None
                if pushes and rng.random() >= stall:
                    level, event = pushes.pop(0)
                    push = (fill, level, event)
                popped += bool(rig.out and en)
                if await rig.cycle(ctx, push, en, loads[0] if loads else None):
                    loads.pop(0)
            if token:
                assert popped == 2 * int(counts[token - 1, 0].sum())
            await rig.cycle(ctx, forget=1 << drain)
            for level in range(cfg.window + 1):            # now empty
                await rig.cycle(ctx, load=(drain, level))
                await rig.cycle(ctx)
                assert rig.out is None

    simulate(Bench(rig.dut), bench)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_first_event_after_two_edges_then_one_per_cycle_without_gap(cfg: Config) -> None:
    """A bucket of n events takes max(1, n) cycles; the next one follows at once."""
    rig, full, rows = Rig(cfg), cfg.window, cfg.rows_k

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
