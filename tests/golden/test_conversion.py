"""Models become integers: everything is reported, sums are exact, mistakes name the layer."""

import copy

import pytest
import torch
from torch import nn

from golden.conversion import calibrate, convert
from golden.gguf_model import ModelError
from golden.grid import WgtGrid
from golden.hybrid_linear import HybridLinear, golden_product, golden_products
from golden.layer_grids import gptq_grids, rounded
from golden.recipe import Recipe, RecipeError
from tests.golden.lms import llama, opt

IDS = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(9))
MODELS = {"opt": opt, "llama": llama}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@torch.no_grad()
def logits(model):
    return model(IDS).logits


RECIPES = [Recipe(), Recipe(attention=True), Recipe(group=16), Recipe(acts="int8"),
           Recipe(acts="int4", attention=True), Recipe(unsigned_window=15), Recipe(head=True),
           Recipe(group=16, step="group"), Recipe(acts="int4", group=16, step="group"),
           Recipe(rounding="down"), Recipe(rounding="even", group=8, step="group")]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.acts}-{r.attention}-{r.group}")
def test_fast_and_exact_agree(model, recipe):
    exact = copy.deepcopy(model)
    report = convert(model, recipe)
    convert(exact, recipe, products=golden_products)
    assert all(line.converted or "output layer" in line.how for line in report.lines)
    a, b = logits(model), logits(exact)
    assert torch.allclose(a, b, atol=1e-4) and not torch.equal(a, torch.zeros_like(a))
    if not recipe.group:
        assert torch.equal(a, b)


@pytest.mark.parametrize("recipe", [Recipe(k_mad=0.2, exp_max=12, attention=True, kv_bits=8)])
def test_fine_steps_come_near_the_float_model(model, recipe):
    want = logits(model)
    near, coarse = copy.deepcopy(model), copy.deepcopy(model)
    convert(near, recipe)
    convert(coarse, Recipe(k_mad=20.0))
    floated = copy.deepcopy(model)
    for name, module in model.named_modules():          # the same rounded weights, float acts
        if isinstance(module, nn.Linear) and name != "lm_head":
            grid = rounded(module.weight, module.in_features)
            floated.get_submodule(name).weight.data = grid.weight()
    base = logits(floated)
    error = [(logits(m) - base).norm() for m in (near, coarse)]
    assert error[0] < 0.25 * error[1] and error[0] < 0.1 * want.norm()


def test_every_linear_layer_is_reported(model):
    names = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    report = convert(model, Recipe(attention=True))
    assert names <= {line.name for line in report.lines}
    kept = [line for line in report.lines if not line.converted]
    assert [line.name for line in kept] == ["lm_head"] and "head" in kept[0].how
    assert len(report.attention) == 2 and "4 bit" in str(report)
    assert not any(isinstance(module, nn.Linear) for name, module in model.named_modules()
                   if name != "lm_head")


def test_layers_beside_each_other_share_a_coder(model):
    report = convert(model, Recipe())
    attention = [name for name in report.coders if "layers.0.self_attn" in name]
    q, k, v = (next(n for n in attention if n.endswith(f"{x}_proj")) for x in "qkv")
    assert report.coders[q] is report.coders[k] is report.coders[v]
    assert len({id(coder) for coder in report.coders.values()}) == 2 * 4


def test_static_steps_come_from_calibration(model):
    recipe = Recipe(step="static")
    with pytest.raises(ModelError, match="calibrat"):
        convert(model, recipe)
    steps = calibrate(model, recipe, IDS)
    before = logits(model)
    bad = {key: step for key, step in steps.items() if "layers.1.self_attn" not in key}
    with pytest.raises(ModelError, match=r"layers\.1\.self_attn"):
        convert(model, recipe, calibration=bad)
    assert torch.equal(before, logits(model)), "changed by a conversion that failed"
    report = convert(model, recipe, calibration=steps)
    assert {coder.static for coder in report.coders.values()} <= set(steps.values())


def test_text_comes_out_the_same_token_by_token(model):
    convert(model, Recipe(attention=True), products=golden_products)
    with torch.no_grad():
        whole, cache, found = model(IDS[:1]).logits[0], None, []
        for at in range(IDS.shape[1]):
            out = model(IDS[:1, at:at + 1], use_cache=True,
                        **({} if cache is None else {"cache": cache}))
            cache = out.cache
            found.append(out.logits[0, 0])
    assert torch.allclose(torch.stack(found), whole, atol=1e-5)


def test_gptq_needs_its_grids_and_loses_less(model):
    recipe = Recipe(wgt="gptq", k_mad=0.2, exp_max=12)
    with pytest.raises(ModelError, match="gptq_grids"):
        convert(model, recipe)
    want, names = logits(model), []
    grids = gptq_grids(model, recipe, IDS, names.append)
    assert set(names) == set(grids) and "lm_head" not in grids
    by_rounding = copy.deepcopy(model)
    report = convert(model, recipe, grids=grids)
    convert(by_rounding, recipe.with_(wgt="rtn"))
    assert "by GPTQ" in str(report)
    assert (logits(model) - want).norm() < (logits(by_rounding) - want).norm()


