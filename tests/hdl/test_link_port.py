"""The whole link without its UART: beats and registers through it, over lines good and bad."""

import random

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hdl.link_format import Kind, identity
from hdl.link_port import LinkPort
from hdl.serial_top import divisor
from sim.beats import input_payloads
from sim.link import Link
from sim.packets import Packet
from sim.serial_backend import LAST, beat_commands, read_command, write_command
from spinteger import isa
from spinteger.config import PRESETS, Config, ConfigError
from tb.faulty_line import FaultyLine
from tb.loopback import Loopback

TINY = PRESETS["tiny"]
BYTE = 14       #: cycles per byte of the line


class Rig:
    """A link port in front of a loopback, and a host at the other end of a line of bytes."""

    def __init__(self, cfg: Config, seed: int = 1, faults: float = 0.0):
        self.cfg, self.rng = cfg, random.Random(seed)
        self.port, self.machine = LinkPort(cfg), Loopback(cfg)
        self.module = m = Module()
        port, machine = self.port, self.machine
        m.submodules.port, m.submodules.machine = port, ResetInserter(port.restart)(machine)
        wiring.connect(m, port.input, machine.input)
        wiring.connect(m, machine.output, port.output)
        m.d.comb += [machine.reg_addr.eq(port.reg_addr), machine.reg_write.eq(port.reg_write),
                     machine.reg_wdata.eq(port.reg_wdata), port.reg_rdata.eq(machine.reg_rdata)]
        self.up, self.down = (FaultyLine(random.Random(seed + at), faults) for at in range(2))
        self.link = Link("the board", byte_time=BYTE, patience=400 * BYTE, timeout=1e5 * BYTE,
                         stall=1e5 * BYTE, frame=64, seed=seed)
        self.now = 0
        self.waiting = bytearray()

    async def move(self, ctx, ticks: int = 8, deaf: bool = False) -> None:
        """Let some bytes' time pass. `deaf`: the host does not run meanwhile."""
        if not deaf:
            self.waiting += self.up(self.link.transmit(self.now))
        got = bytearray()
        port = self.port
        for _ in range(ticks):
            if self.waiting:
                ctx.set(port.rx_data, self.waiting.pop(0))
                ctx.set(port.rx_valid, 1)
            ctx.set(port.tx.ready, 1)
            *_, valid, byte = await ctx.tick().sample(port.tx.valid, port.tx.payload)
            if valid:
                got.append(byte)
            ctx.set(port.rx_valid, 0)
            ctx.set(port.tx.ready, 0)
            await ctx.tick().repeat(BYTE - 1)
            self.now += BYTE
        if not deaf:
            self.link.receive(self.down(bytes(got)), self.now)

    async def packets(self, ctx, count: int) -> list[bytes]:
        """So many packets of output."""
        while len(self.link.packets) < count:
            await self.move(ctx)
        return [self.link.packets.popleft() for _ in range(count)]

    async def value(self, ctx) -> int:
        """The next register's value."""
        while not self.link.values:
            await self.move(ctx)
        return self.link.values.popleft()

    def run(self, testbench) -> None:
        sim = Simulator(self.module)
        sim.add_clock(1e-6)
        sim.add_testbench(testbench)
        sim.run()

    def program(self, count: int, holes: bool = True) -> list[Packet]:
        """Packets of a few beats, some with missing bytes."""
        rng, width = self.rng, self.cfg.bus_bits
        found = []
        for _ in range(count):
            beats = rng.choice((0, 1, 3, 256 * 8 // width, 256 * 8 // width + 1, 20))
            keep = {at: rng.getrandbits(width // 8) for at in range(beats)
                    if holes and rng.random() < 0.1}
            found.append(Packet(rng.getrandbits(128),
                                [rng.getrandbits(width) for _ in range(beats)], keep))
        return found

    def looped(self, packet: Packet) -> bytes:
        """What comes back of a packet: missing bytes as zeros."""
        width = self.cfg.bus_bits // 8
        words = packet.words(self.cfg)
        masks = [packet.keep.get(at, (1 << width) - 1) for at in range(len(words))]
        return b"".join(bytes(byte if mask >> at & 1 else 0
                              for at, byte in enumerate(word.to_bytes(width, "little")))
                        for word, mask in zip(words, masks, strict=True))


@pytest.mark.parametrize("bus_bits", [32, 64, 256])
def test_beats_go_in_and_come_out(bus_bits):
    rig = Rig(TINY.with_(bus_bits=bus_bits), bus_bits)
    program = rig.program(4)

    async def testbench(ctx):
        rig.link.send(beat_commands(rig.cfg, input_payloads(rig.cfg, program)))
        assert await rig.packets(ctx, len(program)) == [rig.looped(one) for one in program]
        assert (rig.link.stats.bad_frames, rig.link.stats.timeouts) == (0, 0)

    rig.run(testbench)


def test_beats_over_faulty_lines():
    rig = Rig(TINY, 7, faults=0.004)
    program = [Packet(rig.rng.getrandbits(128), [rig.rng.getrandbits(64) for _ in range(6)])
               for _ in range(8)]

    async def testbench(ctx):
        rig.link.send(beat_commands(rig.cfg, input_payloads(rig.cfg, program)))
        assert await rig.packets(ctx, len(program)) == [rig.looped(one) for one in program]

    rig.run(testbench)
    stats = rig.link.stats
    assert stats.resends and stats.resends_asked and stats.bad_frames, stats


def test_registers_are_written_and_read_between_beats():
    rig = Rig(TINY, 3)
    one, two = rig.program(2, holes=False)

    async def testbench(ctx):
        link, cfg = rig.link, rig.cfg
        link.send(read_command("id") + beat_commands(cfg, input_payloads(cfg, [one]))
                  + write_command("control", 3) + read_command("control")
                  + beat_commands(cfg, input_payloads(cfg, [two]))
                  + bytes([Kind.READ | LAST]) + read_command("id"))
        assert [await rig.value(ctx) for _ in range(4)] == [
            isa.ID_VALUE, 3, identity(cfg), isa.ID_VALUE]
        assert await rig.packets(ctx, 2) == [rig.looped(one), rig.looped(two)]

    rig.run(testbench)


def test_a_host_that_does_not_listen_loses_nothing():
    """The board's ring fills, then the machine waits."""
    rig = Rig(TINY, 4)
    packet = Packet(rig.rng.getrandbits(128), [rig.rng.getrandbits(64) for _ in range(128)])

    async def testbench(ctx):
        link, machine = rig.link, rig.machine
        link.send(beat_commands(rig.cfg, input_payloads(rig.cfg, [packet])))
        link._payload = lambda frame, now: None         # the board's bytes are lost
        blocked = 0
        while blocked < 20:
            await rig.move(ctx, 4)
            waits = ctx.get(machine.output.valid) and not ctx.get(machine.output.ready)
            blocked = blocked + 1 if waits else 0
        del link._payload
        assert await rig.packets(ctx, 1) == [rig.looped(packet)]
        assert link.stats.resends_asked

    rig.run(testbench)


def test_a_restart_resets_the_machine_and_both_rings():
    rig = Rig(TINY, 5)

    async def testbench(ctx):
        for _ in range(2):
            program = rig.program(3)
            rig.link.connect(rig.now)
            rig.link.send(beat_commands(rig.cfg, input_payloads(rig.cfg, program))
                          + write_command("control", 1))
            for _ in range(rig.rng.randint(3, 30)):
                await rig.move(ctx)
            del rig.waiting[rig.rng.randint(0, 10):]
            rig.link.connect(rig.now)
            program = rig.program(2)
            rig.link.send(read_command("control") + read_command("packets")
                          + beat_commands(rig.cfg, input_payloads(rig.cfg, program)))
            assert await rig.value(ctx) == await rig.value(ctx) == 0
            assert await rig.packets(ctx, 2) == [rig.looped(one) for one in program]

    rig.run(testbench)


def test_lamps():
    rig = Rig(TINY, 6)

    async def testbench(ctx):
        while not rig.link.connected:
            await rig.move(ctx)
        await rig.move(ctx, 100)
        assert not ctx.get(rig.port.busy) and not ctx.get(rig.port.error)
        rig.waiting += b"\x7ejunk\x7e"
        await rig.move(ctx, 10, deaf=True)
        assert ctx.get(rig.port.error)
        rig.link.send(bytes([Kind.BYTES, 7]) + bytes(8))
        for _ in range(5):
            await rig.move(ctx)
        assert not ctx.get(rig.port.error)

    rig.run(testbench)


def test_commands_of_holes_and_chunks():
    payloads = input_payloads(TINY, [Packet(0x0807060504030201, [0x1817161514131211],
                                            keep={1: 0x0F, 2: 0xFD})])
    head = bytes(range(1, 9))
    assert beat_commands(TINY, payloads) == (
        bytes([Kind.BYTES, 11]) + head + bytes(4) + bytes([Kind.HOLES, 3])
        + bytes([Kind.BYTES, 0, 0x11]) + bytes([Kind.HOLES, 0])
        + bytes([Kind.BYTES | LAST, 5]) + bytes(range(0x13, 0x19)))
    long = input_payloads(TINY, [Packet(0, [0] * 63)])
    assert np.count_nonzero(long[:, 9]) == 1
    assert [len(beat_commands(TINY, long))] == [65 * 8 + 3 * 2]


@pytest.mark.parametrize(("clk_hz", "baud", "cycles"), [
    (25e6, 1_000_000, 25), (48e6, 1_000_000, 48), (12e6, 115_200, 104), (100e6, 3_000_000, 33)])
def test_divisors(clk_hz, baud, cycles):
    assert divisor(clk_hz, baud) == cycles


def test_baud_rates_that_the_clock_cannot_make():
    with pytest.raises(ConfigError, match="--baud 4000000: .* use 3125000 or less at 25 MHz"):
        divisor(25e6, 4_000_000)
    with pytest.raises(ConfigError, match="--baud 2350000: .* use 2272727"):
        divisor(25e6, 2_350_000)
