"""Models of ECP5 cells: synthesised memories, multipliers and adders do what they did before."""

import json
import shutil
import subprocess

import pytest

from gen import ecp5, ecp5_model, yosys

#: name, Verilog of a module with ports clk, x[63:0], y[35:0].
DESIGNS = {
    "simple_dual_port_36": """
      reg [35:0] m [0:511]; reg [35:0] q; assign y = q;
      always @(posedge clk) begin if (x[0]) m[x[9:1]] <= x[63:28]; if (x[27]) q <= m[x[18:10]]; end
    """,
    "true_dual_port_9": """
      reg [8:0] m [0:2047]; reg [8:0] a, b; assign y = {a, b};
      always @(posedge clk) if (x[0]) m[x[4:1]] <= x[63:55]; else a <= m[x[4:1]];
      always @(posedge clk) if (x[5]) m[{1'b1, x[9:6]}] <= x[54:46]; else b <= m[{1'b1, x[9:6]}];
    """,
    "initial_values_18": """
      reg [17:0] m [0:1023]; reg [17:0] q; assign y = q; integer i;
      initial for (i = 0; i < 1024; i = i + 1) m[i] = i * 211;
      always @(posedge clk) q <= m[x[9:0]];
    """,
    "distributed": """
      reg [5:0] m [0:15]; assign y = m[x[3:0]]; integer i;
      initial for (i = 0; i < 16; i = i + 1) m[i] = 0;
      always @(posedge clk) if (x[4]) m[x[8:5]] <= x[20:15];
    """,
    "multiplier": """
      wire signed [17:0] a = x[17:0], b = x[40:23]; wire signed [35:0] p = a * b;
      reg [35:0] q; assign y = q; always @(posedge clk) q <= p;
    """,
    "adders_and_resets": """
      reg [19:0] s = 5; assign y = {s > x[40:21], s};
      always @(posedge clk) if (x[50:49] == 0) s <= 77; else if (x[1]) s <= s + x[20:1] - x[60:50];
    """,
}


def bench(name: str) -> str:
    """Prints y of a module for 600 pseudo-random x."""
    return f"""
module bench;
  reg clk = 0; reg [63:0] x = 64'h9e3779b97f4a7c15; wire [35:0] y; integer n;
  {name} dut(.clk(clk), .x(x), .y(y));
  initial for (n = 0; n < 600; n = n + 1) begin
    #1 if (n > 40) $display("%h", y);
    clk = 1; #1 clk = 0;
    x = {{x[62:0], x[63] ^ x[62] ^ x[60] ^ x[59]}} ^ (x << 13); x = x ^ (x >> 7);
  end
endmodule
"""


def simulate(verilog: str, tmp_path) -> list[str]:
    """What Icarus prints."""
    (tmp_path / "all.v").write_text(verilog)
    subprocess.run(["iverilog", "-g2005", "-o", "all", "-s", "bench", "all.v"], cwd=tmp_path,
                   check=True)
    return subprocess.run(["vvp", "all"], cwd=tmp_path, check=True, capture_output=True,
                          text=True).stdout.split()


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="no Icarus Verilog")
@pytest.mark.parametrize("name", DESIGNS)
def test_the_netlist_does_what_the_source_does(name: str, tmp_path) -> None:
    source = (f"module {name}(input wire clk, input wire [63:0] x, output wire [35:0] y);"
              f"{DESIGNS[name]}endmodule\n")
    netlist = ecp5.synthesise(source, name).netlist
    kinds = {cell["type"] for cell in json.loads(netlist)["modules"][name]["cells"].values()}
    assert kinds & {"DP16KD", "TRELLIS_DPR16X4", "MULT18X18D", "CCU2C"}
    model = ecp5_model.model(netlist, name)
    assert model.count("endmodule") == 1        # no cell is left
    want, got = (simulate(text + bench(name), tmp_path) for text in (source, model))
    assert len(want) > 500 and len(set(want)) > 10
    # Unwritten memory is unknown in the source, and 0 in the block RAM.
    assert all(have == told for told, have in zip(want, got, strict=True) if "x" not in told)
    assert sum("x" not in told for told in want) > 100


def test_a_cell_without_a_model_is_refused() -> None:
    source = """(* blackbox *) module MYSTERY(input a, output z); endmodule
    module spinteger(input wire a, output wire z); MYSTERY m(.a(a), .z(z)); endmodule
    """
    netlist = ecp5.synthesise(source, "spinteger").netlist
    with pytest.raises(yosys.YosysError, match="MYSTERY"):
        ecp5_model.model(netlist, "spinteger")
