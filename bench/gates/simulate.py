"""A netlist simulated event by event with cell delays: toggles with their glitches, and energy.

An own simulator (simulate.cpp) because the stock ones do not count what Liberty's tables ask for:
which input made an output switch. It is also faster: measured in tests/bench/test_energy_sim.py's
comparison, where Icarus must see the same toggles.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gates.annotate import Annotation, annotate
from bench.gates.netlist import Netlist
from sim.builds import built

SOURCE = Path(__file__).with_name("simulate.cpp")
#: When inputs change and memories deliver, after the clock edge [ps].
INPUT_DELAY = 200
MEMORY_DELAY = 1000

Counts = NDArray[np.int64]


class SimulatorError(RuntimeError):
    """The simulator could not be compiled."""


@cache
def _library() -> ctypes.CDLL:
    def make(folder: Path) -> None:
        done = subprocess.run(["g++", "-O2", "-shared", "-fPIC", "-std=c++17", str(SOURCE), "-o",
                               str(folder / "simulate.so")], capture_output=True, text=True)
        if done.returncode:
            raise SimulatorError(f"g++ failed on {SOURCE.name}:\n{done.stderr[-2000:]}")

    folder, _ = built("gatesim", [SOURCE.read_text()], make)
    lib = ctypes.CDLL(str(folder / "simulate.so"))
    lib.sim_new.restype = ctypes.c_void_p
    return lib


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@dataclass(frozen=True)
class Toggles:
    """What was counted. Edges are [fall, rise]."""

    arcs: Counts            #: [gate, PINS, 2] by the input that caused them
    nets: Counts            #: [net, 2]
    settled: Counts         #: [net] values that differ from the cycle before: no glitches
    clocks: Counts          #: [domain] pulses
    q: Counts               #: [ff, 2]
    memory: Counts          #: accesses of each read and write port, memory by memory
    cycles: int
    events: int
    latest: int             #: [ps] after an edge, of the last event: longest path exercised

    def __sub__(self, earlier: Toggles) -> Toggles:
        """What came between two points in time."""
        both: dict[str, Any] = {name: getattr(self, name) - getattr(earlier, name) for name in (
            "arcs", "nets", "settled", "clocks", "q", "memory", "cycles", "events")}
        return Toggles(**both, latest=self.latest)


class Simulator:
    """One netlist in simulation, settled after power-up.

    A cycle is: `edge`, `set` inputs (they change a little after the edge), `settle`, `get`.
    """

    def __init__(self, net: Netlist):
        self.net, self.note = net, annotate(net)
        note: Annotation = self.note
        self._lib = _library()
        def ps(values: NDArray[np.float64]) -> NDArray[np.int32]:
            return np.maximum(1, np.round(values * 1000)).astype(np.int32)
        arrays = [note.inputs, note.out, note.table, ps(note.delay)]
        ffs = [np.array([getattr(ff, name) for ff in net.ffs], np.int32)
               for name in ("d", "q", "domain")]
        ffs += [ps(note.q_delay), np.array([ff.init for ff in net.ffs], np.uint8)]
        enable = np.array([1, *(gate.enable for gate in net.clock_gates)], np.int32)
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p(self._lib.sim_new(
            net.nets, len(note.out), *map(_pointer, arrays), len(net.ffs), *map(_pointer, ffs),
            len(enable), _pointer(enable), MEMORY_DELAY))
        self._ports = 0
        for memory in net.memories:
            nets: list[int] = []
            for enable_net, address, data in memory.reads:
                nets += [enable_net, *address, *data]
            for enables, address, data in memory.writes:
                nets += [*enables, *address, *data]
            address_bits = len((memory.reads[0] if memory.reads else memory.writes[0])[1])
            flat = np.array(nets, np.int32)
            self._lib.sim_memory(self._handle, memory.width, memory.depth, address_bits,
                                 len(memory.reads), len(memory.writes), _pointer(flat))
            self._ports += len(memory.reads) + len(memory.writes)
        self._bits = {name: np.array(bits, np.int32) for name, bits in net.ports.items()}

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._lib.sim_free(self._handle)
            self._handle = None

    def edge(self) -> None:
        """A rising clock edge: flip-flops take their inputs, memories read and write."""
        self._lib.sim_edge(self._handle)

    def set(self, port: str, value: int) -> None:
        """Change an input, `INPUT_DELAY` after the last edge."""
        bits = self._bits[port]
        raw = np.frombuffer(value.to_bytes(-(-len(bits) // 8), "little"), np.uint8)
        values = np.unpackbits(raw, bitorder="little", count=len(bits))
        self._lib.sim_set(self._handle, len(bits), _pointer(bits), _pointer(values), INPUT_DELAY)

    def settle(self) -> None:
        """Until nothing changes any more in this cycle."""
        self._lib.sim_settle(self._handle)

    def get(self, port: str) -> int:
        """The value of a port."""
        bits = self._bits[port]
        values = np.zeros(len(bits), np.uint8)
        self._lib.sim_get(self._handle, len(bits), _pointer(bits), _pointer(values))
        return int.from_bytes(np.packbits(values, bitorder="little").tobytes(), "little")

    def cycle(self, inputs: Mapping[str, int]) -> None:
        """An edge, then new inputs, then settle."""
        self.edge()
        for port, value in inputs.items():
            self.set(port, value)
        self.settle()

    def counts(self) -> Toggles:
        """All counts since power-up."""
        note, net = self.note, self.net
        arrays = [np.zeros(shape, np.int64) for shape in (
            note.delay.shape, (net.nets, 2), net.nets, len(net.clock_gates) + 1,
            (len(net.ffs), 2), self._ports, 3)]
        self._lib.sim_counts(self._handle, *map(_pointer, arrays))
        arcs, nets, settled, clocks, q, memory, totals = arrays
        return Toggles(arcs, nets, settled, clocks, q, memory, *map(int, totals.tolist()))
