"""Codes: rounding, the re-coding rule against brute force, the three kinds, refusals."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from golden.codes import (
    CodeError,
    Codes,
    check_codes,
    check_wgt,
    encode,
    is_salient,
    is_silent,
    is_spike,
    recode,
    round_half_away,
    to_levels,
    value,
)
from spinteger.config import Config

torch.set_num_threads(1)

# (sal_bits, E, L): plain INT8, tiny salients that overlap the window, the default, a wide one.
SHAPES = [(8, 0, 7), (4, 0, 7), (4, 3, 7), (4, 6, 3), (5, 4, 15), (8, 3, 15), (8, 9, 7), (12, 4, 7)]


def shape(sal_bits: int, exp_max: int, window: int, signed: bool = True) -> Config:
    return Config(sal_bits=sal_bits, exp_max=exp_max, window=window, signed=signed, k=64)


def exact_round(x: float) -> int:
    """Round half away by exact fractions."""
    mag = math.floor(Fraction(abs(x)) + Fraction(1, 2))
    return -mag if x < 0 else mag


@given(st.lists(st.one_of(st.floats(-1e9, 1e9), st.integers(-999, 999).map(lambda n: n / 2)),
                min_size=1, max_size=20))
def test_round_half_away_is_exact(xs: list[float]) -> None:
    got = round_half_away(torch.tensor(xs, dtype=torch.float64))
    assert got.dtype == torch.int64
    assert got.tolist() == [exact_round(x) for x in xs]


def test_round_half_away_just_below_a_half() -> None:
    below = math.nextafter(0.5, 0.0)            # floor(x + 0.5) would give 1
    got = round_half_away(torch.tensor([below, -below, 0.5, -0.5, 1.5, -2.5], dtype=torch.float64))
    assert got.tolist() == [0, 0, 1, -1, 2, -3]


def test_to_levels_per_token_scalar_and_ties() -> None:
    x = torch.tensor([[1.0, -1.25, 0.2], [1.0, -1.25, 0.2]])
    assert to_levels(x, torch.tensor([0.5, 2.5])).tolist() == [[2, -3, 0], [0, -1, 0]]
    assert to_levels(x, torch.tensor([[0.5], [2.5]])).tolist() == [[2, -3, 0], [0, -1, 0]]
    assert to_levels(x[0], 0.5).tolist() == [2, -3, 0]
    assert to_levels(torch.tensor([1e300], dtype=torch.float64), 1.0).item() > 1 << 50


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_to_levels_refuses_step(step: float) -> None:
    with pytest.raises(CodeError, match="step .*positive and finite"):
        to_levels(torch.ones(3), step)


def test_to_levels_refuses_non_finite_acts() -> None:
    with pytest.raises(CodeError, match=r"index \(0, 1\): not a finite"):
        to_levels(torch.tensor([[0.0, float("nan")]]), 1.0)


def brute_code(level: int, sal_max: int, exp_max: int) -> tuple[int, int]:
    """Fewest bits dropped, by trying every exponent."""
    every = [(level if e == 0 else (level + 2 ** (e - 1)) // 2 ** e, e) for e in range(exp_max + 1)]
    return next(code for code in every if code[0] <= sal_max)


@pytest.mark.parametrize(("sal_bits", "exp_max", "window"), SHAPES)
def test_recode_every_level(sal_bits: int, exp_max: int, window: int) -> None:
    cfg = shape(sal_bits, exp_max, window)
    level = torch.arange(cfg.level_max + 1)
    want = [brute_code(x, cfg.sal_max, exp_max) for x in range(cfg.level_max + 1)]
    got = recode(level, cfg)
    assert list(zip(got.q.tolist(), got.e.tolist(), strict=True)) == want
    negative = recode(-level, cfg)
    assert torch.equal(negative.q, -got.q) and torch.equal(negative.e, got.e)
    check_codes(got, cfg)
    check_codes(negative, cfg)
    # Levels in the window are untouched, the rest are off by at most half of what was dropped.
    assert torch.equal(got.q[:window + 1], level[:window + 1]) and not got.e[:window + 1].any()
    assert bool((2 * (value(got) - level).abs() <= torch.where(got.e > 0, 1 << got.e, 0)).all())


@pytest.mark.parametrize(("sal_bits", "exp_max", "window"), SHAPES)
def test_recode_limits_to_level_max(sal_bits: int, exp_max: int, window: int) -> None:
    cfg = shape(sal_bits, exp_max, window)
    beyond = torch.tensor([cfg.level_max + 1, -cfg.level_max * 2, 1 << 52])
    assert value(recode(beyond, cfg)).tolist() == [cfg.level_max, -cfg.level_max, cfg.level_max]


def test_recode_worked_example() -> None:
    codes = recode(torch.tensor([0, -7, 8, 127, 128, 255, -1000]), Config())
    assert codes.q.tolist() == [0, -7, 8, 127, 64, 64, -125]
    assert codes.e.tolist() == [0, 0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize(("sal_bits", "exp_max", "window"), SHAPES)
def test_every_legal_code_has_exactly_one_kind(sal_bits: int, exp_max: int, window: int) -> None:
    cfg = shape(sal_bits, exp_max, window)
    q, e = (x.flatten() for x in torch.meshgrid(
        torch.arange(-cfg.sal_max, cfg.sal_max + 1), torch.arange(exp_max + 1), indexing="ij"))
    codes = Codes(q, e)
    check_codes(codes, cfg)
    silent, spike, salient = (f(codes, cfg) for f in (is_silent, is_spike, is_salient))
    assert bool((silent.int() + spike.int() + salient.int() == 1).all())
    assert torch.equal(silent, value(codes) == 0)
    assert int(spike.sum()) == 2 * window
    assert not spike[e > 0].any()


def test_small_q_with_exponent_is_salient() -> None:
    cfg = shape(4, 3, 7)
    codes = recode(torch.tensor([8]), cfg)
    assert (codes.q.item(), codes.e.item()) == (4, 1)
    assert bool(is_salient(codes, cfg)) and not bool(is_spike(codes, cfg))


def test_encode_is_levels_then_recode() -> None:
    cfg = Config()
    x = torch.tensor([[0.04, -0.36, 100.0], [0.0, 0.75, -7.0]])
    assert value(encode(x, 0.1, cfg)).tolist() == [[0, -4, 1000], [0, 8, -70]]


def test_encode_refuses_negative_acts_when_unsigned() -> None:
    cfg = Config(window=15, signed=False)
    assert encode(torch.tensor([-0.01, 15.0]), 1.0, cfg).q.tolist() == [0, 15]
    with pytest.raises(CodeError, match=r"act index \(1,\): q = -1, must be 0\.\.127 \(unsigned"):
        encode(torch.tensor([3.0, -1.0]), 1.0, cfg)


@pytest.mark.parametrize(("q", "e", "says"), [
    (128, 0, r"index \(1, 2\): q = 128, must be -127\.\.127 \(signed 8-bit"),
    (-128, 9, r"index \(1, 2\): q = -128, must be -127\.\.127"),
    (5, 10, r"index \(1, 2\): exponent e = 10, must be 0\.\.9"),
    (5, -1, r"index \(1, 2\): exponent e = -1, must be 0\.\.9"),
])
def test_check_codes_names_the_first_offender(q: int, e: int, says: str) -> None:
    codes = Codes(torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.int64))
    check_codes(codes, Config())
    codes.q[1, 2:], codes.e[1, 2:] = q, e       # two offenders, the first one is named
    with pytest.raises(CodeError, match=says):
        check_codes(codes, Config())


def test_check_codes_refuses_types_and_shapes() -> None:
    zero = torch.zeros(4, dtype=torch.int64)
    for codes in (Codes(zero, zero[:3]), Codes(zero.float(), zero), Codes(zero, zero.int())):
        with pytest.raises(CodeError, match="must both be int64, of one shape"):
            check_codes(codes, Config())


def test_check_wgt() -> None:
    w = torch.tensor([[-8, 7], [0, 1]])
    check_wgt(w, Config())
    for bad, at in ((8, (1, 0)), (-9, (1, 0))):
        w[1, 0] = bad
        with pytest.raises(CodeError, match=rf"wgt index \({at[0]}, {at[1]}\): {bad}, must be -8"):
            check_wgt(w, Config())
    with pytest.raises(CodeError, match="must be int64"):
        check_wgt(w.float(), Config())
