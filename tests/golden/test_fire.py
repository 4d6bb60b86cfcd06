"""Firing: three orders against the definition, thresholds, and the multiply-shift requantiser."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from golden.fire import (
    ThresholdError,
    check_theta,
    fire_closed,
    fire_sar,
    fire_staircase,
    frac_bits_needed,
    multiply_shift,
    theta_from_multiplier,
    theta_from_scales,
)
from spinteger.config import Config

torch.set_num_threads(1)
ORDERS = (fire_staircase, fire_sar, fire_closed)


def by_definition(V: int, theta: int, M: int, f: int, unsigned: bool, silence: int) -> int:
    """The count of the contract, on Python integers."""
    level = sum(2 ** (f + 1) * abs(V) >= (2 * m - 1) * theta for m in range(1, M + 1))
    if level <= silence or (unsigned and V < 0):
        return 0
    return -level if V < 0 else level


def counted(V: Tensor, theta: Tensor, M: int, f: int) -> Tensor:
    """The same magnitude, by a literal comparison with every m at once."""
    odd = 2 * torch.arange(1, M + 1) - 1
    return (V.abs()[..., None] * 2 ** (f + 1) >= odd * theta[:, None]).sum(dim=-1)


@pytest.mark.parametrize("M", [1, 2, 7, 15, 29, 64])
@pytest.mark.parametrize("f", [0, 1, 4])
def test_orders_agree_with_the_count_everywhere(f: int, M: int) -> None:
    theta = torch.cat([torch.arange(1, 41), torch.tensor([97, 128, 255, 1000])])
    V = torch.arange(-160, 161)[:, None].expand(-1, theta.shape[0]).contiguous()
    want = counted(V, theta, M, f)
    for unsigned, silence in itertools.product([False, True], [0, 1, 5]):
        kept = want * (want > silence)
        signed = torch.where(V < 0, 0 if unsigned else -kept, kept)
        for fire in ORDERS:
            assert torch.equal(fire(V, theta, M, f, unsigned, silence), signed), fire.__name__


@settings(max_examples=150, deadline=None)
@given(st.integers(-2**31, 2**31), st.integers(1, 2**48 - 1), st.integers(1, 200),
       st.integers(0, 24), st.booleans(), st.integers(0, 9))
def test_orders_agree_at_full_width(V: int, theta: int, M: int, f: int, unsigned: bool,
                                    silence: int) -> None:
    want = by_definition(V, theta, M, f, unsigned, silence)
    for fire in ORDERS:
        got = fire(torch.tensor([[V]]), torch.tensor([theta]), M, f, unsigned, silence)
        assert got.tolist() == [[want]]


def test_around_every_tie_with_salient_levels() -> None:
    """M = 127 * 2^9: the V at, just below and just above some thresholds, all three orders."""
    f, M, theta = 16, Config().level_max, torch.tensor([3 * 2**16 + 1, 5 * 2**17, 12345])
    m = torch.tensor([1, 2, 7, 8, 1000, M - 1, M, M + 1])[:, None]
    tie = -torch.div(-(2 * m - 1) * theta, 1 << (f + 1), rounding_mode="floor")     # ceiling
    V = torch.stack([tie - 1, tie, tie + 1, -tie])
    want = [[[by_bisection(int(v), int(t), M, f) for v, t in zip(row, theta, strict=True)]
             for row in block] for block in V]
    for fire in ORDERS:
        assert fire(V, theta, M, f).tolist() == want, fire.__name__


def by_bisection(V: int, theta: int, M: int, f: int) -> int:
    """`by_definition` for large M, on Python integers: the last m whose threshold is reached."""
    low, high = 0, M
    while low < high:
        m = (low + high + 1) // 2
        low, high = (m, high) if 2 ** (f + 1) * abs(V) >= (2 * m - 1) * theta else (low, m - 1)
    return -low if V < 0 else low


def test_products_past_64_bits_do_not_wrap() -> None:
    """(2m - 1) * theta reaches 2^74 here; int64 would wrap and fire."""
    M, theta = 2047 << 15, torch.tensor([2**48 - 1, 2**44, 1])
    V = torch.tensor([2**31 - 1, -(2**31), 2**31 - 1])
    want = [by_bisection(int(v), int(t), M, 24) for v, t in zip(V, theta, strict=True)]
    assert fire_sar(V, theta, M, 24).tolist() == want == fire_closed(V, theta, M, 24).tolist()
    few = fire_staircase(V, theta * 2**10 + 1, 1000, 24)
    assert torch.equal(few, fire_closed(V, theta * 2**10 + 1, 1000, 24))


def test_rounds_half_away_from_zero() -> None:
    theta = torch.tensor([10])
    V = torch.tensor([[4], [5], [14], [15], [-5], [-15], [-4]])
    for fire in ORDERS:
        assert fire(V, theta, 7, 0).flatten().tolist() == [0, 1, 1, 2, -1, -2, 0]


@pytest.mark.parametrize("fire", ORDERS)
def test_firing_refusals(fire) -> None:  # type: ignore[no-untyped-def]
    V, theta = torch.zeros(2, 3, dtype=torch.int64), torch.tensor([5, 0, -1])
    with pytest.raises(ThresholdError, match=r"channel 1: 0, must be 1\.\.2\^60"):
        fire(V, theta, 7, 0)
    good = torch.tensor([5, 5, 5])
    with pytest.raises(ValueError, match=r"\[2, 3\] must be int64 \[..., N\].* 2 thresholds"):
        fire(V, good[:2], 7, 0)
    with pytest.raises(ValueError, match="psum torch.int32"):
        fire(V.int(), good, 7, 0)
    with pytest.raises(ValueError, match="levels 0"):
        fire(V, good, 0, 0)
    with pytest.raises(OverflowError, match="below 2\\^62"):
        fire(V - 2**40, good, 7, 24)


def test_check_theta_uses_the_config_width() -> None:
    cfg = Config(theta_bits=20, frac_bits=8)
    check_theta(torch.tensor([1, 2**20 - 1]), cfg)
    with pytest.raises(ThresholdError, match=r"channel 2: 1048576, must be 1\.\.2\^20 - 1"):
        check_theta(torch.tensor([1, 2, 2**20]), cfg)
    with pytest.raises(ThresholdError, match="must be int64"):
        check_theta(torch.tensor([1.0]), cfg)


def test_theta_from_scales() -> None:
    cfg = Config(frac_bits=4, theta_bits=12)
    # ratio = s_y / (s_w * s_a) = 2, 1 + 1/32 (a tie at 16.5), far below half a fraction bit
    s_w = torch.tensor([0.25, 0.5 / (1 + 1 / 32), 1e6], dtype=torch.float64)
    assert theta_from_scales(0.5, s_w, 1.0, cfg).tolist() == [32, 17, 1]
    with pytest.raises(ThresholdError, match=r"channel 1: 8000, must be 1\.\.2\^12"):
        theta_from_scales(0.5, torch.tensor([0.25, 0.001]), 1.0, cfg)
    with pytest.raises(ThresholdError, match="channel 0: scales"):
        theta_from_scales(0.5, torch.tensor([0.0, 0.25]), 1.0, cfg)
    with pytest.raises(ThresholdError, match="must be one number"):
        theta_from_scales(0.5, s_w, torch.tensor([1.0, 2.0]), cfg)


def test_theta_from_scales_requantises_to_the_nearest_level() -> None:
    """Against V * s_w * s_a / s_y on real numbers, away from ties."""
    cfg, g = Config(), torch.Generator().manual_seed(0)
    s_w = torch.rand(50, generator=g, dtype=torch.float64) * 0.1 + 0.01
    V = torch.randint(-3000, 3000, (200, 50), generator=g)
    real = V * s_w * 0.02 / 0.3
    got = fire_closed(V, theta_from_scales(0.3, s_w, 0.02, cfg), cfg.level_max, cfg.frac_bits)
    clear = ((real.abs() % 1) - 0.5).abs() > 1e-3
    assert bool(clear.double().mean() > 0.99)
    assert torch.equal(got[clear], real.round().long()[clear])


# -- equivalence with a multiply-shift requantiser -------------------------------------------

EVERY_V = torch.arange(-2000, 2001)[:, None]


def random_channels(seed: int, n: int, top: float) -> tuple[Tensor, Tensor]:
    """Mul, s of n channels whose level passes `top` within EVERY_V."""
    g = torch.Generator().manual_seed(seed)
    mul = torch.randint(1, 1 << 15, (n,), generator=g)
    ratio = top / 2000 * (1 + 3 * torch.rand(n, generator=g))
    return mul, torch.log2(mul / ratio).round().long().clamp(min=1)


@pytest.mark.parametrize("M", [7, 15, 1016])
def test_multiply_shift_is_firing(M: int) -> None:
    mul, shift = random_channels(M, 150, 1.5 * min(M, 40))
    f = frac_bits_needed(M, mul)
    theta = theta_from_multiplier(mul, shift, f)
    V = EVERY_V.expand(-1, 150).contiguous()
    want = multiply_shift(V, mul, shift, M)
    assert int(want.abs().max()) >= min(M, 40)
    for fire in (fire_sar, fire_closed) + ((fire_staircase,) if M < 100 else ()):
        assert torch.equal(fire(V, theta, M, f), want)


def test_multiply_shift_is_firing_for_every_small_multiplier() -> None:
    for shift in (1, 2, 5, 8):
        mul = torch.arange(1, 1 << min(shift + 2, 8))
        f = frac_bits_needed(7, mul)
        V = torch.arange(-300, 301)[:, None].expand(-1, mul.shape[0]).contiguous()
        got = fire_closed(V, theta_from_multiplier(mul, shift, f), 7, f)
        assert torch.equal(got, multiply_shift(V, mul, shift, 7))


def test_multiply_shift_by_hand() -> None:
    V = torch.tensor([[2], [3], [-3], [-2], [1000]])
    assert multiply_shift(V, 2, 2, 7).flatten().tolist() == [1, 2, -2, -1, 7]


def wrong_channels(theta: Tensor, f: int, mul: Tensor, shift: Tensor) -> Tensor:
    V = EVERY_V.expand(-1, mul.shape[0]).contiguous()
    return (fire_closed(V, theta, 7, f) != multiply_shift(V, mul, shift, 7)).any(dim=0)


def test_integer_theta_without_fraction_bits_is_wrong() -> None:
    """Uniform integer thresholds, as a naive reading of "scale in the threshold" gives.

    Measured on 3000 such channels, L = 7: 95.7 % wrong for floor, 84 % for round to nearest.
    """
    mul, shift = random_channels(1, 300, 8)
    nearest = torch.round(2.0 ** shift / mul).long()
    for theta, share in ((nearest, 0.8), (theta_from_multiplier(mul, shift, 0), 0.9)):
        assert float(wrong_channels(theta, 0, mul, shift).double().mean()) > share
    f = frac_bits_needed(7, mul)
    assert not wrong_channels(theta_from_multiplier(mul, shift, f), f, mul, shift).any()


def test_rounding_theta_up_breaks_ties() -> None:
    """Mul = 3, s = 6: V = 32 sits exactly on level 1.5, which must round away to 2."""
    mul, shift, f = torch.tensor([3]), torch.tensor([6]), frac_bits_needed(7, 3)
    down = theta_from_multiplier(mul, shift, f)
    V = torch.tensor([[32]])
    assert multiply_shift(V, mul, shift, 7).item() == 2
    assert fire_closed(V, down, 7, f).item() == 2
    for more in range(f, 20):           # more fraction bits do not mend it
        up = theta_from_multiplier(mul, shift, more) + 1
        assert fire_closed(V, up, 7, more).item() == 1


def test_frac_bits_must_cover_m_not_only_the_window() -> None:
    """With salient outputs the clamp is M: fraction bits for L = 7 alone are not enough."""
    mul, shift = torch.arange(513, 1024, 2), 10
    V = torch.arange(1, 2000)[:, None].expand(-1, mul.shape[0]).contiguous()
    want = multiply_shift(V, mul, shift, 1016)
    for levels, exact in ((7, False), (1016, True)):
        f = frac_bits_needed(levels, mul)
        got = fire_closed(V, theta_from_multiplier(mul, shift, f), 1016, f)
        assert torch.equal(got, want) == exact


def test_frac_bits_needed() -> None:
    assert [frac_bits_needed(7, mul) for mul in (1, 2, 100)] == [3, 4, 10]
    assert frac_bits_needed(8, torch.tensor([3, 16])) == 7
    with pytest.raises(ValueError, match="at least 1"):
        frac_bits_needed(7, 0)


def test_multiplier_refusals() -> None:
    with pytest.raises(ThresholdError, match="channel 1: multiplier exceeds"):
        theta_from_multiplier(torch.tensor([3, 999]), 4, 2)
    with pytest.raises(ValueError, match="at most 62"):
        theta_from_multiplier(3, 50, 20)
    for mul, shift in ((0, 4), (3, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            theta_from_multiplier(mul, shift, 4)
    with pytest.raises(OverflowError, match="62 bits"):
        multiply_shift(torch.tensor([1 << 40]), 1 << 30, 4, 7)
