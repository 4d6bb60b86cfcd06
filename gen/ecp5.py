"""ECP5 synthesis: add-subtracts on one carry chain each, then Yosys' own flow.

Yosys maps `$alu` with a changing BI input to CCU2C cells whose own LUTs invert the addend, but
no Verilog expression makes it infer one: an adder behind XORs costs twice as much. So the body
of every `hdl.addsub.AddSub` module is replaced by the `$alu` it means, before synthesis. That
the two are the same function is proven by a test (tests/gen/test_ecp5.py).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from gen import yosys

_MODULE = re.compile(r"^module (?P<name>\w+) ?\((?P<ports>.*?)\);.*?^endmodule$", re.M | re.S)
_PORT = re.compile(r"(?P<dir>input|output) wire (?P<signed>signed )?(?:\[(?P<high>\d+):0\] )?"
                   r"(?P<name>\w+)")
ADDSUB_PORTS = {"a", "b", "sub", "y"}

#: A dual-port RAM cell of ECP5 (16 x 4) takes two slices for the RAM and one to write it.
LUTS_PER_DPR16X4 = 6


@dataclass(frozen=True)
class _Port:
    width: int
    signed: bool


def _ports(text: str) -> dict[str, _Port]:
    return {match["name"]: _Port(int(match["high"] or 0) + 1, bool(match["signed"]))
            for match in _PORT.finditer(text)}


def alu_module(name: str, ports: dict[str, _Port]) -> str:
    """Verilog (for `read_verilog -icells`) of an add-subtract as one `$alu` cell."""
    width = ports["y"].width
    declared, extended = [], {}
    for port in ("a", "b"):
        bits, sign = ports[port].width, ports[port].signed
        declared.append(f"input {'signed ' * sign}[{bits - 1}:0] {port}")
        fill = f"{port}[{bits - 1}]" if sign else "1'b0"
        extended[port] = (f"{{ {{ {width - bits} {{ {fill} }} }}, {port} }}" if width > bits
                          else port)
    return (f"module {name} ({', '.join(declared)}, input sub, output signed [{width - 1}:0] y);\n"
            f"  wire [{width - 1}:0] wide_a = {extended['a']};\n"
            f"  wire [{width - 1}:0] wide_b = {extended['b']};\n"
            f"  wire [{width - 1}:0] propagate, carry;\n"
            f"  \\$alu #(.A_SIGNED(0), .B_SIGNED(0), .A_WIDTH({width}), .B_WIDTH({width}), "
            f".Y_WIDTH({width})) alu\n"
            "    (.A(wide_a), .B(wide_b), .BI(sub), .CI(sub), .Y(y), .X(propagate), .CO(carry));\n"
            "endmodule")


def map_addsub(verilog: str) -> tuple[str, list[str]]:
    """The design with every add-subtract as one `$alu`, and the names of those modules.

    Read the result with `read_verilog -icells`. Only modules whose ports are exactly a, b, sub
    and y are touched: `AddSub` is the only one, and one with a constant port is left alone.
    """
    mapped = []

    def replace(match: re.Match[str]) -> str:
        ports = _ports(match["ports"])
        if set(ports) != ADDSUB_PORTS:
            return match[0]
        mapped.append(match["name"])
        return alu_module(match["name"], ports)

    return _MODULE.sub(replace, verilog), mapped


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
_FREE = {"$scopeinfo"}


@dataclass(frozen=True)
class Synthesis:
    """What synthesis made of a design, module by module."""

    top: str
    modules: dict[str, dict[str, int]]    #: module -> cell type -> count, submodules not opened
    mapped: list[str]                     #: add-subtract modules that became one carry chain

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
    they save levels. Raises `yosys.YosysError`.
    """
    source, mapped = map_addsub(verilog) if carry_chains else (verilog, [])
    commands = ["read_verilog -icells design.v", f"hierarchy -check -top {top}",
                f"synth_ecp5 -top {top} -noflatten -no-rw-check -nowidelut"
                + ("" if dsp else " -nodsp"),
                "tee -q -o stat.json stat -json"]
    files, _ = yosys.run(commands, {"design.v": source}, ["stat.json"])
    report: dict[str, Any] = json.loads(files["stat.json"])
    modules = {name.lstrip("\\"): content["num_cells_by_type"]
               for name, content in report["modules"].items()
               if name.startswith("\\") and (name.lstrip("\\").startswith(top))}
    return Synthesis(top, modules, mapped)
