"""Bench of the Wishbone wrapper around a loopback, driven by cocotbext-wishbone."""

import logging
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge
from cocotb.utils import get_sim_time
from cocotbext.wishbone.driver import WBOp, WishboneMaster

from spinteger import isa
from tb.bench import PERIOD_NS, Bench
from tb.loopback import DEPTH

SPACE = 1 << isa.REGISTER_ADDR_BITS
REGISTERS = {register.address: register
             for register in (*isa.REGISTERS, *isa.WISHBONE_REGISTERS)}
ADDRESS = {register.name: register.address for register in REGISTERS.values()}
SIGNALS = {"cyc": "cyc_i", "stb": "stb_i", "we": "we_i", "adr": "adr_i", "datwr": "dat_i",
           "datrd": "dat_o", "ack": "ack_o", "err": "err_o", "sel": "sel_i"}
ACK, ERR = 1, 2
ROOM, WAITING, LAST = 1, 2, 4
#: A packet: its pieces of 32 bits.
Packet = list[int]


class WishboneBench(Bench):
    """The wrapper and a master that pauses at random, between transfers and within a cycle."""

    def __init__(self, dut, test: str, stall: float | None = None):
        super().__init__(dut, test)
        self.pieces = self.cfg.bus_bits // 32
        self.pause = self.stalls(stall)
        self.idle("wb_cyc_i", "wb_stb_i", "wb_we_i", "wb_adr_i", "wb_dat_i", "wb_sel_i")
        self.master: Any = None

    def connect(self) -> None:
        """A master without a past; not before the first reset, when Icarus loses its zeros."""
        self.master = WishboneMaster(self.dut, "wb", self.dut.clk, signals_dict=SIGNALS)
        self.master.log.setLevel(logging.ERROR)

    async def start(self) -> None:
        """As any bench; then connects a master and watches the answers."""
        await super().start()
        self.connect()
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut, answered = self.dut, False
        while True:
            await FallingEdge(dut.clk)           # everything has settled
            ack, err = int(dut.wb_ack_o.value), int(dut.wb_err_o.value)
            asked = int(dut.wb_cyc_i.value) and int(dut.wb_stb_i.value)
            assert not (ack and err), "both ack and err"
            assert asked or not (ack or err) or int(dut.rst.value), "an answer to nothing"
            assert not (answered and (ack or err)), "two answers in a row"
            answered = bool(ack or err)

    async def cycle(self, ops: list[WBOp]) -> list[tuple[int, int]]:
        """One bus cycle of several transfers: (answer, what was read) of each."""
        while self.pause():
            await ClockCycles(self.dut.clk, 1)
        for op in ops:
            op.idle, op.acktimeout = self.rng.randint(1, 5) if self.pause() else 0, 100
        results = await self.master.send_cycle(ops)
        assert len(results) == len(ops)
        return [(result.ack, int(result.datrd) if op.dat is None else 0)
                for op, result in zip(ops, results, strict=True)]

    async def read(self, name: str) -> int:
        """The value of a register."""
        answer, value = (await self.cycle([WBOp(ADDRESS[name])]))[0]
        assert answer == ACK, name
        return value

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        assert await self.cycle([WBOp(ADDRESS[name], value)]) == [(ACK, 0)], name

    def packet(self, full: bool | None = None) -> Packet:
        """Up to 5 beats; `full`: the last one has all its pieces."""
        full = self.rng.random() < 0.5 if full is None else full
        size = self.rng.randint(1, 5 * self.pieces)
        return [self.rng.getrandbits(32) for _ in range(-(-size // self.pieces) * self.pieces
                                                        if full else size)]

    def sends(self, packets: list[Packet]) -> list[list[WBOp]]:
        """Beats of packets, each as the writes that make it."""
        beats = []
        for packet in packets:
            for start in range(0, len(packet), self.pieces):
                end = min(start + self.pieces, len(packet))
                beats.append([WBOp(ADDRESS["data_in_last" if at == len(packet) - 1 else "data_in"],
                                   packet[at]) for at in range(start, end)])
        return beats

    async def loop(self, packets: list[Packet], eager: float = 0.5) -> None:
        """Send packets and compare what comes back; `eager`: how often to read what waits."""
        beats = self.sends(packets)
        want = [(piece, at == len(padded) - 1) for packet in packets
                for padded in [packet + [0] * (-len(packet) % self.pieces)]
                for at, piece in enumerate(padded)]
        got: list[tuple[int, bool]] = []
        while beats or len(got) < len(want):
            status = await self.read("data_status")
            assert status & LAST == 0 or status & WAITING
            if beats and status & ROOM:
                assert all(answer == ACK for answer, _ in await self.cycle(beats.pop(0)))
            if status & WAITING and (not beats or not status & ROOM or self.rng.random() < eager):
                got.append((await self.read("data_out"), bool(status & LAST)))
                assert got == want[:len(got)], f"piece {len(got) - 1}"


async def started(dut, test: str, stall: float | None = None) -> WishboneBench:
    """A bench with its clock running."""
    bench = WishboneBench(dut, test, stall)
    await bench.start()
    return bench


@cocotb.test()
async def packets(dut):
    """Packets of every length, whole beats and not, read at once or when there is no more room."""
    for trial, eager in enumerate((1.0, 0.5, 0.1, 0.0)):
        bench = WishboneBench(dut, f"packets/{trial}")
        if trial == 0:
            await bench.start()
        bench.connect()
        await bench.wait("all packets", bench.loop([bench.packet() for _ in range(12)], eager),
                         100_000)


@cocotb.test()
async def every_address(dut):
    """Reads and writes of all addresses: ack where a register allows it, err elsewhere."""
    bench = await started(dut, "every_address")
    assert await bench.read("id") == isa.ID_VALUE
    refusing = {"data_out"}                      # nothing waits
    for address in range(0, SPACE, 4):
        register = REGISTERS.get(address)
        fine = register is not None and "r" in register.access and register.name not in refusing
        if register is not None and register in isa.REGISTERS:
            fine = True                          # write-only ones read 0
        (answer, _), = await bench.cycle([WBOp(address)])
        assert answer == (ACK if fine else ERR), f"read {address:#x}"
    for address in range(0, SPACE, 4):
        register = REGISTERS.get(address)
        (answer, _), = await bench.cycle([WBOp(address, 0)])
        assert answer == (ACK if register and "w" in register.access else ERR), (
            f"write {address:#x}")


@cocotb.test()
async def byte_selects(dut):
    """All byte selects but all four: err, nothing is written and no data is taken."""
    bench = await started(dut, "byte_selects")
    await bench.write("control", 2)
    await bench.loop([[1] * bench.pieces])
    await bench.cycle(bench.sends([[0xABCD] * bench.pieces])[0])
    for sel in range(15):
        ops = [WBOp(ADDRESS["control"], 1, sel=sel), WBOp(ADDRESS["control"], sel=sel),
               WBOp(ADDRESS["data_in_last"], 5, sel=sel), WBOp(ADDRESS["data_out"], sel=sel)]
        assert [answer for answer, _ in await bench.cycle(ops)] == [ERR] * 4
    assert await bench.read("control") == 2 and await bench.read("packets") == 2
    assert [await bench.read("data_out") for _ in range(bench.pieces)] == [0xABCD] * bench.pieces
    assert await bench.read("data_status") == ROOM


@cocotb.test()
async def needs_cycle_and_strobe(dut):
    """A strobe outside a cycle, and a cycle without a strobe, do nothing."""
    bench = await started(dut, "needs_cycle_and_strobe")
    for cyc, stb in ((0, 1), (1, 0)):
        await FallingEdge(dut.clk)
        dut.wb_cyc_i.value, dut.wb_stb_i.value, dut.wb_we_i.value = cyc, stb, 1
        dut.wb_adr_i.value, dut.wb_dat_i.value = ADDRESS["control"], 3
        for _ in range(5):
            await FallingEdge(dut.clk)
            assert not int(dut.wb_ack_o.value) and not int(dut.wb_err_o.value)
        dut.wb_cyc_i.value, dut.wb_stb_i.value, dut.wb_we_i.value = 0, 0, 0
        assert await bench.read("control") == 0


@cocotb.test()
async def no_room_and_nothing_there(dut):
    """A full input and an empty output refuse at once, as often as one asks; nothing is lost."""
    bench = await started(dut, "no_room_and_nothing_there")
    for _ in range(3):
        assert (await bench.cycle([WBOp(ADDRESS["data_out"])]))[0][0] == ERR
    packet = [bench.rng.getrandbits(32) for _ in range(20 * bench.pieces)]
    beats, sent = bench.sends([packet]), 0
    while await bench.read("data_status") & ROOM:
        assert all(answer == ACK for answer, _ in await bench.cycle(beats[sent]))
        sent += 1
        await ClockCycles(dut.clk, 3)            # the beat moves on
    assert DEPTH <= sent < 10
    for name in ("data_in", "data_in_last"):
        for _ in range(3):
            assert (await bench.cycle([WBOp(ADDRESS[name], 0xBAD)]))[0][0] == ERR
    for at in range(sent * bench.pieces):
        assert await bench.read("data_status") & (WAITING | LAST) == WAITING
        assert await bench.read("data_out") == packet[at]
    assert await bench.read("data_status") == ROOM


@cocotb.test()
async def transfers_per_cycle(dut):
    """Back to back in one cycle, each transfer takes 3 clock cycles: registers and data."""
    bench = await started(dut, "transfers_per_cycle", stall=0.0)
    beats = bench.sends([[1] * 2 * bench.pieces])
    for ops in ([WBOp(ADDRESS["control"], n & 3) for n in range(20)],
                [WBOp(ADDRESS["id"]) for _ in range(20)], [op for beat in beats for op in beat],
                [WBOp(ADDRESS["data_out"]) for _ in range(2 * bench.pieces)]):
        before = get_sim_time("ns")
        assert all(answer == ACK for answer, _ in await bench.cycle(ops))
        cycles = (get_sim_time("ns") - before) / PERIOD_NS
        assert cycles <= 3 * len(ops) + 4, f"{len(ops)} transfers took {cycles} cycles"


@cocotb.test()
async def errors_and_interrupts(dut):
    """Packets with and without missing pieces: the first error, their number, interrupts."""
    bench = await started(dut, "errors_and_interrupts")
    number = 0
    for control in (0, 1, 2, 3):
        await bench.write("control", control)
        packets = [bench.packet(full) for full in (True, False, True, None)]
        await bench.wait("all packets", bench.loop(packets))
        failed = [number + at for at, packet in enumerate(packets) if len(packet) % bench.pieces]
        number += len(packets)
        assert await bench.read("packets") == number
        assert await bench.read("error_count") == len(failed)
        assert await bench.read("error") == (isa.Error.BAD_KEEP | failed[0] << 8 if failed else 0)
        pending = bool(control & 1 or control & 2 and failed)
        assert await bench.read("status") == pending << 1 | bool(failed) << 2
        assert bool(int(dut.irq.value)) == pending
        await bench.write("clear", 3)
        assert await bench.read("status") == 0 and not int(dut.irq.value)


@cocotb.test()
async def counters(dut):
    """Latched counters belong together, and can be cleared."""
    bench = await started(dut, "counters")

    async def values() -> dict[str, int]:
        await bench.write("latch", 0)
        while await bench.read("latch"):
            pass
        return {name: await bench.read(f"{name}_low") | await bench.read(f"{name}_high") << 32
                for name in isa.COUNTERS}

    before = {}
    for number in range(1, 4):
        await bench.wait("all packets", bench.loop([bench.packet() for _ in range(3)]))
        now = await values()
        assert sum(now[name] for name, _ in isa.CAUSES) == now["cycles"]
        assert now["cycles"] > before.get("cycles", 0) and now["tiles"] == 3 * number
        before = now
    await bench.write("clear", 4)
    now = await values()
    assert now["tiles"] == now["acts"] == 0 and now["idle"] == now["cycles"] > 0


@cocotb.test()
async def reset_in_mid_transfer(dut):
    """Reset at random moments, in the middle of beats too; everything starts afresh."""
    bench = await started(dut, "reset_in_mid_transfer")

    async def traffic() -> None:
        while True:
            await bench.cycle([WBOp(ADDRESS["control"], 3)])
            await bench.cycle([WBOp(ADDRESS[bench.rng.choice(("data_in", "data_in_last"))], 7)
                               for _ in range(3)])
            await bench.cycle([WBOp(ADDRESS["data_out"]) for _ in range(2)])

    for _ in range(8):
        running = cocotb.start_soon(traffic())
        await ClockCycles(dut.clk, bench.rng.randint(5, 80))
        running.cancel()
        bench.master.busy = False                # its helpers end
        bench.connect()
        await bench.reset(bench.rng.randint(1, 3))
        for name, want in {"control": 0, "status": 0, "packets": 0, "error_count": 0,
                           "fence_tag": 0, "data_status": ROOM}.items():
            assert await bench.read(name) == want, name
        await bench.wait("all packets", bench.loop([bench.packet() for _ in range(3)]))
