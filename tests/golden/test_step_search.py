"""The cheapest step is that of an exhaustive look at the same candidates, and beats the MAD's."""

import pytest
import torch

from golden import codes
from golden.act_coder import ActCoder
from golden.step_search import ABOVE, ABOVE_FEW, FEW, SHARES, searched_steps
from spinteger.config import Config

GEN = torch.Generator().manual_seed(3)
HEAVY = torch.randn(12, 4, 32, generator=GEN).pow(3)
F = torch.rand(4, 32, generator=GEN) + 0.1


def cost(x, step, f, price):
    """By the contract's own integers, one row at a time."""
    level = codes.value(codes.encode(x[None], step, Config()))[0]
    error = (f.double() / 2 * (x.double() - level * step) ** 2).sum()
    return float(error + price * (level.abs() > 7).sum())


@pytest.mark.parametrize("price", [1e-4, 3e-3, 0.1])
@pytest.mark.parametrize("n", [32, 128])
def test_no_candidate_is_cheaper(price, n):
    x, f = HEAVY.reshape(12, -1, n), F.reshape(-1, n)
    steps = searched_steps(x, f, price, 7, 8, 9)
    for row in range(4):
        for part in range(x.shape[1]):
            values = x[row, part]
            tops = values.abs().sort(descending=True).values
            tried = [float(tops[round(n * share)]) / (7 + above) for share in SHARES
                     for above in (ABOVE_FEW if n <= FEW else ABOVE)]
            best = min(cost(values, step, f[part], price) for step in tried)
            found = cost(values, float(steps[row, part, 0]), f[part], price)
            assert found <= best * (1 + 1e-4)


def test_a_higher_price_leaves_fewer_salient_values_and_more_error():
    before = None
    for price in (1e-5, 1e-3, 1e-1, 1e4):
        coder = ActCoder(price=price, sensitivity=F.flatten(), group=32)
        x = HEAVY.flatten(-2)
        level, step = coder(x)
        coded = (level.unflatten(-1, (-1, 32)) * step.unsqueeze(-1)).flatten(-2)
        error = float((F.flatten() * (x - coded) ** 2).sum())
        if before:
            assert coder.counts.salient <= before[0] and error >= before[1]
        before = coder.counts.salient, error
    assert before[0] == 0, "nothing is worth 10,000 nats"


@pytest.mark.parametrize("price", [1e-4, 1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("k_mad", [1.0, 2.0, 3.0, 5.0, 9.0])
def test_no_cut_by_mad_is_cheaper(price, k_mad):
    """Beyond what a denser choice of steps would give."""
    x, f = HEAVY.flatten(-2), F.flatten()
    costs = []
    for coder in (ActCoder(price=price, sensitivity=f), ActCoder(k_mad=k_mad)):
        level, step = coder(x)
        costs.append(float((f / 2 * (x - level * step) ** 2).sum()) + price * coder.counts.salient)
    assert costs[0] <= 1.03 * costs[1] or coder.counts.salient > max(SHARES) * x.numel()


@pytest.mark.parametrize("x", [torch.zeros(2, 1, 8), torch.full((2, 1, 8), -3.0),
                               torch.tensor([[[5.0, 0, 0, 0, 0, 0, 0, 0]]]),
                               torch.tensor([[[1e6, 1, -1, 0.5, 0, 0, 0, 0]]])])
def test_rows_at_the_edge(x):
    step = searched_steps(x, torch.ones(1, 8), 1e-3, 7, 8, 9)
    assert bool((step > 0).all()) and bool(torch.isfinite(step).all())
    coder = ActCoder(price=1e-3, sensitivity=torch.ones(8))
    level, step = coder(x[:, 0])
    largest = x.abs().max()
    assert float((level * step - x[:, 0]).abs().max()) <= 0.08 * float(largest)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="sensitivity"):
        searched_steps(torch.zeros(2, 1, 8), torch.ones(1, 7), 1e-3, 7, 8, 9)


def test_negative_values_of_unsigned_acts_do_not_count():
    x = torch.tensor([[-100.0, 1, 2, 3, 4, 5, 6, 7]])
    coder = ActCoder(price=1e-3, sensitivity=torch.ones(8), signed=False)
    level, step = coder(x)
    assert level[0, 0] == 0 and torch.allclose((level * step)[0, 1:].float(), x[0, 1:], atol=0.5)


def test_a_sensitivity_for_all_heads_or_one_each():
    x = HEAVY.reshape(2, 4, 6, 32)                                  # windows, heads, tokens
    each = 10 ** (4 * torch.rand(4, 1, 32, generator=torch.Generator().manual_seed(2)) - 3)
    found = searched_steps(x, each, 0.01, 7, 8, 9)
    for head in range(4):
        alone = searched_steps(x[:, head], each[head, 0], 0.01, 7, 8, 9)
        assert torch.equal(found[:, head], alone)
        assert not torch.equal(alone, searched_steps(x[:, head], each[head - 1, 0], 0.01, 7, 8, 9))
    for wrong in (torch.ones(7), torch.ones(3, 1, 32), torch.ones(1, 2, 4, 6, 32), torch.ones(1)):
        with pytest.raises(ValueError, match="does not fit"):
            searched_steps(x, wrong, 0.01, 7, 8, 9)
