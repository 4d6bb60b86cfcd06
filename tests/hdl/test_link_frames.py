"""The link's two framers, `LinkRx` and `LinkTx`, each against frames made in Python."""

import random
import zlib

from amaranth.sim import Simulator

from hdl.link_crc import LinkCrc
from hdl.link_format import CRC_GOOD, ESCAPE, FLAG, identity
from hdl.link_rx import LinkRx
from hdl.link_tx import LinkTx
from sim.link_frames import GAP, MARK, OFFSETS, RESEND, RESET, Deframer, Frame
from spinteger.config import PRESETS

SPACING = 12        #: cycles per byte, the fewest allowed


def run(dut, *testbenches, processes=()) -> None:
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for process in processes:
        sim.add_process(process)
    for testbench in testbenches:
        sim.add_testbench(testbench)
    sim.run()


def test_the_crc_is_that_of_zlib():
    dut, data = LinkCrc(), random.Random(1).randbytes(40)

    async def shift(ctx, byte: int) -> None:
        for at in range(8):
            ctx.set(dut.bit, byte >> at & 1)
            await ctx.tick()

    async def testbench(ctx):
        for _ in range(2):
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            ctx.set(dut.shift, 1)
            for byte in data:
                await shift(ctx, byte)
            want = zlib.crc32(data)
            assert ctx.get(dut.value) == want ^ 0xFFFFFFFF
            for byte in want.to_bytes(4, "little"):
                await shift(ctx, byte)
            assert ctx.get(dut.value) == CRC_GOOD
            ctx.set(dut.drain, 1)
            for at in range(32):
                assert ctx.get(dut.value[0]) == CRC_GOOD >> at & 1
                await ctx.tick()
            ctx.set(dut.drain, 0)
            ctx.set(dut.shift, 0)

    run(dut, testbench)


class Receiver:
    """A `LinkRx`, and a ring that keeps what it writes."""

    def __init__(self):
        self.dut = LinkRx()
        self.ring: dict[int, int] = {}
        self.acks: list[tuple[int, int]] = []
        self.restarts = 0

    async def watch(self, ctx):
        dut = self.dut
        async for values in ctx.tick().sample(dut.put, dut.wdata, dut.wr, dut.acked, dut.ack,
                                              dut.resend, dut.restart):
            _, _, put, data, wr, acked, ack, resend, restart = values
            if put:
                self.ring[wr] = data
            if acked:
                self.acks.append((ack, resend))
            self.restarts += restart

    async def bytes(self, ctx, data: bytes) -> None:
        for byte in data:
            ctx.set(self.dut.data, byte)
            ctx.set(self.dut.valid, 1)
            await ctx.tick()
            ctx.set(self.dut.valid, 0)
            await ctx.tick().repeat(SPACING - 1)

    async def frame(self, ctx, **fields) -> tuple[int, int, int]:
        """Send one; the offset taken up to, whether there is a gap, whether it was answered."""
        await self.bytes(ctx, Frame(**{"session": 5, "ack": 0, **fields}).encode())
        answer = ctx.get(self.dut.answer)
        ctx.set(self.dut.answered, 1)
        await ctx.tick()
        ctx.set(self.dut.answered, 0)
        await ctx.tick()
        assert not ctx.get(self.dut.answer)
        return ctx.get(self.dut.commit), ctx.get(self.dut.gap), answer

    def check(self, testbench) -> None:
        run(self.dut, testbench, processes=[self.watch])


