"""`python -m bench.block`: a cut-down block as table and JSON; mistakes cost nothing."""

import json

import pytest

from bench.block import main


def test_json_of_a_small_block(real_model, tmp_path, capsys) -> None:
    path = tmp_path / "block.json"
    assert main(["--pe", "8x4", "--homes", "2", "--int-lanes", "2", "--k", "576", "--batch", "2",
                 "--heads", "1", "--outputs", "4", "--every", "2", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["config"]["bus_bits"] == 128 and report["input_every"] == 2
    assert len(report["mismatches"]) == 9 and not any(report["mismatches"].values())
    assert report["dense_cycles"] < report["compute_cycles"] * 4 < report["cycles"] * 4
    assert abs(report["estimate"] / report["cycles"] - 1) < 0.1
    out = capsys.readouterr().out
    assert "9 products, 2 tokens" in out and "differ from the golden model: 0" in out


@pytest.mark.parametrize("argv, words", [
    (["--batch", "17"], ["--batch 17", "1..16"]), (["--batch", "0"], ["--batch 0", "1..16"]),
    (["--heads", "10"], ["--heads 10", "1..9"]), (["--block", "30"], ["--block 30", "0..29"]),
    (["--backend", "golden"], ["golden", "verilator"]),
    (["--pe", "16"], ["--pe 16", "16x16"]),
    (["--json", "no/such/folder.json"], ["--json", "does not exist"]),
    (["--every", "0"], ["--every 0", "at least 1"]),
    (["--outputs", "0"], ["--outputs 0", "at least 1"]),
])
def test_mistakes_are_one_line(argv, words, capsys) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
