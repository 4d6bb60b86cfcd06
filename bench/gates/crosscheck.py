"""Our energy calculation against ngspice: a chain of full adders in sky130's transistors."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from bench.gates import cells, energy, netlist, sky130, spice
from bench.gates.cells import CellLibrary
from bench.gates.mapping import Recipe, map_design
from bench.gates.simulate import INPUT_DELAY, Simulator

TOP = "chain"
#: Time per vector [ns].
PERIOD = 4.0
_SUPPLIES = {"VGND": "0", "VNB": "0", "VPB": "vdd", "VPWR": "vdd"}


@dataclass(frozen=True)
class Check:
    """Energies [pJ] of the same circuit under the same vectors; input pins' charge left out."""

    bits: int
    vectors: int
    ngspice: float
    ours: float

    @property
    def error(self) -> float:
        """Ours relative to ngspice, less one."""
        return self.ours / self.ngspice - 1


def library() -> CellLibrary:
    """The cells of the chain alone."""
    return cells.sky130(("fa_1", "inv_1", "nand2_1", "nor2_1", "xor2_1", "buf_2", "clkbuf_4",
                         *sky130.CLOCKED))


def check(bits: int = 4, vectors: int = 24, seed: int = 1,
          chosen: CellLibrary | None = None) -> Check:
    """Add random numbers, one pair after another, in both. Raises `LibertyError`."""
    chosen = chosen or library()
    verilog = (f"module {TOP}(input [{bits - 1}:0] a, b, output [{bits}:0] y);\n"
               "  assign y = a + b;\nendmodule\n")
    net = netlist.build(map_design(verilog, TOP, chosen, Recipe()), chosen)
    sim, rng = Simulator(net), random.Random(seed)
    pairs = [(0, 0)] + [(rng.getrandbits(bits), rng.getrandbits(bits)) for _ in range(vectors)]
    for a, b in pairs:
        sim.cycle({"a": a, "b": b})
        if sim.get("y") != a + b:
            raise AssertionError(f"{a} + {b} = {sim.get('y')}")
    blocks = energy.breakdown(sim, sim.counts())
    ours = sum(part.total for name, part in blocks.items() if name != energy.PORTS)
    return Check(bits, vectors, _spice(net, pairs), ours)


def _spice(net: netlist.Netlist, pairs: list[tuple[int, int]]) -> float:
    """Energy [pJ] from the supply beyond leakage."""
    circuit = [f"Vsup vdd 0 {spice.VOLTAGE}"]
    slew = net.library.slew / sky130.SLEW_PART
    for port, place in (("a", 0), ("b", 1)):
        for bit, node in enumerate(net.ports[port]):
            levels = [pair[place] >> bit & 1 for pair in pairs]
            circuit.append(spice.source(f"{port}{bit}", f"n{node}", levels, PERIOD, slew,
                                        INPUT_DELAY / 1000))
    wires = np.zeros(net.nets)
    for number, gate in enumerate(net.gates):
        nodes = dict(_SUPPLIES)
        for pin, bit in zip(gate.cell.inputs, gate.inputs, strict=True):
            nodes[pin] = ("0", "vdd")[bit] if bit < netlist.CONSTANTS else f"n{bit}"
            wires[bit] += net.library.wire
        for place, (pin, bit) in enumerate(zip(gate.cell.outputs, gate.outputs, strict=True)):
            nodes[pin] = f"n{bit}" if bit >= 0 else f"open{number}_{place}"
        pins = [nodes[pin] for pin in spice.ports(gate.cell.name)]
        circuit.append(f"X{number} {' '.join(pins)} sky130_fd_sc_hd__{gate.cell.name}")
    circuit += [f"Cw{bit} n{bit} 0 {wire:.6g}p" for bit, wire in enumerate(wires)
                if wire and bit >= netlist.CONSTANTS]
    names = [gate.cell.name for gate in net.gates]
    _, waves = spice.run(circuit, names, ["i(vsup)"], len(pairs) * PERIOD, sky130.STEP)
    current = -waves["i(vsup)"]
    per_period = round(PERIOD / sky130.STEP)
    rest = np.concatenate([current[(n + 1) * per_period - per_period // 10:(n + 1) * per_period]
                           for n in range(len(pairs))]).mean()
    return float((current - rest).sum() * sky130.STEP * 1e3 * spice.VOLTAGE)
