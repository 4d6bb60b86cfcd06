"""Bench of the machine behind AXI: random programs through cocotbext-axi, pauses everywhere."""

from collections.abc import Sequence

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiStreamFrame

from sim import packets as pk
from sim.packets import Packet
from tb.referee import Referee
from tb.tb_axi import AxiBench, pauses


class AxiMachineBench(AxiBench):
    """The machine between a source, a sink and a master."""

    def pace(self) -> None:
        """Pauses of another kind on both streams."""
        for channel in (self.source, self.sink):
            channel.set_pause_generator(pauses(self.stalls()))

    def frame_of(self, packet: Packet) -> AxiStreamFrame:
        """A packet as one frame: missing bytes are there, but not kept."""
        words = packet.words(self.cfg)
        keep = [packet.keep.get(beat, -1) >> byte & 1
                for beat in range(len(words)) for byte in range(self.lanes)]
        return AxiStreamFrame(b"".join(word.to_bytes(self.lanes, "little") for word in words),
                              tkeep=keep)

    async def play(self, program: Sequence[Packet], outputs: int) -> list[list[int]]:
        """Send packets, and receive so many packets of output words."""
        for packet in program:
            self.source.send_nowait(self.frame_of(packet))
        beats: list[tuple[int, bool]] = []
        for number in range(outputs):
            frame = await self.wait(f"output packet {number}", self.sink.recv(compact=False),
                                    100_000)
            data = bytes(frame.tdata)
            assert len(data) % self.lanes == 0 and all(frame.tkeep or ())
            beats += [(int.from_bytes(data[at:at + self.lanes], "little"),
                       at + self.lanes == len(data)) for at in range(0, len(data), self.lanes)]
        assert self.sink.empty() and self.source.empty()
        return pk.read_words(self.cfg, beats)


async def started(dut, test: str, stall: float | None = None) -> tuple[AxiMachineBench, Referee]:
    """A bench with its clock running, and its referee."""
    bench = AxiMachineBench(dut, test, stall)
    await bench.start()
    return bench, Referee(bench)


@cocotb.test()
async def programs(dut):
    """One after the other, each with other pauses on the streams."""
    bench, referee = await started(dut, "programs")
    for _ in range(8):
        bench.pace()
        await referee.play(referee.program())
        await bench.write("clear", bench.rng.choice((2, 6)))


@cocotb.test()
async def programs_without_pauses(dut):
    """At full speed on all channels."""
    _, referee = await started(dut, "programs_without_pauses", stall=0.0)
    for _ in range(4):
        await referee.play(referee.program(faults=False))


@cocotb.test()
async def registers_while_running(dut):
    """Registers are read all the time, while programs run."""
    _, referee = await started(dut, "registers_while_running", stall=0.0)
    await referee.while_looking(referee.program())


@cocotb.test()
async def interrupts(dut):
    """At fences and at errors, if enabled; until cleared."""
    _, referee = await started(dut, "interrupts")
    await referee.interrupts(dut.irq)


@cocotb.test()
async def reset_in_mid_program(dut):
    """Reset at random moments; then everything starts afresh, and programs are exact again."""
    bench, referee = await started(dut, "reset_in_mid_program")
    for _ in range(5):
        for packet in referee.program():
            bench.source.send_nowait(bench.frame_of(packet))
        await ClockCycles(dut.clk, bench.rng.randint(5, 1000))
        bench.source.clear()
        await bench.reset(bench.rng.randint(1, 3))
        bench.sink.clear()
        referee.reset()
        for name in ("control", "status", "packets", "error_count", "fence_tag"):
            assert await bench.read(name) == 0, name
        await referee.play(referee.program(faults=False))
