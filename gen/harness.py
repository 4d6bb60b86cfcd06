"""A harness of registers: places a design without pins, and without its ports in the timing.

Inputs come out of one long shift register, outputs are registered and folded by XOR to one bit,
so that every path that counts runs from a register to a register, and nothing is optimised away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Name of the harness' module, and of the design's instance in it.
HARNESS, DUT = "harness", "dut"
#: Outputs folded per stage: one LUT4.
FOLD = 4

_HEADER = r"^module {name} ?\((?P<ports>.*?)\);"
_PORT = re.compile(r"\b(?P<direction>input|output)\s+(?:wire\s+|reg\s+)?(?:signed\s+)?"
                   r"(?:\[(?P<high>\d+):0\]\s*)?(?P<name>\w+)")


@dataclass(frozen=True)
class HeaderPort:
    """A port as a module's header declares it."""

    name: str
    direction: str      #: "input" or "output"
    width: int


def header_ports(verilog: str, module: str) -> list[HeaderPort]:
    """The ports of a module of generated Verilog, in order.

    Raises ValueError when the module or its ports are not there.
    """
    header = re.search(_HEADER.format(name=re.escape(module)), verilog, re.M | re.S)
    if header is None:
        raise ValueError(f"no module {module} in this Verilog")
    text = re.sub(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", "", header["ports"], flags=re.S)
    ports = [HeaderPort(match["name"], match["direction"], int(match["high"] or 0) + 1)
             for match in _PORT.finditer(text)]
    if len(ports) != text.count(",") + 1:
        raise ValueError(f"module {module}: cannot read its ports")
    return ports


def harness(verilog: str, module: str) -> str:
    """Verilog of a module `harness` around `module`; to be read together with `verilog`.

    Ports: `clk`, `rst` (passed on where the design has them), `si` (shifted in), `so` (the folded
    outputs). Every port of the design but `clk` and `rst` gets a register per bit.
    """
    ports = header_ports(verilog, module)
    given = [port.name for port in ports if port.name in ("clk", "rst")]
    inputs = [port for port in ports if port.direction == "input" and port.name not in given]
    outputs = [port for port in ports if port.direction == "output"]
    width_in, width_out = (sum(port.width for port in part) for part in (inputs, outputs))
    if not width_out:
        raise ValueError(f"module {module}: has no output, nothing of it would be left")
    lines = [f"module {HARNESS}(input clk, input rst, input si, output so);"]
    if width_in:
        lines += [f"  reg [{width_in - 1}:0] i;",
                  f"  always @(posedge clk) i <= {'{i, si}' if width_in > 1 else 'si'};"]
    lines += [f"  wire [{width_out - 1}:0] o;", f"  reg [{width_out - 1}:0] q0;",
              "  always @(posedge clk) q0 <= o;"]
    stage, width = 0, width_out
    while width > 1:
        folded = -(-width // FOLD)
        lines.append(f"  reg [{folded - 1}:0] q{stage + 1};")
        lines += [f"  always @(posedge clk) q{stage + 1}[{bit}] <= "
                  f"^q{stage}[{min(width, FOLD * bit + FOLD) - 1}:{FOLD * bit}];"
                  for bit in range(folded)]
        stage, width = stage + 1, folded
    lines += [f"  assign so = q{stage}[0];"]
    wired = [f".{name}({name})" for name in given]
    wired += [*_slices(inputs, "i"), *_slices(outputs, "o")]
    lines += [f"  {module} {DUT}({', '.join(wired)});", "endmodule"]
    return "\n".join(lines) + "\n"


def _slices(ports: list[HeaderPort], bus: str) -> list[str]:
    """Connections of ports to consecutive bits of a bus."""
    wired, at = [], 0
    for port in ports:
        wired.append(f".{port.name}({bus}[{at + port.width - 1}:{at}])")
        at += port.width
    return wired
