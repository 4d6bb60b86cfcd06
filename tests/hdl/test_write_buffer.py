"""Write buffer: every row reaches the bank once, in order, and never while the port is taken."""

import random

import pytest

from hdl.write_buffer import WriteBuffer
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL


@pytest.mark.parametrize("busy", [0.0, 0.3, 0.9])
def test_rows_in_order(busy):
    rng = random.Random(f"{busy}")
    dut = WriteBuffer(SMALL)
    bench = Bench(dut)
    sent: list[tuple] = []
    stored: list[tuple] = []

    async def drive(ctx):
        full = False
        for cycle in range(400):
            asked = rng.random() < busy
            taken = asked and rng.random() < 0.7
            ctx.set(dut.asked, asked)
            ctx.set(dut.taken, taken)
            assert ctx.get(dut.full) == full
            assert ctx.get(dut.free) == (not full or not asked)
            assert ctx.get(dut.store) == (full and not taken)
            if ctx.get(dut.store):
                stored.append((ctx.get(dut.addr), list(ctx.get(dut.row))))
                full = False
            put = ctx.get(dut.free) and rng.random() < 0.8 and cycle < 380
            ctx.set(dut.put, put)
            if put:
                sent.append((rng.randrange(SMALL.bank_depth),
                             [rng.randint(-8, 7) for _ in range(SMALL.cols)]))
                ctx.set(dut.put_addr, sent[-1][0])
                ctx.set(dut.put_row, sent[-1][1])
                full = True
            await ctx.tick()
        if busy == 0.0:
            assert len(sent) > 250, "a row a cycle is not taken"

    simulate(bench, drive)
    assert stored == sent[:len(stored)] and len(sent) - len(stored) <= 1
