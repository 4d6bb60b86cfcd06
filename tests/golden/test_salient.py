"""The cut and the step: the formula, true medians, degenerate tokens."""

import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from golden.codes import encode, is_salient, is_silent, to_levels
from golden.salient import mad_cut, mad_step, static_step, true_median
from spinteger.config import Config

torch.set_num_threads(1)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
def test_true_median(xs: list[float]) -> None:
    got = float(true_median(torch.tensor(xs, dtype=torch.float64)))
    assert got == pytest.approx(statistics.median(xs), abs=1e-12)


@pytest.mark.parametrize("inputs", [5, 6, 31, 32])
def test_cut_is_the_formula(inputs: int) -> None:
    x = torch.randn(3, 4, inputs, generator=torch.Generator().manual_seed(inputs)).double()
    cut = mad_cut(x, 2.5)
    assert cut.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            token = x[i, j].tolist()
            middle = statistics.median(token)
            mad = statistics.median(abs(v - middle) for v in token)
            assert float(cut[i, j]) == pytest.approx(2.5 * 1.4826 * mad, rel=1e-12)
    assert torch.equal(mad_cut(x.movedim(-1, 0), 2.5, dim=0), cut)


@pytest.mark.parametrize("window", [7, 15])
def test_cut_separates_spikes_from_salients(window: int) -> None:
    x = torch.randn(2000, generator=torch.Generator().manual_seed(1)).double()
    cut, step = mad_cut(x, 2.5), mad_step(x, window, 2.5)
    level = to_levels(x, step).abs()
    assert torch.equal(level > window, x.abs() >= cut)
    share = float((level > window).double().mean())
    assert 0.005 < share < 0.025                # normal data, 2.5 sigma: 1.24 %


def test_lower_k_mad_means_more_salients() -> None:
    x = torch.randn(4, 512, generator=torch.Generator().manual_seed(2)) ** 3
    shares = [int(is_salient(encode(x, mad_step(x, 7, k), Config()), Config()).sum())
              for k in (3.5, 3.0, 2.5, 2.0)]
    assert shares == sorted(shares) and shares[0] < shares[-1]


def test_mostly_equal_token_falls_back_to_the_mean_deviation() -> None:
    x = torch.tensor([0.0] * 7 + [1.0, 2.0, 3.0])
    assert float(mad_cut(x, 2.0)) == pytest.approx(2.0 * 1.2533141 * 0.6, rel=1e-6)
    assert not is_silent(encode(x, mad_step(x, 7, 2.0), Config()), Config())[7:].any()


@pytest.mark.parametrize("window", [1, 3, 7, 15])
def test_constant_token_is_spikes(window: int) -> None:
    cfg = Config(window=window)
    x = torch.full((9,), -3.7)
    assert torch.equal(encode(x, mad_step(x, window, 2.5), cfg).q, torch.full((9,), -window))


def test_zero_token_is_silent() -> None:
    x = torch.zeros(2, 9)
    assert mad_cut(x, 2.5).tolist() == [1.0, 1.0]
    assert bool(is_silent(encode(x, mad_step(x, 7, 2.5), Config()), Config()).all())


def test_static_step_is_the_step_of_all_values() -> None:
    x = torch.randn(6, 11, generator=torch.Generator().manual_seed(3))
    step = static_step(x, 7, 2.5)
    assert isinstance(step, float)
    assert step == float(mad_cut(x.flatten(), 2.5)) / 7.5


@pytest.mark.parametrize(("x", "k_mad", "says"), [
    (torch.zeros(3, 0), 2.5, "no values"),
    (torch.tensor([1.0, float("inf")]), 2.5, "finite"),
    (torch.ones(3), 0.0, "k_mad 0.0"),
])
def test_refusals(x: torch.Tensor, k_mad: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mad_cut(x, k_mad)


def test_window_refused() -> None:
    with pytest.raises(ValueError, match="window 0"):
        mad_step(torch.ones(3), 0, 2.5)