def test_any_module_with_linear_layers():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 3)),
                        nn.Conv1d(3, 3, 1))
    report = convert(net, Recipe())
    assert isinstance(net[0], HybridLinear) and isinstance(net[2][0], HybridLinear)
    assert [line.converted for line in report.lines] == [True, True, False]
    assert "not a linear layer" in report.lines[2].how


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(model, bad):
    name = next(n for n, m in model.named_modules() if isinstance(m, nn.Linear) and "1." in n)
    model.get_submodule(name).weight.data[0, 0] = bad
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        convert(model, Recipe())
    assert isinstance(model.get_submodule(name), nn.Linear)


def test_modules_in_other_places():
    torch.manual_seed(2)
    shared = nn.Linear(6, 6)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    convert(net, Recipe())
    assert isinstance(net[0], HybridLinear) and isinstance(net[2], HybridLinear)
    torchs = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    report = convert(torchs, Recipe())
    assert "self_attn" in {line.name for line in report.lines if not line.converted}
    assert "linear1" in report.coders and "self_attn.out_proj" not in report.coders
    assert torchs.self_attn(*[torch.randn(1, 3, 16)] * 3)[0].shape == (1, 3, 16)


def test_grids_that_do_not_fit(model):
    name = next(name for name, m in model.named_modules() if isinstance(m, nn.Linear))
    wide = WgtGrid(torch.zeros(7, 3, dtype=torch.int8), torch.ones(1, 3), None, 7)
    with pytest.raises(ModelError, match=r"\(7, 3\)"):
        convert(model, Recipe(), grids={name: wide})


def test_an_input_that_changes_in_place_is_coded_again():
    coder, x = Recipe().coder("x"), torch.randn(2, 9)
    first = coder(x)[0].clone()
    x.mul_(-1)
    assert torch.equal(coder(x)[0], -first)


def test_mistakes():
    with pytest.raises(ModelError, match="Sequential"):
        convert(nn.Linear(4, 4), Recipe())
    with pytest.raises(ModelError, match="no linear layer"):
        convert(nn.ReLU(), Recipe())
    with pytest.raises(ModelError, match="divisor"):
        convert(llama(), Recipe(group=24))
    with pytest.raises(ModelError, match="attention"):
        convert(nn.Sequential(nn.Linear(4, 4)), Recipe(attention=True))


@pytest.mark.parametrize("changes, words", [
    ({"acts": "int5"}, "hybrid"), ({"wgt": "x"}, "shipped"), ({"step": "x"}, "token"),
    ({"k_mad": 0.0}, "positive"), ({"k_mads": {"up": -1.0}}, "up"),
    ({"acts": "int8", "pow2": True}, "pow2"), ({"kv_bits": 9}, "kv_bits"),
    ({"window": 200}, "below 128"), ({"snap": True, "pow2": True}, "snap"),
    ({"k_mads": {"head": 1.0}}, "head"), ({"window": 0}, "window"), ({"group": -1}, "group")])
def test_recipes_that_cannot_be_obeyed(changes, words):
    with pytest.raises(RecipeError, match=words):
        Recipe(**changes)


def test_which_recipes_the_machine_executes():
    assert Recipe().executable == "" == Recipe(acts="int8").executable
    assert "weights have 4" in Recipe(attention=True, kv_bits=8).executable
    assert "two machines" in Recipe(unsigned_window=15).executable
    assert Recipe(acts="float").executable


def test_a_grid_with_offsets_is_exact():
    rng = torch.Generator().manual_seed(3)
    codes = torch.randint(-8, 8, (64, 5), generator=rng).to(torch.int8)
    scale, offset = (torch.rand(2, 5, generator=rng, dtype=torch.float64) for _ in range(2))
    grid = WgtGrid(codes, scale, offset, 32)
    coder = Recipe().coder("x")
    layer = HybridLinear("x", grid, torch.randn(5, generator=rng), coder, golden_products)
    x = torch.randn(7, 64, generator=rng)
    level, step = coder(x)
    weight = (codes * scale.repeat_interleave(32, 0) + offset.repeat_interleave(32, 0)).T
    want = (level.double() @ weight.T * step).float() + layer.bias
    assert torch.allclose(layer(x), want, atol=1e-5)
    turned = grid.reordered(torch.arange(5).flip(0))
    assert torch.equal(turned.weight(), grid.weight().flip(0))


def test_products_are_exact_where_float32_is_not():
    level = torch.full((1, 300), 65_024)
    codes = torch.full((300, 1), 7, dtype=torch.int8)
    codes[0] = 6
    assert golden_product(level, codes).item() == 65_024 * (299 * 7 + 6)


