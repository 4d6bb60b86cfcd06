"""Rotations are orthogonal, spread what sticks out, and change no product."""

import copy

import pytest
import torch

from golden.conversion import convert
from golden.hybrid_linear import golden_products
from golden.recipe import Recipe, RecipeError
from golden.rotation import rotation
from tests.golden.lms import opt


@pytest.mark.parametrize("size, block", [(1, 1), (3, 1), (64, 64), (192, 64), (576, 64)])
def test_orthogonal(size, block):
    h = rotation(size)
    assert torch.allclose(h @ h.T, torch.eye(size), atol=1e-5)
    assert torch.allclose(h.abs().sum(0), torch.full((size,), block ** 0.5), atol=1e-4)


def test_an_outlier_is_spread():
    x = torch.zeros(64)
    x[5] = 8.0
    assert torch.allclose((x @ rotation(64)).abs(), torch.ones(64))


def test_turned_layers_give_the_same_products():
    ids = torch.randint(50, (1, 12), generator=torch.Generator().manual_seed(9))
    fine = Recipe(wgt="rtn", group=16, k_mad=0.2, exp_max=12)
    for recipe in (fine.with_(rotate=True), fine.with_(rotate=True, step="static", k_mad=0.5)):
        model = opt()
        want = model(ids).logits
        exact = copy.deepcopy(model)
        from golden.conversion import calibrate
        steps = calibrate(model, recipe, ids)
        report = convert(model, recipe, calibration=steps)
        convert(exact, recipe, calibration=steps, products=golden_products)
        with torch.no_grad():
            assert torch.allclose(model(ids).logits, exact(ids).logits, atol=1e-4)
            assert (model(ids).logits - want).norm() < 0.3 * want.norm()
        assert "Hadamard" in str(report)


def test_recipes_that_cannot_be_turned():
    for more in ({}, {"wgt": "rtn", "price": 1e-5}):
        with pytest.raises(RecipeError, match="rotate"):
            Recipe(rotate=True, **more)
