"""Carry chains without the cells that nextpnr adds around them: a pass over an ECP5 netlist.

nextpnr puts a CCU2C before every chain whose carry-in is a net, a constant too, and one behind
every chain whose last carry-out is a net, even if nothing reads it: two LUT sites each, which
synthesis does not show. `trim` takes both away where that is free:

  * a carry-out that nothing reads becomes unconnected;
  * where a chain's last half cell is unused, all bits move up by one and the carry-in enters
    through a bit of its own, which does not propagate and generates it: its LUT is 0, so the
    carry is looked up from input A, and the unconnected carry before it is not looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

_PINS = ("A", "B", "C", "D", "S")
#: LUT of a bit that generates its input A as carry: 0 while D is 1, A in the rows of C = D = 0.
_GENERATE = f"{0x00AA:016b}"

Site = tuple[dict[str, list[Any]], str, str]


def trim(netlist: str) -> str:
    """The flattened netlist (Yosys JSON, ECP5 cells), with its carry chains trimmed."""
    design = json.loads(netlist)
    for module in design["modules"].values():
        cells = {name: cell for name, cell in module["cells"].items() if cell["type"] == "CCU2C"}
        if cells:
            _trim(module, cells)
    return json.dumps(design)


def _trim(module: dict[str, Any], cells: dict[str, Any]) -> None:
    readers = Counter(bit for port in module["ports"].values() for bit in port["bits"])
    for cell in module["cells"].values():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"].get(pin) != "output":
                readers.update(bits)
    by_carry = {}
    for cell in cells.values():
        carry = cell["connections"]["COUT"]
        if carry and readers[carry[0]]:
            by_carry[carry[0]] = cell
        else:
            cell["connections"]["COUT"] = ["x"]
    followers = {}
    for cell in cells.values():
        carry = cell["connections"]["CIN"][0]
        if carry in by_carry and readers[carry] == 1:
            followers[carry] = cell
    for cell in cells.values():
        if cell["connections"]["CIN"][0] in followers:
            continue                                    # not the first of its chain
        if cell["parameters"]["INIT0"] == _GENERATE:    # its first bit makes the carry itself
            cell["connections"]["CIN"] = ["x"]
            continue
        chain = [cell]
        while (carry := chain[-1]["connections"]["COUT"][0]) in followers:
            chain.append(followers[carry])
        if _unused(chain[-1], readers) and cell["connections"]["CIN"][0] != "x":
            _shift(chain)


def _unused(cell: dict[str, Any], readers: Counter[Any]) -> bool:
    """Nothing reads the cell's upper half, and no carry leaves it."""
    wires = cell["connections"]
    return wires["COUT"] == ["x"] and not (wires.get("S1") and readers[wires["S1"][0]])


def _shift(chain: list[dict[str, Any]]) -> None:
    """Move the bits of a chain up by one; its carry-in enters through the first."""
    first = chain[0]["connections"]
    sites: list[Site] = [({"A": first["CIN"], "B": ["0"], "C": ["0"], "D": ["1"], "S": ["x"]},
                          _GENERATE, "NO")]
    for cell in chain:
        wires, parameters = cell["connections"], cell["parameters"]
        sites += [({pin: wires.get(f"{pin}{half}", ["x"]) for pin in _PINS},
                   parameters[f"INIT{half}"], parameters[f"INJECT1_{half}"]) for half in (0, 1)]
    first["CIN"] = ["x"]
    for number, cell in enumerate(chain):
        for half, (pins, init, inject) in enumerate(sites[2 * number:2 * number + 2]):
            cell["connections"].update({f"{pin}{half}": bits for pin, bits in pins.items()})
            cell["parameters"] |= {f"INIT{half}": init, f"INJECT1_{half}": inject}
            cell["port_directions"][f"S{half}"] = "output"
