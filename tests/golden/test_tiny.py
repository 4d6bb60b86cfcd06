"""The committed model: what its log says, and what it loses on integers."""

import json

import pytest

from golden import austen
from golden.calibration import Calibration
from golden.fetch import RealDataUnavailable
from golden.models import TINY, load
from golden.perplexity import score, windows
from golden.recipe import Recipe


@pytest.fixture(scope="module")
def text():
    try:
        return austen.paragraphs(austen.novels()[austen.HELD_OUT])
    except RealDataUnavailable as why:
        pytest.skip(str(why))


def test_bits_per_byte_on_the_novel_that_was_held_out(text):
    lm = load("tiny")
    found = score(lm, windows(lm, text, 256, 16))
    assert found.bits_per_byte < 1.75       # of the opening; 1.59 of the whole
    log = json.loads((TINY / "training.json").read_text())
    assert austen.HELD_OUT not in log["text"]["train"] and log["text"]["deb"] == austen.DEB_SHA256
    assert log["log"][-1]["held_out_bits_per_byte"] < 2.0


def test_hybrid_loses_little_and_less_than_plain_w4a4(text):
    lm = load("tiny")
    rows = windows(lm, text, 256, 8)
    base, found = score(lm, rows).perplexity, {}
    for name, recipe in {"hybrid": Recipe(wgt="gptq", k_mad=2.0), "int4":
                         Recipe(wgt="gptq", acts="int4")}.items():
        trial = load("tiny")
        Calibration(load("tiny")).convert(trial.model, recipe)
        found[name] = score(trial, rows).perplexity / base
    assert found["hybrid"] < 1.03 < found["int4"]
