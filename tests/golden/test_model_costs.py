"""Shares and energies of a converted model, against counting by hand."""

import copy
from dataclasses import replace

import pytest
import torch

from golden.conversion import convert
from golden.hybrid_linear import HybridLinear
from golden.model_costs import costs, on_array
from golden.model_energy import (
    ADD8,
    BATCH,
    DRAM_BIT,
    MAC8,
    MUL8,
    Traffic,
    movement,
    multiplication,
    op_count,
)
from golden.recipe import Recipe
from tests.golden.lms import llama

IDS = torch.randint(50, (1, 24), generator=torch.Generator().manual_seed(9))


def converted(recipe):
    model = copy.deepcopy(llama())
    report = convert(model, recipe)
    assert costs(model, report, recipe) == {}, "nothing was computed yet"
    with torch.no_grad():
        model(IDS)
    return model, report, costs(model, report, recipe)


def test_macs_are_those_of_layers_and_of_pairs_that_attention_sees():
    _, _, alone = converted(Recipe())
    model, report, both = converted(Recipe(attention=True, v_group=4))
    linear = sum(m.in_features * m.out_features for m in model.modules()
                 if isinstance(m, HybridLinear))
    assert alone["macs"] == linear and "salient_q" not in alone
    heads, size = model.config.num_attention_heads, model.config.head_dim
    # Query t sees t + 1 keys, in both products, in both blocks.
    assert both["macs"] == pytest.approx(linear + 2 * 2 * heads * size * (24 + 1) / 2)
    assert 0 < both["salient_q"] < 0.2 and 0 < both["salient_p"] <= 1
    assert len(report.attention) == 2


def test_op_count_of_8_bits_everywhere_and_of_4():
    for more in ({}, {"attention": True}):
        _, _, int8 = converted(Recipe(acts="int8", **more))
        assert int8["energy_opcount"] == pytest.approx(MAC8)
        assert int8["salient"] == int8["time_steps"] == 0
        _, _, hybrid = converted(Recipe(**more))
        assert ADD8 < hybrid["energy_opcount"] < MAC8
    # 4-bit acts, but probabilities have 127 levels: between a 4-bit MAC and an 8-bit one.
    assert converted(Recipe(acts="int4"))[2]["energy_opcount"] == pytest.approx(ADD8 + MUL8 / 4)
    _, _, int4 = converted(Recipe(acts="int4", attention=True))
    assert ADD8 + MUL8 / 4 < int4["energy_opcount"] < MAC8


def test_shares_by_value_and_by_mac():
    model, report, found = converted(Recipe(k_mad=2.0))
    coders = {id(coder): coder for coder in report.coders.values()}.values()
    assert found["salient"] == pytest.approx(sum(c.counts.salient for c in coders)
                                             / sum(c.counts.values for c in coders))
    weights, salient = 0.0, 0.0
    for name, layer in model.named_modules():
        if isinstance(layer, HybridLinear):
            counts, macs = report.coders[name].counts, layer.grid.codes.numel()
            salient += macs * counts.salient / counts.values
            weights += macs
    assert found["salient_by_mac"] == pytest.approx(salient / weights)
    assert found["zeros"] + found["rows_read"] == pytest.approx(1)


def test_energy_of_a_layer_by_hand():
    layer = Traffic(64, 32, 0.5, 0.1, 4.5, 7)
    assert op_count(layer) == pytest.approx(64 * 32 * (0.1 * MAC8 + 0.9 * ADD8))
    more = movement(Traffic(64, 32, 0.5, 0.1, 4.5, 7, code_bits=8)) - movement(layer)
    assert more == pytest.approx(64 * 32 * 0.1 * MUL8 / 2), "a wider multiplier for salient acts"
    assert multiplication(8, 8) == MUL8 and multiplication(8, 4) == MUL8 / 2
    plain = Traffic(64, 32, 1.0, 0.0, 8.0, 7, acts="int4", code_bits=8)
    assert op_count(plain) == pytest.approx(64 * 32 * (MUL8 / 2 + ADD8))
    once = movement(layer) - movement(replace(layer, shared=3))
    assert once == pytest.approx(64 * 32 * 4.5 * DRAM_BIT / BATCH * 2 / 3), "a fetch for three"


def test_energy_of_attention_is_that_of_its_two_products():
    recipe = Recipe(acts="int8", attention=True, v_group=4)
    model, report, both = converted(recipe)
    _, _, alone = converted(recipe.with_(attention=False, v_group=0))
    # Mean keys per query 12.5, scales of 16 bits: one per key of 8 values, and per 4 values of V.
    # Two heads of queries share a head of keys. Silent shares as counted.
    silent = {key: both[f"zeros_{key}"] for key in "qp"}
    scores = movement(Traffic(8, 12.5, 1 - silent["q"], 0, 4 + 16 / 8, 7, acts="int8", shared=2))
    slices = 2 * movement(Traffic(12.5, 4, 1 - silent["p"], 0, 4 + 16 / 4, 7, acts="int8",
                                  shared=2))
    want = alone["energy_movement"] * alone["macs"] + 2 * 4 * (scores + slices)
    assert both["energy_movement"] * both["macs"] == pytest.approx(want, rel=1e-2)
    assert next(iter(report.attention.values())).sharing == 2


class Spy:
    """An array that takes a cycle for everything, and looks at what it gets."""

    def layers(self, model, levels, window):
        assert window == 7 and all(len(level) == BATCH for level in levels.values())
        return 100.0, 50.0

    def products(self, products, window):
        assert window == 7
        assert len({len(codes) for _, codes in products}) == 1, "scores or contexts, not both"
        heads = [(tuple(level.shape), tuple(codes.shape)) for level, codes in products]
        keys = (24 + BATCH) // 2
        if heads[0][0] == (BATCH, 8):
            assert heads == [((BATCH, 8), (8, keys))] * 4
            return 5.0, 2.0
        assert heads == [((BATCH, keys), (keys, 8))] * 4
        level = products[0][0]
        assert bool((level[0, keys - BATCH + 1:] == 0).all()), "what comes later is masked"
        return 2.0, 1.0


def test_cycles_of_layers_and_attention():
    model, report, _ = converted(Recipe())
    assert on_array(model, report, IDS[0], 7, Spy()) == {"cycles": 100, "cycles_dense": 50}
    model, report, _ = converted(Recipe(attention=True))
    assert on_array(model, report, IDS[0], 7, Spy()) == {
        "cycles": 114, "cycles_dense": 56, "cycles_attention": 14, "cycles_attention_dense": 6}
