"""The clock guessed from a netlist."""

import json

import pytest

from gen import ecp5, timing


def netlist(verilog: str) -> str:
    return ecp5.synthesise(verilog, "t").netlist


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_a_chain_of_luts_by_hand(stages):
    cells = {"a": cell("TRELLIS_FF", {"DI": ([2], "input"), "Q": ([10], "output")}),
             "z": cell("TRELLIS_FF", {"DI": ([10 + stages], "input"), "Q": ([99], "output")})}
    for number in range(stages):
        cells[f"l{number}"] = cell("LUT4", {"A": ([10 + number], "input"),
                                            "Z": ([11 + number], "output")})
    found = timing.estimate(design(cells), "t")
    want = timing.CLK_TO_Q + stages * (timing.LUT + timing.WIRE) + timing.WIRE + timing.SETUP
    assert found.delay == pytest.approx(want)
    assert found.fmax == pytest.approx(1000 / want)
    assert found.path == ("a", *(f"l{number}" for number in range(stages)), "z")


def test_fan_out_costs():
    def delay(readers):
        cells = {"a": cell("TRELLIS_FF", {"DI": ([2], "input"), "Q": ([3], "output")})}
        for number in range(readers):
            cells[f"z{number}"] = cell("TRELLIS_FF", {"DI": ([3], "input"),
                                                      "Q": ([4 + number], "output")})
        return timing.estimate(design(cells), "t").delay

    assert delay(1) < delay(8) < delay(64)


def test_a_longer_adder_takes_longer_but_not_by_wires():
    def adder(bits):
        top = bits - 1
        return netlist(f"module t(input clk, input [{top}:0] x, output reg [{top}:0] q);\n"
                       f"reg [{top}:0] a; always @(posedge clk) begin a <= x; q <= q + a; end\n"
                       "endmodule")

    short, long = (timing.estimate(adder(bits), "t") for bits in (8, 32))
    assert 0 < long.delay - short.delay < timing.WIRE * 2
    assert short.delay > timing.CLK_TO_Q + timing.WIRE


def test_memory_is_slow():
    found = timing.estimate(netlist("""module t(input clk, input [9:0] ra, input [9:0] wa,
        input [17:0] d, output reg [17:0] q);
        reg [17:0] m [0:1023]; reg [17:0] r;
        always @(posedge clk) begin m[wa] <= d; r <= m[ra]; q <= r + 1; end endmodule"""), "t")
    assert found.delay > timing.EBR_CLK_TO_Q + timing.CARRY_IN


def test_a_loop_is_refused():
    cells = {"l": cell("LUT4", {"A": ([3], "input"), "Z": ([4], "output")}),
             "m": cell("LUT4", {"A": ([4], "input"), "Z": ([3], "output")}),
             "z": cell("TRELLIS_FF", {"DI": ([3], "input"), "Q": ([9], "output")})}
    with pytest.raises(ValueError, match="loop"):
        timing.estimate(design(cells), "t")


def cell(kind, pins):
    return {"type": kind, "parameters": {},
            "connections": {port: bits for port, (bits, _) in pins.items()},
            "port_directions": {port: direction for port, (_, direction) in pins.items()}}


def design(cells):
    return json.dumps({"modules": {"t": {"cells": cells}}})
