"""`python -m bench.simspeed`: a row as table and JSON; mistakes cost nothing."""

import json
import os

import pytest

from bench import simspeed


def test_json_of_a_layer(real_model, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(simspeed, "ICARUS_TOKENS", 1)
    monkeypatch.setattr(simspeed, "ICARUS_OUTPUTS", 8)
    path = tmp_path / "speed.json"
    assert simspeed.main(["blk.2.q_proj", "--pe", "4x8", "--k", "576", "--homes", "1",
                          "--int-lanes", "1", "--sim", "icarus", "--cached",
                          "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    (row,) = report["rows"]
    assert row["exact"] and row["build_s"] is None and row["cycles"] > 600
    assert row["cycles_per_s"] == pytest.approx(row["cycles"] / row["seconds"])
    assert "Icarus, cocotb" in capsys.readouterr().out


def test_cold_builds_leave_the_environment_alone(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SPINTEGER_CACHE", str(tmp_path))
    monkeypatch.delenv("CCACHE_DISABLE", raising=False)
    with simspeed.nothing_cached():
        assert os.environ["SPINTEGER_CACHE"] != str(tmp_path)
    assert os.environ["SPINTEGER_CACHE"] == str(tmp_path) and "CCACHE_DISABLE" not in os.environ


@pytest.mark.parametrize("argv, words", [
    (["nonsense"], ["layer nonsense", "blk.15.q_proj"]),
    (["--sim", "modelsim"], ["modelsim", "icarus"]),
    (["--pe", "16"], ["--pe 16", "16x16"]),
    (["--json", "no/such/folder.json"], ["--json", "does not exist"]),
])
def test_mistakes_are_one_line(argv, words, capsys) -> None:
    assert simspeed.main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
