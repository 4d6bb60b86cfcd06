"""A mapped netlist as arrays: gates, flip-flops, clock gates, memories; buffered, with loads."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gates.cells import CellLibrary
from bench.gates.liberty import Cell

#: Nets 0 and 1 are the constants.
CONSTANTS = 2
#: Clock domain of flip-flops without a gate.
ALWAYS = 0


class NetlistError(ValueError):
    """The netlist holds something that the flow cannot simulate."""


@dataclass
class Gate:
    """One combinational cell."""

    cell: Cell
    inputs: list[int]                   #: nets, in the order of `cell.inputs`
    outputs: list[int]                  #: nets, in the order of `cell.outputs`; -1: open
    name: str
    block: str = ""


@dataclass
class FlipFlop:
    """One flip-flop; `domain` is `ALWAYS` or 1 + the number of its clock gate."""

    cell: Cell
    d: int
    q: int
    domain: int
    init: int
    name: str
    block: str = ""


@dataclass
class ClockGate:
    """Latch and AND: lets the clock through in cycles in which `enable` is high at the edge."""

    enable: int
    name: str
    block: str = ""


@dataclass
class Memory:
    """A memory with clocked ports; its energy is not the gates' but a stated model's."""

    name: str
    width: int
    depth: int
    reads: list[tuple[int, list[int], list[int]]]           #: enable, address, data nets
    writes: list[tuple[list[int], list[int], list[int]]]    #: enables per bit, address, data nets
    block: str = ""


@dataclass
class Netlist:
    """The whole design. Loads are in pF."""

    library: CellLibrary
    ports: dict[str, list[int]]                 #: nets of each port
    inputs: list[str]                           #: ports that are inputs, the clock left out
    gates: list[Gate] = field(default_factory=list)
    ffs: list[FlipFlop] = field(default_factory=list)
    clock_gates: list[ClockGate] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    names: dict[int, list[str]] = field(default_factory=dict)   #: source names of nets
    nets: int = CONSTANTS
    load: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def area(self) -> float:
        """Cells' area [um^2], clock gates as latch and AND, clock trees left out."""
        gate = sum(cell.area for cell in self.library.gate_cells)
        return (sum(gate.cell.area for gate in self.gates) + sum(ff.cell.area for ff in self.ffs)
                + gate * len(self.clock_gates))


def build(module: Mapping[str, Any], library: CellLibrary, clock: str = "clk") -> Netlist:
    """Read Yosys' JSON, buffer what is overloaded, work out every net's load.

    Raises `NetlistError` on a cell that is neither in the library nor understood.
    """
    number: dict[Any, int] = {"0": 0, "1": 1, "x": 0, "z": 0}

    def nets(bits: Iterable[Any]) -> list[int]:
        return [number.setdefault(bit, len(number) - 2) for bit in bits]

    ports = {name: nets(port["bits"]) for name, port in module["ports"].items()}
    inputs = [name for name, port in module["ports"].items()
              if port["direction"] == "input" and name not in (clock, "rst")]
    net = Netlist(library, ports, inputs)
    init: dict[int, int] = {}
    for name, wire in module["netnames"].items():
        bits = nets(wire["bits"])
        if wire["init"] is not None:
            init |= {bit: int(value == "1")
                     for bit, value in zip(bits, reversed(wire["init"]), strict=False)}
        if "$" not in name:
            for bit in set(bits) - {0, 1}:
                net.names.setdefault(bit, []).append(name)
    domains = {ports[clock][0]: ALWAYS} if clock in ports else {}
    for name, cell in module["cells"].items():
        if cell["type"] == "CLOCK_GATE":
            pins = {pin: nets(bits) for pin, bits in cell["connections"].items()}
            net.clock_gates.append(ClockGate(pins["CE"][0], _path(name)))
            domains[pins["GCLK"][0]] = len(net.clock_gates)
    for name, cell in module["cells"].items():
        pins = {pin: nets(bits) for pin, bits in cell["connections"].items()}
        kind, name = cell["type"], _path(name)
        known = library.library.cells.get(kind)
        if kind in ("CLOCK_GATE", "$scopeinfo"):
            continue
        if kind == "$mem_v2":
            net.memories.append(_memory(name, cell["parameters"], pins))
        elif known is None or known.kind not in ("gate", "ff"):
            raise NetlistError(f"{name}: cell {kind} is not simulated")
        elif known.kind == "ff":
            q = pins[known.outputs[0]][0]
            net.ffs.append(FlipFlop(known, pins[known.data][0], q, domains[pins[known.clock][0]],
                                    init.get(q, 0), name))
        else:
            net.gates.append(Gate(known, [pins[pin][0] for pin in known.inputs],
                                  [pins[pin][0] if pins.get(pin) else -1
                                   for pin in known.outputs], name))
    net.nets = max(number.values()) + 1
    _buffer(net)
    net.load = _loads(net)
    return net


def _path(name: str) -> str:
    """Hierarchical name of a cell: `$flatten\\a.\\b.$abc$1` -> `a.b.$abc$1`."""
    return name.replace("$flatten", "").replace("\\", "")


