"""Bench of the AXI wrapper around a loopback, driven by cocotbext-axi, pauses everywhere."""

import logging
from collections.abc import Iterator

import cocotb
from cocotb.triggers import ClockCycles, Combine, FallingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from spinteger import isa
from tb.bench import Bench
from tb.streams import Stalls

SPACE = 1 << isa.REGISTER_ADDR_BITS
REGISTERS = {register.address: register for register in isa.REGISTERS}
ADDRESS = {register.name: register.address for register in isa.REGISTERS}
#: Outputs that must stay as they are until they are taken: channel -> its payload.
HELD = {"m_axis_t": ("data", "keep", "last"), "s_axil_b": ("resp",), "s_axil_r": ("data", "resp")}


def pauses(stalls: Stalls) -> Iterator[bool]:
    """A pause generator for cocotbext-axi."""
    while True:
        yield stalls()


class AxiBench(Bench):
    """The wrapper between a source, a sink and a master, all of them pausing at random."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        for bus in ("s_axis", "m_axis", "s_axil"):       # each reset is worth a page to them
            logging.getLogger(f"cocotb.{dut._name}.{bus}").setLevel(logging.ERROR)
        self.lanes = self.cfg.bus_bits // 8
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
        self.lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.channels = {
            "aw": self.lite.write_if.aw_channel, "w": self.lite.write_if.w_channel,
            "b": self.lite.write_if.b_channel, "ar": self.lite.read_if.ar_channel,
            "r": self.lite.read_if.r_channel, "source": self.source, "sink": self.sink}
        for channel in self.channels.values():
            if stall != 0.0:
                channel.set_pause_generator(pauses(self.stalls(stall)))

    async def start(self) -> None:
        """As any bench; then watches the outputs for words that change or go before their time."""
        await super().start()
        for prefix, payload in HELD.items():
            cocotb.start_soon(self._watch(prefix, payload))

    async def _watch(self, prefix: str, payload: tuple[str, ...]) -> None:
        dut, refused = self.dut, None
        while True:
            await FallingEdge(dut.clk)           # everything has settled
            offered = None
            if int(getattr(dut, f"{prefix}valid").value):
                offered = tuple(int(getattr(dut, f"{prefix}{name}").value) for name in payload)
            assert refused in (None, offered) or int(dut.rst.value), (
                f"{prefix}valid: refused {refused}, then {offered}")
            refused = None if int(getattr(dut, f"{prefix}ready").value) else offered

    async def read(self, name: str) -> int:
        """The value of a register."""
        got = await self.wait(f"answer from {name}", self.lite.read(ADDRESS[name], 4), 2_000)
        assert got.resp == AxiResp.OKAY, f"{name}: {got.resp}"
        return int.from_bytes(got.data, "little")

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        data = value.to_bytes(4, "little")
        got = await self.wait(f"answer from {name}", self.lite.write(ADDRESS[name], data), 2_000)
        assert got.resp == AxiResp.OKAY, f"{name}: {got.resp}"

    def frame(self, full: bool | None = None) -> AxiStreamFrame:
        """A packet of up to 6 beats; `full`: all its bytes are there."""
        full = self.rng.random() < 0.4 if full is None else full
        size = self.rng.randint(1, 6 * self.lanes)
        if full:
            return AxiStreamFrame(self.rng.randbytes(-(-size // self.lanes) * self.lanes))
        if self.rng.random() < 0.5:              # only the end is missing, if anything
            return AxiStreamFrame(self.rng.randbytes(size))
        return AxiStreamFrame(self.rng.randbytes(size),
                              tkeep=[self.rng.getrandbits(1) for _ in range(size)])

    def is_full(self, frame: AxiStreamFrame) -> bool:
        """Whether all bytes of its beats are there."""
        return len(frame.tdata) % self.lanes == 0 and all(frame.tkeep or ())

    async def loop(self, frames: list[AxiStreamFrame]) -> None:
        """Send packets and compare what comes back."""
        for frame in frames:
            await self.source.send(frame)
        for number, frame in enumerate(frames):
            got = await self.wait(f"packet {number}", self.sink.recv(compact=False))
            keep = frame.tkeep or [1] * len(frame.tdata)
            want = bytes(byte * kept for byte, kept in zip(frame.tdata, keep, strict=True))
            want += bytes(-len(want) % self.lanes)
            assert bytes(got.tdata) == want, f"packet {number}"
            assert all(got.tkeep), f"packet {number}: bytes are missing"


async def started(dut, test: str, stall: float | None = None) -> AxiBench:
    """A bench with its clock running."""
    bench = AxiBench(dut, test, stall)
    await bench.start()
    return bench


@cocotb.test()
async def packets(dut):
    """Packets of every length and with any bytes missing, through pauses on both sides."""
    bench = await started(dut, "packets")
    for stall in (0.0, 0.1, 0.5, 0.9):
        for channel in (bench.source, bench.sink):
            channel.set_pause_generator(pauses(bench.stalls(stall)))
        await bench.loop([bench.frame() for _ in range(25)])


@cocotb.test()
async def one_beat_per_cycle(dut):
    """Without pauses, packets of one beat follow each other without a gap."""
    bench = await started(dut, "one_beat_per_cycle", stall=0.0)
    frames = [AxiStreamFrame(bench.rng.randbytes(bench.lanes)) for _ in range(50)]
    looping = cocotb.start_soon(bench.loop(frames))
    await ClockCycles(dut.clk, 60)
    assert looping.done(), "50 beats take more than 60 cycles"
    await looping


@cocotb.test()
async def every_address(dut):
    """All addresses are read and written back to back: what there is answers, the rest refuses."""
    bench = await started(dut, "every_address")
    whole = await bench.wait("all registers", bench.lite.read(0, SPACE))
    assert whole.resp == AxiResp.DECERR, "none of the addresses refused"
    assert int.from_bytes(whole.data[:4], "little") == isa.ID_VALUE
    for address in range(0, SPACE, 4):
        register = REGISTERS.get(address)
        got = await bench.wait("answer", bench.lite.read(address, 4), 2_000)
        assert got.resp == (AxiResp.OKAY if register else AxiResp.DECERR), hex(address)
        assert got.data == whole.data[address:address + 4], hex(address)
    for address in range(0, SPACE, 4):
        register = REGISTERS.get(address)
        done = await bench.wait("answer", bench.lite.write(address, bytes(4)), 2_000)
        want = (AxiResp.DECERR if register is None else
                AxiResp.OKAY if "w" in register.access else AxiResp.SLVERR)
        assert done.resp == want, hex(address)


@cocotb.test()
async def partial_writes(dut):
    """Every set of byte strobes but all four: SLVERR, and nothing is written."""
    bench = await started(dut, "partial_writes")
    await bench.write("control", 2)
    for first in range(4):
        for size in range(1, 4 - first + 1):
            if size < 4:
                done = await bench.wait("answer", bench.lite.write(
                    ADDRESS["control"] + first, b"\xff" * size), 2_000)
                assert done.resp == AxiResp.SLVERR
                assert await bench.read("control") == 2
    await bench.write("control", 1)
    assert await bench.read("control") == 1


@cocotb.test()
async def reads_and_writes_at_once(dut):
    """Two masters' worth of traffic: no write is lost, no read sees what was never there."""
    bench = await started(dut, "reads_and_writes_at_once")
    seen = [0]                                   # all that control was, in order
    settled = 0                                  # place of the last one known to be written

    async def writer() -> None:
        nonlocal settled
        for _ in range(150):
            value, kind = bench.rng.getrandbits(2), bench.rng.random()
            if kind < 0.7:
                seen.append(value)
                await bench.write("control", value)
                settled = len(seen) - 1
            elif kind < 0.85:
                done = await bench.lite.write(ADDRESS["control"] + 1, bytes([value]))
                assert done.resp == AxiResp.SLVERR
            else:
                done = await bench.lite.write(ADDRESS["id"], bytes([value] * 4))
                assert done.resp == AxiResp.SLVERR
            if bench.rng.random() < 0.2:
                await ClockCycles(dut.clk, bench.rng.randint(1, 20))

    async def reader() -> None:
        for _ in range(150):
            if bench.rng.random() < 0.3:
                assert await bench.read("id") == isa.ID_VALUE
            else:
                before = settled
                value = await bench.read("control")
                assert value in seen[before:], f"read {value}, was {seen[before:]}"

    for stall in (0.0, 0.5):
        for channel in ("aw", "w", "b", "ar", "r"):
            bench.channels[channel].set_pause_generator(pauses(bench.stalls(stall)))
        await bench.wait("end of traffic", Combine(cocotb.start_soon(writer()),
                                                   cocotb.start_soon(reader())))
        assert await bench.read("control") == seen[-1]