def test_frames_are_taken_in_order_and_only_whole():
    rx = Receiver()
    rng = random.Random(2)
    parts = [bytes(rng.choice((FLAG, ESCAPE, rng.randrange(256))) for _ in range(size))
             for size in (1, 8, 30, 7)]

    async def testbench(ctx):
        assert await rx.frame(ctx, end=0, flags=RESET) == (0, 0, 1)
        assert rx.restarts == 1 and ctx.get(rx.dut.session) == 5
        end = 0
        for number, part in enumerate(parts):
            last, end = end, end + len(part)
            # Damaged, out of order, of another session: all refused, and what came goes nowhere.
            bad = bytearray(Frame(end, 5, 0, payload=part).encode())
            bad[len(bad) // 2] ^= 0x04 if bad[len(bad) // 2] ^ 0x04 not in (FLAG, ESCAPE) else 1
            await rx.bytes(ctx, bytes(bad))
            assert (ctx.get(rx.dut.commit), ctx.get(rx.dut.gap)) == (last, 1)
            assert await rx.frame(ctx, end=end + 1, payload=part) == (last, 1, 1)
            assert await rx.frame(ctx, end=end, payload=part, session=6) == (last, 1, 1)
            assert await rx.frame(ctx, end=end, payload=part, round=number) == (end, 0, 1)
            assert ctx.get(rx.dut.round) == number
            assert await rx.frame(ctx, end=end, payload=part) == (end, 1, 1)       # a copy
            assert await rx.frame(ctx, end=end) == (end, 0, 1)
        assert bytes(rx.ring[at] for at in range(end)) == b"".join(parts)

    rx.check(testbench)


def test_a_full_ring_takes_nothing_and_loses_nothing():
    rx = Receiver()

    async def testbench(ctx):
        await rx.frame(ctx, end=0, flags=RESET)
        end = 0
        for _ in range(3):
            assert await rx.frame(ctx, end=end + 300, payload=bytes(300)) == (end + 300, 0, 1)
            end += 300
        before = dict(rx.ring)
        assert await rx.frame(ctx, end=end + 300, payload=bytes([1] * 300)) == (end, 1, 1)
        assert all(rx.ring[at] == before[at] for at in range(900))
        ctx.set(rx.dut.rd, 400)
        assert await rx.frame(ctx, end=end + 300, payload=bytes([2] * 300)) == (end + 300, 0, 1)

    rx.check(testbench)


def test_acknowledgements_only_go_forward():
    rx = Receiver()

    async def testbench(ctx):
        await rx.frame(ctx, end=0, flags=RESET)
        ctx.set(rx.dut.base, OFFSETS - 100)
        for ack, flags in ((OFFSETS - 100, 0), (OFFSETS - 10, RESEND), (60, 0),
                           (OFFSETS - 300, RESEND), (OFFSETS - 200, 0)):
            await rx.frame(ctx, end=0, ack=ack, flags=flags)
        await rx.frame(ctx, end=0, ack=70, session=4)

    rx.check(testbench)
    assert rx.acks == [(OFFSETS - 100, 0), (OFFSETS - 10, 1), (60, 0)]


def test_a_reset_puts_the_receiver_in_step_from_anywhere():
    rx = Receiver()

    async def testbench(ctx):
        await rx.frame(ctx, end=0, flags=RESET, session=3)
        await rx.frame(ctx, end=9, payload=bytes(9), session=3)
        for junk in (b"\x00", bytes([ESCAPE]), Frame(20, 3, 0, payload=bytes(11)).encode()[:-4]):
            await rx.bytes(ctx, junk)
            assert (await rx.frame(ctx, end=0, flags=RESET))[:2] == (0, 0)
            assert await rx.frame(ctx, end=2, payload=b"ab") == (2, 0, 1)
        # Before it, the board has no session, and says so.
        await rx.bytes(ctx, Frame(0, 9, 0, RESET).encode()[:-1] + b"x" + bytes([FLAG]))
        assert ctx.get(rx.dut.session) == 5

    rx.check(testbench)
    assert rx.restarts == 4


class Sender:
    """A `LinkTx` with a ring of entries, and a line that takes a byte now and then."""

    def __init__(self, entries: list[int]):
        self.dut = LinkTx()
        self.entries = entries
        self.deframer = Deframer()
        self.frames: list[Frame | None] = []

    async def memory(self, ctx):
        async for _, _, rd in ctx.tick().sample(self.dut.rd):
            ctx.set(self.dut.entry, self.entries[rd] if rd < len(self.entries) else 0)

    async def line(self, ctx, count: int) -> None:
        """Take bytes until there are so many frames."""
        while len(self.frames) < count:
            await ctx.tick().repeat(30)
            ctx.set(self.dut.output.ready, 1)
            *_, byte = await ctx.tick().sample(self.dut.output.payload).until(
                self.dut.output.valid)
            ctx.set(self.dut.output.ready, 0)
            self.frames += self.deframer.feed(bytes([byte]))

    def check(self, testbench) -> None:
        run(self.dut, testbench, processes=[self.memory])


def test_frames_carry_the_ring_in_pieces():
    rng = random.Random(3)
    data = [rng.choice((FLAG, ESCAPE, rng.randrange(256))) for _ in range(700)]
    tx = Sender([byte | (at == 99) << 8 for at, byte in enumerate(data)])

    async def testbench(ctx):
        for name, value in (("expected", 0x9A5), ("session", 11), ("round", 2)):
            ctx.set(getattr(tx.dut, name), value)
        ctx.set(tx.dut.wr, 90)
        await tx.line(ctx, 1)
        ctx.set(tx.dut.wr, 700)
        ctx.set(tx.dut.gap, 1)
        await tx.line(ctx, 5)
        assert not ctx.get(tx.dut.output.valid)

    tx.check(testbench)
    assert [(frame.start, frame.end, frame.flags) for frame in tx.frames] == [
        (0, 90, 0), (90, 100, GAP | MARK), (100, 256, GAP), (256, 512, GAP), (512, 700, GAP)]
    assert all((frame.ack, frame.session, frame.round) == (0x9A5, 11, 2) for frame in tx.frames)
    assert b"".join(frame.payload for frame in tx.frames) == bytes(data)


def test_it_goes_back_when_asked_and_answers_without_payload():
    tx = Sender(list(range(100)))

    async def testbench(ctx):
        dut = tx.dut
        ctx.set(dut.wr, 100)
        await tx.line(ctx, 1)
        for ack, resend in ((30, 0), (40, 1)):
            ctx.set(dut.ack, ack)
            ctx.set(dut.acked, 1)
            ctx.set(dut.resend, resend)
            await ctx.tick()
            ctx.set(dut.acked, 0)
            ctx.set(dut.resend, 0)
            await ctx.tick().repeat(100)
            assert ctx.get(dut.base) == ack and ctx.get(dut.output.valid) == resend
        await tx.line(ctx, 2)
        ctx.set(dut.answer, 1)
        await ctx.tick().until(dut.answered)
        ctx.set(dut.answer, 0)
        await tx.line(ctx, 3)

    tx.check(testbench)
    assert [(frame.start, frame.end) for frame in tx.frames] == [(0, 100), (40, 100), (100, 100)]
    assert tx.frames[1].payload == bytes(range(40, 100))


def test_what_it_tells_does_not_change_in_mid_frame():
    """A trailer takes bytes of time; half of it from before, half from after, would be a lie."""
    tx = Sender([0])

    async def testbench(ctx):
        ctx.set(tx.dut.answer, 1)
        await tx.line(ctx, 25)

    async def changing(ctx):
        value = 0
        async for _ in ctx.tick():
            value ^= 0xFFF
            ctx.set(tx.dut.expected, value)
            ctx.set(tx.dut.session, value & 15)

    run(tx.dut, testbench, processes=[changing])
    assert {(frame.ack, frame.session) for frame in tx.frames} <= {(0, 0), (0xFFF, 15)}


def test_the_identity_is_of_the_configuration_but_not_of_its_bus():
    tiny = PRESETS["tiny"]
    found = {identity(cfg) for cfg in (tiny, PRESETS["default"], tiny.with_(tokens=4))}
    assert len(found) == 3 and identity(tiny.with_(bus="axi")) == identity(tiny)
