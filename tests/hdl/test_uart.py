"""UART: bytes from one end to the other, clocks that differ, noise."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hdl.uart_rx import UartRx
from hdl.uart_tx import UartTx

DIVISORS = (8, 9, 21)


async def send(ctx, line, bits, cycles: float, at: float = 0.0) -> float:
    """Drive a line for `cycles` per bit, which need not be whole; where in a cycle it ended."""
    for bit in bits:
        ctx.set(line, bit)
        at += cycles
        while at >= 1:
            await ctx.tick()
            at -= 1
    return at


def frame(byte: int, stop: int = 1) -> list[int]:
    return [0, *(byte >> at & 1 for at in range(8)), stop]


def received(divisor: int, drive) -> list[int]:
    """The bytes that the receiver finds in what `drive(ctx, line)` puts on the line."""
    dut, got = UartRx(divisor), []

    async def testbench(ctx):
        await send(ctx, dut.rx, [1], 3 * divisor)
        await drive(ctx, dut.rx)
        await send(ctx, dut.rx, [1], 20 * divisor)

    async def watch(ctx):
        async for _, _, valid, data in ctx.tick().sample(dut.valid, dut.data):
            if valid:
                got.append(data)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_process(watch)
    sim.add_testbench(testbench)
    sim.run()
    return got


@pytest.mark.parametrize("divisor", DIVISORS)
def test_every_byte_arrives_at_full_speed(divisor):
    """Sender to receiver, 10 bits per byte and not one more."""
    tx, rx = UartTx(divisor), UartRx(divisor)
    m = Module()
    m.submodules.tx, m.submodules.rx = tx, rx
    m.d.comb += rx.rx.eq(tx.tx)
    data = random.Random(1).sample(range(256), 256 if divisor == 8 else 50)
    got, cycles = [], 0

    async def feed(ctx):
        assert ctx.get(tx.tx)
        ctx.set(tx.input.valid, 1)
        for byte in data:
            ctx.set(tx.input.payload, byte)
            await ctx.tick().until(tx.input.ready)
        ctx.set(tx.input.valid, 0)

    async def watch(ctx):
        nonlocal cycles
        while len(got) < len(data):
            *_, valid, byte = await ctx.tick().sample(rx.valid, rx.data)
            cycles += 1
            if valid:
                got.append(byte)
        await ctx.tick().repeat(20 * divisor)
        assert ctx.get(tx.tx)

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(feed)
    sim.add_testbench(watch)
    sim.run()
    assert got == data
    assert cycles < 10 * divisor * len(data) + 10


@pytest.mark.parametrize("error", [-0.03, -0.02, 0.0, 0.02, 0.03])
@pytest.mark.parametrize("divisor", DIVISORS)
def test_clocks_may_differ(divisor, error):
    data = [*random.Random(divisor).sample(range(256), 20), 0x00, 0xFF, 0x55, 0x00]

    async def drive(ctx, line):
        at = 0.0
        for byte in data:
            at = await send(ctx, line, frame(byte), divisor * (1 + error), at)

    assert received(divisor, drive) == data


def test_a_clock_far_off_is_not_understood():
    """So that the test above means something."""
    data = list(range(0, 256, 5))

    async def drive(ctx, line):
        for byte in data:
            await send(ctx, line, frame(byte), 8 * 1.08)

    assert received(8, drive) != data


def test_a_byte_without_its_stop_bit_is_dropped():
    async def drive(ctx, line):
        await send(ctx, line, [*frame(0x11), *frame(0x22, stop=0)], 8)
        await send(ctx, line, [1], 8 * 12)
        await send(ctx, line, frame(0x33), 8)

    got = received(8, drive)
    assert got[0] == 0x11 and got[-1] == 0x33 and 0x22 not in got


def test_a_glitch_is_no_start_bit():
    async def drive(ctx, line):
        for cycles in (1, 2, 3):
            await send(ctx, line, [0], cycles)
            await send(ctx, line, [1], 40)
        await send(ctx, line, frame(0xA5), 8)

    assert received(8, drive) == [0xA5]


def test_the_byte_holds_while_it_is_read():
    """LinkRx takes 10 cycles for it, in the worst case the next byte follows at once."""
    dut = UartRx(8)

    async def drive(ctx):
        at = 0.0
        for byte in (0x00, 0xFF, 0x00, 0xFF):
            at = await send(ctx, dut.rx, frame(byte), 8 * 0.97, at)
        await send(ctx, dut.rx, [1], 40)

    async def watch(ctx):
        held = None
        async for _, _, valid, data in ctx.tick().sample(dut.valid, dut.data):
            if valid:
                held = (data, 10)
            elif held is not None:
                assert data == held[0]
                held = (data, held[1] - 1) if held[1] > 1 else None

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_process(watch)
    sim.add_testbench(drive)
    sim.run()
