"""`python -m bench.cycles`: the row of a real layer as table and JSON; mistakes cost nothing."""

import json

import pytest

from bench.cycles import main

KEYS = {"layer", "k", "n", "tokens", "salient", "live", "cycles", "compute_cycles", "dense_cycles",
        "estimated", "ratio", "counters", "mismatches"}


def test_json_of_a_layer(real_model, tmp_path, capsys) -> None:
    path = tmp_path / "cycles.json"
    assert main(["blk.2.q_proj", "--pe", "8x16", "--homes", "1", "--int-lanes", "1",
                 "--k", "576", "--tiles", "36", "--tokens", "1", "--batch", "1",
                 "--json", str(path)]) == 0
    (row,) = json.loads(path.read_text())["layers"]
    assert set(row) >= KEYS
    assert row["mismatches"] == 0 and row["dense_cycles"] == 72 * 36
    assert "blk.2.q_proj" in capsys.readouterr().out


@pytest.mark.parametrize("argv, words", [
    (["nonsense"], ["layer nonsense", "blk.2.q_proj"]),
    (["blk.2.q_proj", "--batch", "0"], ["--batch 0", "at least 1"]),
    (["blk.2.q_proj", "--tokens", "0"], ["--tokens 0", "1..2048"]),
    (["--pe", "16"], ["--pe 16", "16x16"]),
    (["--json", "no/such/folder.json"], ["--json", "does not exist"]),
])
def test_mistakes_are_one_line(argv, words, capsys) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
