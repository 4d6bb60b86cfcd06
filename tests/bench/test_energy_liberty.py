"""Liberty files: tables, functions, what cells are."""

from pathlib import Path

import pytest

from bench.gates import liberty
from bench.gates.liberty import LibertyError, Table, truth_table

TINY = (Path(__file__).parent / "tiny.lib").read_text()


def test_cells_pins_and_energies():
    library = liberty.read(TINY)
    assert library.name == "tiny" and library.voltage == 2.0
    inv, dff = library.cells["INV"], library.cells["DFF"]
    assert (inv.area, inv.leakage, inv.kind) == (1, 3, "gate")
    assert inv.inputs == ["A"] and inv.outputs == ["Y"] and inv.tables == {"Y": 0b01}
    assert inv.pins["Y"].arcs["A"].delay[0].at(0.5, 0.1) == pytest.approx(0.6)
    assert [table.at(0.5, 0.1) for table in inv.pins["Y"].arcs["A"].energy] == [0.003, 0.001]
    assert (dff.kind, dff.clock, dff.data) == ("ff", "CLK", "D")
    assert [table.at(0, 0) for table in dff.pins["CLK"].energy] == [0.01, 0.02]
    assert library.cells["LATCH"].kind == "latch"
    # One timing group for two pins.
    assert set(library.cells["NAND2"].pins["Y"].arcs) == {"A", "B"}


def test_tables_are_clamped_over_the_transition_and_extended_over_the_load():
    table = Table((1.0, 3.0), (0.1, 0.2), ((1.0, 2.0), (3.0, 6.0)))
    assert table.at(1, 0.1) == 1 and table.at(3, 0.2) == 6
    assert table.at(2, 0.15) == pytest.approx(3.0)
    assert table.at(2, 9) == table.at(2, 0.2) and table.at(2, 0) == table.at(2, 0.1)
    assert table.at(5, 0.1) == pytest.approx(5.0)


def test_a_table_over_transition_then_load_is_turned():
    text = TINY.replace("variable_1 : total_output_net_capacitance", "variable_1 : "
                        "input_net_transition", 1)
    text = text.replace('index_1("0, 1"); index_2("0, 1"); values("0.1, 0.1", "1.1, 1.1");',
                        'index_1("0.1, 0.2, 0.3"); index_2("0, 1"); '
                        'values("1, 2", "3, 4", "5, 6");')
    rise = liberty.read(text).cells["INV"].pins["Y"].arcs["A"].delay[0]
    assert rise.at(0, 0.3) == 5 and rise.at(1, 0.2) == 4


@pytest.mark.parametrize("text, table", [
    ("A", 0b10), ("!A", 0b01), ("A'", 0b01), ("0", 0b00), ("1", 0b11), ("(A)'", 0b01)])
def test_functions_of_one_input(text, table):
    assert truth_table(text, ["A"]) == table


@pytest.mark.parametrize("text", [
    "(A B)+(C (A+B))", "A&B | C & (A | B)", "(A*B) + (A*C) + (B*C)", "!(!(A B) !(B C) !(C A))"])
def test_functions_of_three_inputs(text):
    assert truth_table(text, ["A", "B", "C"]) == 0b11101000


@pytest.mark.parametrize("text", ["A B)", "(A", "A & X", ""])
def test_functions_that_are_none(text):
    with pytest.raises(LibertyError):
        truth_table(text, ["A", "B"])


@pytest.mark.parametrize("text", [
    "", "cell(X) { }", "library(a) { x 1; }", 'library(a) { time_unit : "1ps"; }'])
def test_files_that_are_none(text):
    with pytest.raises(LibertyError):
        liberty.read(text)
