"""Registers of block memories and multipliers of ECP5: a pass over a synthesised netlist.

Yosys leaves the registers that sit inside DP16KD and MULT18X18D unused and builds them of the
fabric: reading a memory then takes 5.8 ns before any logic, a product 3.9 ns. `absorb` moves
plain registers into the cells:

  * those that follow a memory's read data, into the memory's output register;
  * those before a multiplier's operands, if both have them, and those behind its product.

Only registers that do the same there are moved: on the cell's own clock, with one common enable
or none, without reset, starting from zero, and with nothing else between them and the cell. So a
register to be absorbed is declared without reset. What the cells' registers do is in
gen/ecp5_cells.v; that a netlist with them equals the RTL is proven by simulation (tests/gen).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

Cell = dict[str, Any]
Bit = int | str


class _Netlist:
    """One module of flattened Yosys JSON: who drives a bit, who reads it."""

    def __init__(self, module: dict[str, Any]):
        self.cells: dict[str, Cell] = module["cells"]
        self.by_output: dict[Bit, str] = {}          # registers by Q ...
        self.by_input: dict[Bit, list[str]] = {}     # ... and D
        self.readers: Counter[Bit] = Counter()
        for port in module["ports"].values():
            self.readers.update(port["bits"])
        for name, cell in self.cells.items():
            for pin, bits in cell["connections"].items():
                if cell["port_directions"][pin] == "input":
                    self.readers.update(bits)
            if cell["type"] == "TRELLIS_FF" and _plain(cell):
                self.by_output[_pin(cell, "Q")] = name
                self.by_input.setdefault(_pin(cell, "DI"), []).append(name)

    def following(self, bit: Bit) -> str | None:
        """The register that is all that reads this bit."""
        names = self.by_input.get(bit, [])
        return names[0] if len(names) == 1 and self.readers[bit] == 1 else None

    def remove(self, name: str) -> None:
        """Take a register away."""
        cell = self.cells.pop(name)
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] == "input":
                self.readers.subtract(bits)
        self.by_output.pop(_pin(cell, "Q"), None)
        self.by_input[_pin(cell, "DI")].remove(name)

    def connect(self, cell: Cell, pin: str, bit: Bit) -> None:
        """Connect an input pin."""
        for old in cell["connections"].get(pin, []):
            self.readers[old] -= 1
        cell["connections"][pin] = [bit]
        cell["port_directions"][pin] = "input"
        self.readers[bit] += 1


def _pin(cell: Cell, name: str) -> Bit:
    bits = cell["connections"].get(name) or ["0"]
    return bits[0]


def _plain(register: Cell) -> bool:
    """Rising edge, no reset, from zero."""
    settings = register["parameters"]
    return (settings.get("CLKMUX", "CLK") == "CLK" and settings.get("REGSET", "RESET") == "RESET"
            and settings.get("CEMUX", "1").strip() in ("CE", "1")
            and _pin(register, "LSR") in ("0", "x") and _pin(register, "M") in ("0", "x"))


def _enable(register: Cell) -> Bit:
    if register["parameters"].get("CEMUX", "1").strip() == "1":
        return "1"
    return _pin(register, "CE")


def _control(registers: Sequence[Cell]) -> tuple[Bit, Bit] | None:
    """Clock and enable, if all have the same ones."""
    pairs = {(_pin(register, "CLK"), _enable(register)) for register in registers}
    return pairs.pop() if len(pairs) == 1 else None


def absorb(netlist: str) -> str:
    """The flattened netlist (Yosys JSON, ECP5 cells) with registers moved into its cells."""
    design = json.loads(netlist)
    for module in design["modules"].values():
        net = _Netlist(module)
        for cell in list(module["cells"].values()):
            if cell["type"] == "DP16KD":
                _memory(net, cell)
            elif cell["type"] == "MULT18X18D":
                _operands(net, cell)
                _product(net, cell)
        _sweep(net)
    return json.dumps(design)


def _memory(net: _Netlist, cell: Cell) -> None:
    """Output registers of a memory's ports. A port 36 bits wide puts out on both sides."""
    wide = any(_number(cell["parameters"].get(f"DATA_WIDTH_{port}", 18)) == 36 for port in "AB")
    for sides, port in ((("A", "B"), "B"),) if wide else ((("A",), "A"), (("B",), "B")):
        found = _behind(net, cell, [f"DO{side}{bit}" for side in sides for bit in range(18)])
        if found is None or found[1][0] != _pin(cell, f"CLK{port}"):
            continue
        registers, (_, enable) = found
        _take_in(net, cell, registers)
        for side in sides:
            cell["parameters"][f"REGMODE_{side}"] = "OUTREG"
        net.connect(cell, f"OCE{port}", enable)


