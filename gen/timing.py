"""Clock of an ECP5 design before it is placed: the longest path of the netlist, wires guessed.

    estimate(netlist).fmax      # MHz; seconds, where place and route takes minutes

Cell delays are nextpnr's for speed grade 6. A wire's delay grows with the number of cells it
reaches. Blocks of this project that were placed came within 10 % (a column, 165 for 180 MHz) to
40 % (an IF bank of 24 levels, 28 for 46 MHz) of it: good for finding long paths and for comparing
shapes, not for promising a clock.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Register: clock to output, and what it needs before the clock (ns).
CLK_TO_Q, SETUP = 0.52, 0.0
LUT = 0.24
#: Carry chain: an operand's way into it, along a pair of bits, and out to a sum; no wires inside.
CARRY_IN, CARRY_PAIR, CARRY_OUT, SUM = 0.45, 0.07, 0.40, 0.45
#: Block RAM: clock to output without its output register, and with it.
EBR_CLK_TO_Q, EBR_REG_CLK_TO_Q = 5.83, 0.62
MULTIPLY = 3.93
#: A wire of fan-out 1, and what every doubling of the fan-out adds.
WIRE, WIRE_DOUBLING = 0.90, 0.14

Bit = int
Source = tuple[str, str]            # cell, port


@dataclass(frozen=True)
class Estimate:
    """The longest register-to-register path."""

    delay: float                    #: ns
    path: tuple[str, ...]           #: cells it goes through, first to last

    @property
    def fmax(self) -> float:
        """MHz."""
        return 1000 / self.delay if self.delay else math.inf


def estimate(netlist: str, top: str | None = None) -> Estimate:
    """Longest path of a flat ECP5 netlist, Yosys' JSON. Raises ValueError on a loop."""
    modules = json.loads(netlist)["modules"]
    name = top or next(name for name, module in modules.items()
                       if module.get("attributes", {}).get("top"))
    return _Graph(modules[name]["cells"]).longest()


