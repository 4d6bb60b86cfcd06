"""`python -m bench.fpga`: the arithmetic of its table, a run without placement, mistakes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import fpga
from bench.fpga import Bench, main
from bench.fpga_report import Row, goals
from bench.fpga_work import SPARSE, Work, dense, our_cycles, rival_cycles, sparse
from bench.rivals import RIVALS, Shape
from bench.rivals.measure import Measured, synthesised
from gen.ecp5 import Cells
from gen.harness import HARNESS
from gen.parts import PARTS
from gen.verilog import TOP
from golden.realdata import RealLayer
from hdl.machine import Machine
from spinteger.config import PRESETS, Config

pytestmark = pytest.mark.silicon

CFG = Config(rows=8, cols=8, homes=2, int_lanes=2, k=576)


def layer(tokens: int = 16, k: int = 40, n: int = 20) -> RealLayer:
    """A made-up layer with some salient inputs."""
    rng = np.random.default_rng(1)
    q = rng.integers(-9, 10, (tokens, k)).astype(np.int8)
    return RealLayer("made.up", q, np.zeros_like(q), rng.integers(-7, 8, (k, n)).astype(np.int8),
                     np.full(n, 1 << 16, np.int64), 1.0, 1.0, np.ones(n), k, n, 7, True)


def measured(lut: int, mhz: float | None = 100.0, dsp: int = 0) -> Measured:
    return Measured(lut, 0, 0, dsp, mhz, 1, {})


def row(name: str, per_klut: float, level: str = "array", exact: bool = True, dsp: int = 0) -> Row:
    return Row(name, "", level, measured(1000, dsp=dsp), 64, {"dense": 1.0}, {"dense": per_klut},
               100.0, exact, 64)


def test_a_row_is_operations_over_time() -> None:
    work = dense([layer()])
    bench = Bench(CFG, [work], PARTS["LFE5U-85F"], None, print)
    made = bench.row("x", "", "array", measured(2000, 200.0), 64, {"dense": 1600.0}, True)
    assert work.ops == 2 * 16 * 40 * 20
    assert made.gops["dense"] == pytest.approx(work.ops / (1600 / 200e6) / 1e9)
    assert made.per_klut("dense") == pytest.approx(made.gops["dense"] / 2)
    assert made.peak == pytest.approx(2 * 64 * 200e6 / 1e9)
    assert made.fits == 64 * PARTS["LFE5U-85F"].lut // 2000
    unplaced = bench.row("x", "", "array", measured(2000, None), 64, {"dense": 1600.0}, True)
    assert unplaced.mhz == fpga.STATED_MHZ


def test_dense_arrays_take_dense_cycles() -> None:
    """ceil(K / R) * ceil(N / C) per token, and what each rival says it takes beside that."""
    work = dense([layer()])
    shape = Shape(8, 8, k=576)
    def cycles(name):
        return rival_cycles(work, RIVALS[name].build(shape))
    assert cycles("tree") == cycles("dsp-w4a8") == 16 * (5 + 1) * 3
    assert cycles("systolic") == 2 * 3 * (40 + 2 * 8)
    assert cycles("systolic-plain") == 2 * 3 * 40
    assert cycles("bit-serial") == 16 * 3 * 16 * 2
    assert 16 * 3 * (5 + 1) < cycles("unary") <= 16 * 3 * (5 * 7 + 1)
    assert our_cycles(work, CFG) > 0


@pytest.mark.parametrize("share", SPARSE)
def test_thinned_layers_have_as_many_zeros(share: float) -> None:
    full = layer(tokens=64, k=200)
    thin = sparse([full], share)
    kept = thin.layers[0].q != 0
    assert np.mean(~kept) == pytest.approx(share, abs=0.02)
    assert (thin.layers[0].q[kept] == full.q[kept]).all()
    assert thin.ops == Work("", (full,)).ops            # zeros are useful operations of the layer


def test_goals_compare_with_the_right_rival() -> None:
    rows = [row("ours", 12.0), row("systolic", 3.0, exact=False), row("tree", 5.0, exact=False),
            row("tree-w4a8", 4.0), row("systolic-plain", 9.0, exact=False),
            row("dsp", 20.0, exact=False, dsp=32)]
    rows += [replace(one, level="machine") for one in rows]
    found = {(goal["level"], goal["goal"]): goal for goal in goals(rows)}
    assert len(found) == 8
    plain = found["array", RIVALS["systolic-plain"].title]
    assert plain["ratio"] == pytest.approx(12 / 9) and plain["reached"] is None
    systolic = found["array", "the systolic W4A4 array"]
    best = found["array", "the best LUT-only rival"]
    exact = found["machine", "the best LUT-only rival that represents salient inputs"]
    assert (systolic["rival"], systolic["ratio"], systolic["reached"]) == ("systolic", 4.0, False)
    assert (best["rival"], best["ratio"]) == ("tree", pytest.approx(2.4))
    assert (exact["rival"], exact["ratio"], exact["reached"]) == ("tree-w4a8", 3.0, True)


@pytest.mark.slow
def test_shared_parts_are_found_in_the_harness() -> None:
    """The blocks are those of the machine though the harness is the design's top."""
    synthesis = synthesised(Machine(PRESETS["tiny"]), dsp=True)
    parts = [fpga.shared(synthesis, [name]) for name in fpga.SHARED]
    assert all(part.lut > 50 and part.ff > 50 for part in parts)
    assert fpga.shared(synthesis) == sum(parts, Cells())
    assert fpga.shared(synthesis).lut < synthesis.cells(TOP).lut
    assert synthesis.glue(HARNESS).lut > 0
    with pytest.raises(ValueError, match="no kitchen"):
        fpga.shared(synthesis, ["kitchen"])


