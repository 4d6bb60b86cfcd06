"""Energy of what a simulation counted, by block and by kind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields

import numpy as np

from bench.gates.netlist import ALWAYS
from bench.gates.simulate import Simulator, Toggles

#: Block of what ports drive: the driver stands outside, its energy is counted all the same.
PORTS = "ports"
#: Block of the clock tree that no gate leads to.
ROOT = "clock root"


@dataclass
class Parts:
    """Energy [pJ], by kind, and leakage power [nW] which is no part of it."""

    logic: float = 0.0      #: gates: internal, and the nets they drive
    glitches: float = 0.0   #: ... of that, in toggles that a cycle takes back
    registers: float = 0.0  #: data in and out of flip-flops: internal, and the nets they drive
    clock: float = 0.0      #: clock pins, trees and gates
    leakage: float = 0.0

    @property
    def total(self) -> float:
        """Dynamic energy."""
        return self.logic + self.registers + self.clock

    def __add__(self, other: Parts) -> Parts:
        return Parts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, factor: float) -> Parts:
        """So many times the energy. Leakage is a power and stays what it is."""
        return Parts(*(getattr(self, f.name) * (1 if f.name == "leakage" else factor)
                       for f in fields(self)))


def breakdown(sim: Simulator, counted: Toggles) -> dict[str, Parts]:
    """Energy by block. Their sum is everything; see `Parts` for what the kinds are."""
    net, note = sim.net, sim.note
    blocks: dict[str, Parts] = defaultdict(Parts)
    toggles = counted.nets.sum(axis=1)
    switched = note.net_energy * toggles
    glitchy = 1 - np.divide(counted.settled, toggles, out=np.ones(len(toggles)), where=toggles > 0)
    inside = (note.energy * counted.arcs).sum(axis=(1, 2))
    # Inputs that moved without moving the output.
    idle = np.where(note.inputs < 0, 0, toggles[note.inputs]) - counted.arcs.sum(axis=2)
    inside += (note.passive * np.maximum(idle, 0)).sum(axis=1)
    driven = np.zeros(net.nets, bool)
    for place, (gate, _) in enumerate(note.gate):
        out = note.out[place]
        energy = inside[place] + switched[out]
        block = blocks[gate.block]
        block.logic += energy
        block.glitches += energy * glitchy[out]
        driven[out] = True
    for gate in net.gates:
        blocks[gate.block].leakage += gate.cell.leakage
    for place, ff in enumerate(net.ffs):
        block = blocks[ff.block]
        block.registers += float(switched[ff.q] + note.q_energy[place] @ counted.q[place]
                                 + note.d_energy[place] @ counted.nets[ff.d])
        block.clock += float(note.clock_energy[place] * counted.clocks[ff.domain])
        block.leakage += ff.cell.leakage
        driven[ff.q] = True
    for domain, gated in enumerate(net.clock_gates, 1):
        block = blocks[gated.block]
        block.clock += float(note.tree_energy[domain] * counted.clocks[domain]
                             + note.gate_energy[domain] * counted.cycles
                             + note.enable_energy[domain] @ counted.nets[gated.enable])
        block.leakage += sum(cell.leakage for cell in net.library.gate_cells)
    # The ungated tree, by the flip-flops that it feeds.
    ungated = [ff for ff in net.ffs if ff.domain == ALWAYS]
    for ff in ungated:
        blocks[ff.block].clock += float(note.tree_energy[ALWAYS] * counted.clocks[ALWAYS]
                                        / len(ungated))
    # Memories' outputs and ports drive nets too.
    for memory in net.memories:
        for _, _, data in memory.reads:
            for bit in data:
                if not driven[bit]:
                    blocks[memory.block].registers += float(switched[bit])
                    driven[bit] = True
    for name in net.inputs:
        for bit in net.ports[name]:
            if not driven[bit]:
                blocks[PORTS].registers += float(switched[bit])
                driven[bit] = True
    return dict(blocks)


def total(blocks: dict[str, Parts]) -> Parts:
    """The sum over all blocks."""
    return sum(blocks.values(), Parts())
