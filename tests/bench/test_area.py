"""`python -m bench.area`: blocks add up, JSON has its keys, mistakes cost nothing."""

import json

import pytest

from bench.area import by_block, main
from gen.blocks import BLOCKS, COLUMN, GLUE
from gen.ecp5 import Cells, synthesise
from gen.verilog import to_verilog
from hdl.top import top
from spinteger.config import PRESETS

#: The two blocks that multiply: salient inputs, and group scales.
LANES, DRAIN = BLOCKS["integer_unit"], BLOCKS["if_bank"]


@pytest.mark.silicon
def test_blocks_add_up_to_the_machine() -> None:
    cfg = PRESETS["tiny"].with_(bus="wishbone")
    synthesis = synthesise(to_verilog(top(cfg)), "spinteger")
    blocks = by_block(synthesis)
    assert set(blocks) == {*BLOCKS.values(), GLUE} - {BLOCKS["link"]}
    assert sum(blocks.values(), Cells()) == synthesis.cells("spinteger")
    assert {name for name, cells in blocks.items() if cells.dsp} == {LANES, DRAIN}
    assert all(cells.lut for name, cells in blocks.items() if name != GLUE)
    assert blocks[COLUMN].ebr == 0 < blocks[BLOCKS["weight_bank"]].ebr


@pytest.mark.slow
def test_table_and_json(tmp_path, capsys) -> None:
    path = tmp_path / "area.json"
    assert main(["--preset", "tiny", "--nodsp", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    lanes = report["config"]["rows"] * report["config"]["cols"]
    assert report["lut_per_lane"] == pytest.approx(report["total"]["lut"] / lanes)
    column = report["blocks"]["column data path"]["lut"]
    assert report["column_lut_per_lane"] == pytest.approx(column / lanes)
    for kind, count in report["total"].items():
        assert count == sum(block[kind] for block in report["blocks"].values()), kind
    assert report["versions"]["pyosys"] and report["config"]["rows"] == 4
    assert report["total"]["dsp"] == 0 and not report["dsp"]
    assert "whole machine" in capsys.readouterr().out


@pytest.mark.parametrize("argv, words", [
    (["--pe", "0x4"], ["--pe 0x4", "16x16"]),
    (["--json", "no/such/folder.json"], ["--json", "does not exist"]),
    (["--bogus"], ["--bogus", "no such option"]),
])
def test_mistakes_are_one_line(argv, words, capsys) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
