"""Attention on integers: what is done to keys is not seen by softmax, and helps."""

import copy

import pytest
import torch

from golden.conversion import convert
from golden.gguf_model import ModelError
from golden.hybrid_attention import SHARES, quantise_rows
from golden.hybrid_linear import golden_products
from golden.key_mean import key_means
from golden.recipe import Recipe, RecipeError
from golden.recipe_sets import KEYS
from tests.golden.lms import llama, opt

IDS = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(9))


def test_codes_with_a_scale_per_row():
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(1)) ** 3
    x[3] = 0
    codes, scale = quantise_rows(x, 4)
    clipped, smaller = quantise_rows(x, 4, SHARES)
    assert codes.abs().max() == clipped.abs().max() == 7 and codes[3].abs().sum() == 0
    assert bool((codes[[0, 1, 2, 4]].abs().amax(-1) == 7).all())
    error = [((c * s - x) ** 2).sum(-1) for c, s in ((codes, scale), (clipped, smaller))]
    assert bool((error[1] <= error[0]).all()) and float(error[1].sum()) < float(error[0].sum())
    assert bool((smaller <= scale).all()) and bool((smaller >= 0.7 * scale).all())


@pytest.mark.parametrize("make", [opt, llama])
def test_means_of_keys(make):
    model = make()
    found = key_means(model, IDS)
    assert len(found) == 2 and "spinteger" not in str(model.config._attn_implementation)
    name = next(iter(found))
    with torch.no_grad():
        keys = []
        hook = model.get_submodule(name).k_proj.register_forward_hook(
            lambda _, args, out: keys.append(out))
        for row in IDS:
            model(row[None])
        hook.remove()
    assert found[name].shape[1:] == (1, found[name].shape[-1])
    if make is opt:                 # no rotary embedding: the mean of what k_proj gives
        want = torch.cat(keys).unflatten(-1, (2, -1)).mean((0, 1))
        assert torch.allclose(found[name][:, 0], want, atol=1e-5)


@pytest.mark.parametrize("make", [opt, llama])
def test_mean_and_rotation_change_nothing_but_the_rounding(make):
    fine = Recipe(k_mad=0.2, exp_max=12, attention=True, kv_bits=8)
    model = make()
    means = {name: mean + 0.5 for name, mean in key_means(model, IDS).items()}
    plain, turned = copy.deepcopy(model), copy.deepcopy(model)
    convert(plain, fine)
    more = fine.with_(k_mean=True, k_rotate=True, k_clip=True, v_group=4)
    convert(turned, more, k_means=means)
    exact = copy.deepcopy(model)
    convert(exact, more, k_means=means, products=golden_products)
    with torch.no_grad():
        a, b, c = (m(IDS).logits for m in (plain, turned, exact))
    assert (a - b).norm() < 0.05 * a.norm() and torch.equal(b, c)


def test_means_of_grouped_keys_are_those_in_the_cache():
    """After the rotary embedding, one per head of queries, those of a group alike."""
    model = llama()
    found = key_means(model, IDS)
    with torch.no_grad():
        caches = [model(row[None], use_cache=True).past_key_values for row in IDS]
    for layer, name in enumerate(found):
        keys = torch.cat([cache.layers[layer].keys for cache in caches])        # [2, KV, T, D]
        want = keys.mean((0, 2)).repeat_interleave(2, 0)
        assert found[name].shape == (4, 1, 8)
        assert torch.allclose(found[name][:, 0], want, atol=1e-6)


def test_what_is_missing_is_named():
    with pytest.raises(ModelError, match="key_means"):
        convert(opt(), Recipe(**KEYS))
    with pytest.raises(ModelError, match="mean of keys"):
        convert(opt(), Recipe(**KEYS), k_means={})
    with pytest.raises(RecipeError, match="k_mean"):
        Recipe(k_mean=True)
