"""Energy of memories, by a stated model: bits read or written times a constant."""

from __future__ import annotations

from collections import defaultdict

from bench.gates.simulate import Simulator, Toggles

#: Horowitz, ISSCC 2014, 45 nm, 0.9 V: an 8 KB SRAM takes 10 pJ for 64 bits.
PJ_PER_BIT_45NM = 10 / 64
#: Feature size [nm] of each library; all run at 1.8 V. Energy scales as size times V^2.
NODE = {"osu018": 180, "sky130": 130}
ORIGIN = ("8 KB SRAM at 45 nm, 0.9 V: 10 pJ per 64 bits (Horowitz, ISSCC 2014), scaled by feature "
          "size and V^2; small memories are counted as if they were 8 KB")


def per_bit(library: str) -> float:
    """pJ per bit read or written."""
    return PJ_PER_BIT_45NM * NODE[library] / 45 * (1.8 / 0.9) ** 2


def accesses(sim: Simulator, counted: Toggles) -> dict[str, int]:
    """Bits read and written, by block."""
    bits: dict[str, int] = defaultdict(int)
    at = 0
    for memory in sim.net.memories:
        for _ in range(len(memory.reads) + len(memory.writes)):
            bits[memory.block] += int(counted.memory[at]) * memory.width
            at += 1
    return dict(bits)
