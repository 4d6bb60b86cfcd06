"""The exploration: its points, its cache, its front, one real run."""

import json
import sys
from types import SimpleNamespace

import pytest

from gen import explore, sweep
from gen.explore import main, parser, points
from gen.pareto import pareto
from spinteger.config import Config, preset


def asked(*options):
    return points(parser().parse_args(list(options)))


def test_lists_are_combined_and_what_cannot_be_built_is_said():
    good, bad = asked("--pe", "4x4,8x8", "--homes", "2,16", "--int-lanes", "2")
    assert [(cfg.rows, cfg.homes) for cfg in good] == [(4, 2), (8, 2)]
    assert len(bad) == 2 and all(note.startswith("--pe ") and "--homes 16" in note for note in bad)


def test_single_values_hold_for_all_points():
    good, _ = asked(
        "--preset", "tiny", "--window", "3,7", "--slots", "4", "--depth", "256")
    assert [(cfg.window, cfg.slots, cfg.rows) for cfg in good] == [(3, 4, 4), (7, 4, 4)]


def test_without_lists_the_default_sweep_around_what_is_given():
    good, _ = asked("--homes", "2")
    assert {cfg.homes for cfg in good} == {2} and len({cfg.cols for cfg in good}) > 2


def test_no_point_at_all_is_an_error(capsys):
    assert main(["--pe", "3x3,5x5", "--homes", "2"]) == 2
    assert "no point can be built" in capsys.readouterr().err


@pytest.mark.parametrize("options, words", [
    (["--batch", "17"], "--batch 17: must be 1..16"),
    (["--plot", "front.gif"], "must end in .svg"),
    (["--windows", "7"], "did you mean --window"),
    (["--no-signed", "--pe", "4x4,8x8", "--window", "15"], "inputs are signed"),
    (["--layers", "blk.2.nothing", "--pe", "4x4,8x8"], "blk.2.nothing"),
])
def test_bad_options_are_named(options, words, capsys):
    assert main(options) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def fake(gops, lut):
    return SimpleNamespace(gops=gops, best=SimpleNamespace(lut=lut))


def test_the_front_holds_what_nothing_beats():
    some = [fake(1, 10), fake(2, 10), fake(2, 20), fake(3, 20), fake(3, 20), fake(0.5, 5)]
    front = pareto(some, lambda one: one.gops, lambda one: -one.best.lut)
    assert front == [some[1], some[3], some[4], some[5]]


def test_answers_are_kept_until_a_source_changes(tmp_path):
    source = tmp_path / "source.py"
    source.write_text("a = 1")
    module = SimpleNamespace(__file__=str(source))
    made = []

    def ask(settings):
        return sweep.answer(str(tmp_path), "n", settings, [module], lambda: made.append(1) or [7])

    assert ask([1]) == ask([1]) == [7] and len(made) == 1
    ask([2])
    assert len(made) == 2
    source.write_text("a = 2")
    ask([1])
    assert len(made) == 3
    for path in tmp_path.glob("n-*.json"):
        path.write_text('{"half')
    assert ask([1]) == [7] and len(made) == 4        # damaged: made again


@pytest.mark.silicon
def test_a_real_run_writes_all_it_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(explore, "folder", lambda: tmp_path / "kept")
    small = ["--preset", "tiny", "--k", "640", "--depth", "1024", "--train-depth", "1024",
             "--list-depth", "1024", "--window", "3,7", "--exp-max", "9", "--frac-bits", "16",
             "--theta-bits", "32", "--layers", "blk.2.q_proj", "--batch", "1", "--jobs", "2",
             "--json", str(tmp_path / "e.json"), "--plot", str(tmp_path / "e.svg")]
    assert main(small) == 0
    report = json.loads((tmp_path / "e.json").read_text())
    windows = {point["config"]["window"] for point in report["points"]}
    assert windows == {3, 7}
    for point in report["points"]:
        layer = point["layers"][0]
        cycles = layer["compute_cycles"]
        assert point["gops"] == pytest.approx(
            2e-3 * layer["macs"] * point["area"]["mhz"] / cycles)
        assert point["gops_per_klut"] == pytest.approx(point["gops"] * 1000
                                                       / point["area"]["lut"])
    assert "<svg" in (tmp_path / "e.svg").read_text()
    out = capsys.readouterr().out
    assert "4x4 window 3" in out and "4x4 window 7" in out
    monkeypatch.setattr(sweep.kept, "synthesis", lambda *_: sys.exit("synthesised again"))
    again = sweep.evaluate(preset("tiny").with_(**{
        name: value for name, value in report["points"][0]["config"].items()}),
        ["blk.2.q_proj"], 1, str(tmp_path / "kept"))
    assert not isinstance(again, str) and isinstance(again.cfg, Config)
