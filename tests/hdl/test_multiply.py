"""Products by a constant and bit by bit, exhaustively at small widths."""

import pytest
from amaranth.hdl import Module, Signal

from hdl.multiply import Multiplier, times
from tests.hdl.streams import settle, simulate


@pytest.mark.parametrize("constant", [0, 1, 2, 3, 5, 7, 12, 40, 255])
def test_times(constant: int) -> None:
    value, product = Signal(5), Signal(16)
    m = Module()
    m.d.comb += product.eq(times(value, constant))

    async def bench(ctx):
        for n in range(32):
            ctx.set(value, n)
            assert ctx.get(product) == n * constant

    settle(m, bench)
    assert len(times(value, constant)) == max(1, (31 * constant).bit_length())


@pytest.mark.parametrize("a_bits, b_bits", [(3, 3), (1, 4), (4, 1)])
def test_multiplier(a_bits: int, b_bits: int) -> None:
    dut = Multiplier(a_bits, b_bits)

    async def bench(ctx):
        for a in range(1 << a_bits):
            for b in range(1 << b_bits):
                ctx.set(dut.a, a)
                ctx.set(dut.b, b)
                ctx.set(dut.start, 1)
                await ctx.tick()
                ctx.set(dut.start, 0)
                ctx.set(dut.b, 0)
                for _ in range(b_bits):
                    assert ctx.get(dut.busy)
                    await ctx.tick()
                for _ in range(2):
                    assert not ctx.get(dut.busy)
                    assert ctx.get(dut.product) == a * b
                    await ctx.tick()

    simulate(dut, bench)