@pytest.mark.parametrize("recipe, words", [
    ({"price": 1e-5, "pow2": True}, "pow2"), ({"price": 1e-5, "rounding": "down"}, "rounding"),
    ({"price": float("nan")}, "finite"), ({"price": float("inf")}, "finite"),
    ({"rotate": True, "wgt": "rtn", "unsigned_window": 15}, "sign"),
    ({"attention": True, "sal_bits": 6}, "probabilities")])
def test_recipes_that_contradict_themselves(recipe, words):
    with pytest.raises(RecipeError, match=words):
        Recipe(**recipe)


def test_calibration_that_lacks_a_layer(model):
    with pytest.raises(ModelError, match="no sensitivity"):
        convert(model, Recipe(price=1e-5), sensitivities={})
    with pytest.raises(ModelError, match="weights in groups"):
        convert(model, Recipe(step="group"))


def test_a_value_that_is_zero_in_part_of_a_head():
    """Its scale must not drown the probabilities of the others."""
    from golden.act_coder import ActCoder
    from golden.hybrid_attention import HybridAttention
    gen = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(1, 1, 6, 8, generator=gen) * scale for scale in (1, 1, 0.01))
    v[:, :, 2, :4] = 0
    found = HybridAttention(ActCoder(k_mad=0.2), 7, 8, v_group=4)(q, k, v, None, 0.3)
    want = ((q @ k.mT * 0.3).softmax(-1) @ v).transpose(1, 2)
    assert (found - want).norm() < 0.05 * want.norm()


@pytest.mark.parametrize("wgt", ["rtn", "gptq"])
def test_weights_of_8_bits(model, wgt):
    """Finer than 4, exact in either way of summing, and no recipe for the machine's weights."""
    recipe = Recipe(acts="int8", wgt=wgt, wgt_bits=8)
    rows = IDS if wgt == "gptq" else None
    grids = gptq_grids(model, recipe, rows) if wgt == "gptq" else None
    want = logits(model)
    errors = []
    for bits in (8, 4):
        trial = copy.deepcopy(model)
        report = convert(trial, recipe.with_(wgt_bits=bits), grids=grids if bits == 8 else (
            gptq_grids(model, recipe.with_(wgt_bits=4), rows) if grids else None))
        errors.append(float((logits(trial) - want).norm() / want.norm()))
        assert f"INT{bits}" in str(report)
    assert errors[0] < errors[1] / 8
    exact = copy.deepcopy(model)
    convert(exact, recipe, grids=grids, products=golden_products)
    fast = copy.deepcopy(model)
    convert(fast, recipe, grids=grids)
    assert torch.equal(logits(exact), logits(fast))
    assert Recipe(acts="int8", attention=True, kv_bits=8).executable
    assert recipe.executable and not recipe.with_(wgt_bits=4).executable
    with pytest.raises(RecipeError, match="shipped"):
        Recipe(wgt_bits=8)
    with pytest.raises(RecipeError, match="wgt_bits 9"):
        recipe.with_(wgt_bits=9)


def test_a_price_with_attention_asks_for_queries(model):
    names = {name: torch.ones(m.in_features) for name, m in model.named_modules()
             if isinstance(m, torch.nn.Linear)}
    recipe = Recipe(price=1e-5, attention=True)
    with pytest.raises(ModelError, match="query_sensitivities"):
        convert(model, recipe, sensitivities=names)
    with pytest.raises(ModelError, match="sensitivity of queries"):
        convert(model, recipe, sensitivities=names, q_sensitivities={})


def test_grids_that_were_made_for_another_recipe(model):
    turned = Recipe(wgt="gptq", rotate=True)
    grids = gptq_grids(model, turned, IDS)
    plain = gptq_grids(model, Recipe(wgt="gptq"), IDS)
    for found, recipe, words in (
            (grids, Recipe(wgt="gptq"), "4 bits, turned, the recipe of .* not turned"),
            (plain, turned, "4 bits, not turned"),
            (plain, Recipe(wgt="gptq", wgt_bits=8), "4 bits, .* of groups of .* 8 bits"),
            (plain, Recipe(wgt="gptq", group=8), "recipe of groups of 8,"),
            (grids, Recipe(), "no grid that a model is shipped with")):
        with pytest.raises(ModelError, match=words):
            convert(copy.deepcopy(model), recipe, grids=found)
    convert(model, turned, grids=grids)


def test_experts_are_reported():
    from transformers import MixtralConfig, MixtralForCausalLM
    torch.manual_seed(1)
    moe = MixtralForCausalLM(MixtralConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=2, vocab_size=20)).eval()
    report = convert(moe, Recipe())
    kept = {line.name.rpartition("mlp.")[2]: line for line in report.lines if "mlp" in line.name}
    assert "holds a parameter of 2 x 64 x 16" in kept["experts"].how
    assert "holds a parameter of 2 x 16" in kept["gate"].how
    assert not any(line.converted for line in kept.values())
    assert any(line.name.endswith("q_proj") and line.converted for line in report.lines)