class _Graph:
    """Timing arcs between bits of the netlist."""

    def __init__(self, cells: dict[str, Any]):
        self.into: dict[Bit, list[tuple[Bit, float, str]]] = defaultdict(list)
        self.start: dict[Bit, tuple[float, str]] = {}       # registered outputs
        self.ends: list[tuple[Bit, float, str]] = []        # register inputs
        self.chained: set[tuple[Bit, str]] = set()          # carries: a wire without delay
        fan_out: dict[Bit, int] = defaultdict(int)
        for cell in cells.values():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input":
                    for bit in bits:
                        if isinstance(bit, int):
                            fan_out[bit] += 1
        self.fan_out = fan_out
        for name, cell in cells.items():
            arcs = getattr(self, "_" + cell["type"].lower().lstrip("$"), None)
            if arcs is not None:
                arcs(name, cell)

    def wire(self, bit: Bit) -> float:
        """Delay of the wire behind an output."""
        return WIRE + WIRE_DOUBLING * math.log2(max(1, self.fan_out[bit]))

    def _arc(self, name: str, source: Bit | str | None, target: Bit | None, delay: float,
             wired: bool = True) -> None:
        """`source` reaches `target` through the cell; what is constant or open reaches nothing."""
        if isinstance(source, int) and isinstance(target, int):
            self.into[target].append((source, delay + (self.wire(source) if wired else 0.0), name))

    def _end(self, name: str, bits: Iterator[Bit | str]) -> None:
        self.ends += [(bit, self.wire(bit) + SETUP, name) for bit in bits if isinstance(bit, int)]

    def _lut4(self, name: str, cell: dict[str, Any]) -> None:
        pins = cell["connections"]
        for port in "ABCD":
            for bit in pins.get(port, []):
                self._arc(name, bit, pins["Z"][0], LUT)

    def _ccu2c(self, name: str, cell: dict[str, Any]) -> None:
        pins = {port: bits[0] for port, bits in cell["connections"].items() if bits}
        sums = [pins.get("S0"), pins.get("S1")]
        carry, out = pins.get("CIN"), pins.get("COUT")
        for half in (0, 1):
            for port in "ABCD":
                source = pins.get(f"{port}{half}")
                self._arc(name, source, sums[half], SUM)
                if half == 0:
                    self._arc(name, source, sums[1], CARRY_IN + CARRY_OUT)
                self._arc(name, source, out, CARRY_IN)
        for total in sums:
            self._arc(name, carry, total, CARRY_OUT, wired=False)
        self._arc(name, carry, out, CARRY_PAIR, wired=False)

    def _trellis_ff(self, name: str, cell: dict[str, Any]) -> None:
        pins = cell["connections"]
        self.start[pins["Q"][0]] = (CLK_TO_Q, name)
        self._end(name, (bit for port in ("DI", "M", "CE", "LSR") for bit in pins.get(port, [])))

    def _dp16kd(self, name: str, cell: dict[str, Any]) -> None:
        for port, bits in cell["connections"].items():
            if re.match(r"DO[AB]", port):
                registered = cell["parameters"].get(f"REGMODE_{port[2]}") == "OUTREG"
                delay = EBR_REG_CLK_TO_Q if registered else EBR_CLK_TO_Q
                self.start.update({bit: (delay, name) for bit in bits if isinstance(bit, int)})
            elif not port.startswith("CLK"):
                self._end(name, iter(bits))

    def _trellis_dpr16x4(self, name: str, cell: dict[str, Any]) -> None:
        pins = cell["connections"]
        for target in pins["DO"]:
            for bit in pins["RAD"]:
                self._arc(name, bit, target, LUT)
            self.start.setdefault(target, (CLK_TO_Q, name))
        self._end(name, (bit for port in ("DI", "WAD", "WRE") for bit in pins[port]))

    def _mult18x18d(self, name: str, cell: dict[str, Any]) -> None:
        pins, parameters = cell["connections"], cell["parameters"]
        inputs = [bit for port, bits in pins.items() if re.match(r"[AB]\d", port) for bit in bits]
        outputs = [bit for port, bits in pins.items() if re.match(r"P\d", port)
                   for bit in bits if isinstance(bit, int)]
        registered_in = parameters.get("REG_INPUTA_CLK", "NONE") != "NONE"
        registered = any(parameters.get(f"REG_{where}_CLK", "NONE") != "NONE"
                         for where in ("PIPELINE", "OUTPUT"))
        if registered_in or registered:
            self._end(name, iter(inputs))
            self.start.update({bit: (CLK_TO_Q if registered else MULTIPLY, name)
                               for bit in outputs})
            return
        middle = min(outputs, default=None)         # all inputs reach all outputs: through one
        if middle is None:
            return
        for bit in inputs:
            self._arc(name, bit, middle, MULTIPLY)
        for bit in outputs[1:]:
            if bit != middle:
                self.into[bit].append((middle, 0.0, name))

    def longest(self) -> Estimate:
        """The path with the largest sum of delays."""
        arrival: dict[Bit, float] = {bit: delay for bit, (delay, _) in self.start.items()}
        before: dict[Bit, Bit | None] = {}
        for bit in self._ordered():
            best, source = arrival.get(bit, 0.0), None
            for other, delay, _ in self.into[bit]:
                if other in arrival and arrival[other] + delay > best:
                    best, source = arrival[other] + delay, other
            arrival[bit], before[bit] = best, source
        if not self.ends:
            return Estimate(0.0, ())
        end, wire, last = max(self.ends, key=lambda end: arrival.get(end[0], 0.0) + end[1])
        delay, cells = arrival.get(end, 0.0) + wire, [last]
        at: Bit | None = end
        while at is not None:
            source = before.get(at)
            cells.append(self.start[at][1] if source is None and at in self.start else
                         self.into[at][0][2] if self.into.get(at) else "input")
            at = source
        return Estimate(delay, tuple(reversed(cells)))

    def _ordered(self) -> Iterator[Bit]:
        """Bits that have arcs, each after those it depends on."""
        waiting = {bit: len(arcs) for bit, arcs in self.into.items()}
        after: dict[Bit, list[Bit]] = defaultdict(list)
        for bit, arcs in self.into.items():
            for source, _, _ in arcs:
                if source in self.into:
                    after[source].append(bit)
                else:
                    waiting[bit] -= 1
        ready = [bit for bit, count in waiting.items() if not count]
        done = 0
        while ready:
            bit = ready.pop()
            done += 1
            yield bit
            for target in after[bit]:
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
        if done < len(self.into):
            raise ValueError("the netlist has a combinational loop")
