"""Trains: what is stored, what counts as ready, and what a full or failed buffer leaves; then the
whole way from codes to stored trains and lists, word for word against golden.trains."""

import random
from collections.abc import Callable

import pytest

from golden import Codes, trains
from hdl.balancer import row_cycles
from hdl.trains import Trains
from spinteger.config import Config
from tests.hdl.rigs import EncodeRig
from tests.hdl.streams import Bench, put, simulate
from tests.hdl.traffic import SMALL, act_words, hard_codes, join, random_codes

MEMORY = SMALL.with_(k=8, train_depth=32, list_depth=32, tokens=5)
MEMORIES = {
    "32_words": MEMORY,
    "37_words": MEMORY.with_(train_depth=37),
    "1_token": MEMORY.with_(tokens=1),
    "1_lane": MEMORY.with_(rows=1, homes=1, int_lanes=1),
    "no_shift": MEMORY.with_(scale_bits=0),
    "wide": MEMORY.with_(rows=16, homes=4, int_lanes=4, k=16),
}
memories = pytest.mark.parametrize("cfg", MEMORIES.values(), ids=MEMORIES)


def random_bits(layout, rng: random.Random):
    """Any value at all of a layout."""
    return layout.from_bits(rng.getrandbits(layout.size))


class Memory:
    """A train memory beside its reference; `cycle` drives one clock cycle and compares."""

    def __init__(self, cfg: Config, rng: random.Random):
        self.cfg, self.rng, self.dut = cfg, rng, Trains(cfg)
        self.words: list[list] = [[], []]           # of the tokens that are ready
        self.table: list[list[dict]] = [[], []]     # their entries
        self.bad, self.full = [0, 0], [0, 0]
        self.is_bad, self.used = [0, 0], [0, 0]     # as known at once; places taken
        self.recording = 0
        self.part: list = []                        # words of the token being recorded
        self.told: list[Callable[[], None]] = []    # what becomes visible after the next edge
        self.kept = False                           # the last word completed a token that is kept
        self.want_word = None                       # at the read port
        self.want_entry: list = [None, None]        # at the table's

    async def cycle(self, ctx, word=None, token: dict | None = None, end: bool = False,
                    opened: int = 0) -> None:
        """One word of `token`, or none; `end` if its last."""
        dut = self.dut
        ctx.set(dut.word_valid, word is not None)
        if word is not None:
            ctx.set(dut.word, word)
            ctx.set(dut.word.end, end)
            ctx.set(dut.token, token)
        ctx.set(dut.open, opened)
        for buf in range(2):
            assert ctx.get(dut.ready[buf]) == len(self.table[buf])
        for name in ("bad", "full"):
            assert ctx.get(getattr(dut, name)) == sum(
                bit << buf for buf, bit in enumerate(getattr(self, name))), name
        if self.want_word is not None:
            assert ctx.get(dut.played).as_bits() == self.want_word.as_bits()
        for port, entry in enumerate(self.want_entry):
            if entry is not None:
                got = ctx.get(dut.entry[port])
                if port == 0:
                    assert {name: got[name] for name in ("start", "left", "shift")} == {
                        name: entry[name] for name in ("start", "left", "shift")}
                else:
                    assert (got.list_start, list(got.count)) == (
                        entry["list_start"], entry["count"])
        assert ctx.get(dut.recording) == self.recording
        assert ctx.get(dut.recorded) == self.kept
        self._read(ctx)
        self.kept, self.recording = False, 0
        becomes, buf = None, 0
        if word is not None:
            buf = token["buf"]
            self.recording = 1 << buf
            self.part.append(ctx.get(dut.word))
            if end:
                becomes = self._ends(buf, token)
        await ctx.tick()
        for tell in self.told:
            tell()
        self.told = [becomes] if becomes else []
        for number in range(2):
            if opened >> number & 1:
                self.words[number], self.table[number] = [], []
                self.bad[number] = self.full[number] = 0
                self.is_bad[number] = self.used[number] = 0
                self.want_word, self.want_entry = None, [None, None]
                if buf == number:
                    self.told = []

    def _ends(self, buf: int, token: dict) -> Callable[[], None]:
        """A token is complete: what becomes visible a cycle after it."""
        part, self.part = self.part, []
        start, self.used[buf] = self.used[buf], self.used[buf] + len(part)
        fits = self.used[buf] <= self.cfg.train_depth
        self.kept = not (self.is_bad[buf] or token["fail"] or token["full"]) and fits
        if self.kept:
            entry = {"start": start, "left": len(part) - 1, "list_start": token["list_start"],
                     "shift": token["shift"], "count": token["count"]}

            def ready() -> None:
                self.table[buf].append(entry)
                self.words[buf] += part
            return ready
        self.used[buf] = start
        first, self.is_bad[buf] = not self.is_bad[buf], 1

        def spoils() -> None:
            if first:
                self.bad[buf], self.full[buf] = 1, not token["fail"]
        return spoils

    def _read(self, ctx) -> None:
        """Ask for a word and entries of what is ready, or for nothing: the answers are kept."""
        rng, dut = self.rng, self.dut
        buf = rng.getrandbits(1)
        read = bool(self.words[buf]) and rng.random() < 0.6
        ctx.set(dut.en, read)
        ctx.set(dut.buf, buf)
        if read:
            place = rng.randrange(len(self.words[buf]))
            ctx.set(dut.addr, place)
            self.want_word = self.words[buf][place]
        for port in range(2):
            buf = rng.getrandbits(1)
            en = bool(self.table[buf]) and rng.random() < 0.5
            ctx.set(dut.ask[port].en, en)
            ctx.set(dut.ask[port].buf, buf)
            if en:
                number = rng.randrange(len(self.table[buf]))
                ctx.set(dut.ask[port].token, number)
                self.want_entry[port] = self.table[buf][number]

    def head(self, buf: int, fail: float = 0.0) -> dict:
        """A token's label."""
        cfg, rng = self.cfg, self.rng
        return {"buf": buf, "shift": rng.randrange(16) if cfg.shift_bits else 0,
                "fail": rng.random() < fail, "full": rng.random() < fail / 2,
                "list_start": rng.randrange(cfg.list_depth), "queue": rng.getrandbits(1),
                "levels": rng.getrandbits(cfg.window),
                "count": [rng.randint(0, cfg.list_worst) for _ in range(cfg.int_lanes)]}

    async def record(self, ctx, head: dict, length: int, stall: float = 0.0) -> None:
        layout = self.dut.word.shape()
        for word in range(length):
            while self.rng.random() < stall:
                await self.cycle(ctx)
            await self.cycle(ctx, random_bits(layout, self.rng), head, word == length - 1)


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@memories
def test_random_tokens_into_both_buffers(cfg: Config, stall: float) -> None:
    """Until both are full or bad, then opened again; everything ready is read all the time."""
    rng = random.Random(f"{cfg}{stall}")
    memory = Memory(cfg, rng)

    async def bench(ctx):
        for _ in range(60):
            buf = rng.getrandbits(1)
            await memory.cycle(ctx)
            if memory.bad[buf] and rng.random() < 0.6 or len(memory.table[buf]) == cfg.tokens:
                await memory.cycle(ctx, opened=1 << buf)
            most = rng.choice((1, 4, cfg.train_depth // 2, cfg.train_depth))
            await memory.record(ctx, memory.head(buf, fail=0.1), rng.randint(1, most), stall)
        for _ in range(20):
            await memory.cycle(ctx)

    simulate(Bench(memory.dut), bench)


@pytest.mark.parametrize("name, more", [(name, more) for name in MEMORIES for more in range(2)
                                        if not more or MEMORIES[name].tokens > 1])
def test_exactly_full_and_one_word_more(name: str, more: int) -> None:
    """Tokens to the last place are all ready; one word more, and its token is left out, and all
    after it, however short."""
    cfg = MEMORIES[name]
    memory = Memory(cfg, random.Random(3))

    async def bench(ctx):
        for buf in (1, 0, 1):
            await memory.cycle(ctx, opened=1 << buf)
            first = cfg.train_depth // 2 if cfg.tokens > 1 else 0
            if first:
                await memory.record(ctx, memory.head(buf), first)
            await memory.record(ctx, memory.head(buf), cfg.train_depth - first + more)
            await memory.cycle(ctx)
            assert memory.bad[buf] == memory.full[buf] == more
            if more:
                await memory.record(ctx, memory.head(buf), 1)
            for _ in range(3 * cfg.train_depth):
                await memory.cycle(ctx)

    simulate(Bench(memory.dut), bench)


def test_failed_is_not_full() -> None:
    memory = Memory(MEMORY, random.Random(4))

    async def bench(ctx):
        await memory.record(ctx, memory.head(0) | {"fail": 1}, 3)
        for _ in range(2):
            await memory.cycle(ctx)
        assert (memory.bad, memory.full) == ([1, 0], [0, 0])
        await memory.record(ctx, memory.head(0) | {"full": 1}, 3)       # too late to be the reason
        await memory.record(ctx, memory.head(1) | {"full": 1}, 3)
        for _ in range(2):
            await memory.cycle(ctx)
        assert (memory.bad, memory.full) == ([1, 1], [0, 1])

    simulate(Bench(memory.dut), bench)


# -- from codes to trains ------------------------------------------------------------------------

DEEP = SMALL.with_(train_depth=512, list_depth=512)
CODED = {
    "2_homes": DEEP,
    "4_homes": DEEP.with_(homes=4, int_lanes=3),
    "16_lanes": DEEP.with_(rows=16, homes=4, int_lanes=4, k=60),
    "8_homes": DEEP.with_(rows=8, homes=8, int_lanes=3, k=20),
    "1_home": DEEP.with_(homes=1),
    "3_lanes": DEEP.with_(rows=3, homes=1, int_lanes=3, k=40),
    "1_lane": DEEP.with_(rows=1, homes=1, int_lanes=1, k=16),
    "unsigned_15": DEEP.with_(signed=False, window=15),
    "plain_int8": DEEP.with_(exp_max=0),
    "trains_full": SMALL.with_(train_depth=70),
    "lists_full": SMALL.with_(list_depth=24, train_depth=512),
}


def same_word(cfg: Config, got, want: trains.Train, at: int) -> None:
    events = [(event.row, event.neg) if event.valid else None for event in got.event]
    assert events == [(int(want.row[at, lane]), int(want.neg[at, lane] * cfg.signed))
                      if want.valid[at, lane] else None for lane in range(cfg.rows)], at
    assert (got.snap, got.end) == (want.snap[at], want.end[at])
    assert not got.snap or got.dt == want.dt[at]


@pytest.mark.parametrize("name, stall", [*((name, 0.0) for name in CODED), ("2_homes", 0.4),
                                         ("1_home", 0.4)])
def test_codes_become_golden_trains(name: str, stall: float) -> None:
    """All tokens of two buffers, read back by the table; `ready` is golden.capacity."""
    cfg = CODED[name]
    rig, rng = EncodeRig(cfg), random.Random(name)
    bench, dut = Bench(rig.module), rig.trains
    k = rng.choice((cfg.k, max(1, cfg.k - 2)))
    loads = [join(random_codes(cfg, 3, k, seed=5, salient=0.2), hard_codes(cfg, k)),
             random_codes(cfg, 6, k, seed=6)]
    lists: dict[tuple[int, int, int], tuple] = {}

    async def record_lists(ctx):
        encoder = rig.encoder
        ports = [encoder.list, encoder.list_buf, encoder.list_place, encoder.list_entry]
        async for _, _, listed, buf, place, entry in ctx.tick().sample(*ports):
            for lane in range(cfg.int_lanes):
                if listed >> lane & 1:
                    lists[lane, buf, place] = (
                        entry.q, entry.e if cfg.exp_bits else 0, entry.row,
                        entry.lane if cfg.group > 1 else 0)

    async def drive(ctx):
        # Their tokens by turns, as loads and a chain do.
        parts = [[(n, Codes(codes.q[n:n + 1], codes.e[n:n + 1])) for n in range(len(codes.q))]
                 for codes in loads]
        while any(parts):
            buf = rng.choice([buf for buf in range(2) if parts[buf]])
            number, codes = parts[buf].pop(0)
            words = act_words(cfg, codes, buf, number % 16 if cfg.shift_bits else 0)
            await put(ctx, rig.encoder.act, words, rng if stall else None, stall)
        await ctx.tick().until(~rig.encoder.encoding.any() & ~rig.recorder.busy)
        await ctx.tick().repeat(2)
        for buf, codes in enumerate(loads):
            await read(ctx, buf, codes)

    async def read(ctx, buf: int, codes: Codes):
        want, fitting = trains.trains(codes, cfg), trains.capacity(codes, cfg)
        assert ctx.get(dut.ready[buf]) == fitting
        full = fitting < len(want)
        assert (ctx.get(dut.bad) >> buf & 1, ctx.get(dut.full) >> buf & 1) == (full, full)
        place, list_place = 0, 0
        for number, token in enumerate(want[:fitting]):
            for port in range(2):
                ctx.set(dut.ask[port], {"en": 1, "buf": buf, "token": number})
            await ctx.tick()
            entry, listed = ctx.get(dut.entry[0]), ctx.get(dut.entry[1])
            assert (entry.start, entry.left, listed.list_start % cfg.list_depth) == (
                place, token.length - 1, list_place % cfg.list_depth)
            assert entry.shift == (number % 16 if cfg.shift_bits else 0)
            assert list(listed.count) == [len(entries) for entries in token.lists]
            for at in range(token.length):
                ctx.set(dut.en, 1)
                ctx.set(dut.buf, buf)
                ctx.set(dut.addr, place + at)
                await ctx.tick()
                same_word(cfg, ctx.get(dut.played), token, at)
            for lane, entries in enumerate(token.lists):
                assert [lists[lane, buf, list_place + n] for n in range(len(entries))] == [
                    tuple(entry) for entry in entries]
            place, list_place = place + token.length, list_place + token.list_length

    simulate(bench, drive, processes=[record_lists])
    if name.endswith("full"):
        assert min(trains.capacity(codes, cfg) - len(codes.q) for codes in loads) < 0


def test_encoding_never_waits_for_recording_much() -> None:
    """Back to back, a token takes the longer of encoding and recording, or little more."""
    cfg = CODED["16_lanes"]
    rig = EncodeRig(cfg)
    bench = Bench(rig.module)
    codes = random_codes(cfg, 5, cfg.k, seed=7, salient=0.0)
    cycles: list[int] = []

    async def watch(ctx):
        async for _, _, cycle, recorded in ctx.tick().sample(bench.cycle, rig.trains.recorded):
            if recorded:
                cycles.append(cycle)

    async def drive(ctx):
        await put(ctx, rig.encoder.act, act_words(cfg, codes))
        await ctx.tick().until(~rig.encoder.encoding.any() & ~rig.recorder.busy)

    simulate(bench, drive, processes=[watch])
    each = [max(row_cycles(cfg) * cfg.rows_k + cfg.window + 1, int(words) + cfg.window + 2)
            for words in trains.train_length(codes, cfg)]
    assert len(cycles) == 5
    assert cycles[-1] - cycles[0] <= sum(each[1:]) + 3