def _behind(net: _Netlist, cell: Cell, pins: Sequence[str]
            ) -> tuple[dict[str, str], tuple[Bit, Bit]] | None:
    """The registers behind these outputs, by output, with their clock and enable.

    None unless every output that is read is read by a register alone, all with the same ones.
    """
    read = [pin for pin in pins if cell["connections"].get(pin) and net.readers[_pin(cell, pin)]]
    registers = {pin: name for pin in read if (name := net.following(_pin(cell, pin))) is not None}
    control = _control([net.cells[name] for name in registers.values()])
    return (registers, control) if control and len(registers) == len(read) else None


def _take_in(net: _Netlist, cell: Cell, registers: dict[str, str]) -> None:
    """The cell puts out what the registers did, which are taken away."""
    for pin, name in registers.items():
        output = net.cells[name]["connections"]["Q"]
        net.remove(name)
        cell["connections"][pin] = output


def _number(value: Any) -> int:
    """A parameter of Yosys JSON: binary text, or a number."""
    return value if isinstance(value, int) else int(value, 2 if set(value) <= {"0", "1"} else 10)


def _operands(net: _Netlist, cell: Cell) -> None:
    """Input registers: every bit of both operands comes from a register, or is constant."""
    registers: dict[str, Cell] = {}
    for side in "AB":
        for bit in range(18):
            source = _pin(cell, f"{side}{bit}")
            if isinstance(source, int):
                if source not in net.by_output:
                    return
                registers[f"{side}{bit}"] = net.cells[net.by_output[source]]
    control = _control(list(registers.values()))
    if control is None or not _clocked(net, cell, control):
        return
    for pin, register in registers.items():
        net.connect(cell, pin, _pin(register, "DI"))
    for side in "AB":
        cell["parameters"] |= {f"REG_INPUT{side}_CLK": "CLK0", f"REG_INPUT{side}_CE": "CE0",
                               f"REG_INPUT{side}_RST": "RST0"}


def _product(net: _Netlist, cell: Cell) -> None:
    """Output register: every bit that is read, is read by a register alone."""
    found = _behind(net, cell, [f"P{bit}" for bit in range(36)])
    if found is None or not _clocked(net, cell, found[1]):
        return
    _take_in(net, cell, found[0])
    cell["parameters"] |= {"REG_OUTPUT_CLK": "CLK0", "REG_OUTPUT_CE": "CE0",
                           "REG_OUTPUT_RST": "RST0"}


def _clocked(net: _Netlist, cell: Cell, control: tuple[Bit, Bit]) -> bool:
    """Give a multiplier's registers this clock and enable; False if it has others."""
    if cell["connections"].get("CLK0", ["0"])[0] not in ("0", "x"):
        return (_pin(cell, "CLK0"), _pin(cell, "CE0")) == control
    for pin, bit in (("CLK0", control[0]), ("CE0", control[1]), ("RST0", "0")):
        net.connect(cell, pin, bit)
    return True


def _sweep(net: _Netlist) -> None:
    """Take away registers that nothing reads any more, and those that only they read."""
    found = True
    while found:
        unread = [name for name, cell in net.cells.items()
                  if cell["type"] == "TRELLIS_FF" and not net.readers[_pin(cell, "Q")]]
        found = False
        for name in unread:
            if name in net.by_output.values():
                net.remove(name)
                found = True
