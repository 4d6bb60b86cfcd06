"""Bench of the machine behind Wishbone: random programs, piece by piece, by cocotbext-wishbone."""

from collections.abc import Sequence
from dataclasses import replace

import cocotb
from cocotb.triggers import ClockCycles

from sim import packets as pk
from sim.packets import Packet
from spinteger import isa
from tb.referee import Referee
from tb.tb_wishbone import ACK, LAST, ROOM, WAITING, WishboneBench


class WishboneMachineBench(WishboneBench):
    """The machine and a master. `eager`: how often it reads what waits; `curious`: registers."""

    eager = 0.5
    curious = 0.0

    def sendable(self, program: Sequence[Packet]) -> list[Packet]:
        """What can be sent in pieces: bytes are missing at the end only, 4 at a time."""
        out, full = [], (1 << 4 * self.pieces) - 1
        for packet in program:
            last = len(packet.words(self.cfg)) - 1
            size = max(1, -(-packet.keep.get(last, full).bit_length() // 4))
            out.append(replace(packet, keep={} if size == self.pieces
                               else {last: (1 << 4 * size) - 1}))
        return out

    def pieces_of(self, packet: Packet) -> list[int]:
        """The pieces of 32 bits of a packet's beats, without those that are missing."""
        words = packet.words(self.cfg)
        pieces = [word >> at & 0xFFFF_FFFF for word in words
                  for at in range(0, self.cfg.bus_bits, 32)]
        kept = packet.keep.get(len(words) - 1)
        return pieces if kept is None else pieces[:kept.bit_length() // 4 - self.pieces or None]

    async def play(self, program: Sequence[Packet], outputs: int) -> list[list[int]]:
        """Send packets, and receive so many packets of output words."""
        return await self.wait("end of the program", self._play(program, outputs), 400_000)

    async def _play(self, program: Sequence[Packet], outputs: int) -> list[list[int]]:
        writes = self.sends([self.pieces_of(packet) for packet in program])
        beats: list[tuple[int, bool]] = []
        piece = data = ends = 0
        while ends < outputs or writes:
            if self.rng.random() < self.curious:
                assert await self.read("id") == isa.ID_VALUE
                assert 0 <= await self.read("packets")
            status = await self.read("data_status")
            if writes and status & ROOM:
                assert all(answer == ACK for answer, _ in await self.cycle(writes.pop(0)))
            if status & WAITING and (not writes or not status & ROOM
                                     or self.rng.random() < self.eager):
                data |= await self.read("data_out") << 32 * piece
                piece += 1
                assert status & LAST == 0 or piece == self.pieces
                if piece == self.pieces:
                    beats.append((data, bool(status & LAST)))
                    ends += beats[-1][1]
                    piece = data = 0
        return pk.read_words(self.cfg, beats)


async def started(dut, test: str,
                  stall: float | None = None) -> tuple[WishboneMachineBench, Referee]:
    """A bench with its clock running, and its referee."""
    bench = WishboneMachineBench(dut, test, stall)
    await bench.start()
    return bench, Referee(bench)


@cocotb.test()
async def programs(dut):
    """One after the other; output is read at once, now and then, or when there is no more room."""
    bench, referee = await started(dut, "programs")
    for eager in (1.0, 0.3, 0.0):
        bench.eager, bench.pause = eager, bench.stalls()
        await referee.play(bench.sendable(referee.program()))
        await bench.write("clear", bench.rng.choice((2, 6)))


@cocotb.test()
async def programs_without_pauses(dut):
    """Transfers back to back."""
    _, referee = await started(dut, "programs_without_pauses", stall=0.0)
    for _ in range(2):
        await referee.play(referee.program(faults=False))


@cocotb.test()
async def registers_while_running(dut):
    """Registers are read between pieces of beats."""
    bench, referee = await started(dut, "registers_while_running", stall=0.0)
    bench.curious = 0.3
    await referee.play(bench.sendable(referee.program()))


@cocotb.test()
async def interrupts(dut):
    """At fences and at errors, if enabled; until cleared."""
    _, referee = await started(dut, "interrupts")
    await referee.interrupts(dut.irq)


@cocotb.test()
async def reset_in_mid_program(dut):
    """Reset at random moments, in mid-beat too; then programs are exact again."""
    bench, referee = await started(dut, "reset_in_mid_program")
    for _ in range(3):
        running = cocotb.start_soon(bench._play(bench.sendable(referee.program()), 1 << 30))
        await ClockCycles(dut.clk, bench.rng.randint(5, 2500))
        running.cancel()
        bench.master.busy = False                # its helpers end
        bench.connect()
        await bench.reset(bench.rng.randint(1, 3))
        referee.reset()
        for name in ("control", "status", "packets", "error_count", "fence_tag"):
            assert await bench.read(name) == 0, name
        await referee.play(referee.program(faults=False))
