"""Cycles of models by the cycle model, against the RTL."""

import pytest
import torch

from golden.conversion import convert
from golden.grid import WgtGrid
from golden.hybrid_attention import HybridAttention
from golden.hybrid_linear import HybridLinear
from golden.recipe import Recipe
from sim.accelerator import Accelerator
from sim.generate import MachineProducts, machine
from sim.model_cycles import CycleModel, layer_cycles
from tests.golden.lms import llama

IDS = torch.randint(50, (1, 8), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("offset", [False, True])
def test_a_layer_takes_what_the_rtl_takes(offset):
    rng = torch.Generator().manual_seed(5)
    codes = torch.randint(-7, 8, (192, 48), generator=rng).to(torch.int8)
    scale = torch.rand(6, 48, generator=rng, dtype=torch.float64)
    rtl = MachineProducts(Accelerator(machine(), "verilator"))
    layer = HybridLinear("layer", WgtGrid(codes, scale, scale if offset else None, 32), None,
                         Recipe().coder("layer"), rtl)
    layer(torch.randn(8, 192, generator=rng))
    assert not rtl.wrong
    assert layer_cycles(layer.coder.last, layer, machine()) == pytest.approx(
        rtl.counters["cycles"], rel=0.06)


def test_layers_that_are_alike_count_as_often_as_they_are():
    model = llama()
    report = convert(model, Recipe())
    with torch.no_grad():
        model(IDS)
    levels = {name: coder.last for name, coder in report.coders.items()}
    cycles, dense = CycleModel(machine()).layers(model, levels, 7)
    # Per block: q and o 32x32 (4 tiles' cycles), k and v 32x16 (2), gate and up 32x64 (8), down.
    assert dense == 2 * (4 + 2 + 2 + 4 + 8 + 8 + 8)
    alone = sum(layer_cycles(levels[m.name], m, machine()) for m in model.modules()
                if isinstance(m, HybridLinear)) / 8
    assert cycles == pytest.approx(alone, rel=0.15)


def test_attention_takes_what_the_rtl_takes():
    """All heads of a module in one program, as `sim.generate` runs them."""
    rtl = MachineProducts(Accelerator(machine(), "verilator"))
    module = HybridAttention(Recipe().coder("q_proj"), 7, products=rtl, v_group=16, keep=True)
    rng = torch.Generator().manual_seed(5)
    q, k, v = (torch.randn(1, 3, 40, 32, generator=rng) for _ in range(3))
    mask = torch.full((40, 40), -torch.inf).triu(1)
    module(q, k, v, mask, 0.2)
    assert not rtl.wrong and [len(part) for part in module.kept] == [3, 3, 3]   # Q K^T, P V twice
    cycles = dense = 0.0
    for part in module.kept:
        more, more_dense = CycleModel(machine()).products(part, 7)
        cycles, dense = cycles + more, dense + more_dense
    assert 40 * cycles == pytest.approx(rtl.counters["cycles"], rel=0.06)
    assert dense == 3 * (2 * 3 + 2 * 3 * 1)
