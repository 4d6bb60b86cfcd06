"""Wishbone wrapper: port names, every address, pieces of beats at every width, refusals."""

import random

import pytest
from amaranth.hdl import Fragment

from gen.names import interface
from spinteger import isa
from spinteger.config import PRESETS
from tb.loopback import WishboneTop
from tests.hdl.streams import Bench, simulate

TINY = PRESETS["tiny"]
REGISTERS = {register.address: register
             for register in (*isa.REGISTERS, *isa.WISHBONE_REGISTERS)}
ADDRESS = {register.name: register.address for register in REGISTERS.values()}
ROOM, WAITING, LAST = 1, 2, 4


async def transfer(ctx, dut: WishboneTop, address: int, write: int | None = None,
                   sel: int = 15) -> int | None:
    """One transfer: what was read (0 for a write), or None after `err`. It takes three cycles."""
    for name, value in {"cyc": 1, "stb": 1, "we": write is not None, "adr": address,
                        "dat": write or 0, "sel": sel}.items():
        ctx.set(getattr(dut, f"wb_{name}_i"), value)
    for _ in range(2):
        assert not ctx.get(dut.wb_ack_o) and not ctx.get(dut.wb_err_o)
        await ctx.tick()
    ack, err, value = (ctx.get(port) for port in (dut.wb_ack_o, dut.wb_err_o, dut.wb_dat_o))
    assert ack + err == 1
    await ctx.tick()
    ctx.set(dut.wb_stb_i, 0)
    return None if err else 0 if write is not None else value


def test_port_names() -> None:
    dut = WishboneTop(TINY)
    Fragment.get(dut, None)
    ports = {name: len(signal) for name, _, signal in interface(dut)}
    assert ports == {"wb_cyc_i": 1, "wb_stb_i": 1, "wb_we_i": 1,
                     "wb_adr_i": isa.REGISTER_ADDR_BITS, "wb_dat_i": 32, "wb_sel_i": 4,
                     "wb_dat_o": 32, "wb_ack_o": 1, "wb_err_o": 1, "irq": 1}


def test_tables_do_not_overlap() -> None:
    assert len(REGISTERS) == len(isa.REGISTERS) + len(isa.WISHBONE_REGISTERS)
    assert max(REGISTERS) < 1 << isa.REGISTER_ADDR_BITS
    assert all(address % 4 == 0 for address in REGISTERS)


def test_every_address() -> None:
    """Any byte of a word is the word; what a register does not allow is refused."""
    dut = WishboneTop(TINY)

    async def bench(ctx):
        for address in range(1 << isa.REGISTER_ADDR_BITS):
            register = REGISTERS.get(address & ~3)
            name = register.name if register else ""
            got = await transfer(ctx, dut, address)
            if name in ("data_in", "data_in_last", "data_out"):
                assert got is None, name         # not to be read; nothing to read
            else:
                assert (got is not None) == bool(register), hex(address)
            if name == "id":
                assert got == isa.ID_VALUE
            if name not in ("data_in", "data_in_last"):
                done = await transfer(ctx, dut, address, write=0)
                assert (done is not None) == bool(register and "w" in register.access), name

    simulate(Bench(dut), bench)


@pytest.mark.parametrize("bits", (32, 64, 128))
def test_packets(bits: int) -> None:
    """Packets of every length up to three beats, read back while others go in."""
    rng, dut, pieces = random.Random(bits), WishboneTop(TINY.with_(bus_bits=bits)), bits // 32
    sent = [[rng.getrandbits(32) for _ in range(length)] for length in range(1, 3 * pieces + 1)]
    want = [(piece, at == len(whole) - 1) for packet in sent
            for whole in [packet + [0] * (-len(packet) % pieces)] for at, piece in enumerate(whole)]

    async def bench(ctx):
        writes = [(("data_in_last" if at == len(packet) - 1 else "data_in"), piece,
                   at % pieces == 0) for packet in sent for at, piece in enumerate(packet)]
        got: list[tuple[int, bool]] = []
        while len(got) < len(want):
            status = await transfer(ctx, dut, ADDRESS["data_status"])
            if writes and status & ROOM and rng.random() < 0.7:
                name, piece, _ = writes.pop(0)
                assert await transfer(ctx, dut, ADDRESS[name], piece) == 0
                while writes and not writes[0][2]:       # the rest of the beat has room
                    name, piece, _ = writes.pop(0)
                    assert await transfer(ctx, dut, ADDRESS[name], piece) == 0
            elif writes and not status & ROOM and rng.random() < 0.5:
                assert await transfer(ctx, dut, ADDRESS[writes[0][0]], 0xBAD) is None
            elif status & WAITING:
                got.append((await transfer(ctx, dut, ADDRESS["data_out"]), bool(status & LAST)))
            else:
                assert not status & LAST
                assert await transfer(ctx, dut, ADDRESS["data_out"], sel=7) is None
        assert got == want
        assert await transfer(ctx, dut, ADDRESS["packets"]) == len(sent)

    simulate(Bench(dut), bench)


@pytest.mark.parametrize("sel", range(15))
def test_partial_selects_do_nothing(sel: int) -> None:
    dut = WishboneTop(TINY.with_(bus_bits=32))

    async def bench(ctx):
        await transfer(ctx, dut, ADDRESS["data_in_last"], 42)
        for _ in range(3):
            await ctx.tick()
        for name, write in (("control", 3), ("data_in", 1), ("data_out", None), ("id", None)):
            assert await transfer(ctx, dut, ADDRESS[name], write, sel) is None
        assert await transfer(ctx, dut, ADDRESS["control"]) == 0
        assert await transfer(ctx, dut, ADDRESS["packets"]) == 1
        assert await transfer(ctx, dut, ADDRESS["data_out"]) == 42

    simulate(Bench(dut), bench)
