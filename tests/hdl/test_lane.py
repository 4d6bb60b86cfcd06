"""Spike lane: rows of events, zeros without, and the second port, cycle by cycle."""

import random

import pytest

from hdl.lane import LANE_LATENCY, READ_LATENCY, SpikeLane
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL

CONFIGS = {"small": SMALL, "1_column": SMALL.with_(cols=1), "odd_depth": SMALL.with_(depth=53),
           "16_columns": SMALL.with_(cols=16, wgt_bits=2)}


def random_row(cfg: Config, rng: random.Random) -> list[int]:
    return [rng.randint(-cfg.wgt_max, cfg.wgt_max - 1) for _ in range(cfg.cols)]


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_events_beside_reads_and_writes(cfg: Config, stall: float) -> None:
    """Events select from the bank's lower half while the second port works on the upper half."""
    rng, dut = random.Random(8), SpikeLane(cfg)
    half, idle = cfg.bank_depth // 2, [0] * cfg.cols
    bank = [random_row(cfg, rng) for _ in range(cfg.bank_depth)]

    async def bench(ctx):
        for addr, row in enumerate(bank):
            ctx.set(dut.write, 1)
            ctx.set(dut.addr, addr)
            ctx.set(dut.write_row, row)
            await ctx.tick()
        ctx.set(dut.write, 0)
        pipe = [(idle, 0)] * LANE_LATENCY
        reads = [idle] * READ_LATENCY
        en = 0
        for _ in range(600):
            # Spike side.
            valid, neg = rng.random() < 0.6, rng.getrandbits(1)
            row = rng.randrange(cfg.rows_k)
            base = rng.randrange(half - cfg.rows_k)
            en_next = rng.random() >= stall
            for name, value in (("en_next", en_next), ("valid", valid), ("row", row),
                                ("base", base), ("neg", neg)):
                ctx.set(getattr(dut, name), value)
            # Second port.
            write, read = rng.choice([(0, 0), (0, 1), (1, 0)])
            read_en = rng.random() >= stall
            addr = rng.randrange(half, cfg.bank_depth)
            for name, value in (("write", write), ("read", read), ("read_en", read_en),
                                ("addr", addr)):
                ctx.set(getattr(dut, name), value)
            fresh = random_row(cfg, rng)
            ctx.set(dut.write_row, fresh)

            assert list(ctx.get(dut.wgt)) == pipe[-1][0]
            assert ctx.get(dut.wgt_neg) == pipe[-2][1]      # 0 where idle: a plain zero
            assert list(ctx.get(dut.read_row)) == reads[-1]
            await ctx.tick()
            if en:
                entering = (bank[base + row], neg) if valid else (idle, 0)
                pipe = [entering, *pipe[:-1]]
            if read_en:
                reads = [list(bank[addr]) if read else idle, *reads[:-1]]
            if write:
                bank[addr] = fresh
            en = en_next

    simulate(Bench(dut), bench)


def test_latency_and_gate() -> None:
    """One event: its row after exactly LANE_LATENCY cycles, for one cycle, zeros around it."""
    cfg, dut = SMALL, SpikeLane(SMALL)

    async def bench(ctx):
        ctx.set(dut.write, 1)
        ctx.set(dut.addr, 5)
        ctx.set(dut.write_row, [-8, 7, 0, 1])
        await ctx.tick()
        ctx.set(dut.write, 0)
        ctx.set(dut.en_next, 1)
        await ctx.tick()
        ctx.set(dut.valid, 1)
        ctx.set(dut.row, 2)
        ctx.set(dut.base, 3)
        seen = []
        for _ in range(8):
            seen.append(list(ctx.get(dut.wgt)))
            await ctx.tick()
            ctx.set(dut.valid, 0)
        assert seen.index([-8, 7, 0, 1]) == LANE_LATENCY == 4
        assert sum(row != [0] * cfg.cols for row in seen) == 1

    simulate(Bench(dut), bench)
