"""AXI wrapper: port names, streams, AXI4-Lite with stalls on every channel, reset."""

import random

import pytest
from amaranth.hdl import Fragment

from gen.names import interface
from hdl.bus_axi import Resp
from spinteger import isa
from spinteger.config import PRESETS
from tb.loopback import AxiTop
from tests.hdl.streams import Bench, simulate

TINY = PRESETS["tiny"]
REGISTERS = {register.address: register for register in isa.REGISTERS}
CONTROL = isa.BY_REGISTER["control"].address
AXIS = ("tdata", "tkeep", "tlast", "tvalid", "tready")
AXIL = ("awaddr", "awprot", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp",
        "bvalid", "bready", "araddr", "arprot", "arvalid", "arready", "rdata", "rresp", "rvalid",
        "rready")


async def send(ctx, dut: AxiTop, channel: str, payload: dict, rng: random.Random) -> None:
    """Offer a word on a channel, after a pause, until it is taken."""
    while rng.random() < 0.4:
        await ctx.tick()
    for name, value in payload.items():
        ctx.set(getattr(dut, name), value)
    ctx.set(getattr(dut, f"{channel}valid"), 1)
    await ctx.tick().until(getattr(dut, f"{channel}ready"))
    ctx.set(getattr(dut, f"{channel}valid"), 0)


async def take(ctx, dut: AxiTop, channel: str, names: tuple[str, ...], rng: random.Random) -> list:
    """The next word of a channel, taken after a pause."""
    while rng.random() < 0.4:
        await ctx.tick()
    ctx.set(getattr(dut, f"{channel}ready"), 1)
    got = await ctx.tick().sample(*(getattr(dut, f"{channel}{name}") for name in names)).until(
        getattr(dut, f"{channel}valid"))
    ctx.set(getattr(dut, f"{channel}ready"), 0)
    return list(got)


@pytest.mark.parametrize("bits", (32, 64, 256))
def test_port_names(bits: int) -> None:
    dut = AxiTop(TINY.with_(bus_bits=bits))
    Fragment.get(dut, None)
    ports = {name: len(signal) for name, _, signal in interface(dut)}
    assert list(ports) == [*(f"s_axis_{name}" for name in AXIS),
                           *(f"m_axis_{name}" for name in AXIS),
                           *(f"s_axil_{name}" for name in AXIL), "irq"]
    assert ports["s_axis_tdata"] == ports["m_axis_tdata"] == bits
    assert ports["s_axis_tkeep"] == ports["m_axis_tkeep"] == bits // 8
    assert ports["s_axil_awaddr"] == ports["s_axil_araddr"] == isa.REGISTER_ADDR_BITS


@pytest.mark.parametrize("seed", range(3))
def test_writes_and_reads(seed: int) -> None:
    """Address, data, response, reads: five processes, all at their own pace."""
    rng, dut = random.Random(seed), AxiTop(TINY)
    count = 60
    writes = []
    for _ in range(count):
        address = CONTROL if rng.random() < 0.6 else rng.choice(
            (rng.randrange(1 << isa.REGISTER_ADDR_BITS), *REGISTERS))
        strobe = 15 if rng.random() < 0.7 else rng.randrange(15)
        writes.append((address, rng.getrandbits(32), strobe))
    started = finished = 0                       # writes whose data were sent; answered

    async def addresses(ctx):
        random_pace = random.Random(seed + 10)
        for address, _, _ in writes:
            await send(ctx, dut, "s_axil_aw", {"s_axil_awaddr": address}, random_pace)

    async def data(ctx):
        nonlocal started
        random_pace = random.Random(seed + 20)
        for _, value, strobe in writes:
            started += 1
            await send(ctx, dut, "s_axil_w", {"s_axil_wdata": value, "s_axil_wstrb": strobe},
                       random_pace)

    async def responses(ctx):
        nonlocal finished
        random_pace = random.Random(seed + 30)
        for address, _, strobe in writes:
            register = REGISTERS.get(address & ~3)
            fine = register is not None and "w" in register.access and strobe == 15
            want = Resp.OKAY if fine else Resp.SLVERR if register else Resp.DECERR
            assert (await take(ctx, dut, "s_axil_b", ("resp",), random_pace))[-1] == want
            finished += 1

    async def reads(ctx):
        random_pace = random.Random(seed + 40)
        for _ in range(count):
            address = random_pace.choice((CONTROL, random_pace.randrange(
                1 << isa.REGISTER_ADDR_BITS)))
            before = finished
            await send(ctx, dut, "s_axil_ar", {"s_axil_araddr": address}, random_pace)
            *_, value, resp = await take(ctx, dut, "s_axil_r", ("data", "resp"), random_pace)
            assert resp == (Resp.OKAY if address & ~3 in REGISTERS else Resp.DECERR)
            if address & ~3 == CONTROL:
                possible = {0}                   # of finished writes the last, and all since
                for number, (at, data, strobe) in enumerate(writes[:started]):
                    if at & ~3 == CONTROL and strobe == 15:
                        possible = possible if number >= before else set()
                        possible.add(data & 3)
                assert value in possible

    simulate(Bench(dut), addresses, data, responses, reads)
    assert finished == count


def test_streams_pass() -> None:
    """Beats through the loopback, bytes that are not kept as zeros; the output keeps all."""
    rng, dut = random.Random(7), AxiTop(TINY)
    beats = [(rng.getrandbits(64), rng.choice((255, rng.getrandbits(8))), rng.getrandbits(1))
             for _ in range(60)]

    async def source(ctx):
        for data, keep, last in beats:
            await send(ctx, dut, "s_axis_t", {"s_axis_tdata": data, "s_axis_tkeep": keep,
                                              "s_axis_tlast": last}, rng)

    async def sink(ctx):
        for data, keep, last in beats:
            *_, got, kept, ended = await take(ctx, dut, "m_axis_t", ("data", "keep", "last"), rng)
            mask = sum(0xFF << 8 * byte for byte in range(8) if keep >> byte & 1)
            assert (got, kept, ended) == (data & mask, 255, last)

    simulate(Bench(dut), source, sink)
