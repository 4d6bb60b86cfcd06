"""AddSub: every operand pair at small widths, extremes at the widths of the firing stages."""

import random

import pytest
from amaranth.hdl import Shape, signed, unsigned

from hdl.addsub import AddSub
from tests.hdl.streams import settle
from tests.hdl.traffic import signed_bits


def values(shape: Shape) -> range:
    """All values of a shape."""
    return (range(-(1 << (shape.width - 1)), 1 << (shape.width - 1)) if shape.signed
            else range(1 << shape.width))


def check(a_shape: Shape, b_shape: Shape, width: int, pairs) -> None:
    dut = AddSub(a_shape, b_shape, width)

    async def bench(ctx):
        for a, b in pairs:
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            for sub in range(2):
                ctx.set(dut.sub, sub)
                want = signed_bits(a - b if sub else a + b, width)
                assert ctx.get(dut.y) == want, f"{a} {'-' if sub else '+'} {b}"

    settle(dut, bench)


@pytest.mark.parametrize("a_shape, b_shape, width", [
    (signed(3), signed(3), 4),          # a tree node: the sum always fits
    (signed(4), signed(4), 5),
    (signed(4), signed(2), 5),          # operands of different widths
    (signed(5), unsigned(3), 5),        # a firing stage: unsigned threshold, modulo 2^width
    (signed(3), unsigned(4), 3),        # ... wider than the result
    (signed(4), signed(4), 4),          # modulo
    (unsigned(1), unsigned(1), 1),
], ids=lambda x: repr(x).replace("unsigned", "u").replace("signed", "s"))
def test_every_pair(a_shape: Shape, b_shape: Shape, width: int) -> None:
    check(a_shape, b_shape, width,
          ((a, b) for a in values(a_shape) for b in values(b_shape)))


def test_extremes_and_random_pairs_at_full_width() -> None:
    rng = random.Random(1)
    a_range, b_range = values(signed(49)), values(unsigned(32))
    pairs = [(a, b) for a in (a_range[0], -1, 0, 1, a_range[-1]) for b in (0, 1, b_range[-1])]
    pairs += [(rng.choice(a_range), rng.choice(b_range)) for _ in range(300)]
    check(signed(49), unsigned(32), 49, pairs)
