"""Bench of the integer unit: lists in, sums of products out, weights written meanwhile."""

from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
import torch
from amaranth.lib import data
from cocotb.task import Task
from cocotb.triggers import ClockCycles, FallingEdge

from golden import trains
from golden.codes import Codes
from golden.integrate import integer_lanes
from golden.trains import ListEntry
from hdl.payloads import prod_layout, salient_layout
from sim import words
from sim.words import Ints
from spinteger.config import Config
from tb.bench import Bench
from tb.stimuli import extreme_codes, random_codes, random_wgt
from tb.streams import Late, Sink, Source
from tb.tops import IntegerTop

torch.set_num_threads(1)


@dataclass
class Token:
    """A token's salient lists, one per integer lane, and the sums that its tiles must give."""

    lists: list[list[ListEntry]]
    tiles: int
    stride: int
    sums: Ints                     #: [tiles, C]
    base: int = 0                  #: bank row of the first tile

    @property
    def places(self) -> int:
        """Places that its lists take."""
        return max(len(entries) for entries in self.lists)

    @property
    def words(self) -> int:
        """Product words per tile: the longest list, at least one."""
        return max(1, self.places)


def token_of(cfg: Config, q: Ints, e: Ints, w: Ints) -> Token:
    """The token q, e [K] on weights w [K, N]."""
    k, n = w.shape
    codes = Codes(torch.tensor(q), torch.tensor(e))
    sums = integer_lanes(codes, torch.tensor(w), cfg).numpy()
    return Token(trains.trains(codes, cfg)[0].lists, cfg.col_tiles(n), cfg.tile_rows(k),
                 _tiled(cfg, sums))


def _tiled(cfg: Config, sums: Ints) -> Ints:
    return np.pad(sums, (0, -len(sums) % cfg.cols)).reshape(-1, cfg.cols)


class IntegerBench(Bench):
    """The integer unit with its lists and banks: one buffer is read while the other is filled."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.idle("write", "write_buf", "write_place", "write_entry")
        self.visit_layout = IntegerTop(self.cfg).visit_layout
        self.visit = Source(dut, "visit", self.stalls(stall))
        self.wgt = Source(dut, "wgt", self.stalls(stall))
        self.prod = Sink(dut, "prod", self.stalls(stall))
        self.filled = self.taken = 0          # tokens listed; tokens done with
        self.starts: list[int] = []
        self.tasks: list[Task[None]] = []

    async def load(self, w: Ints, first_tile: int = 0) -> None:
        """Write weights [K, N] to the tiles from `first_tile` on."""
        rows = words.wgt_words(self.cfg, w, first_tile * self.cfg.tile_rows(len(w)))
        await self.wait("room for weights", self.wgt.send(rows))

    def place(self, tokens: list[Token]) -> None:
        """Where each token's lists start: by turns in both buffers, so that they are apart."""
        depth = self.cfg.list_depth
        self.starts = [self.rng.randint(0, depth - token.words) for token in tokens]

    async def fill(self, tokens: list[Token]) -> None:
        """Write every token's lists in any order, one token ahead of the one being read."""
        cfg, layout = self.cfg, data.ArrayLayout(salient_layout(self.cfg), self.cfg.int_lanes)
        for number, token in enumerate(tokens):
            while number - self.taken >= 2:
                await FallingEdge(self.dut.clk)
            order = self.rng.sample(range(token.places), token.places)
            for at in order:
                while self.rng.random() < 0.2:
                    self.dut.write.value = 0
                    await FallingEdge(self.dut.clk)
                now = [entries[at] if at < len(entries) else None for entries in token.lists]
                values = {f"*.{name}": np.array([[self._field(entry, name) for entry in now]])
                          for name, _ in salient_layout(cfg)}
                self.dut.write_entry.value = words.pack(layout, values)[0]
                self.dut.write.value = sum(1 << lane for lane, entry in enumerate(now) if entry)
                self.dut.write_buf.value = number % 2
                self.dut.write_place.value = self.starts[number] + at
                await FallingEdge(self.dut.clk)
            self.dut.write.value = 0
            self.filled += 1

    @staticmethod
    def _field(entry: ListEntry | None, name: str) -> int:
        if entry is None:
            return 0
        return int(getattr(entry, {"lane": "bank"}.get(name, name)))

    async def go(self, tokens: list[Token]) -> None:
        """Visit all tiles of the tokens whose lists are complete."""
        for number, token in enumerate(tokens):
            while self.filled <= number:
                await FallingEdge(self.dut.clk)
            counts = np.array([[len(entries) for entries in token.lists]] * token.tiles)
            one = np.ones(token.tiles, np.int64)
            visits = words.pack(self.visit_layout, {
                "visit.token.count.*": counts,
                "visit.token.list_start": one * self.starts[number],
                "visit.base": token.base + np.arange(token.tiles) * token.stride,
                "buf": one * (number % 2)})
            await self.visit.send(visits[:1])
            self.taken = number         # a visit is taken when the one before has been read
            await self.visit.send(visits[1:])

    def send(self, tokens: list[Token]) -> None:
        """Start filling the lists and visiting the tokens."""
        self.filled = self.taken = 0
        self.place(tokens)
        self.tasks = [cocotb.start_soon(self.fill(tokens)), cocotb.start_soon(self.go(tokens))]

    async def check(self, tokens: list[Token]) -> None:
        """Run tokens and compare every tile's sum, and the number of its words."""
        self.send(tokens)
        count = sum(token.tiles * token.words for token in tokens)
        received = await self.wait("product word", self.prod.take(count))
        for task in self.tasks:
            await self.wait("end of sending", task, 100)
        layout = prod_layout(self.cfg)
        last = words.unpack(layout, "last", received)
        want = [row for token in tokens for row in ([0] * (token.words - 1) + [1]) * token.tiles]
        assert last.tolist() == want, f"`last` on words {np.flatnonzero(last).tolist()}"
        starts = np.flatnonzero(np.concatenate([[1], last[:-1]]))
        got = np.add.reduceat(words.unpack(layout, "prod.*", received), starts)
        sums = np.concatenate([token.sums for token in tokens])
        wrong = np.argwhere(got != sums)
        assert not len(wrong), (f"sums differ at (tile, column) {wrong[:5].tolist()}: got "
                                f"{got[got != sums][:5]}, want {sums[got != sums][:5]}")


