"""Questions about generated Verilog, answered by Yosys: what tests and reports ask of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gen import yosys

_LATCHES = ("$dlatch", "$adlatch", "$dlatchsr", "$sr")
_FILE = "design.v"


@dataclass(frozen=True)
class Port:
    """A port of a module."""

    direction: str
    width: int
    signed: bool


class Netlist:
    """A design as Yosys reads it: processes turned into cells, hierarchy kept."""

    def __init__(self, verilog: str, top: str = "spinteger"):
        self.verilog, self.top = verilog, top
        commands = [f"read_verilog {_FILE}", f"hierarchy -check -top {top}", "proc", "opt_clean",
                    "write_json design.json"]
        results, _ = yosys.run(commands, {_FILE: verilog}, ["design.json"])
        self._modules: dict[str, Any] = json.loads(results["design.json"])["modules"]

    @property
    def modules(self) -> list[str]:
        """Names of all modules."""
        return sorted(self._modules)

    def ports(self, module: str | None = None) -> dict[str, Port]:
        """The ports of a module (default: the top one), in order."""
        found = self._modules[module or self.top]["ports"]
        return {name: Port(port["direction"], len(port["bits"]), bool(port.get("signed")))
                for name, port in found.items()}

    def cells(self, module: str) -> Counter[str]:
        """How many cells of each type stand in a module itself, submodules not looked into."""
        return Counter(cell["type"] for cell in self._modules[module]["cells"].values())

    def instances(self) -> Counter[str]:
        """How often each module occurs in the whole design."""
        counts: Counter[str] = Counter()

        def visit(module: str, times: int) -> None:
            counts[module] += times
            for kind, number in self.cells(module).items():
                if kind in self._modules:
                    visit(kind, times * number)

        visit(self.top, 1)
        return counts

    def latches(self) -> list[str]:
        """`module.cell` of every latch; there should be none."""
        return [f"{module}.{name}" for module, content in self._modules.items()
                for name, cell in content["cells"].items() if cell["type"] in _LATCHES]

    def multipliers(self) -> dict[str, int]:
        """Multipliers by module; those by a constant, as in the index of a field, left out."""
        found = {module: sum(_multiplies(cell) for cell in content["cells"].values())
                 for module, content in self._modules.items()}
        return {module: number for module, number in found.items() if number}

    def problems(self) -> list[str]:
        """Yosys' complaints about the flattened design.

        Combinational loops, wires without a driver or with several, and nothing else.
        """
        commands = [f"read_verilog {_FILE}", f"hierarchy -check -top {self.top}", "proc", "flatten",
                    "opt_clean", "check"]
        _, log = yosys.run(commands, {_FILE: self.verilog})
        return [line.removeprefix("Warning: ") for line in log.splitlines()
                if re.match(r"Warning: (found logic loop|Wire .* is used but has no driver|"
                            r"multiple conflicting drivers|Drivers conflicting)", line)]


def _multiplies(cell: dict[str, Any]) -> bool:
    if cell["type"] != "$mul":
        return False
    return not any(all(bit in ("0", "1", "x") for bit in cell["connections"][port])
                   for port in ("A", "B"))
