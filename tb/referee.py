"""What the benches of the whole machine behind a bus share: random programs, and who is right.

A bench here has `read` and `write` of registers by name, `send` of a packet and `receive` of one,
which its bus does in its own way.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import cocotb
import torch

from sim import packets as pk
from sim.packets import Execution, Packet
from sim.random_programs import program
from sim.reference import Reference
from sim.twin import different, possible
from spinteger import isa
from spinteger.config import Config

torch.set_num_threads(1)


class MachineOnBus(Protocol):
    """A bench of a machine behind a bus."""

    cfg: Config

    def numpy(self) -> Any:
        """A numpy generator of its own."""

    async def read(self, name: str) -> int:
        """The value of a register."""

    async def write(self, name: str, value: int) -> None:
        """Write a register."""

    async def play(self, program: Sequence[Packet], outputs: int) -> list[list[int]]:
        """Send packets, and receive so many packets of output words."""


class Referee:
    """The golden machine beside one behind a bus, from reset on."""

    def __init__(self, bench: MachineOnBus):
        self.bench, self.cfg = bench, bench.cfg
        self.reference = Reference(bench.cfg)
        self.packets = 0

    def reset(self) -> None:
        """The machine was reset, perhaps in the middle of something: its memories are unknown."""
        self.reference = Reference(self.cfg)
        self.packets = 0

    def program(self, faults: bool = True) -> list[Packet]:
        """A random program, short enough for a slow simulator."""
        return program(self.bench.numpy(), self.cfg, faults, length=10)

    async def play(self, packets: Sequence[Packet], tag: int = pk.END_TAG - 1) -> Execution:
        """Play a program and a fence; all words, errors and counters must be as they should."""
        bench, all_packets = self.bench, [*packets, pk.fence(tag)]
        want = self.reference.execute(all_packets)
        self.packets += len(all_packets)
        got = await bench.play(all_packets, len(want.packets))
        wrong = different(got, want.packets)
        assert not wrong, wrong
        assert await bench.read("error_count") == want.error_count, want.errors
        error = await bench.read("error")
        if want.errors:
            assert (error & 0xFF, error >> 8) in possible(want.errors), (hex(error), want.errors)
        else:
            assert error == 0, hex(error)
        assert await bench.read("packets") == self.packets
        assert await bench.read("fence_tag") == tag
        await bench.write("latch", 1)
        while await bench.read("latch"):
            pass
        counters = {name: await bench.read(f"{name}_low") | await bench.read(f"{name}_high") << 32
                    for name in ("cycles", *(name for name, _ in isa.CAUSES))}
        assert sum(counters.values()) == 2 * counters["cycles"], counters
        return want

    async def interrupts(self, irq: Any) -> None:
        """An interrupt comes at a fence, at an error, at both or at none, as asked for."""
        bench = self.bench
        for control in (0, 1, 2, 3):
            await bench.write("control", control)
            for packets in ([], [Packet(0)]):
                await self.play(packets, tag=control)
                pending = bool(control & 1 or control & 2 and packets)
                assert bool(int(irq.value)) == pending
                assert await bench.read("status") == pending << 1 | bool(packets) << 2
                await bench.write("clear", 3)
                assert await bench.read("status") == 0 and not int(irq.value)

    async def while_looking(self, packets: Sequence[Packet]) -> None:
        """Play a program while registers are read; of those, only the packets' number moves."""
        playing = True

        async def look() -> int:
            before = reads = 0
            while playing:
                assert await self.bench.read("id") == isa.ID_VALUE
                assert await self.bench.read("control") == 0
                now = await self.bench.read("packets")
                assert before <= now <= self.packets
                before, reads = now, reads + 1
            return reads

        looking = cocotb.start_soon(look())
        await self.play(packets)
        playing = False
        assert await looking > 5
