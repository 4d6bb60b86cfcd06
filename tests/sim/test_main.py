"""`python -m sim`: mistakes in one line, a table per bench, an exit code that tells."""

import re

import pytest

from sim import __main__ as command


@pytest.mark.parametrize("argv, words", [
    (["nosuch"], ["bench nosuch", "encoder"]),
    (["--sim", "vcs"], ["--sim", "vcs", "icarus"]),
    (["--jobs", "0"], ["--jobs 0", "at least 1"]),
    (["--no-benches", "lane"], ["--no-benches", "nothing to run"]),
    (["--no-benches", "--no-layers"], ["--no-benches", "nothing to run"]),
    (["--bogus"], ["--bogus", "no such option"]),
])
def test_mistakes_are_one_line(argv, words, capsys) -> None:
    assert command.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("sim: ")
    assert all(word in err for word in words), err


def test_simulator_from_the_environment(monkeypatch, capsys) -> None:
    monkeypatch.setenv("SIM", "foo")
    assert command.main([]) == 2
    assert "SIM foo" in capsys.readouterr().err


def test_one_bench_on_one_simulator(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)       # waveforms go below the current folder
    assert command.main(["lane", "--sim", "icarus", "--waves"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\d passed", out) and "all exact" in out
    assert "gtkwave build/waves/lane-tiny" in out
    assert (tmp_path / "build/waves/lane-tiny-icarus.fst").stat().st_size > 1000
