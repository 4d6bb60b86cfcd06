"""Weight bank: rows into all their home lanes, events out of any, integer lanes beside both."""

import random

import pytest
import torch

from hdl.lane import LANE_LATENCY, READ_LATENCY
from hdl.weight_bank import WeightBank
from spinteger.config import Config
from tests.hdl.streams import Bench, put, simulate
from tests.hdl.traffic import SMALL, random_wgt, wgt_words

BASE = SMALL.with_(k=16, depth=32, cols=3)
CONFIGS = {
    "2_homes": BASE,
    "2_homes_1_row_a_beat": BASE.with_(cols=16, bus_bits=64),
    "4_homes": BASE.with_(rows=16, homes=4, int_lanes=4, k=32),
    "3_lists": BASE.with_(rows=8, homes=4, int_lanes=3),
    "all_homes": BASE.with_(homes=4, int_lanes=2, k=8),
    "8_groups_4_a_beat": BASE.with_(rows=16, homes=2, k=30),
    "1_home": BASE.with_(homes=1),
    "3_lanes": BASE.with_(rows=3, homes=1, int_lanes=3),
    "1_lane": BASE.with_(rows=1, homes=1, int_lanes=1, k=9),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


def homes_of(cfg: Config, word: dict) -> dict[int, int]:
    """Lane -> which of the word's rows it takes."""
    row = word["addr"] % cfg.slot_rows % cfg.rows_k         # tiles are as long as K allows
    lanes: dict[int, int] = {}
    for number in range(cfg.wgt_beat_rows):
        if word["mask"] >> number & 1:
            for lane in cfg.home_lanes(row * cfg.groups + word["group"] + number):
                assert lane not in lanes
                lanes[lane] = number
    return lanes


class Rig:
    """A weight bank and the rows that its banks must hold."""

    def __init__(self, cfg: Config, rng: random.Random):
        self.cfg, self.rng = cfg, rng
        self.dut = WeightBank(cfg)
        self.bench = Bench(self.dut)
        self.banks: list[dict[int, list[int]]] = [{} for _ in range(cfg.rows)]

    def words(self) -> list[dict]:
        """Two tiles of weights, in each slot."""
        cfg, words = self.cfg, []
        for slot in range(cfg.slots):
            tiles = min(2, cfg.slot_rows // cfg.rows_k)
            w = random_wgt(cfg, cfg.rows_k * cfg.groups, tiles * cfg.cols, seed=slot)
            words += wgt_words(cfg, w, slot * cfg.slot_rows)
        return words

    def store(self, word: dict) -> None:
        for lane, number in homes_of(self.cfg, word).items():
            self.banks[lane][word["addr"]] = word["row"][number]

    async def load(self, ctx, words: list[dict]) -> None:
        for word in words:
            await put(ctx, self.dut.wgt, [word])
            self.store(word)


@configs
def test_every_row_of_every_lane(cfg: Config) -> None:
    """Loaded word by word, a word a cycle; then every row of every bank is read by an event."""
    rng = random.Random(1)
    rig = Rig(cfg, rng)
    words = rig.words()

    async def bench(ctx):
        dut = rig.dut
        taken = await put(ctx, dut.wgt, words, cycle=rig.bench.cycle)
        assert taken == list(range(taken[0], taken[0] + len(words)))
        for word in words:
            rig.store(word)
        ctx.set(dut.en_next, 1)
        await ctx.tick().repeat(3)
        addresses = sorted(rig.banks[0])
        assert all(sorted(bank) == addresses for bank in rig.banks), "a lane has no copy"
        for cycle in range(len(addresses) + LANE_LATENCY):
            if cycle < len(addresses):
                row = rng.randint(0, min(cfg.rows_k - 1, addresses[cycle]))
                ctx.set(dut.base, addresses[cycle] - row)
            for lane in range(cfg.rows):
                ctx.set(dut.event[lane], {"valid": cycle < len(addresses), "row": row,
                                          "neg": lane % 2})
            await ctx.tick()
            if cycle >= LANE_LATENCY - 1 and cycle - LANE_LATENCY + 1 < len(addresses):
                address = addresses[cycle - LANE_LATENCY + 1]
                for lane in range(cfg.rows):
                    assert list(ctx.get(dut.codes[lane])) == rig.banks[lane][address]
            if LANE_LATENCY - 2 <= cycle < len(addresses) + LANE_LATENCY - 2:
                assert ctx.get(dut.neg) == sum(1 << n for n in range(1, cfg.rows, 2))

    simulate(rig.bench, bench)


def test_an_input_is_found_in_each_of_its_homes() -> None:
    """The other way round: w[k] is where `home_lanes` says, in one bank of each block."""
    cfg = CONFIGS["4_homes"]
    rig, w = Rig(cfg, random.Random(2)), random_wgt(cfg, cfg.k, cfg.cols, seed=3)
    w[:, 0] = torch.arange(cfg.k) % 15 - 7          # neighbours differ

    async def bench(ctx):
        dut = rig.dut
        await put(ctx, dut.wgt, wgt_words(cfg, w, cfg.slot_rows))
        ctx.set(dut.en_next, 1)
        await ctx.tick().repeat(3)
        ctx.set(dut.base, cfg.slot_rows)
        for k in range(cfg.k):
            homes = cfg.home_lanes(k)
            for lane in range(cfg.rows):
                ctx.set(dut.event[lane], {"valid": lane in homes, "row": k // cfg.groups})
            await ctx.tick().repeat(LANE_LATENCY)
            for lane in range(cfg.rows):
                want = w[k].tolist() if lane in homes else [0] * cfg.cols
                assert list(ctx.get(dut.codes[lane])) == want

    simulate(rig.bench, bench)


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@configs
def test_events_reads_and_stores_at_once(cfg: Config, stall: float) -> None:
    """Events and integer reads of slot 0 while slot 1 is written, masks and all: a row waits in
    exactly those cycles in which a lane it goes to still holds one and its bank is asked for; and
    it is stored in the first in which its bank is not read."""
    rng = random.Random(f"{cfg}{stall}")
    rig = Rig(cfg, rng)
    dut = rig.dut
    blocked = 0

    async def bench(ctx):
        nonlocal blocked
        words = rig.words()
        await rig.load(ctx, words)
        await ctx.tick().repeat(3)
        fresh = [word for word in words if word["addr"] >= cfg.slot_rows]
        idle = [0] * cfg.cols
        pipe = [[(idle, 0)] * cfg.rows for _ in range(LANE_LATENCY)]
        nothing = [idle] * (cfg.int_lanes * cfg.group)
        rows = [nothing] * READ_LATENCY                         # from the second ports
        en = False
        read_en = False
        offered: dict | None = None
        staged: list[dict] = []                                 # beats on their way
        held: set[int] = set()                                  # lanes whose buffer is full
        low = [address for address in rig.banks[0] if address < cfg.slot_rows]
        for _ in range(150):
            en_next, read_en_next = rng.random() >= stall, rng.random() >= stall
            base = rng.choice(low)
            entering = []
            for lane in range(cfg.rows):
                event = {"valid": rng.random() < 0.7, "neg": rng.getrandbits(1),
                         "row": rng.choice([a - base for a in low if 0 <= a - base < cfg.rows_k])}
                ctx.set(dut.event[lane], event)
                entering.append((rig.banks[lane][base + event["row"]], event["neg"])
                                if event["valid"] else (idle, 0))
            ctx.set(dut.en_next, en_next)
            ctx.set(dut.read_en_next, read_en_next)
            ctx.set(dut.base, base)

            reads = {}              # lane -> address
            for unit in range(cfg.int_lanes):
                bank = rng.randrange(cfg.group) if rng.random() < 0.5 else None
                address = rng.choice(low)
                ctx.set(dut.read[unit], 0 if bank is None else 1 << bank)
                ctx.set(dut.addr[unit], address)
                if bank is not None:
                    reads[unit * cfg.group + bank] = address

            used = reads.keys() if read_en else set()

            if offered is None and rng.random() < 0.7:
                word = rng.choice(fresh)
                offered = word | {"mask": rng.randint(0, (1 << cfg.wgt_beat_rows) - 1),
                                  "row": random_wgt(cfg, cfg.wgt_beat_rows, cfg.cols,
                                                    rng.getrandbits(30)).tolist()}
                ctx.set(dut.wgt.payload, offered)
            ctx.set(dut.wgt.valid, offered is not None)
            clash = bool(staged and homes_of(cfg, staged[0]).keys() & reads.keys() & held)
            blocked += clash
            assert ctx.get(dut.wgt.ready) == (len(staged) < 2)
            assert ctx.get(dut.held) == bool(staged)
            taken = offered is not None and len(staged) < 2
            for lane, (codes, _) in enumerate(pipe[-1]):
                assert list(ctx.get(dut.codes[lane])) == codes
                assert ctx.get(dut.neg) >> lane & 1 == pipe[-2][lane][1]
                if lane < len(nothing):
                    assert list(ctx.get(dut.rows[lane])) == rows[-1][lane]
            assert ctx.get(dut.unstored) == sum(1 << lane for lane in held)
            assert ctx.get(dut.stored) == sum(1 << lane for lane in held - used)
            await ctx.tick()
            held &= used
            if en:
                pipe = [entering, *pipe[:-1]]
            if staged and not clash:
                held |= homes_of(cfg, staged[0]).keys()
                rig.store(staged.pop(0))
            if taken:
                staged.append(offered)
                offered = None
            if read_en:
                rows = [[list(rig.banks[lane][reads[lane]]) if lane in reads else idle
                         for lane in range(len(nothing))], *rows[:-1]]
            en, read_en = en_next, read_en_next

        # What was written meanwhile, read by the integer lanes.
        ctx.set(dut.wgt.valid, 0)
        ctx.set(dut.read, [0] * cfg.int_lanes)
        ctx.set(dut.read_en_next, 1)
        await ctx.tick().repeat(4)
        for word in staged:
            rig.store(word)
        for address in sorted(rig.banks[0]):
            for bank in range(cfg.group):
                for unit in range(cfg.int_lanes):
                    ctx.set(dut.read[unit], 1 << bank)
                    ctx.set(dut.addr[unit], address)
                await ctx.tick().repeat(READ_LATENCY)
                for unit in range(cfg.int_lanes):
                    lane = unit * cfg.group + bank
                    assert list(ctx.get(dut.rows[lane])) == rig.banks[lane][address]

    simulate(rig.bench, bench)
    assert blocked, "no store ever met a read"
