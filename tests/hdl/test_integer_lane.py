"""Integer lane: w * q * 2^e of every code and weight at small widths, extremes at full width."""

import itertools
import random
from collections.abc import Sequence

import pytest

from hdl.integer_lane import INTEGER_LATENCY, IntegerLane
from hdl.lane import READ_LATENCY
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL

Entry = dict[str, int]


def entry_word(cfg: Config, q: int, e: int, row: int, lane: int) -> Entry:
    word = {"q": q, "row": row}
    if cfg.exp_bits:
        word["e"] = e
    if cfg.group > 1:
        word["lane"] = lane
    return word


def check(cfg: Config, banks: list[list[list[int]]], entries: Sequence[tuple[Entry, int] | None],
          stall: float, seed: int = 0) -> None:
    """Send (entry, base) or nothing, one per enabled cycle; banks[lane][address] -> row.

    Checks the bank reads, the products after INTEGER_LATENCY enabled cycles, and that nothing
    moves in between.
    """
    dut, rng = IntegerLane(cfg), random.Random(seed)
    idle = [0] * cfg.cols

    async def bench(ctx):
        rows = [[idle] * cfg.group] * READ_LATENCY     # what the banks put out, newest first
        pipe: list[list[int]] = [idle] * INTEGER_LATENCY
        reading: tuple[int, int] | None = None
        for item in [*entries, *[None] * (INTEGER_LATENCY + 1)]:
            while True:
                en = rng.random() >= stall
                ctx.set(dut.en, en)
                ctx.set(dut.valid, item is not None)
                entry, base = item or ({"q": rng.randint(-8, 7)}, 0)
                ctx.set(dut.entry, entry)
                ctx.set(dut.base, base)
                ctx.set(dut.rows, rows[-1])
                assert list(ctx.get(dut.prod)) == pipe[-1]
                want_read = 1 << reading[0] if reading else 0
                assert ctx.get(dut.read) == want_read
                if want_read:
                    assert ctx.get(dut.addr) == reading[1]
                await ctx.tick()
                if not en:
                    continue
                rows = [[banks[n][reading[1]] if reading and n == reading[0] else idle
                         for n in range(cfg.group)], *rows[:-1]]
                if item:
                    bank, address = entry.get("lane", 0), base + entry["row"]
                    reading = (bank, address)
                    x = entry["q"] << entry.get("e", 0)
                    entering = [w * x for w in banks[bank][address]]
                else:
                    reading, entering = None, idle
                pipe = [entering, *pipe[:-1]]
                break

    simulate(Bench(dut), bench)


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("exp_max", [0, 3])
def test_every_code_with_every_weight(exp_max: int, stall: float) -> None:
    """sal_bits 5: all q, all e; the 16 columns hold all 16 weights."""
    cfg = Config(rows=1, cols=16, homes=1, int_lanes=1, k=4, depth=8, tiles=1, sal_bits=5,
                 exp_max=exp_max)
    banks = [[list(range(-8, 8))] * 8]
    entries = [(entry_word(cfg, q, e, 0, 0), 1)
               for q, e in itertools.product(range(-16, 16), range(exp_max + 1))]
    check(cfg, banks, entries, stall)


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("cfg", [SMALL, SMALL.with_(rows=8), SMALL.with_(homes=4),
                                 SMALL.with_(homes=1, int_lanes=1),
                                 SMALL.with_(rows=3, cols=5, homes=1, int_lanes=1),
                                 SMALL.with_(rows=1, cols=1, homes=1, int_lanes=1),
                                 SMALL.with_(exp_max=9, k=16)],
                         ids=["group_2", "group_4", "group_1", "1_home", "3x5", "1x1", "exp_9"])
def test_random_entries_gaps_and_banks(cfg: Config, stall: float) -> None:
    rng = random.Random(24)
    banks = [[[rng.randint(-8, 7) for _ in range(cfg.cols)] for _ in range(cfg.bank_depth)]
             for _ in range(cfg.group)]
    entries: list[tuple[Entry, int] | None] = []
    for _ in range(250):
        row = rng.randrange(cfg.rows_k)
        entry = entry_word(cfg, rng.choice([-128, 127, rng.randint(-128, 127)]),
                           rng.choice([0, cfg.exp_max, rng.randint(0, cfg.exp_max)]), row,
                           rng.randrange(cfg.group))
        entries.append((entry, rng.randrange(cfg.bank_depth - cfg.rows_k + 1))
                       if rng.random() < 0.8 else None)
    check(cfg, banks, entries, stall)


def test_largest_products_fit() -> None:
    cfg = Config(rows=1, cols=2, homes=1, int_lanes=1, k=16, depth=32, tiles=1)     # E = 9
    banks = [[[-8, 7]] * 32]
    check(cfg, banks, [(entry_word(cfg, q, 9, 0, 0), 0) for q in (-128, 127, -127)], 0.0)
    assert INTEGER_LATENCY == 6