def _memory(name: str, parameters: Mapping[str, str], pins: Mapping[str, list[int]]) -> Memory:
    def value(key: str) -> int:
        return int(parameters[key], 2)

    width, depth, address = value("WIDTH"), value("SIZE"), value("ABITS")
    ports = value("RD_PORTS")
    if value("RD_CLK_ENABLE") != (1 << ports) - 1:
        raise NetlistError(f"memory {name}: asynchronous reads of a memory of {depth} words")
    if value("RD_WIDE_CONTINUATION") or value("WR_WIDE_CONTINUATION"):
        raise NetlistError(f"memory {name}: wide ports")
    if set(parameters["INIT"]) - {"0", "x"}:
        raise NetlistError(f"memory {name}: initial contents")
    reads = [(pins["RD_EN"][port], pins["RD_ADDR"][port * address:(port + 1) * address],
              pins["RD_DATA"][port * width:(port + 1) * width]) for port in range(ports)]
    writes = [(pins["WR_EN"][port * width:(port + 1) * width],
               pins["WR_ADDR"][port * address:(port + 1) * address],
               pins["WR_DATA"][port * width:(port + 1) * width])
              for port in range(value("WR_PORTS"))]
    return Memory(name, width, depth, reads, writes)


Sink = tuple[list[int], int, float, str]        # list of nets, place in it, pF, name for order


def _sinks(net: Netlist) -> dict[int, list[Sink]]:
    """What each net drives."""
    sinks: dict[int, list[Sink]] = defaultdict(list)
    for gate in net.gates:
        for place, (pin, bit) in enumerate(zip(gate.cell.inputs, gate.inputs, strict=True)):
            sinks[bit].append((gate.inputs, place, gate.cell.pins[pin].cap, gate.name))
    for ff in net.ffs:
        sinks[ff.d].append(([], 0, ff.cell.pins[ff.cell.data].cap, ff.name))
    latch = net.library.gate_cells[0]
    for gated in net.clock_gates:
        sinks[gated.enable].append(([], 0, latch.pins[latch.data].cap, gated.name))
    return sinks


def _buffer(net: Netlist) -> None:
    """Split what is more than its driver may drive over trees of buffers, neighbours together."""
    library = net.library
    buffer = library.library.cells[library.buffer]
    pin = buffer.pins[buffer.inputs[0]].cap + library.wire
    for driver, sinks in sorted(_sinks(net).items()):
        total = sum(cap + library.wire for _, _, cap, _ in sinks)
        movable = sorted((sink for sink in sinks if sink[0]), key=lambda sink: sink[3])
        fixed = total - sum(cap + library.wire for _, _, cap, _ in movable)
        if driver < CONSTANTS or total <= library.limit or len(movable) < 2:
            continue
        while fixed + sum(cap + library.wire for _, _, cap, _ in movable) > library.limit:
            groups: list[list[Sink]] = [[]]
            filled = 0.0
            for sink in movable:
                if groups[-1] and filled + sink[2] + library.wire > library.buffer_limit:
                    groups.append([])
                    filled = 0.0
                groups[-1].append(sink)
                filled += sink[2] + library.wire
            if len(groups) == len(movable):
                break
            movable = []
            for group in groups:
                gate = Gate(buffer, [driver], [net.nets],
                            re.sub(r"\.[^.]*$", "", group[0][3]) + ".$buffer")
                for nets, place, _, _ in group:
                    nets[place] = net.nets
                net.nets += 1
                net.gates.append(gate)
                movable.append((gate.inputs, 0, pin - library.wire, gate.name))


def _loads(net: Netlist) -> NDArray[np.float64]:
    """pF of pins and wire on every net."""
    load = np.zeros(net.nets)
    for bit, sinks in _sinks(net).items():
        load[bit] = sum(cap + net.library.wire for _, _, cap, _ in sinks)
    return load


Rules = Sequence[tuple[str, str]]


def assign_blocks(net: Netlist, rules: Rules, other: str = "other") -> None:
    """Give everything a block: the first rule (pattern of a source name, block) that fits.

    Flip-flops by the names of their outputs. A gate belongs to the nearest block that it feeds,
    for ABC leaves no names; so does a clock gate, by the flip-flops it clocks.
    """
    compiled = [(re.compile(pattern), block) for pattern, block in rules]

    def find(names: Sequence[str]) -> str:
        return next((block for pattern, block in compiled
                     if any(pattern.search(name) for name in names)), other)

    _spread(net, find)


def _spread(net: Netlist, find: Callable[[Sequence[str]], str]) -> None:
    driver = {bit: gate for gate in net.gates for bit in gate.outputs if bit >= 0}
    frontier: list[tuple[int, str]] = []
    for ff in net.ffs:
        ff.block = find([*net.names.get(ff.q, []), ff.name])
        frontier.append((ff.d, ff.block))
        if ff.domain:
            gated = net.clock_gates[ff.domain - 1]
            gated.block = gated.block or ff.block
    for memory in net.memories:
        memory.block = find([memory.name])
        for enable, address, _ in memory.reads:
            frontier += [(bit, memory.block) for bit in (enable, *address)]
        for enables, address, data in memory.writes:
            frontier += [(bit, memory.block) for bit in (*enables, *address, *data)]
    frontier += [(gated.enable, gated.block) for gated in net.clock_gates]
    for name, bits in net.ports.items():
        if name not in net.inputs:
            frontier += [(bit, find([name])) for bit in bits]
    while frontier:                     # breadth first: the nearest block wins
        following: list[tuple[int, str]] = []
        for bit, block in frontier:
            gate = driver.get(bit)
            if gate is not None and not gate.block:
                gate.block = block
                following += [(source, block) for source in gate.inputs]
        frontier = following
    for gate in net.gates:
        gate.block = gate.block or find([gate.name])
