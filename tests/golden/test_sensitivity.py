"""The Fisher diagonal, against its definition and against what an error really costs."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from golden.sensitivity import sensitivities
from tests.golden.lms import llama, opt

ROWS = torch.randint(50, (6, 16), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("make", [opt, llama])
def test_all_layers_have_one_and_the_model_is_as_it_was(make):
    model = make()
    before = copy.deepcopy(model.state_dict())
    told = []
    found = sensitivities(model, ROWS, lambda: told.append(1))
    assert set(found) == {n for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert all(bool((f >= 0).all()) and float(f.sum()) > 0 for f in found.values())
    assert len(told) == 6
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(part.requires_grad and part.grad is None for part in model.parameters())
    again = sensitivities(model, ROWS)
    assert all(torch.equal(found[name], again[name]) for name in found), "drawn with one seed"


def test_it_predicts_what_an_error_costs():
    """The head's input: loss of small noise there, against 1/2 F e^2."""
    model = llama()
    f = sensitivities(model, [row for seed in range(8) for row in torch.randint(
        50, (16, 16), generator=torch.Generator().manual_seed(seed))])["lm_head"]
    hidden = []
    hook = model.lm_head.register_forward_pre_hook(lambda _, args: hidden.append(args[0]))
    with torch.no_grad():
        model(ROWS)
        hook.remove()
        x, gen, size = hidden[0][:, 1:], torch.Generator().manual_seed(1), 0.05
        clean, real = model.lm_head(x).log_softmax(-1), 0.0
        for _ in range(200):
            noisy = model.lm_head(x + size * torch.randn(x.shape, generator=gen))
            real += float(fn.kl_div(noisy.log_softmax(-1), clean, log_target=True,
                                    reduction="sum")) / x[..., 0].numel() / 200
    assert float(f.sum()) * size ** 2 / 2 == pytest.approx(real, rel=0.15)