def random_tokens_of(bench: IntegerBench, count: int, **size: Any) -> tuple[list[Token], Ints]:
    """Tokens that share weights on one to three tiles, and those weights."""
    cfg, rng = bench.cfg, bench.rng
    k = size.get("k", rng.randint(1, min(cfg.k, 6 * cfg.rows)))
    tiles = size.get("tiles", rng.randint(1, min(3, cfg.tiles_resident(k))))
    w = random_wgt(bench, k, rng.randint((tiles - 1) * cfg.cols + 1, tiles * cfg.cols))
    tokens = []
    for _ in range(count):
        q, e = random_codes(bench, 1, k, salient=rng.choice((0.0, 0.05, 0.3, 1.0)))
        tokens.append(token_of(cfg, q[0], e[0], w))
    return tokens, w


@cocotb.test()
async def random_tokens(dut):
    """Random lists on several tiles, tokens back to back, stalls on every stream."""
    for trial in range(12):
        bench = IntegerBench(dut, f"random_tokens/{trial}")
        if trial == 0:
            await bench.start()
        tokens, w = random_tokens_of(bench, 6)
        await bench.load(w)
        await bench.check(tokens)


@cocotb.test()
async def extreme_tokens(dut):
    """No salient, all salient, one bank alone, the largest products; K not a multiple of R."""
    bench = IntegerBench(dut, "extreme_tokens", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    k = cfg.k - (cfg.rows > 1)
    tiles = min(2, cfg.tiles_resident(k))
    w = random_wgt(bench, k, tiles * cfg.cols)
    w[:, 0], w[:, -1] = -cfg.wgt_max, cfg.wgt_max - 1
    await bench.load(w)
    q, e = extreme_codes(cfg, k)
    await bench.check([token_of(cfg, q[i], e[i], w) for i in range(len(q))])


@cocotb.test()
async def most_negative(dut):
    """q = -128 with every exponent: what no encoder of ours makes, but the width must hold."""
    bench = IntegerBench(dut, "most_negative", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    k = min(cfg.k, (cfg.exp_max + 1) * cfg.rows)
    w = random_wgt(bench, k, cfg.cols)
    w[:, 0] = -cfg.wgt_max
    exponent = np.minimum(np.arange(k) // cfg.rows, cfg.exp_max)
    token = token_of(cfg, np.full(k, -cfg.sal_max if cfg.signed else cfg.sal_max), exponent, w)
    lists = [[entry._replace(q=-cfg.sal_max - 1) for entry in entries] for entries in token.lists]
    sums = ((-cfg.sal_max - 1) * (1 << exponent)) @ w
    await bench.load(w)
    await bench.check([Token(lists, 1, cfg.tile_rows(k), _tiled(cfg, sums))])


@cocotb.test()
async def weights_meanwhile(dut):
    """The next tiles' weights are written while this token reads: both come out right."""
    for stall in (0.0, 0.4):
        bench = IntegerBench(dut, f"weights_meanwhile/{stall}", stall)
        if not stall:
            await bench.start()
        cfg = bench.cfg
        k = min(cfg.k, 5 * cfg.rows)
        half = max(1, cfg.tiles_resident(k) // 2)
        tokens, w = random_tokens_of(bench, 5, k=k, tiles=half)
        await bench.load(w)
        later = random_wgt(bench, k, (cfg.tiles_resident(k) - half) * cfg.cols)
        writing = cocotb.start_soon(bench.load(later, half))
        await bench.check(tokens)
        await writing
        q, e = random_codes(bench, 3, k, salient=0.5)
        both = np.concatenate([np.pad(w, ((0, 0), (0, half * cfg.cols - w.shape[1]))), later],
                              axis=1)
        await bench.check([token_of(cfg, q[i], e[i], both) for i in range(3)])


@cocotb.test()
async def blocked_output(dut):
    """Products are refused for 3,000 cycles, while weights are written; nothing is lost."""
    bench = IntegerBench(dut, "blocked_output", stall=0.0)
    await bench.start()
    tokens, w = random_tokens_of(bench, 12, k=min(bench.cfg.k, 4 * bench.cfg.rows), tiles=1)
    await bench.load(w)
    bench.prod.stalls = Late(3_000)
    check = cocotb.start_soon(bench.check(tokens))
    await ClockCycles(dut.clk, 2_900)
    await FallingEdge(dut.clk)
    assert not bench.prod.words and bench.taken < len(tokens), "refused words were dropped"
    await check


@cocotb.test()
async def reset_in_mid_run(dut):
    """Reset at random moments; the weights are kept."""
    bench = IntegerBench(dut, "reset_in_mid_run")
    await bench.start()
    for trial in range(8):
        tokens, w = random_tokens_of(bench, 4)
        await bench.load(w)
        bench.send(tokens)
        taking = cocotb.start_soon(bench.prod.take(10_000))
        await ClockCycles(dut.clk, bench.rng.randint(1, 100))
        await bench.abort(taking, *bench.tasks)
        bench = IntegerBench(dut, f"reset_in_mid_run/{trial}")
        await bench.check(tokens)
