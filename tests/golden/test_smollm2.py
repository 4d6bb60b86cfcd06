"""The real 135M model on integers, cut down: one window, sensitivities of two short ones.

docs/results/evaluate-smollm2.json has the whole figures.
"""

import copy
from dataclasses import replace

import pytest
import torch

from golden import austen, calibration
from golden.calibration import Calibration
from golden.models import load
from golden.perplexity import score, windows
from golden.recipe import Recipe


@pytest.fixture(scope="module")
def lm(real_model):
    return load("smollm2")


@pytest.mark.slow
def test_a_few_salient_values_save_the_model(lm, monkeypatch):
    monkeypatch.setattr(calibration, "LENGTH", 128)
    monkeypatch.setattr(calibration, "WINDOWS", 3)
    rows = windows(lm, austen.paragraphs(austen.novels()[austen.HELD_OUT]), 256, 1)
    base, found, shares = score(lm, rows).perplexity, {}, {}
    ways = Calibration(lm)
    for name, recipe in {"hybrid": Recipe(price=5e-6, step="group"),
                         "A4": Recipe(acts="int4")}.items():
        trial = replace(lm, model=copy.deepcopy(lm.model))
        report = ways.convert(trial.model, recipe)
        found[name] = score(trial, rows).perplexity / base
        counts = {id(c): c.counts for c in report.coders.values()}.values()
        shares[name] = sum(c.salient for c in counts) / sum(c.values for c in counts)
    print(found, shares)
    assert found["hybrid"] < 1.10 and shares["hybrid"] < 0.06
    assert found["A4"] > 20, "plain 4-bit acts ruin it"


def test_weights_are_those_of_the_file(lm):
    trial = copy.deepcopy(lm.model)
    before = trial.get_submodule("model.layers.7.mlp.down_proj").weight.detach().clone()
    report = Calibration(lm).convert(trial, Recipe())
    layer = trial.get_submodule("model.layers.7.mlp.down_proj")
    assert torch.equal(layer.grid.weight(), before)
    assert sum(line.converted for line in report.lines) == 210