def test_measured_takes_cells_off() -> None:
    cells = Cells(lut4=5, ccu2c=2, ff=3, ebr=1)
    assert (measured(100) + cells - cells) == measured(100)
    assert (measured(100) + cells).lut == 109


@pytest.mark.slow
def test_table_and_json_without_placement(real_model, tmp_path, capsys) -> None:
    path = tmp_path / "fpga.json"
    assert main(["--preset", "tiny", "--pe", "8x4", "--k", "576", "--depth", "512", "--quick",
                 "--train-depth", "512", "--list-depth", "512", "--layers", "1",
                 "--rivals", "tree,systolic", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    rows = {(one["name"], one["level"]): one for one in report["rows"]}
    assert set(rows) == {(name, level) for name in ("ours", "ours-nodsp", "tree", "systolic")
                         for level in ("array", "machine")}
    for name, level in rows:
        assert rows[name, level]["mhz"] == fpga.STATED_MHZ
        assert rows[name, level]["gops_per_klut"]["dense"] > 0
    assert rows["tree", "machine"]["measured"]["lut"] > rows["tree", "array"]["measured"]["lut"]
    assert rows["ours-nodsp", "array"]["measured"]["dsp"] == 0 < \
        rows["ours", "array"]["measured"]["dsp"]
    assert report["versions"]["pyosys"] and report["quick"] and report["goals"]
    assert "goal 5x" in capsys.readouterr().out


@pytest.mark.parametrize("argv, words", [
    (["--rivals", "tree,tpu"], ["--rivals tpu", "systolic"]),
    (["--part", "LFE5U-95F"], ["--part LFE5U-95F", "LFE5U-85F"]),
    (["--seeds", "0"], ["--seeds 0", "1..100"]),
    (["--layers", "13"], ["--layers 13", "1..12"]),
    (["--pe", "16"], ["--pe 16", "16x16"]),
    (["--json", "no/such/folder.json"], ["--json", "does not exist"]),
])
def test_mistakes_are_one_line(argv, words, capsys) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
