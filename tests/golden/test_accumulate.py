"""The drain's arithmetic against Python's integers, which have no width."""

import random

import pytest
import torch
from torch import Tensor

from golden.accumulate import scaled_sum
from spinteger.config import Config

CFG = Config()
#: No scales and no kept sums: sums as wide as V.
PLAIN = CFG.with_(acc_depth=0, scale_bits=0)


def by_hand(v: int, mul: int | None, shift: int | None, token_shift: int | None, kept: int | None,
            bits: int) -> tuple[int, bool]:
    """One column, exactly; then modulo 2^bits."""
    top, over = (1 << bits - 1) - 1, False
    for step in (lambda a: a if mul is None else a * mul,
                 lambda a: a if shift is None else a << shift,
                 lambda a: a if token_shift is None else a << token_shift,
                 lambda a: a if kept is None else a + kept):
        v = step(v)
        over |= abs(v) > top
    return (v + top + 1) % (2 * top + 2) - top - 1, over


def check(cfg: Config, v: Tensor, mul: Tensor | None, shift: Tensor | None,
          token_shift: Tensor | None, kept: Tensor | None) -> tuple[int, int]:
    """Compare [tokens, N] with Python's integers; (sums that fit, sums that do not)."""
    a, over = scaled_sum(v, cfg, mul=mul, shift=shift, token_shift=token_shift, kept=kept)
    tokens, n = v.shape
    for t in range(tokens):
        for c in range(n):
            want = by_hand(int(v[t, c]), *(None if x is None else int(x[c]) for x in (mul, shift)),
                           None if token_shift is None else int(token_shift[t]),
                           None if kept is None else int(kept[t, c]), cfg.acc_bits)
            assert (int(a[t, c]), bool(over[t, c])) == want, (t, c)
    return int((~over).sum()), int(over.sum())


def spread(rng: random.Random, bits: int, shape: tuple[int, int]) -> Tensor:
    """Integers of every size, both signs, |x| < 2^bits, extremes among them."""
    def one() -> int:
        if rng.random() < 0.1:
            return rng.choice([0, 1, -1, (1 << bits) - 1, -(1 << bits) + 1])
        return rng.choice([-1, 1]) * (rng.getrandbits(bits) >> rng.randrange(bits))
    return torch.tensor([[one() for _ in range(shape[1])] for _ in range(shape[0])])


@pytest.mark.parametrize("given", range(16), ids=lambda n: f"{n:04b}")
def test_random_operands_of_every_size(given: int) -> None:
    rng = random.Random(given)
    cfg = CFG.with_(scale_bits=12)
    fit = lost = 0
    for _ in range(4):
        v = spread(rng, cfg.v_bits - 1, (9, 7))
        mul = torch.tensor([rng.getrandbits(12) >> rng.randrange(13) for _ in range(7)])
        shift = torch.tensor([min(rng.randrange(32), rng.randrange(32)) for _ in range(7)])
        token_shift = torch.tensor([rng.randrange(16) for _ in range(9)])
        kept = spread(rng, 31, (9, 7))
        counts = check(cfg, v, mul if given & 1 else None, shift if given & 2 else None,
                       token_shift if given & 4 else None, kept if given & 8 else None)
        fit, lost = fit + counts[0], lost + counts[1]
    assert fit > 50 and (lost > 0) == (given > 0)


def test_the_edges_of_32_bits() -> None:
    """-2^31 is an overflow, on the way as at the end; one above it is not."""
    top = (1 << 31) - 1
    for v, kept, fits in ((top >> 1, (top >> 1) + 1, True), (top >> 1, (top >> 1) + 2, False),
                          (-(top >> 1), -(top >> 1) - 1, True),
                          (-(1 << 29), 1 - 3 * (1 << 29), True),
                          (-(1 << 29), -3 * (1 << 29), False)):
        a, over = scaled_sum(torch.tensor([[v]]), CFG, kept=torch.tensor([[kept]]))
        assert bool(over) != fits and int(a) == (v + kept + top + 1) % (1 << 32) - top - 1
    # On the way: -1 << 31 is -2^31, and adding brings it back.
    one = torch.tensor([[-1]])
    a, over = scaled_sum(one, CFG, shift=torch.tensor([31]), kept=torch.tensor([[5]]))
    assert bool(over) and int(a) == 5 - (1 << 31)


def test_power_of_two_scales_and_zero_change_nothing_else() -> None:
    v = torch.tensor([[3, -5, 0]])
    a, over = scaled_sum(v, CFG, mul=torch.tensor([1, 2, 0]), shift=torch.tensor([4, 0, 31]),
                         token_shift=torch.tensor([2]))
    assert a.tolist() == [[3 << 6, -10 << 2, 0]] and not over.any()


def test_one_token_shift_for_all_and_one_vector() -> None:
    v = torch.tensor([[1, 2], [3, 4]])
    assert scaled_sum(v, CFG, token_shift=torch.tensor(3))[0].tolist() == [[8, 16], [24, 32]]
    assert scaled_sum(v[0], CFG, token_shift=torch.tensor(1))[0].tolist() == [2, 4]


def test_plain_sums_pass() -> None:
    top = (1 << PLAIN.v_bits - 1) - 1
    v = torch.tensor([[top, -top, 0]])
    a, over = scaled_sum(v, PLAIN)
    assert torch.equal(a, v) and not over.any()


@pytest.mark.parametrize("kwargs, text", [
    ({"mul": torch.tensor([256])}, "mul 256..256: must be 0..255"),
    ({"mul": torch.tensor([-1])}, "mul -1..-1"),
    ({"mul": torch.tensor([1, 1])}, r"mul .*\[2\]"),
    ({"shift": torch.tensor([32])}, "shift 32..32: must be 0..31"),
    ({"token_shift": torch.tensor([16])}, "token_shift 16..16: must be 0..15"),
    ({"token_shift": torch.tensor([1, 2])}, r"psum \[1, 1\] and shift"),
    ({"kept": torch.tensor([1])}, "kept"),
    ({"kept": torch.tensor([[1 << 31]])}, "kept"),
    ({"kept": torch.tensor([[1.0]])}, "kept torch.float32"),
])
def test_what_the_hardware_could_not_hold_is_refused(kwargs: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        scaled_sum(torch.tensor([[1]]), CFG, **kwargs)


def test_psum_beyond_its_width_is_refused() -> None:
    with pytest.raises(ValueError, match="psum"):
        scaled_sum(torch.tensor([[1 << PLAIN.v_bits]]), PLAIN)
