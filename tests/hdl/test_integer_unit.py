"""Integer unit: per visit, the sums of golden.integer_lanes, as a stream that ends with `last`."""

import random
from collections.abc import Sequence

import pytest
import torch
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

import golden
from golden import Codes, trains
from hdl.integer_lane import INTEGER_LATENCY
from hdl.integer_unit import LIST_LATENCY, IntegerUnit, sum_stages
from hdl.lane import READ_LATENCY
from spinteger.config import Config
from tb.tops import ReadyAhead
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import SMALL, hard_codes, join, random_codes, random_wgt

CONFIGS = {
    "2_lanes": SMALL,
    "1_lane": SMALL.with_(int_lanes=1),
    "4_homes": SMALL.with_(homes=4, int_lanes=4, k=20),
    "3_of_4_homes": SMALL.with_(rows=8, homes=4, int_lanes=3),
    "1_home": SMALL.with_(homes=1),
    "1_home_1_lane": SMALL.with_(homes=1, int_lanes=1),
    "3x5": SMALL.with_(rows=3, cols=5, homes=1, int_lanes=3),
    "1x1": SMALL.with_(rows=1, cols=1, homes=1, int_lanes=1, k=9),
    "plain_int8": SMALL.with_(exp_max=0),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


class Rig(Elaboratable):
    """An integer unit with lists and banks as Python lists, read through registers."""

    def __init__(self, cfg: Config, codes: Codes, w: torch.Tensor):
        self.cfg, self.codes, self.w = cfg, codes, w
        self.dut = IntegerUnit(cfg)
        self.ahead = ReadyAhead(self.dut.prod.payload.shape())
        self.prod = self.ahead.output
        self.bench = Bench(self)
        self.tiles = -(-w.shape[1] // cfg.cols)
        self.stride = cfg.tile_rows(w.shape[0])
        self.base = cfg.slot_rows               # the second slot
        self.tokens = trains.trains(codes, cfg)
        self.starts, self.lists = [], [dict() for _ in range(cfg.int_lanes)]
        place = 3
        for token in self.tokens:
            self.starts.append(place % cfg.list_depth)
            for kept, entries in zip(self.lists, token.lists, strict=True):
                kept.update({(place + n) % (1 << cfg.list_bits): entry
                             for n, entry in enumerate(entries)})
            place += token.list_length
        assert place < cfg.list_depth and self.tiles * self.stride <= cfg.slot_rows
        self.first_place: int | None = None     # cycle in which the first entry was asked for
        self.read_entries = 0

    def row(self, lane: int, address: int) -> list[int]:
        """Bank row: the weights of one input for one tile; -1 where nothing was stored."""
        cfg, (tile, row) = self.cfg, divmod(address - self.base, self.stride)
        k, = [k for k in range(row * cfg.groups, (row + 1) * cfg.groups)
              if lane in cfg.home_lanes(k)]
        first = tile * cfg.cols
        row_w = self.w[k, first:first + cfg.cols].tolist() if k < self.w.shape[0] else []
        return row_w + [-1] * (cfg.cols - len(row_w))

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut, m.submodules.ahead = self.dut, self.ahead
        wiring.connect(m, self.dut.prod, self.ahead.input)
        m.d.comb += self.dut.prod_ready_next.eq(self.ahead.ready_next)
        return m

    async def memories(self, ctx):
        """Serve entries and bank rows as many enabled cycles later as the real ones do."""
        cfg, dut = self.cfg, self.dut
        ports = [self.bench.cycle, dut.en, dut.place_read, dut.place, dut.read, dut.addr,
                 dut.entries]
        words: list[dict[int, dict]] = [{}] * LIST_LATENCY        # entries, by integer lane
        rows = [[[0] * cfg.cols] * (cfg.int_lanes * cfg.group)] * READ_LATENCY
        async for _, _, cycle, en, place_read, place, read, addr, entries in ctx.tick().sample(
                *ports):
            self.read_entries += entries
            if not en:
                continue
            if place_read and self.first_place is None:
                self.first_place = cycle
            words = [{lane: self._word(kept[place]) for lane, kept in enumerate(self.lists)
                      if place_read and place in kept}, *words[:-1]]
            for lane, word in words[-1].items():
                ctx.set(dut.entry[lane], word)
            rows = [[self.row(lane, addr[lane // cfg.group])
                     if read[lane // cfg.group] >> lane % cfg.group & 1 else [0] * cfg.cols
                     for lane in range(cfg.int_lanes * cfg.group)], *rows[:-1]]
            for lane, row in enumerate(rows[-1]):
                ctx.set(dut.rows[lane], row)

    def _word(self, entry) -> dict[str, int]:
        word = {"q": entry.q, "row": entry.row}
        if self.cfg.exp_bits:
            word["e"] = entry.e
        if self.cfg.group > 1:
            word["lane"] = entry.bank
        return word

    def visits(self) -> list[dict]:
        """Every tile of every token."""
        return [{"token": {"list_start": start, "count": [len(one) for one in token.lists]},
                 "base": self.base + tile * self.stride}
                for start, token in zip(self.starts, self.tokens, strict=True)
                for tile in range(self.tiles)]

    def words(self) -> list[int]:
        """Product words that each visit must bring."""
        return [max(1, token.list_length) for token in self.tokens for _ in range(self.tiles)]

    def check(self, words: Sequence) -> None:
        """Word counts, `last`, the sums per tile, and the entries read on the way."""
        cfg, n = self.cfg, self.w.shape[1]
        want = golden.integer_lanes(self.codes, self.w, cfg)
        at = 0
        for number, count in enumerate(self.words()):
            token, tile = divmod(number, self.tiles)
            tile_words = words[at:at + count]
            at += count
            assert [word.last for word in tile_words] == [0] * (count - 1) + [1]
            for col in range(min(cfg.cols, n - tile * cfg.cols)):
                total = sum(word.prod[col] for word in tile_words)
                assert total == int(want[token, tile * cfg.cols + col])
        assert at == len(words)
        assert self.read_entries == self.tiles * sum(
            len(entries) for token in self.tokens for entries in token.lists)


def rig(cfg: Config, seed: int, tokens: int = 3) -> Rig:
    k, n = cfg.k, 2 * cfg.cols + 1
    codes = join(random_codes(cfg, tokens, k, seed, salient=0.2), hard_codes(cfg, k))
    return Rig(cfg, codes, random_wgt(cfg, k, n, seed))


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["free", "stalled"])
@configs
def test_sums_of_every_tile(cfg: Config, stall: float) -> None:
    r = rig(cfg, seed=25)
    total = sum(r.words())

    async def visits(ctx):
        await put(ctx, r.dut.visit, r.visits(), random.Random(26) if stall else None, stall)

    async def receive(ctx):
        r.check(await get(ctx, r.prod, lambda words: len(words) == total,
                          random.Random(27) if stall else None, stall))

    simulate(r.bench, visits, receive, processes=[r.memories], watch=[r.dut.prod, r.prod])


@configs
def test_latency_then_one_word_per_cycle_across_visits(cfg: Config) -> None:
    """As the docstring says from the first list place; no gap after that while visits wait."""
    r = rig(cfg, seed=28, tokens=2)
    total = sum(r.words())

    async def visits(ctx):
        await put(ctx, r.dut.visit, r.visits())

    async def receive(ctx):
        cycles: list[int] = []
        ctx.set(r.prod.ready, 1)
        async for _, _, cycle, valid in ctx.tick().sample(r.bench.cycle, r.dut.prod.valid):
            cycles += [cycle] if valid else []
            if len(cycles) == total:
                break
        assert cycles[0] == r.first_place + LIST_LATENCY + INTEGER_LATENCY + sum_stages(cfg)
        assert cycles == list(range(cycles[0], cycles[0] + total))

    simulate(r.bench, visits, receive, processes=[r.memories])


def test_largest_sums_fit() -> None:
    """-8 weights, largest q and e on every integer lane at once."""
    cfg = SMALL.with_(homes=4, int_lanes=4, k=8)
    codes = Codes(torch.tensor([[-127] * 8, [127] * 8]), torch.full((2, 8), cfg.exp_max))
    r = Rig(cfg, codes, torch.full((8, 4), -cfg.wgt_max))

    async def visits(ctx):
        await put(ctx, r.dut.visit, r.visits())

    async def receive(ctx):
        words = await get(ctx, r.prod, lambda words: len(words) == 4)
        peak = 4 * 8 * 127 << cfg.exp_max
        assert [list(word.prod) for word in words] == [[peak] * 4] * 2 + [[-peak] * 4] * 2

    simulate(r.bench, visits, receive, processes=[r.memories])
