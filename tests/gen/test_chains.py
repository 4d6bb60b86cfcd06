"""Carry chains: each mapped adder is the function it replaces, proven; and it takes its place."""

import re

import pytest
from amaranth.hdl import signed, unsigned

from gen import yosys
from gen.chains import map_chains
from gen.ecp5 import synthesise
from gen.verilog import to_verilog
from hdl.add_select import AddSelect
from hdl.addsub import AddSub
from hdl.addsub_row import AddSubRow
from hdl.array import HybridArray
from spinteger.config import PRESETS

ADDERS = {
    "even": AddSub(signed(5), signed(5), 6),
    "odd": AddSub(signed(16), signed(8), 17),
    "unsigned_subtrahend": AddSub(signed(20), unsigned(9), 20),
    "row": AddSubRow(4, 8),
    "row_of_two": AddSubRow(6, 2),
    "row_of_one": AddSubRow(7, 1),
    "select": AddSelect(signed(16), signed(9), signed(12), 16),
    "select_odd": AddSelect(signed(9), signed(7), signed(3), 9),
}


def prove_equal(verilog: str, mapped: str, module: str) -> None:
    """Prove by SAT that a module does the same in both designs. Raises `YosysError` if not."""
    yosys.run(["read_verilog gold.v", f"hierarchy -top {module}", "proc", "flatten", "opt_clean",
               f"rename {module} gold", "design -stash gold",
               "read_verilog gate.v", "read_verilog -overwrite +/ecp5/cells_sim.v",
               f"hierarchy -top {module}", "proc", "flatten", "opt_clean",
               f"rename {module} gate", "design -stash gate",
               "design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate",
               "miter -equiv -flatten gold gate miter", "alumacc miter", "techmap miter",
               "opt miter", "sat -verify -prove trigger 0 miter"],
              {"gold.v": verilog, "gate.v": mapped})


@pytest.mark.parametrize("adder", ADDERS.values(), ids=ADDERS)
def test_each_adder_is_mapped_and_equal(adder) -> None:
    verilog = to_verilog(adder)
    mapped, modules = map_chains(verilog)
    assert "spinteger" in modules and "CCU2C" in mapped
    prove_equal(verilog, mapped, "spinteger")


@pytest.mark.parametrize("name, init", [("row", "96aa"), ("row", "00aa"), ("select", "665a")])
def test_proof_can_fail(name: str, init: str) -> None:
    verilog = to_verilog(ADDERS[name])
    mapped, _ = map_chains(verilog)
    assert f"16'h{init}" in mapped
    wrong = mapped.replace(f"16'h{init}", "16'h0000", 1)
    with pytest.raises(yosys.YosysError):
        prove_equal(verilog, wrong, "spinteger")


def test_a_body_that_is_not_as_expected_is_left_alone() -> None:
    verilog = to_verilog(ADDERS["even"])
    for old, new in (("b[4], b", "b[4], a"), ("1'h1 }", "1'h0 }"), ("^ {6{sub}}", "^ {6{a[0]}}")):
        assert old in verilog
        changed = verilog.replace(old, new)
        mapped, modules = map_chains(changed)
        if modules:
            prove_equal(changed, mapped, "spinteger")


def test_every_adder_of_an_array_is_equal() -> None:
    verilog = to_verilog(HybridArray(PRESETS["tiny"]))
    mapped, modules = map_chains(verilog)
    assert any("row" in name for name in modules) and any("select" in name for name in modules)
    for module in modules:
        prove_equal(verilog, mapped, module)


@pytest.mark.parametrize("name, sites", [
    ("even", 8), ("odd", 18),       # a bit for the carry-in, rounded up to two
    ("row", 48),                    # ... on one chain for all eight
    ("select", 18)])
def test_a_bit_a_site(name: str, sites: int) -> None:
    """As many sites as bits, and at placement no more: nothing is connected to a chain's ends."""
    made = synthesise(to_verilog(ADDERS[name]), "spinteger")
    assert made.cells("spinteger").lut == sites
    assert not re.search(r'"CIN": \[ ?"[01]"', made.netlist)
