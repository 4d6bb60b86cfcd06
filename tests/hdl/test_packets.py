"""Packet reader and descriptors: where packets start and end, what is in them, missing bytes."""

import random

import pytest

from hdl.descriptors import Decoder
from hdl.packets import USED_BITS, PacketReader
from spinteger import isa
from spinteger.config import Config
from spinteger.isa import Error
from tests.hdl.streams import Bench, get, put, simulate

BUSES = [32, 64, 128, 256]
Beat = tuple[int, int]


def is_bad(beat: Beat, last: bool, cfg: Config) -> bool:
    keep, whole = beat[1], (1 << cfg.bus_bits // 8) - 1
    return keep not in {whole >> n for n in range(cfg.bus_bits // 8 + 1)} if last \
        else keep != whole


def kept(beat: Beat) -> int:
    data, keep = beat
    return sum((data >> 8 * byte & 0xFF) << 8 * byte for byte in range(keep.bit_length()))


def expect(packets: list[list[Beat]], drops: list[bool], cfg: Config) -> tuple[list, list]:
    """What is offered of each packet's start, and the payload beats."""
    size, heads, beats = max(1, 128 // cfg.bus_bits), [], []
    for number, (packet, drop) in enumerate(zip(packets, drops, strict=True)):
        head, error = packet[:size], Error.NONE
        if any(is_bad(beat, at == len(packet) - 1, cfg) for at, beat in enumerate(head)):
            error = Error.BAD_KEEP
        elif len(packet) < size:
            error = Error.TLAST_EARLY
        word = sum(kept(beat) << at * cfg.bus_bits for at, beat in enumerate(head)) % (1 << 128)
        heads.append((error or word % (1 << USED_BITS), error or word >> USED_BITS > 0, int(error),
                      number, len(packet) <= size))
        if not drop:
            beats += [(None if is_bad(beat, at == len(packet) - 1, cfg) else kept(beat),
                       is_bad(beat, at == len(packet) - 1, cfg), at == len(packet) - 1)
                      for at, beat in enumerate(packet) if at >= size]
    return heads, beats


def random_packet(cfg: Config, rng: random.Random) -> list[Beat]:
    whole = (1 << cfg.bus_bits // 8) - 1
    size = max(1, 128 // cfg.bus_bits)
    beats = [(rng.getrandbits(cfg.bus_bits), whole)
             for _ in range(rng.choice([1, size, size, size + 1, rng.randint(1, 9)]))]
    for at in range(len(beats)):
        if rng.random() < 0.1:
            beats[at] = beats[at][0], rng.choice([rng.getrandbits(cfg.bus_bits // 8), 0, 1,
                                                  whole >> 1, whole ^ 1])
    if rng.random() < 0.5:
        beats[-1] = beats[-1][0], whole >> rng.randint(0, cfg.bus_bits // 8)
    return beats


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("bus_bits", BUSES)
def test_random_packets(bus_bits: int, stall: float) -> None:
    cfg, rng = Config(bus_bits=bus_bits), random.Random(bus_bits)
    packets = [random_packet(cfg, rng) for _ in range(120)]
    drops = [rng.random() < 0.3 for _ in packets]
    dut, heads, beats = PacketReader(cfg), [], []
    words = [{"data": data, "keep": keep, "last": at == len(packet) - 1}
             for packet in packets for at, (data, keep) in enumerate(packet)]

    async def send(ctx):
        await put(ctx, dut.input, words, rng, stall)

    async def receive(ctx):
        for drop in drops:
            await ctx.tick().until(dut.head.valid)
            heads.append(ctx.get(dut.head.payload))
            ctx.set(dut.drop, drop)
            while ctx.get(dut.body):
                ctx.set(dut.beats.ready, rng.random() >= stall)
                _, _, valid, ready, beat = await ctx.tick().sample(
                    dut.beats.valid, dut.beats.ready, dut.beats.payload)
                if valid and ready and not drop:
                    beats.append(beat)
            ctx.set(dut.beats.ready, 0)
            ctx.set(dut.drop, 0)
            await get(ctx, dut.head, len, rng, stall)
        assert ctx.get(dut.packets) == len(packets)

    simulate(Bench(dut), send, receive, watch=[dut.head])
    want_heads, want_beats = expect(packets, drops, cfg)
    assert [(head.error or head.descriptor, head.error or head.above, head.error, head.number,
             head.last) for head in heads] == want_heads
    assert [(None if beat.bad else beat.data, beat.bad, beat.last) for beat in beats] == want_beats


@pytest.mark.parametrize("bus_bits", BUSES)
def test_every_keep_of_one_beat(bus_bits: int) -> None:
    """All single gaps, all low masks: with `last` and without."""
    cfg = Config(bus_bits=bus_bits)
    whole, bytes_ = (1 << bus_bits // 8) - 1, bus_bits // 8
    masks = {whole >> n for n in range(bytes_ + 1)} | {whole ^ 1 << n for n in range(bytes_)}
    size = max(1, 128 // bus_bits)
    packets = [[*[(1, whole)] * size, *[(5, mask)] * (1 + more)]
               for mask in sorted(masks) for more in range(2)]
    dut, bad = PacketReader(cfg), []

    async def send(ctx):
        await put(ctx, dut.input, [{"data": data, "keep": keep, "last": at == len(packet) - 1}
                                   for packet in packets for at, (data, keep) in enumerate(packet)])

    async def receive(ctx):
        for packet in packets:
            count = len(packet) - size
            beats = await get(ctx, dut.beats, lambda words, count=count: len(words) == count)
            bad.append([beat.bad for beat in beats])
            await get(ctx, dut.head, len)

    simulate(Bench(dut), send, receive)
    assert bad == [[is_bad(beat, at == len(packet) - 1, cfg)
                    for at, beat in enumerate(packet) if at >= size] for packet in packets]


def test_payload_beats_pass_one_cycle_later() -> None:
    dut = PacketReader(Config())
    bench = Bench(dut)
    words = [{"data": n, "keep": 0xFF, "last": n == 40} for n in range(41)]
    sent, got = [], []

    async def send(ctx):
        sent.extend(await put(ctx, dut.input, words, cycle=bench.cycle))

    async def receive(ctx):
        got.extend(await get(ctx, dut.beats, lambda beats: len(beats) == 39, cycle=bench.cycle))

    simulate(bench, send, receive)
    cycles = [cycle for _, cycle in got]
    assert cycles == list(range(cycles[0], cycles[0] + 39)) and sent[-1] == cycles[-1] - 1


def test_descriptors_by_the_table() -> None:
    """Random descriptors of every operation, and of none; each reserved bit, one by one."""
    dut, rng = Decoder(), random.Random(3)

    async def bench(ctx):
        for op in isa.OPS:
            for _ in range(20):
                values = {field.name: rng.getrandbits(field.bits) for field in op.fields}
                word = isa.encode(op.name, **values)
                ctx.set(dut.descriptor, word)
                ctx.set(dut.above, 0)
                await ctx.tick()
                command = ctx.get(dut.command)
                assert [getattr(command.op, other.name.lower()) for other in isa.OPS] \
                    == [other is op for other in isa.OPS]
                assert {name: command[name] for name in values} == values
                assert not ctx.get(dut.reserved)
                for bit in range(isa.OPCODE_BITS, isa.DESCRIPTOR_BITS):
                    ctx.set(dut.descriptor, (word ^ 1 << bit) & (1 << USED_BITS) - 1)
                    ctx.set(dut.above, bit >= USED_BITS)
                    assert ctx.get(dut.reserved) == (not op.used >> bit & 1)
        for code in set(range(256)) - set(isa.BY_CODE):
            ctx.set(dut.descriptor, code | rng.getrandbits(USED_BITS - 8) << 8)
            await ctx.tick()
            assert not ctx.get(dut.command.op.as_value())

    simulate(dut, bench)
