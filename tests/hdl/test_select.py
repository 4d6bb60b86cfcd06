"""Selection helpers: every index, every set of bits, for counts that are no power of two too."""

import pytest
from amaranth.hdl import Module, Signal

from hdl.select import lowest, one_hot_or, pick
from tests.hdl.streams import settle


@pytest.mark.parametrize("count", range(1, 10))
def test_pick_every_index(count: int) -> None:
    m = Module()
    inputs = [Signal(8, name=f"value_{n}") for n in range(count)]
    index, out = Signal(range(max(2, count))), Signal(8)
    m.d.comb += out.eq(pick(inputs, index))

    async def bench(ctx):
        for n, value in enumerate(inputs):
            ctx.set(value, 0x40 + 11 * n)
        for n in range(count):
            ctx.set(index, n)
            assert ctx.get(out) == 0x40 + 11 * n

    settle(m, bench)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_lowest_of_every_word(width: int) -> None:
    m = Module()
    bits, out = Signal(width), Signal(width)
    m.d.comb += out.eq(lowest(bits))
    assert len(lowest(bits)) == width

    async def bench(ctx):
        for word in range(1 << width):
            ctx.set(bits, word)
            low = next((n for n in range(width) if word >> n & 1), None)
            assert ctx.get(out) == (0 if low is None else 1 << low)

    settle(m, bench)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_one_hot_or_every_choice(count: int) -> None:
    m = Module()
    inputs = [Signal(6, name=f"value_{n}") for n in range(count)]
    chosen, out = Signal(count), Signal(6)
    m.d.comb += out.eq(one_hot_or(inputs, chosen))

    async def bench(ctx):
        for n, value in enumerate(inputs):
            ctx.set(value, 0x3F - 5 * n)
        assert ctx.get(out) == 0                    # none chosen
        for n in range(count):
            ctx.set(chosen, 1 << n)
            assert ctx.get(out) == 0x3F - 5 * n

    settle(m, bench)


def test_one_hot_or_needs_a_bit_per_value() -> None:
    with pytest.raises(ValueError):
        one_hot_or([Signal(2), Signal(2)], Signal(3))