@cocotb.test()
async def address_and_data_in_any_order(dut):
    """Address long before data, and data long before address: each is taken when it comes."""
    bench = await started(dut, "address_and_data_in_any_order", stall=0.0)
    for trial, (late, early) in enumerate((("aw", "w"), ("w", "aw")) * 2):
        await bench.write("control", 0)
        bench.channels[late].pause = True
        writing = cocotb.start_soon(bench.write("control", trial))
        await ClockCycles(dut.clk, 20)
        await FallingEdge(dut.clk)
        assert not int(getattr(dut, f"s_axil_{early}ready").value), f"{early} was not taken"
        assert int(getattr(dut, f"s_axil_{late}ready").value), f"{late} is not welcome"
        assert await bench.read("control") == 0, "written too early"
        bench.channels[late].pause = False
        await bench.wait("end of the write", writing, 100)
        assert await bench.read("control") == trial


@cocotb.test()
async def responses_wait(dut):
    """Responses nobody takes stay, and hold up the next write, but not the other direction."""
    bench = await started(dut, "responses_wait", stall=0.0)
    bench.channels["b"].pause = True
    await ClockCycles(dut.clk, 2)                # the pause reaches bready
    writes = [cocotb.start_soon(bench.write("control", value)) for value in (1, 2)]
    await ClockCycles(dut.clk, 100)
    assert await bench.read("control") == 1
    bench.channels["b"].pause = False
    for write in writes:
        await bench.wait("end of the write", write, 100)
    bench.channels["r"].pause = True
    await ClockCycles(dut.clk, 2)
    reads = [cocotb.start_soon(bench.read("control")) for _ in range(2)]
    await ClockCycles(dut.clk, 100)
    await bench.write("control", 3)
    bench.channels["r"].pause = False
    assert [await bench.wait("end of the read", read, 100) for read in reads] == [2, 3]


