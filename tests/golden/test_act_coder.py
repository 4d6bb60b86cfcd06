"""Batches are coded to the integers of golden.salient and golden.codes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import codes, salient
from golden.act_coder import ActCoder, cut
from spinteger.config import Config

CASES = {
    "normal": torch.randn(40, 33, generator=torch.Generator().manual_seed(1)),
    "even": torch.randn(40, 64, generator=torch.Generator().manual_seed(2)),
    "outliers": torch.randn(40, 48, generator=torch.Generator().manual_seed(3)).pow(5) * 100,
    "relu": torch.randn(40, 48, generator=torch.Generator().manual_seed(4)).clamp(min=0.5) - 0.5,
    "constant": torch.full((3, 8), 2.5), "zero": torch.zeros(3, 8),
    "massive": torch.cat([torch.full((4, 1), 3e6),
                          torch.randn(4, 31, generator=torch.Generator().manual_seed(5))], 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("k_mad", [3.0, 1.5])
@pytest.mark.parametrize("sal_bits, exp_max", [(8, 9), (8, 0), (5, 3)])
def test_integers_are_those_of_the_contract(name, k_mad, sal_bits, exp_max):
    x = CASES[name]
    cfg = Config(sal_bits=sal_bits, exp_max=exp_max)
    coder = ActCoder(k_mad=k_mad, sal_bits=sal_bits, exp_max=exp_max)
    assert torch.equal(cut(x, k_mad)[..., 0], salient.mad_cut(x, k_mad))
    level, step = coder(x)
    assert torch.equal(step[..., 0], salient.mad_step(x, cfg.window, k_mad))
    want = codes.encode(x, step, cfg)
    assert torch.equal(level.long(), codes.value(want))
    assert coder.counts.values == x.numel()
    assert coder.counts.silent == int(codes.is_silent(want, cfg).sum())
    if sal_bits > 4:            # every |x| beyond the window is salient, and nothing else
        assert coder.counts.salient == int(codes.is_salient(want, cfg).sum())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=24),
       st.floats(0.01, 10.0))
def test_any_row(values, step):
    x = torch.tensor([values])
    coder = ActCoder(static=step)
    level, _ = coder(x)
    assert torch.equal(level.long(), codes.value(codes.encode(x, step, Config())))


def test_unsigned_acts_are_never_negative():
    x = CASES["normal"]
    level, _ = ActCoder(signed=False, window=15)(x)
    assert bool((level >= 0).all()) and bool((level[x < -1] == 0).all())


def test_without_salience_values_are_clipped():
    coder = ActCoder(k_mad=1.0, salience=False)
    level, _ = coder(CASES["outliers"])
    assert level.abs().max() == 7 and coder.counts.salient == 0


@pytest.mark.parametrize("mode, top", [("int8", 127), ("int4", 7)])
def test_plain_integers_put_the_largest_at_the_top(mode, top):
    level, step = ActCoder(mode=mode)(CASES["normal"])
    assert bool((level.abs().amax(-1) == top).all())
    assert bool(((level * step - CASES["normal"]).abs() <= step / 2 * (1 + 1e-6)).all())


def test_steps_as_powers_of_two():
    coder = ActCoder(pow2=True)
    step = coder.steps(CASES["normal"])
    exact = ActCoder().steps(CASES["normal"])
    assert bool((step.log2() % 1 == 0).all()) and bool(((step / exact).log2().abs() <= 0.5).all())


@pytest.mark.parametrize("name", ["normal", "outliers", "massive", "zero"])
def test_snapped_steps_make_the_largest_value_exact(name):
    x = CASES[name]
    plain, snapped = ActCoder(k_mad=2.0), ActCoder(k_mad=2.0, snap=True)
    step, exact = plain.steps(x), snapped.steps(x)
    assert bool((exact <= step).all())
    level = snapped.levels(x, exact)
    at = x.abs().argmax(-1, keepdim=True)
    massive = level.gather(-1, at).abs() > 127
    fits = step * 127 * 2 ** 9 >= x.abs().amax(-1, keepdim=True)
    assert bool((exact[fits] >= step[fits] * (1 - 1 / 63)).all())
    assert torch.equal(exact[~massive], step[~massive])
    error = (level.double() * exact - x.double()).gather(-1, at).abs()
    size = x.abs().amax(-1, keepdim=True)
    assert bool((error[massive & fits] <= 1e-9 * size[massive & fits]).all())
    assert torch.equal(level.long(), codes.value(codes.encode(x, exact, Config())))


def test_layers_that_share_an_input_code_it_once():
    coder, x = ActCoder(), CASES["even"]
    first, again = coder(x), coder(x)
    assert first[0] is again[0] and coder.counts.values == x.numel()
    coder(x.clone())
    assert coder.counts.values == 2 * x.numel()
