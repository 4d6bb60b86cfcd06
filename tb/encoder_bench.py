"""Drives the encoder with all behind it, and reads the trains and lists as the walkers do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge

from golden import trains
from golden.trains import Train
from hdl.payloads import act_layout, salient_layout, token_layout, train_layout
from sim import words
from sim.words import Ints
from spinteger.config import Config
from tb.bench import Bench
from tb.streams import Source


@dataclass
class Token:
    """A token as it is sent, and what must be stored of it."""

    act: list[int]      #: its words
    shift: int
    want: Train
    fail: bool = False

    @property
    def places(self) -> tuple[int, int]:
        """Train words and list places that it takes."""
        return self.want.length, self.want.list_length


def token_of(bench: Bench, q: Ints, e: Ints, buf: int, fail: bool = False) -> Token:
    """The token q, e [K] by the golden rules, which also say what becomes of codes that the golden
    model does not know: q = -128, and negative ones where spikes have no sign."""
    cfg = bench.cfg
    shift = bench.rng.randrange(1 << cfg.shift_bits)
    act = words.act_words(cfg, q[None], e[None], buf, np.array([shift]))
    act[-1] |= fail << act_layout(cfg)["fail"].offset
    levels, salient = trains.classify(q[None], e[None], cfg)
    lanes, counts = trains.place(levels, cfg)
    lists = trains._lists(q, e, np.flatnonzero(salient[0]).tolist(), cfg)
    return Token(act, shift, trains._train(levels[0], lanes[0], counts[0], q, cfg, lists), fail)


def fitting(cfg: Config, tokens: Sequence[Token]) -> int:
    """Leading tokens that a buffer keeps: those that fit and did not fail."""
    kept, train, lists = 0, 0, 0
    for token in tokens:
        train, lists = train + token.places[0], lists + token.places[1]
        if token.fail or train > cfg.train_depth or lists > cfg.list_depth:
            break
        kept += 1
    return kept


class EncoderBench(Bench):
    """The encoder behind one source; what it stores is read back at leisure."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.idle("open", "read_buf", "token", "addr", "place")
        self.act = Source(dut, "act", self.stalls(stall))

    def part(self, port: str, index: int, layout: Any) -> int:
        """Element `index` of an array port; others may hold X, as what was never stored does."""
        bits, width = str(getattr(self.dut, port).value), data.Layout.cast(layout).size
        return int(bits[len(bits) - (index + 1) * width:len(bits) - index * width], 2)

    async def open(self, *bufs: int) -> None:
        """Start buffers anew."""
        self.dut.open.value = sum(1 << buf for buf in bufs)
        await FallingEdge(self.dut.clk)
        self.dut.open.value = 0

    async def quiet(self, buf: int | None = None) -> None:
        """Wait until no token (of this buffer) is being encoded or recorded."""
        mask = 3 if buf is None else 1 << buf
        for _ in range(20_000):
            await FallingEdge(self.dut.clk)
            if not int(self.dut.encoding.value) & mask and not int(self.dut.busy.value):
                await FallingEdge(self.dut.clk)
                return
        raise AssertionError("hangs: still encoding")

    def ready(self, buf: int) -> int:
        """Tokens that count as ready."""
        bits = self.cfg.token_bits + 1
        return int(self.dut.ready.value) >> buf * bits & ((1 << bits) - 1)

    async def read(self, buf: int, tokens: Sequence[Token]) -> None:
        """Read a buffer that got these tokens: counts, table, trains and lists."""
        dut, cfg = self.dut, self.cfg
        kept = fitting(cfg, tokens)
        assert self.ready(buf) == kept, f"{self.ready(buf)} tokens ready, must be {kept}"
        bad = kept < len(tokens)
        full = bad and not tokens[kept].fail
        got = int(dut.bad.value) >> buf & 1, int(dut.full.value) >> buf & 1
        assert got == (bad, full), f"bad and full are {got}, must be {bad, full}"
        dut.read_buf.value = buf
        train, lists = 0, 0
        for number, token in enumerate(tokens[:kept]):
            dut.token.value = number
            await FallingEdge(dut.clk)
            entry = int(dut.entry.value)
            fields = {name: int(words.unpack(token_layout(cfg), name, [entry])[0])
                      for name in ("start", "left", "list_start", "shift")}
            assert fields == {"start": train, "left": token.want.length - 1, "shift": token.shift,
                              "list_start": lists % (1 << cfg.list_bits)}, f"token {number}"
            counts = words.unpack(token_layout(cfg), "count.*", [entry])[0].tolist()
            assert counts == [len(one) for one in token.want.lists], f"token {number}"
            await self._read_train(number, train, token.want)
            await self._read_lists(number, lists, token.want)
            train, lists = train + token.places[0], lists + token.places[1]

    async def _read_train(self, number: int, start: int, want: Train) -> None:
        bits = []
        for at in range(want.length):
            self.dut.addr.value = start + at
            await FallingEdge(self.dut.clk)
            bits.append(str(self.dut.word.value).lower())
        # An idle lane's row may be X, where nothing was ever stored: it must not matter which.
        for filler in "01":
            stored = [int(word.replace("x", filler), 2) for word in bits]
            self._compare_train(number, stored, want)

    def _compare_train(self, number: int, stored: list[int], want: Train) -> None:
        got = {name: words.unpack(train_layout(self.cfg), name, stored) for name in
               ("event.*.valid", "event.*.row", "event.*.neg", "snap", "dt", "end")}
        valid, snap = got["event.*.valid"] == 1, got["snap"] == 1
        neg = want.neg if self.cfg.signed else np.zeros_like(want.neg)
        for what, ok in (("events", (valid == want.valid).all()),
                         ("rows", (got["event.*.row"] == want.row)[valid].all()),
                         ("signs", (got["event.*.neg"] == neg)[valid].all()),
                         ("steps", (snap == want.snap).all()),
                         ("dt", (got["dt"] == want.dt)[snap].all()),
                         ("end", (got["end"] == want.end).all())):
            assert ok, f"token {number}: {what} of its train differ"

    async def _read_lists(self, number: int, start: int, want: Train) -> None:
        layout = salient_layout(self.cfg)
        names = {name: {"lane": "bank"}.get(name, name) for name, _ in layout}
        for at in range(want.list_length):
            self.dut.place.value = start + at
            for _ in range(2):              # memory, and its output register
                await FallingEdge(self.dut.clk)
            for lane, entries in enumerate(want.lists):
                if at < len(entries):
                    word = self.part("salients", lane, layout)
                    got = {name: int(words.unpack(layout, name, [word])[0]) for name in names}
                    expected = {name: getattr(entries[at], here) for name, here in names.items()}
                    assert got == expected, (f"token {number}, list {lane}, entry {at}: {got}, "
                                             f"must be {expected}")

    async def send(self, tokens: Sequence[Token]) -> None:
        """Send tokens back to back."""
        await self.act.send(word for token in tokens for word in token.act)

    async def check(self, loads: Sequence[Sequence[Token]]) -> None:
        """Load both buffers, their tokens by turns; everything stored must be right."""
        await self.open(0, 1)
        left = [list(load) for load in loads]
        order = self.rng.sample([buf for buf, load in enumerate(left) for _ in load],
                                sum(map(len, left)))
        await self.wait("room for tokens", self.send([left[buf].pop(0) for buf in order]))
        await self.quiet()
        for buf, load in enumerate(loads):
            await self.read(buf, load)
