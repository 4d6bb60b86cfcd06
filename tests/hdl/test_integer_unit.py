"""Integer unit: per tile, the sums of golden.integer_lanes, as a stream that ends with `last`."""

import random

import pytest
import torch

import golden
from golden import Codes
from hdl.integer_lane import INTEGER_LATENCY
from hdl.integer_unit import IntegerUnit
from spinteger.config import Config
from tests.hdl.streams import Bench, get, simulate
from tests.hdl.traffic import SMALL, hard_codes, join, random_codes, random_wgt

CONFIGS = {
    "1_lane": SMALL,
    "2_lanes": SMALL.with_(int_lanes=2),
    "4_lanes": SMALL.with_(int_lanes=4),
    "3x5": SMALL.with_(rows=3, cols=5),
    "1x1": SMALL.with_(rows=1, cols=1, k=9),
    "plain_int8": SMALL.with_(exp_max=0),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


class Rig:
    """An integer unit with lists and banks as Python lists, read through registers."""

    def __init__(self, cfg: Config, codes: Codes, w: torch.Tensor):
        self.cfg, self.codes, self.w = cfg, codes, w
        self.dut = IntegerUnit(cfg)
        self.bench = Bench(self.dut)
        self.tiles = -(-w.shape[1] // cfg.cols)
        self.stride = cfg.tile_rows(w.shape[0])
        self.lists = [[[s for s in token if s[0] % cfg.rows // cfg.group == lane]
                       for lane in range(cfg.int_lanes)]
                      for token in golden.salient_list(codes, cfg)]     # (k, q, e)
        self.first_index: int | None = None     # cycle in which the first entry was asked for
        self.token = 0                          # now offered

    def row(self, lane: int, address: int) -> list[int]:
        """Bank row: the weights of one input for one tile; -1 where nothing was stored."""
        cfg, (tile, row) = self.cfg, divmod(address, self.stride)
        k = row * cfg.rows + lane
        first = tile * cfg.cols
        row_w = self.w[k, first:first + cfg.cols].tolist() if k < self.w.shape[0] else []
        return row_w + [-1] * (cfg.cols - len(row_w))

    async def memories(self, ctx):
        """Serve entries and bank rows one cycle after they are asked for."""
        cfg, dut = self.cfg, self.dut
        ports = [self.bench.cycle, dut.index_en, dut.index, dut.read, dut.addr]
        async for _, _, cycle, index_en, index, read, addr in ctx.tick().sample(*ports):
            if index_en:
                if self.first_index is None:
                    self.first_index = cycle
                for lane, entries in enumerate(self.lists[self.token]):
                    if index < len(entries):
                        k, q, e = entries[index]
                        entry = {"q": q, "row": k // cfg.rows}
                        if cfg.exp_bits:
                            entry["e"] = e
                        if cfg.group > 1:
                            entry["lane"] = k % cfg.rows % cfg.group
                        ctx.set(dut.entry[lane], entry)
            for lane in range(cfg.rows):
                if read >> lane & 1:
                    ctx.set(dut.rows[lane], self.row(lane, addr[lane // cfg.group]))

    async def tokens(self, ctx, rng: random.Random | None = None):
        """Offer the tokens one after the other."""
        dut = self.dut
        for number, lists in enumerate(self.lists):
            while rng and rng.random() < 0.3:
                await ctx.tick()
            self.token = number
            ctx.set(dut.token.payload, {
                "count": [len(entries) for entries in lists], "buf": number % 2,
                "tile_last": self.tiles - 1, "stride": self.stride})
            ctx.set(dut.token.valid, 1)
            await ctx.tick().until(dut.token.ready)
            ctx.set(dut.token.valid, 0)

    def words(self) -> list[int]:
        """Product words that each tile of each token must bring."""
        return [max(1, *map(len, lists), 0) for lists in self.lists for _ in range(self.tiles)]

    def check(self, words: list) -> None:
        """Word counts, `last`, and the sums per tile."""
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


def rig(cfg: Config, seed: int, tokens: int = 4) -> Rig:
    k, n = cfg.k, 2 * cfg.cols + 1
    codes = join(random_codes(cfg, tokens, k, seed, salient=0.2), hard_codes(cfg, k))
    return Rig(cfg, codes, random_wgt(cfg, k, n, seed))


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["free", "stalled"])
@configs
def test_sums_of_every_tile(cfg: Config, stall: float) -> None:
    r = rig(cfg, seed=25)
    total = sum(r.words())

    async def tokens(ctx):
        await r.tokens(ctx, random.Random(26) if stall else None)

    async def receive(ctx):
        r.check(await get(ctx, r.dut.prod, lambda words: len(words) == total,
                          random.Random(27) if stall else None, stall))

    simulate(r.bench, tokens, receive, processes=[r.memories], watch=[r.dut.prod])


@configs
def test_latency_then_one_word_per_cycle_across_tiles(cfg: Config) -> None:
    """INTEGER_LATENCY + 2 cycles from the first list index; no gap after that while tokens wait."""
    r = rig(cfg, seed=28, tokens=2)
    total = sum(r.words())

    async def receive(ctx):
        stamped = await get(ctx, r.dut.prod, lambda words: len(words) == total,
                            cycle=r.bench.cycle)
        cycles = [cycle for _, cycle in stamped]
        assert cycles[0] == r.first_index + INTEGER_LATENCY + 2
        assert cycles == list(range(cycles[0], cycles[0] + total))

    simulate(r.bench, r.tokens, receive, processes=[r.memories])


def test_largest_sums_fit() -> None:
    """-8 weights, largest q and e on every integer lane at once."""
    cfg = SMALL.with_(int_lanes=4, k=8)
    codes = Codes(torch.tensor([[-127] * 8, [127] * 8]), torch.full((2, 8), cfg.exp_max))
    r = Rig(cfg, codes, torch.full((8, 4), -cfg.wgt_max))

    async def receive(ctx):
        words = await get(ctx, r.dut.prod, lambda words: len(words) == 4)
        peak = 4 * 8 * 127 << cfg.exp_max
        assert [list(word.prod) for word in words] == [[peak] * 4] * 2 + [[-peak] * 4] * 2

    simulate(r.bench, r.tokens, receive, processes=[r.memories])
