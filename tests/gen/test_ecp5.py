"""The ECP5 mapping: the same functions, smaller, and only where they belong."""

import pytest

from gen import yosys
from gen.chains import map_chains
from gen.ecp5 import Cells, map_addsub, synthesise
from gen.verilog import to_verilog
from hdl.array import HybridArray
from hdl.column import Column
from spinteger.config import PRESETS, Config

TINY = to_verilog(HybridArray(PRESETS["tiny"]))


def prove_equal(verilog: str, mapped: str, module: str) -> None:
    """Prove by SAT that a module does the same in both designs. Raises `YosysError` if not."""
    yosys.run(["read_verilog gold.v", f"hierarchy -top {module}", "proc", "flatten", "opt_clean",
               f"rename {module} gold", "design -stash gold",
               "read_verilog -icells gate.v", f"hierarchy -top {module}", "proc", "opt_clean",
               f"rename {module} gate", "design -stash gate",
               "design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate",
               "miter -equiv -flatten gold gate miter", "alumacc miter", "techmap miter",
               "sat -verify -prove trigger 0 miter"], {"gold.v": verilog, "gate.v": mapped})


def test_every_addsub_is_mapped_and_equal() -> None:
    mapped, modules = map_addsub(TINY)
    assert modules                                       # one for each shape
    assert TINY.count("$alu") == 0 and mapped.count("$alu") == len(modules)
    for module in modules:
        prove_equal(TINY, mapped, module)


def test_proof_can_fail() -> None:
    mapped, modules = map_addsub(TINY)
    wrong = mapped.replace(".CI(sub)", ".CI(1'b0)")
    with pytest.raises(yosys.YosysError):
        prove_equal(TINY, wrong, modules[0])


def test_unsigned_array_has_no_addsub_in_its_trees() -> None:
    cfg = PRESETS["tiny"].with_(window=15, signed=False, exp_max=0, fire="staircase",
                                 scale_bits=0, train_depth=96)
    assert not any("row" in name for name in map_chains(to_verilog(HybridArray(cfg)))[1])


def test_column_data_path_stays_within_its_budget() -> None:
    """At most 10 LUT per spike lane (issue 4), tree, S and V included; no DSP in the column."""
    cfg = Config()
    cells = synthesise(to_verilog(Column(cfg)), "spinteger").cells("spinteger")
    assert cells.dsp == 0 and cells.ebr == 0
    assert cells.lut / cfg.rows <= 9.7
    generic = synthesise(to_verilog(Column(cfg)), "spinteger", carry_chains=False)
    assert generic.cells("spinteger").lut > 1.3 * cells.lut


def test_unknown_cells_are_not_overlooked() -> None:
    synthesis = synthesise("module spinteger(input a, output y); assign y = a; endmodule",
                           "spinteger")
    assert synthesis.cells("spinteger") == Cells()
    synthesis.modules["spinteger"]["MYSTERY"] = 1
    with pytest.raises(ValueError, match="MYSTERY"):
        synthesis.cells("spinteger")
