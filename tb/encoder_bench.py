"""Drives the encoder and pops its queues, as the sequencer and the integer unit do."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cocotb
import torch
from amaranth.lib import data
from cocotb.task import Task
from cocotb.triggers import FallingEdge, ReadOnly

from golden.codes import Codes
from golden.events import events, salient_list
from hdl.payloads import run_layout, salient_layout, salients_layout, token_layout
from sim import words
from sim.words import Ints
from tb.bench import Bench
from tb.streams import NEVER, Sink, Source

#: (weight row, sign is negative)
Event = tuple[int, int]


@dataclass
class Token:
    """A token as it is sent, and what must be found in the queues."""

    act: list[int]                              #: its words
    run: int                                    #: its `run` word
    events: dict[int, list[list[Event]]]        #: level -> lane -> events, sorted
    salients: list[list[dict[str, int]]]        #: integer lane -> entries in order


def token_of(bench: Bench, q: Ints, e: Ints) -> Token:
    """The token q, e [K] by the golden model, with a random `run` word."""
    cfg = bench.cfg
    codes = Codes(torch.tensor(q), torch.tensor(e))
    spikes = [(cfg.window - step, k, sign) for step, k, sign in events(codes, cfg)[0]]
    return token_from(bench, q, e, spikes, salient_list(codes, cfg)[0])


def token_from(bench: Bench, q: Ints, e: Ints, spikes: list[tuple[int, int, int]],
               salients: list[tuple[int, int, int]]) -> Token:
    """The token with these spikes (level, k, sign) and salients (k, q, e), in order of k."""
    cfg = bench.cfg
    by_level: dict[int, list[list[Event]]] = {}
    for level, k, sign in spikes:
        lanes = by_level.setdefault(level, [[] for _ in range(cfg.rows)])
        lanes[k % cfg.rows].append((k // cfg.rows, int(sign < 0)))
    lists: list[list[dict[str, int]]] = [[] for _ in range(cfg.int_lanes)]
    for k, value, exponent in salients:
        lane = k % cfg.rows
        entry = {"q": value, "e": exponent, "row": k // cfg.rows, "lane": lane % cfg.group}
        lists[lane // cfg.group].append({name: entry[name] for name, _ in salient_layout(cfg)})
    return Token(words.act_words(cfg, q[None], e[None]),
                 bench.rng.getrandbits(data.Layout.cast(run_layout(cfg)).size),
                 {level: [sorted(lane) for lane in lanes] for level, lanes in by_level.items()},
                 lists)


def part(signal: Any, index: int, width: int) -> int:
    """Element `index` of an array port; the others may hold X, as what was never stored does."""
    bits = str(signal.value)
    return int(bits[len(bits) - (index + 1) * width:len(bits) - index * width], 2)


class EncoderBench(Bench):
    """The encoder, a sender of tokens, and a consumer of each kind with a pace of its own."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.idle("run", "spikes_done", "en", "load", "load_buf", "load_level", "index",
                  "index_buf")
        self.act = Source(dut, "act", self.stalls(stall))
        self.token = Sink(dut, "token", NEVER)
        self.salients = Sink(dut, "salients", NEVER)
        self.pace = {"token": self.stalls(stall), "salients": self.stalls(stall),
                     "en": self.stalls(stall)}
        self.tasks: list[Task[None]] = []

    def _words(self, tokens: list[Token]) -> Iterator[int]:
        """All tokens' words; `run` is right only while a token's last word is on offer."""
        junk = (1 << len(self.dut.run)) - 1
        for token in tokens:
            for number, word in enumerate(token.act):
                self.dut.run.value = (token.run if number == len(token.act) - 1
                                      else self.rng.randint(0, junk))
                yield word

    async def _pause(self, name: str) -> None:
        while self.pace[name]():
            await FallingEdge(self.dut.clk)

    async def pop_all(self, tokens: list[Token]) -> None:
        """Take each token and pop its events one to three times, as for as many column tiles."""
        for number, token in enumerate(tokens):
            await self._pause("token")
            word = await self.token.take(1)
            got = {name: int(words.unpack(token_layout(self.cfg), name, word)[0])
                   for name in ("levels", "buf", "run")}
            want = {"levels": sum(1 << (level - 1) for level in token.events),
                    "buf": number % 2, "run": token.run}
            assert got == want, f"token {number}: announced {got}, must be {want}"
            levels = sorted(token.events, reverse=True) or [0]
            levels *= self.rng.randint(1, 3)
            popped = await self.pop(number % 2, levels)
            none: list[list[Event]] = [[] for _ in range(self.cfg.rows)]
            for level, lanes in zip(levels, popped, strict=True):
                expected = token.events.get(level, none)
                assert lanes == expected, (f"token {number}, level {level}: popped {lanes}, must "
                                           f"be {expected}")

    async def pop(self, buf: int, levels: list[int]) -> list[list[list[Event]]]:
        """Pop these buckets without a gap, as the sequencer does: per bucket and lane, sorted."""
        dut, cfg = self.dut, self.cfg
        popped: list[list[list[Event]]] = [[[] for _ in range(cfg.rows)] for _ in levels]
        loaded, out = -1, -1        # bucket (index in `levels`) in the lanes; at their output
        left = 1                    # enabled cycles from the last pop to the last output
        while left >= 0:
            en = not self.pace["en"]()
            all_last = int(dut.last.value) == (1 << cfg.rows) - 1
            load = en and all_last and loaded < len(levels) - 1
            finished = all_last and loaded == len(levels) - 1
            dut.en.value, dut.load.value = int(en), int(load)
            if load:
                dut.load_buf.value, dut.load_level.value = buf, levels[loaded + 1]
            # The sequencer lets go of the buffer in the cycle of the last pop.
            dut.spikes_done.value = 1 << buf if en and finished and left == 1 else 0
            if en:
                for lane, event in self._outputs():
                    popped[out][lane].append(event)
                out = loaded
                loaded += load
                left -= finished
            await FallingEdge(dut.clk)
        dut.en.value = dut.load.value = dut.spikes_done.value = 0
        return [[sorted(lane) for lane in lanes] for lanes in popped]

    def _outputs(self) -> Iterator[tuple[int, Event]]:
        """(lane, event) of every lane that has one at its output."""
        valid = int(self.dut.valid.value)
        for lane in range(self.cfg.rows):
            if valid >> lane & 1:
                neg = part(self.dut.neg, lane, 1) if self.cfg.signed else 0
                yield lane, (part(self.dut.row, lane, self.cfg.row_bits), neg)

    async def read_all(self, tokens: list[Token]) -> None:
        """Read each token's salient lists, then let go of them."""
        layout = salient_layout(self.cfg)
        width = data.Layout.cast(layout).size
        for number, token in enumerate(tokens):
            while True:
                await ReadOnly()
                valid = bool(self.dut.salients__valid.value)
                await FallingEdge(self.dut.clk)
                if valid:
                    break
            offered = int(self.dut.salients__payload.value)
            read: list[list[dict[str, int]]] = [[] for _ in token.salients]
            for index in range(max(len(entries) for entries in token.salients)):
                self.dut.index.value, self.dut.index_buf.value = index, number % 2
                await FallingEdge(self.dut.clk)
                for lane, entries in enumerate(token.salients):
                    if index < len(entries):
                        entry = part(self.dut.entry, lane, width)
                        read[lane].append({name: int(words.unpack(layout, name, [entry])[0])
                                           for name, _ in layout})
            await self._pause("salients")
            assert await self.salients.take(1) == [offered], "the word changed while it waited"
            counts = words.unpack(salients_layout(self.cfg), "count.*", [offered])[0].tolist()
            assert counts == [len(entries) for entries in token.salients], f"counts {counts}"
            assert read == token.salients, (f"token {number}: listed {read}, must be "
                                            f"{token.salients}")
            self._check_tiles(token, offered)

    def _check_tiles(self, token: Token, offered: int) -> None:
        """The salient word carries the right part of `run`."""
        for name in ("tile_last", "stride"):
            want = words.unpack(run_layout(self.cfg), name, [token.run])[0]
            assert words.unpack(salients_layout(self.cfg), name, [offered])[0] == want, name

    def start_tokens(self, tokens: list[Token]) -> None:
        """Start sending and both consumers."""
        self.tasks = [cocotb.start_soon(job) for job in (
            self.act.send(self._words(tokens)), self.pop_all(tokens), self.read_all(tokens))]

    async def check(self, tokens: list[Token]) -> None:
        """Send tokens back to back; everything popped and read must be right."""
        self.start_tokens(tokens)
        for what, task in zip(("room for tokens", "events", "salients"), self.tasks, strict=True):
            await self.wait(what, task)
