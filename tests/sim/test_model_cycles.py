"""Cycles of models by the cycle model, against the RTL."""

import pytest
import torch

from golden.conversion import convert
from golden.grid import WgtGrid
from golden.hybrid_linear import HybridLinear
from golden.recipe import Recipe
from sim.accelerator import Accelerator
from sim.generate import MachineProducts, machine
from sim.model_cycles import layer_cycles, model_cycles
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
    cycles, dense = model_cycles(model, levels, machine())
    # Per block: q and o 32x32 (4 tiles' cycles), k and v 32x16 (2), gate and up 32x64 (8), down.
    assert dense == 2 * (4 + 2 + 2 + 4 + 8 + 8 + 8)
    alone = sum(layer_cycles(levels[m.name], m, machine()) for m in model.modules()
                if isinstance(m, HybridLinear)) / 8
    assert cycles == pytest.approx(alone, rel=0.15)
