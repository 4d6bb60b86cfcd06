"""ECP5 synthesis: adders on one carry chain each, Yosys' own flow, registers into their cells.

Before synthesis the bodies of our named adders become carry chains that Yosys does not find
(gen/chains.py). Behind it, ends of carry chains are trimmed (gen/carry.py) and registers move
into block memories and multipliers (gen/absorb.py). That all this does not change what a design
does is proven and simulated by tests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from re import Match
from typing import Any

from gen import yosys
from gen.absorb import absorb
from gen.carry import trim
from gen.chains import MODULE, Port, addsub_operands, map_chains, parse_ports

ADDSUB_PORTS = {"a", "b", "sub", "y"}

#: A dual-port RAM cell of ECP5 (16 x 4) takes two slices for the RAM and one to write it.
LUTS_PER_DPR16X4 = 6


def alu_module(name: str, ports: dict[str, Port], a: list[str], b: list[str]) -> str:
    """Verilog (for `read_verilog -icells`) of an add-subtract as one `$alu` cell.

    `a`, `b`: the operands' bits, lowest first, as wide as the sum.
    """
    width = ports["y"].width
    declared = ", ".join(f"input [{ports[port].width - 1}:0] {port}" if ports[port].width > 1
                         else f"input {port}" for port in ("a", "b"))
    return (f"module {name} ({declared}, input sub, output signed [{width - 1}:0] y);\n"
            f"  wire [{width - 1}:0] wide_a = {{ {', '.join(reversed(a))} }};\n"
            f"  wire [{width - 1}:0] wide_b = {{ {', '.join(reversed(b))} }};\n"
            f"  wire [{width - 1}:0] propagate, carry;\n"
            f"  \\$alu #(.A_SIGNED(0), .B_SIGNED(0), .A_WIDTH({width}), .B_WIDTH({width}), "
            f".Y_WIDTH({width})) alu\n"
            "    (.A(wide_a), .B(wide_b), .BI(sub), .CI(sub), .Y(y), .X(propagate), .CO(carry));\n"
            "endmodule")


def map_addsub(verilog: str) -> tuple[str, list[str]]:
    """The design with every add-subtract as one `$alu`, and the names of those modules.

    For technologies other than ECP5, whose adders Yosys makes of `$alu` cells with a changing BI;
    an adder behind XORs costs more there, too. Read the result with `read_verilog -icells`.
    Only `AddSub` is touched, told by its ports; one with a constant port is left alone.
    """
    mapped = []

    def replace(match: Match[str]) -> str:
        ports = parse_ports(match["ports"])
        operands = addsub_operands(match[0], ports) if set(ports) == ADDSUB_PORTS else None
        if operands is None:
            return match[0]
        mapped.append(match["name"])
        return alu_module(match["name"], ports, *operands)

    return MODULE.sub(replace, verilog), mapped


@dataclass(frozen=True)
class Cells:
    """ECP5 cells of a piece of a design."""

    lut4: int = 0
    ccu2c: int = 0
    ff: int = 0
    ebr: int = 0
    dsp: int = 0
    dpr16x4: int = 0

    @property
    def lut(self) -> int:
        """LUT4 + 2 CCU2C + 6 per 16x4 RAM: LUT sites taken."""
        return self.lut4 + 2 * self.ccu2c + LUTS_PER_DPR16X4 * self.dpr16x4

    def __add__(self, other: Cells) -> Cells:
        return Cells(*(getattr(self, name) + getattr(other, name)
                       for name in self.__dataclass_fields__))

    def __mul__(self, count: int) -> Cells:
        return Cells(*(getattr(self, name) * count for name in self.__dataclass_fields__))


_TYPES = {"LUT4": "lut4", "CCU2C": "ccu2c", "TRELLIS_FF": "ff", "DP16KD": "ebr",
          "MULT18X18D": "dsp", "TRELLIS_DPR16X4": "dpr16x4"}
#: Pads, PLL and global reset: dedicated cells, taken from nobody.
_FREE = {"$scopeinfo", "IB", "OB", "OBZ", "BB", "EHXPLLL", "GSR", "SGSR"}


@dataclass(frozen=True)
class Synthesis:
    """What synthesis made of a design, module by module."""

    top: str
    modules: dict[str, dict[str, int]]    #: module -> cell type -> count, submodules not opened
    mapped: list[str]                     #: modules that became one carry chain
    #: The design flattened, as JSON for nextpnr; its `$scopeinfo` cells say what came from where.
    netlist: str = field(default="", repr=False)

    def cells(self, module: str) -> Cells:
        """Cells of a module and everything below it. Raises ValueError on an unknown cell."""
        total = Cells()
        for kind, count in self.modules[module].items():
            if kind in self.modules:
                total = total + self.cells(kind) * count
            elif kind in _TYPES:
                total = total + Cells(**{_TYPES[kind]: count})
            elif kind not in _FREE:
                raise ValueError(f"module {module}: cannot count cells of type {kind}")
        return total

    def children(self, module: str | None = None) -> dict[str, int]:
        """The submodules of a module (the top), and how often each occurs in it."""
        return {kind: count for kind, count in self.modules[module or self.top].items()
                if kind in self.modules}

    def glue(self, module: str | None = None) -> Cells:
        """Cells that stand in a module (the top) itself."""
        module = module or self.top
        own = {kind: count for kind, count in self.modules[module].items()
               if kind not in self.modules}
        return Synthesis(module, {module: own}, []).cells(module)


def synthesise(verilog: str, top: str, *, carry_chains: bool = True, dsp: bool = True) -> Synthesis:
    """Synthesise generated Verilog for ECP5, hierarchy kept.

    `-no-rw-check`: no memory is ever read where it is being written. `-nowidelut`: the 5- and
    6-input functions that Yosys would build from several LUTs and a mux cost more LUTs than
    they save levels. Registers that move into memories and multipliers still count as such: they
    leave the netlist only. Raises `yosys.YosysError`.
    """
    source, mapped = map_chains(verilog) if carry_chains else (verilog, [])
    commands = ["read_verilog -icells design.v",
                f"synth_ecp5 -top {top} -noflatten -no-rw-check -nowidelut"
                + ("" if dsp else " -nodsp"),
                "tee -q -o stat.json stat -json", "flatten", "opt_clean",
                "write_json netlist.json"]
    files, _ = yosys.run(commands, {"design.v": source}, ["stat.json", "netlist.json"])
    report: dict[str, Any] = json.loads(files["stat.json"])
    modules = {name.removeprefix("\\"): content["num_cells_by_type"]
               for name, content in report["modules"].items() if name.startswith("\\")}
    return Synthesis(top, modules, mapped, absorb(trim(files["netlist.json"])))