@cocotb.test()
async def transfers_per_cycle(dut):
    """Back to back, a write takes 2 cycles and a read 5."""
    bench = await started(dut, "transfers_per_cycle", stall=0.0)
    for cycles, transfer in ((2, bench.lite.write(ADDRESS["control"], bytes(4 * 40))),
                             (5, bench.lite.read(0, 4 * 40))):
        task = cocotb.start_soon(transfer)
        await ClockCycles(dut.clk, 40 * cycles + 10)
        assert task.done(), f"40 transfers take more than {cycles} cycles each"


@cocotb.test()
async def errors_and_interrupts(dut):
    """Packets with and without missing bytes: the first error, their number, interrupts."""
    bench = await started(dut, "errors_and_interrupts")
    errors, first, number = 0, None, 0
    for control in (0, 1, 2, 3):
        await bench.write("control", control)
        frames = [bench.frame(full) for full in (True, False, True, None)]
        await bench.loop(frames)
        for frame in frames:
            if not bench.is_full(frame):
                first = number if first is None else first
                errors += 1
            number += 1
        assert await bench.read("packets") == number
        assert await bench.read("error_count") == errors
        assert await bench.read("error") == (0 if first is None else
                                             isa.Error.BAD_KEEP | first << 8)
        failed = any(not bench.is_full(frame) for frame in frames)
        passed = any(bench.is_full(frame) for frame in frames)
        pending = bool(control & 1 and passed or control & 2 and failed)
        status = await bench.read("status")
        assert status == pending << 1 | bool(errors) << 2, bin(status)
        assert bool(int(dut.irq.value)) == pending
        await bench.write("clear", 3)
        errors, first = 0, None
        assert await bench.read("status") == 0 and not int(dut.irq.value)


@cocotb.test()
async def counters(dut):
    """Latched counters belong together while traffic goes on, and can be cleared."""
    bench = await started(dut, "counters")

    async def values() -> dict[str, int]:
        await bench.write("latch", 0)
        while await bench.read("latch"):
            pass
        return {name: await bench.read(f"{name}_low") | await bench.read(f"{name}_high") << 32
                for name in isa.COUNTERS}

    before = {}
    frames = [bench.frame() for _ in range(20)]
    looping = cocotb.start_soon(bench.loop(frames))
    for _ in range(3):
        now = await values()
        assert sum(now[name] for name, _ in isa.CAUSES) == now["cycles"]
        assert all(now[name] >= before.get(name, 0) for name in now)
        assert now["cycles"] > before.get("cycles", 0)
        before = now
    await looping
    assert (await values())["tiles"] == 20
    await bench.write("clear", 4)
    now = await values()
    assert now["tiles"] == now["acts"] == 0 and now["idle"] == now["cycles"] > 0


@cocotb.test()
async def reset_in_mid_transfer(dut):
    """Reset at random moments of full traffic; everything starts afresh."""
    bench = await started(dut, "reset_in_mid_transfer")

    async def traffic() -> None:
        while True:
            writing = bench.lite.init_write(ADDRESS["control"], b"\x03\0\0\0")
            reading = bench.lite.init_read(ADDRESS["control"], 4)
            await writing.wait()
            await reading.wait()

    for _ in range(8):
        running = cocotb.start_soon(traffic())
        for _ in range(10):
            bench.source.send_nowait(bench.frame())
        await ClockCycles(dut.clk, bench.rng.randint(5, 80))
        running.cancel()
        bench.source.clear()
        await bench.reset(bench.rng.randint(1, 3))
        bench.sink.clear()
        for name in ("control", "status", "packets", "error_count", "fence_tag"):
            assert await bench.read(name) == 0, name
        await bench.loop([bench.frame() for _ in range(3)])
