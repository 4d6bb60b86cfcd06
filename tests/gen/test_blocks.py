"""Blocks by module and by cell, and what cells take."""

import json

from gen.blocks import BLOCKS, COLUMN, GLUE, OUTSIDE, Hierarchy, block_of, opened, takes


def netlist() -> str:
    """A harness around a machine around an array around columns, with a register in each."""
    def scope(module: str) -> dict[str, object]:
        return {"type": "$scopeinfo", "attributes": {"module": module}, "connections": {}}

    def register() -> dict[str, object]:
        return {"type": "TRELLIS_FF", "attributes": {}, "connections": {}}

    cells = {
        "dut": scope("spinteger"), "dut.array": scope("spinteger_hybrid_array"),
        "dut.array.column_bank": scope("spinteger_column_bank"),
        "dut.array.column_bank.column_3": scope("spinteger_column"),
        "dut.counters": scope("spinteger_counters_2"), "so_FF": register(),
        "dut.busy_FF": register(), "dut.array.start_FF": register(),
        "dut.array.column_bank.column_3.v.x_FF": register(), "dut.counters.c_FF": register()}
    return json.dumps({"modules": {"harness": {"cells": cells}}})


def test_a_cell_is_in_the_outermost_block_that_is_no_frame() -> None:
    cells = Hierarchy(netlist(), "harness")
    assert cells.of("so_FF") == OUTSIDE
    assert cells.of("dut.busy_FF") == cells.of("dut.array.start_FF") == GLUE
    assert cells.of("dut.array.column_bank.column_3.v.x_FF") == COLUMN
    assert cells.of("dut.array.column_bank.column_3.made_by_nextpnr$1") == COLUMN
    assert cells.of("dut.counters.c_FF") == BLOCKS["counters"]
    assert {block: dict(counts) for block, counts in cells.counts.items()} == {
        OUTSIDE: {"TRELLIS_FF": 1}, GLUE: {"TRELLIS_FF": 2}, COLUMN: {"TRELLIS_FF": 1},
        BLOCKS["counters"]: {"TRELLIS_FF": 1}}


def test_without_a_table_submodules_are_the_blocks() -> None:
    cells = Hierarchy(netlist(), "harness", table={})
    assert cells.of("dut.array.column_bank.column_3.v.x_FF") == "hybrid_array"
    assert cells.of("dut.counters.c_FF") == "counters_2"


def test_stems() -> None:
    assert opened("machine") and opened("hybrid_array_2") and not opened("machine_room")
    assert block_of("event_queue_7") == BLOCKS["event_queue"]
    assert block_of("link_port") == block_of("uart_rx") == BLOCKS["link"]
    assert block_of("nothing_known") == GLUE


def test_what_cells_take() -> None:
    assert takes({"LUT4": 10, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "DP16KD": 1, "IB": 4},
                 "ecp5") == {"LUT": 28, "FF": 0, "EBR": 1, "DSP": 0}


def test_a_register_of_ice40_shares_the_cell_of_a_lut_that_is_its_alone() -> None:
    def lut(out: int) -> dict[str, object]:
        return {"type": "SB_LUT4", "connections": {"I0": [2], "O": [out]},
                "port_directions": {"I0": "input", "O": "output"}}

    def register(source: int, out: int) -> dict[str, object]:
        return {"type": "SB_DFF", "connections": {"D": [source], "Q": [out]},
                "port_directions": {"D": "input", "Q": "output"}}

    cells = {"a": lut(3), "shared": lut(4), "b": register(3, 5), "c": register(4, 6),
             "d": register(4, 7), "e": register(7, 8)}
    counts = Hierarchy(json.dumps({"modules": {"top": {"cells": cells}}}), "top").counts
    assert takes(counts[OUTSIDE], "ice40") == {"LUT": 2 + 3, "FF": 4, "EBR": 0, "DSP": 0}
