"""GPTQ against the published algorithm, written the slow way."""

import pytest
import torch
from torch import nn

from golden.gptq import DAMP, gptq, hessians, scales
from golden.wgt import quantise_wgt

RNG = torch.Generator().manual_seed(4)
W = torch.randn(6, 24, generator=RNG, dtype=torch.float64)
X = torch.randn(24, 24, generator=RNG, dtype=torch.float64) @ torch.randn(
    24, 300, generator=RNG, dtype=torch.float64)
H = X @ X.T


def error(weight, w=W):
    return ((w - weight) @ X).pow(2).sum().item()


def slow(w, h, group):
    """Optimal brain quantisation in a fixed order: the inverse is updated after every input."""
    w, h = w.clone(), h + torch.eye(len(h)) * DAMP * h.diagonal().mean()
    inverse = torch.linalg.inv(h)
    out = torch.zeros_like(w)
    for k in range(w.shape[1]):
        if k % group == 0:
            scale = scales(w[:, k:k + group], H.diagonal()[k:k + group], 4)
        out[:, k] = scale * (w[:, k] / scale).round().clamp(-7, 7)
        w -= torch.outer((w[:, k] - out[:, k]) / inverse[k, k], inverse[k])
        inverse -= torch.outer(inverse[:, k], inverse[k]) / inverse[k, k]
    return out


@pytest.mark.parametrize("group", [24, 8])
def test_as_published(group):
    grid = gptq(W, H, group)
    assert torch.allclose(grid.weight().double(), slow(W, H, group), atol=1e-5)
    assert grid.codes.abs().max() <= 7 and grid.groups == 24 // group


def test_less_error_than_rounding():
    codes, scale = quantise_wgt(W)
    rounded = (codes * scale).T
    assert error(gptq(W, H).weight()) < 0.5 * error(rounded)


def test_scales_are_the_best_of_those_tried():
    power = torch.ones(24, dtype=torch.float64)
    chosen = scales(W, power, 4)
    whole = W.abs().amax(1) / 7

    def left(scale):
        q = (W / scale[:, None]).round().clamp(-7, 7) * scale[:, None]
        return (W - q).pow(2).sum(1)
    assert bool((left(chosen) <= left(whole) + 1e-12).all())
    assert bool((left(chosen) < left(whole)).any())


def test_an_input_that_is_always_zero():
    x = X.clone()
    x[5] = 0
    grid = gptq(W, x @ x.T)
    assert bool(torch.isfinite(grid.weight()).all())


def test_hessians_of_a_model():
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 4)
            self.a, self.b, self.c = nn.Linear(4, 3), nn.Linear(4, 5), nn.Linear(3, 2)

        def forward(self, ids):
            x = self.embed(ids)
            return self.c(self.a(x)), self.b(x)

    net, rows = Net(), [torch.tensor([1, 2, 3]), torch.tensor([4, 5])]
    found = hessians(net, rows, lambda name: name != "c")
    x = net.embed(torch.cat(rows)).detach().double()
    assert set(found) == {"a", "b"} and torch.allclose(found["a"], x.T @ x)
    assert found["a"] is found["b"]
    assert not net.a._forward_pre_hooks


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="does not fit"):
        gptq(W, H, 7)
    with pytest.raises(ValueError, match="does not fit"):
        gptq(W, H[:3, :3])
