"""Maps a design to standard cells with Yosys: clock gates, adders by recipe, ABC for the rest."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.gates.cells import CellLibrary
from gen import yosys
from gen.ecp5 import map_addsub
from sim.builds import built

#: A clock gate costs about as much clock energy as two flip-flops.
GATED_FFS = 4
#: Words of a memory that is built of registers.
SMALL_TABLE = 32

#: Ways to build the `$alu` cells that adders, subtractors and comparisons become.
ADDERS = ("cells", "ripple", "tree")

#: Yosys' own script without `dch`, which can take hours over multipliers; 1 % more area.
_ABC = "+strash;&get,-n;&fraig,-x;&put;scorr;dc2;dc2;strash;&get,-n;&nf;&put"

_ALU = r"""
(* techmap_celltype = "$alu" *)
module ripple_alu (A, B, CI, BI, X, Y, CO);
  parameter A_SIGNED = 0; parameter B_SIGNED = 0;
  parameter A_WIDTH = 1; parameter B_WIDTH = 1; parameter Y_WIDTH = 1;
  (* force_downto *) input [A_WIDTH-1:0] A;
  (* force_downto *) input [B_WIDTH-1:0] B;
  input CI, BI;
  (* force_downto *) output [Y_WIDTH-1:0] X, Y, CO;
  wire [Y_WIDTH-1:0] wide_a, wide_b;
  \$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) pos_a (.A(A), .Y(wide_a));
  \$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) pos_b (.A(B), .Y(wide_b));
  wire [Y_WIDTH-1:0] addend = wide_b ^ {Y_WIDTH{BI}};
  wire [Y_WIDTH:0] carry;
  assign carry[0] = CI;
  assign CO = carry[Y_WIDTH:1];
  assign X = wide_a ^ addend;
  genvar i;
  generate for (i = 0; i < Y_WIDTH; i = i + 1) begin : bits
    adder_bit bit (.A(wide_a[i]), .B(addend[i]), .C(carry[i]), .SUM(Y[i]), .CARRY(carry[i+1]));
  end endgenerate
endmodule
"""
_BIT_GATES = """
module adder_bit (input A, B, C, output SUM, CARRY);
  wire differ = A ^ B;
  assign SUM = differ ^ C;
  assign CARRY = (A & B) | (differ & C);
endmodule
"""
_FA = """
(* techmap_celltype = "$fa" *)
module fa_cells (A, B, C, X, Y);
  parameter WIDTH = 1;
  (* force_downto *) input [WIDTH-1:0] A, B, C;
  (* force_downto *) output [WIDTH-1:0] X, Y;
  genvar i;
  generate for (i = 0; i < WIDTH; i = i + 1) begin : bits
    adder_bit bit (.A(A[i]), .B(B[i]), .C(C[i]), .SUM(Y[i]), .CARRY(X[i]));
  end endgenerate
endmodule
"""
_GATE = """
(* blackbox *)
module CLOCK_GATE (input CE, CLK, output GCLK);
endmodule
"""


@dataclass(frozen=True)
class Recipe:
    """How a design is mapped. All designs get the same choice of recipes, each keeps its best."""

    adders: str = "cells"       #: full-adder cells, "ripple" chains left to ABC, or "tree" carries
    gated: bool = True          #: enables become clock gates; else multiplexers before the data
    booth: bool = False         #: multipliers by Booth's recoding

    def __str__(self) -> str:
        return (f"adders {self.adders}, {'clock gates' if self.gated else 'enable multiplexers'}"
                + (", Booth" if self.booth else ""))


def script(library: CellLibrary, top: str, recipe: Recipe, keep: Sequence[str]) -> list[str]:
    """The Yosys commands. `keep`: module name patterns that are mapped on their own."""
    dont_use = " ".join(f"-dont_use {name}" for name in library.dont_use)
    adders = [] if recipe.adders == "tree" else ["techmap -map alu.v -map fa.v -map bit.v"]
    gating = ["dfflegalize -cell $_DFFE_PP_ 01 -cell $_DFF_P_ 01",
              f"clockgate -pos CLOCK_GATE CE:CLK:GCLK -min_net_size {GATED_FFS}"]
    return [
        "read_liberty -lib -ignore_miss_func cells.lib", "read_verilog -lib gate.v",
        "read_verilog -icells design.v", f"hierarchy -check -top {top}",
        *(f"setattr -mod -set keep_hierarchy 1 {name}" for name in keep),
        "proc", "flatten", "opt", "wreduce", "peepopt", "opt_clean",
        *(["booth"] if recipe.booth else []), "alumacc", "share", "opt", "memory -nomap",
        "opt -full",
        # Small tables become registers; what stays is a memory, whose energy is a model's.
        f"memory_map t:$mem_v2 r:SIZE<={SMALL_TABLE} %i", "opt -full", "maccmap", *adders,
        "techmap", "opt", *(gating if recipe.gated else []), "dfflegalize -cell $_DFF_P_ 01",
        "opt -fast", "dfflibmap -liberty cells.lib", "opt -fast",
        f"abc -liberty cells.lib {dont_use} -script {_ABC}", "opt_clean",
        *(f"setattr -mod -unset keep_hierarchy {name}" for name in keep), "flatten",
        "opt_clean", f"select {top}", "write_json -selected design.json",
    ]


def map_design(verilog: str, top: str, library: CellLibrary, recipe: Recipe,
               keep: Sequence[str] = ()) -> dict[str, Any]:
    """The mapped module as Yosys' JSON describes it, hierarchy flattened; kept by content.

    Power-on reset is left out, for every design: registers start from their initial values.
    Raises `yosys.YosysError`.
    """
    source, _ = map_addsub(verilog.replace("if (rst)", "if (1'b0)"))
    bit = _BIT_GATES if recipe.adders == "ripple" else (
        f"module adder_bit (input A, B, C, output SUM, CARRY);\n  {library.full_adder}\n"
        "endmodule\n")
    files = {"cells.lib": library.text, "design.v": source, "gate.v": _GATE, "alu.v": _ALU,
             "fa.v": _FA, "bit.v": bit}
    commands = script(library, top, recipe, keep)

    def make(folder: Path) -> None:
        results, _ = yosys.run(commands, files, ["design.json"])
        module = json.loads(results["design.json"])["modules"][top]
        slim = {"ports": module["ports"], "cells": module["cells"],
                "netnames": {name: {"bits": net["bits"], "init": net["attributes"].get("init")}
                             for name, net in module["netnames"].items()}}
        (folder / "netlist.json.gz").write_bytes(gzip.compress(json.dumps(slim).encode(), 1))

    folder, _ = built("gates", [version("pyosys"), *commands, *files.values()], make)
    return dict(json.loads(gzip.decompress((folder / "netlist.json.gz").read_bytes())))
