"""Delays and energies of every gate of a netlist, at the loads and transitions of its nets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.gates.cells import CellLibrary
from bench.gates.liberty import Cell
from bench.gates.netlist import ALWAYS, CONSTANTS, Gate, Netlist

#: Inputs of a simulated gate, as in simulate.cpp.
PINS = 4
#: Times that the transitions are handed from gate to gate; they hardly change after two.
PASSES = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Annotation:
    """Arrays over simulated gates (one output each), flip-flops, nets and clock domains.

    Edges are [fall, rise]. Energies in pJ are of one event each, `delay` in ns.
    """

    gate: list[tuple[Gate, int]]    #: the gate and which output, of each simulated gate
    inputs: NDArray[np.int32]       #: [gate, PINS] nets, -1 where there is no pin
    out: NDArray[np.int32]          #: [gate]
    table: NDArray[np.uint32]       #: [gate]
    delay: Floats                   #: [gate, PINS, 2]
    energy: Floats                  #: [gate, PINS, 2] inside the cell
    passive: Floats                 #: [gate, PINS] a toggle of an input that changes nothing
    q_delay: Floats                 #: [ff, 2]
    q_energy: Floats                #: [ff, 2] inside, more than an edge that changes nothing
    d_energy: Floats                #: [ff, 2] a toggle of D
    net_energy: Floats              #: [net] C V^2 / 2
    clock_energy: Floats            #: [ff] a clock pulse: the cell and its pin's capacitance
    tree_energy: Floats             #: [domain] a pulse in the clock gate's output and its tree
    gate_energy: Floats             #: [domain] a cycle of the root's clock in a clock gate's latch
    enable_energy: Floats           #: [domain, 2] a toggle of a clock gate's enable


def annotate(net: Netlist) -> Annotation:
    """Look everything up in the library's tables."""
    library = net.library
    square = library.library.voltage ** 2
    gates = [(gate, number) for gate in net.gates
             for number, bit in enumerate(gate.outputs) if bit >= 0]
    slews = _slews(net)
    inputs = np.full((len(gates), PINS), -1, np.int32)
    delay, energy = np.zeros((len(gates), PINS, 2)), np.zeros((len(gates), PINS, 2))
    table, passive = np.zeros(len(gates), np.uint32), np.zeros((len(gates), PINS))
    for place, (gate, number) in enumerate(gates):
        name = gate.cell.outputs[number]
        load = net.load[gate.outputs[number]]
        table[place] = gate.cell.tables[name]
        charged = energy_output(gate)
        for pin, bit in enumerate(gate.inputs):
            inputs[place, pin] = bit
            if charged in (None, number):
                passive[place, pin] = sum(table.at(0, slews[bit]) for table in gate.cell.pins[
                    gate.cell.inputs[pin]].energy) / 2
            arc = gate.cell.pins[name].arcs.get(gate.cell.inputs[pin])
            if arc is None:
                continue
            for edge in (0, 1):         # Liberty's pairs are (rise, fall)
                delay[place, pin, edge] = arc.delay[1 - edge].at(load, slews[bit])
                if charged in (None, number):
                    energy[place, pin, edge] = arc.energy[1 - edge].at(load, slews[bit])
    q_delay, q_energy = np.zeros((len(net.ffs), 2)), np.zeros((len(net.ffs), 2))
    d_energy, clock_energy = np.zeros((len(net.ffs), 2)), np.zeros(len(net.ffs))
    for place, ff in enumerate(net.ffs):
        cell = ff.cell
        arc = cell.pins[cell.outputs[0]].arcs[cell.clock]
        clock = cell.pins[cell.clock]
        for edge in (0, 1):
            q_delay[place, edge] = arc.delay[1 - edge].at(net.load[ff.q], library.slew)
            q_energy[place, edge] = arc.energy[1 - edge].at(net.load[ff.q], library.slew)
            d_energy[place, edge] = cell.pins[cell.data].energy[1 - edge].at(0, slews[ff.d])
        clock_energy[place] = (sum(table.at(0, library.slew) for table in clock.energy)
                               + square * (clock.cap + library.wire))
    sinks = np.bincount([ff.domain for ff in net.ffs], minlength=len(net.clock_gates) + 1)
    cycle, toggle, _ = clock_gate(library)
    gated = np.arange(len(sinks)) != ALWAYS
    return Annotation(
        gates, inputs, np.array([gate.outputs[number] for gate, number in gates], np.int32), table,
        delay, energy, passive, q_delay, q_energy, d_energy, net.load * square / 2, clock_energy,
        np.array([_tree(net, int(count), bool(domain)) for domain, count in enumerate(sinks)]),
        np.where(gated, cycle, 0.0), np.where(gated[:, None], [toggle], 0.0))


