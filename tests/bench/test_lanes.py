"""`python -m bench.lanes`: the ideas' figures, the built one against the golden trains."""

import json

import numpy as np
import pytest
import torch

from bench import lanes
from golden.codes import recode
from golden.trains import list_length, train_length
from spinteger.config import Config

torch.set_num_threads(1)


def idea(name: str) -> lanes.Idea:
    (one,) = (one for one in lanes.IDEAS if one.name.startswith(name))
    return one


def tokens(spread: float = 4.0, count: int = 4, k: int = 576) -> tuple[lanes.Tokens, object]:
    level = torch.randn(count, k, generator=torch.Generator().manual_seed(1)) * spread
    codes = recode(level.round().long(), Config())
    return lanes.Tokens(*lanes.classify(codes.q.numpy(), codes.e.numpy(), Config())), codes


@pytest.mark.parametrize("name, cfg", [
    ("four homes, affine", Config()), ("two homes, XOR", Config(homes=2, int_lanes=2)),
    ("eight homes", Config(homes=8, int_lanes=8)),
    ("one home", Config(homes=1, int_lanes=4, k=576, list_depth=1024))])
def test_built_ideas_are_the_golden_trains(name, cfg):
    inputs, codes = tokens()
    one = next(one for one in lanes.IDEAS if one.name.startswith(name))
    assert (lanes.events(one, inputs) == train_length(codes, cfg)).all()
    assert (lanes.lists(one, inputs, cfg.int_lanes) == list_length(codes, cfg)).all()


def test_nothing_beats_perfect_balance():
    inputs, _ = tokens()
    floor = lanes.events(idea("perfect"), inputs)
    for one in lanes.IDEAS:
        if one.name != "S and V per lane":          # which does not wait at time steps at all
            assert (lanes.events(one, inputs) >= floor).all(), one.name


def test_v_and_the_if_bank_bound_a_tile():
    top = np.array([[7, 0, 0], [3, 0, 0], [0, 0, 0]])
    salient = np.zeros((3, 300), bool)
    salient[1:, :200] = True
    inputs = lanes.Tokens(np.pad(top, ((0, 0), (0, 297))), salient)
    built = idea("four homes, affine")
    assert lanes.cycles(built, inputs, 4).tolist() == [17, 53, 50]
    assert lanes.cycles(built, inputs, 1).tolist() == [17, 203, 200]


def test_steps_last_as_long_as_the_gap_before_them():
    """Levels 7 and 2: five time steps lie between them, so V is busy with S for five cycles."""
    levels = np.array([[7, 2] + [0] * 62])
    inputs = lanes.Tokens(levels, np.zeros((1, 64), bool))
    assert lanes.events(idea("four homes, affine"), inputs).tolist() == [1 + 5]


def test_table_and_json(real_model, tmp_path, capsys):
    path = tmp_path / "lanes.json"
    assert lanes.main(["--layers", "blk.2.q_proj", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    means = {row["idea"]: row["mean"] for row in report["ideas"]}
    assert len(means) == len(lanes.IDEAS) and means["one home"] > 1.4
    assert means["four homes, affine plane (built)"] < 0.95
    assert "affine plane" in capsys.readouterr().out


@pytest.mark.parametrize("argv, words", [
    (["--layers", "nonsense"], ["--layers", "nonsense"]), (["--int-lanes", "3"], ["--int-lanes 3"]),
    (["--json", "no/such/folder.json"], ["--json", "does not exist"])])
def test_mistakes_are_one_line(argv, words, capsys):
    assert lanes.main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
