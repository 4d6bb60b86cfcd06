"""Bench of the machine behind a UART: the driver's own code at the other end of its two pins.

What `Accelerator(backend="serial")` does with a port, `sim.serial_backend.session` and
`sim.link.Link`, is done here with the pins, byte by byte, over lines with and without faults.
"""

import random
from collections.abc import Generator
from typing import Any, TypeVar

import cocotb
import torch
from cocotb.triggers import FallingEdge, Timer
from cocotb.utils import get_sim_time

from golden.codes import recode
from sim import beats, packets
from sim.jobs import Job, compile_jobs
from sim.link import Link, LinkError
from sim.packets import Execution, Packet
from sim.plan import Layer
from sim.random_programs import program
from sim.reference import Reference
from sim.serial_backend import session
from sim.twin import different, possible
from tb.bench import PERIOD_NS, Bench
from tb.faulty_line import FaultyLine
from tb.tops import SERIAL_DIVISOR

torch.set_num_threads(1)

BIT_PS = SERIAL_DIVISOR * PERIOD_NS * 1000
#: Small frames and little patience, so that a retry costs little time. (No board is quicker: it may
#: be at a frame of 266 bytes.)
FRAME = 32
PATIENCE = 3000 * BIT_PS
T = TypeVar("T")


class SerialBench(Bench):
    """The machine behind its UART, a line of bytes each way, and a link. Times are in ps."""

    def __init__(self, dut: Any, test: str, faults: float = 0.0, speed: float = 1.0):
        """`speed`: how fast the host's clock is, 1.0 is exact."""
        super().__init__(dut, test)
        self.bit = round(BIT_PS / speed)
        dut.rx.value = 1
        self.to_board, self.to_host = (
            FaultyLine(random.Random(self.rng.random()), faults) for _ in range(2))
        self.sending, self.received = bytearray(), bytearray()
        self.link = self.new_link()

    def new_link(self, **given: Any) -> Link:
        """A host that was just started."""
        return Link("the board", **{
            "byte_time": 10 * self.bit, "patience": PATIENCE, "timeout": 20 * PATIENCE,
            "stall": 100 * PATIENCE, "frame": FRAME, "seed": self.rng.getrandbits(32), **given})

    async def start(self) -> None:
        """Start clock, board and lines."""
        await super().start()
        cocotb.start_soon(self._send())
        cocotb.start_soon(self._receive())

    async def _send(self) -> None:
        """Bytes to the pin, one after the other, forever."""
        while True:
            if not self.sending:
                await Timer(self.bit, "ps")
                continue
            frame = self.sending.pop(0) << 1 | 1 << 9
            for at in range(10):
                self.dut.rx.value = frame >> at & 1
                await Timer(self.bit, "ps")

    async def _receive(self) -> None:
        """Bytes from the pin, each sampled in mid-bit."""
        while True:
            await FallingEdge(self.dut.tx)
            await Timer(self.bit // 2, "ps")
            byte = 0
            for at in range(9):
                await Timer(self.bit, "ps")
                byte |= int(self.dut.tx.value) << at
            if byte >> 8:
                self.received += self.to_host(bytes([byte & 0xFF]))

    async def pump(self, steps: Generator[None, None, T]) -> T:
        """Move bytes until the conversation is over, as the backend does."""
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value
            await self.move()

    async def move(self) -> None:
        """Let two bytes' time pass."""
        now = int(get_sim_time("ps"))
        self.sending += self.to_board(self.link.transmit(now))
        await Timer(20 * self.bit, "ps")
        got, self.received = bytes(self.received), bytearray()
        self.link.receive(got, int(get_sim_time("ps")))

    def connect(self) -> None:
        """Start anew."""
        self.link.connect(int(get_sim_time("ps")))

    def program(self) -> list[Packet]:
        """A random program, with faulty packets; the shortest of several, for a slow simulator."""
        return min((program(self.numpy(), self.cfg, True, length=6) for _ in range(6)),
                   key=lambda found: sum(len(packet.words(self.cfg)) for packet in found))

    def layer(self) -> list[Packet]:
        """The program of a small layer that fires."""
        rng, cfg = self.numpy(), self.cfg
        level = torch.from_numpy(rng.integers(-2 * cfg.window, 2 * cfg.window + 1, (2, 12)))
        codes = recode(level, cfg)
        layer = Layer(rng.integers(-7, 8, (12, 5)), rng.integers(1, 4, 5) << cfg.frac_bits + 3)
        return compile_jobs(cfg, [Job(layer, codes.q.numpy(), codes.e.numpy(), "tokens")]).packets

    def session(self, packets_: list[Packet]) -> Generator[None, None, Any]:
        """The driver's conversation for a program."""
        return session(self.cfg, self.link, beats.input_payloads(
            self.cfg, [*packets_, packets.end_fence()]))

    async def play(self, packets_: list[Packet]) -> Execution:
        """Execute a program from reset; all words, errors and counters must be as they should."""
        self.connect()
        words, registers = await self.pump(self.session(packets_))
        want = Reference(self.cfg).execute(packets_)
        wrong = different(words[:-1], want.packets)
        assert not wrong, wrong
        assert registers["error_count"] == want.error_count, want.errors
        if want.errors:
            code, number = registers["error"] & 0xFF, registers["error"] >> 8
            assert (code, number) in possible(want.errors), (code, number, want.errors)
        assert registers["cycles_low"] > len(packets_)
        return want


@cocotb.test()
async def programs(dut):
    """A layer and a random program, over good lines."""
    bench = SerialBench(dut, "programs")
    await bench.start()
    assert (await bench.play(bench.layer())).packets
    await bench.play(bench.program())
    stats = bench.link.stats
    assert stats.bad_frames == 0, str(stats)


@cocotb.test()
async def layers_over_faulty_lines(dut):
    """Bytes are lost, changed, repeated and invented, both ways: results are as without."""
    bench = SerialBench(dut, "layers_over_faulty_lines", faults=0.006)
    await bench.start()
    stats = bench.link.stats
    enough = 1 if "icarus" in cocotb.SIM_NAME.lower() else 3        # it is twenty times slower
    for _ in range(8):
        await bench.play(bench.layer())
        if min(stats.resends, stats.resends_asked, stats.bad_frames) >= enough:
            break
    dut._log.info("%s; %s; %s", stats, bench.to_board.counts, bench.to_host.counts)
    assert bench.to_board.faults and bench.to_host.faults
    assert stats.resends and stats.resends_asked and stats.bad_frames, str(stats)


@cocotb.test()
async def host_with_a_slow_clock(dut):
    """2 % slow, and not one byte is misread."""
    await clean(SerialBench(dut, "host_with_a_slow_clock", speed=0.98))


@cocotb.test()
async def host_with_a_fast_clock(dut):
    """2 % fast."""
    await clean(SerialBench(dut, "host_with_a_fast_clock", speed=1.02))


async def clean(bench: SerialBench) -> None:
    """Short packets, and nothing that had to be sent again."""
    await bench.start()
    await bench.play([packets.fence(tag) for tag in range(0, 200, 50)])
    stats = bench.link.stats
    assert (stats.retries, stats.bad_frames, stats.timeouts) == (0, 0, 0), str(stats)


@cocotb.test()
async def host_restarts_in_mid_program(dut):
    """The host ends anywhere, in mid-frame too; the next one finds a machine out of reset."""
    bench = SerialBench(dut, "host_restarts_in_mid_program")
    await bench.start()
    for _ in range(2):
        bench.connect()
        steps = bench.session(bench.program())
        for _ in range(bench.rng.randint(1, 120)):
            next(steps)
            await bench.move()
        del bench.sending[bench.rng.randint(0, 20):]
        bench.link = bench.new_link()
        await bench.play([packets.fence(1), packets.fence(2)])


@cocotb.test()
async def board_is_reset_in_mid_program(dut):
    """The host is told, and says so; then it starts anew."""
    bench = SerialBench(dut, "board_is_reset_in_mid_program")
    await bench.start()
    bench.connect()
    steps = bench.session([packets.fence(tag) for tag in range(100)])
    for _ in range(60):
        next(steps)
        await bench.move()
    assert bench.link.connected
    await bench.reset()
    try:
        await bench.pump(steps)
    except LinkError as error:
        assert "the board was reset" in str(error), error
    else:
        raise AssertionError("not noticed")
    await bench.play([packets.fence(3)])


@cocotb.test()
async def another_configuration(dut):
    """A driver for another machine is told so before it does anything."""
    bench = SerialBench(dut, "another_configuration")
    await bench.start()
    bench.connect()
    bench.cfg = bench.cfg.with_(tokens=bench.cfg.tokens + 1)
    try:
        await bench.pump(bench.session([packets.fence(1)]))
    except LinkError as error:
        assert "another configuration" in str(error), error
    else:
        raise AssertionError("not noticed")


@cocotb.test()
async def dead_lines(dut):
    """Nothing arrives, in either direction: the host gives up, and says what to look at."""
    bench = SerialBench(dut, "dead_lines")
    await bench.start()
    lines = bench.to_board, bench.to_host
    for alive in range(2):
        bench.to_board, bench.to_host = (
            line if alive == at else (lambda data: b"") for at, line in enumerate(lines))
        bench.link = bench.new_link(timeout=2 * PATIENCE)
        bench.connect()
        try:
            await bench.pump(bench.session([packets.fence(1)]))
        except LinkError as error:
            assert "no answer" in str(error) and "the board" in str(error), error
        else:
            raise AssertionError("not noticed")