def clock_gate(library: CellLibrary) -> tuple[float, list[float], float]:
    """Energy of a clock gate: per cycle of the clock before it, per [fall, rise] of its enable,
    and per pulse behind it, its load left out."""
    square, slew = library.library.voltage ** 2, library.slew
    first, *rest = library.gate_cells
    clock, data = first.pins[first.clock], first.pins[first.data]
    cycle = sum(table.at(0, slew) for table in clock.energy) + square * (
        clock.cap + library.wire)
    toggle = [data.energy[1 - edge].at(0, slew) for edge in (0, 1)]
    last = rest[0] if rest else first
    pin = last.inputs[0] if rest else first.clock
    if rest:        # the latch drives the AND, the clock both
        latched = last.pins[last.inputs[1]].cap + library.wire
        held = first.pins[first.outputs[0]].arcs[first.data]
        toggle = [energy + held.energy[1 - edge].at(latched, slew) + square * latched / 2
                  for edge, energy in enumerate(toggle)]
        cycle += square * (last.pins[pin].cap + library.wire)
    arc = last.pins[last.outputs[0]].arcs[pin]
    load = library.clock_fanout * library.wire
    return cycle, toggle, sum(table.at(load, slew) for table in arc.energy)


def energy_output(gate: Gate) -> int | None:
    """The output to which a cell of several outputs charges its internal energy, else None.

    Libraries measure a full adder's energy once and write it to both outputs. The sum toggles
    whenever an input does, the carry only with it.
    """
    if sum(bit >= 0 for bit in gate.outputs) < 2:
        return None
    rows = 1 << len(gate.inputs)
    parity = sum(1 << row for row in range(rows) if row.bit_count() & 1)
    for number, name in enumerate(gate.cell.outputs):
        if gate.cell.tables[name] in (parity, parity ^ ((1 << rows) - 1)):
            return number
    return None


def _slews(net: Netlist) -> Floats:
    """Transition [ns] of every net, mean of its edges; ports have the library's."""
    slews = np.full(net.nets, net.library.slew)
    for ff in net.ffs:
        arc = ff.cell.pins[ff.cell.outputs[0]].arcs[ff.cell.clock]
        slews[ff.q] = sum(table.at(net.load[ff.q], net.library.slew) for table in arc.slew) / 2
    for _ in range(PASSES):
        for gate in net.gates:
            for name, bit in zip(gate.cell.outputs, gate.outputs, strict=True):
                found = [_slew(gate.cell, name, pin, net.load[bit], slews[source])
                         for pin, source in zip(gate.cell.inputs, gate.inputs, strict=True)
                         if source >= CONSTANTS]
                if bit >= 0 and found:
                    slews[bit] = sum(found) / len(found)
    return slews


def _slew(cell: Cell, output: str, pin: str, load: float, slew: float) -> float:
    arc = cell.pins[output].arcs.get(pin)
    return sum(table.at(load, slew) for table in arc.slew) / 2 if arc else slew


def _tree(net: Netlist, sinks: int, gated: bool) -> float:
    """Energy of a pulse in a clock domain's tree, flip-flop pins left out: buffers of a fixed
    fan-out, as many levels as it takes, their pins and wires, and a gate's AND at the root."""
    library, cells = net.library, net.library.library.cells
    square = library.library.voltage ** 2
    buffer = cells[library.clock_buffer]
    pin = buffer.pins[buffer.inputs[0]]
    arc = buffer.pins[buffer.outputs[0]].arcs[buffer.inputs[0]]
    load = library.clock_fanout * (pin.cap + library.wire)
    each = sum(table.at(load, library.slew) for table in arc.energy) + square * (
        pin.cap + library.wire)
    buffers, level = 0, sinks
    while level > library.clock_fanout:
        level = -(-level // library.clock_fanout)
        buffers += level
    if sinks and not gated:
        buffers += 1                    # the root
    total = buffers * each
    return total + clock_gate(library)[2] if gated else total
