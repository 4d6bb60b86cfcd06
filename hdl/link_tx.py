"""Frames to the host: the board's ring, from the first byte that it lacks, with what we expect."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.link_buffer import ENTRY_BITS
from hdl.link_crc import LinkCrc
from hdl.link_format import (
    FLAG,
    FRAME_BITS,
    OFFSET_BITS,
    RING_BITS,
    SESSION_BITS,
    trailer_layout,
)
from hdl.select import pick

#: Bytes of trailer and CRC.
_TRAILER, _CRC = 4, 4


class LinkTx(wiring.Component):
    """Sends a frame when the ring has bytes that were not sent, or when one is asked for.

    A frame ends with the ring's bytes, at a mark, or at a multiple of 2^FRAME_BITS. Nothing is
    sent again unless the host asks; it is the host that notices a frame missing.

    A byte is made while the one before is on the line: 16 cycles, in which memory follows for 8
    and 8 bits pass through the CRC.
    """

    def __init__(self):
        super().__init__({
            "wr": In(OFFSET_BITS),          #: the ring is filled up to here
            "entry": In(ENTRY_BITS),        #: what it has at `rd`, a few cycles later
            "rd": Out(OFFSET_BITS),         #: the next byte to send
            "base": Out(OFFSET_BITS),       #: the host has all bytes before this
            "ack": In(OFFSET_BITS),         #: ... or before this, if `acked`
            "acked": In(1),                 #: the host said so
            "resend": In(1),                #: ... and wants those after that again
            "expected": In(OFFSET_BITS),    #: what we expect from the host, to be told
            "session": In(SESSION_BITS),    #: ... its session
            "round": In(2),                 #: ... and round
            "gap": In(1),                   #: ... and that something is missing
            "answer": In(1),                #: send a frame, with or without payload
            "answered": Out(1),             #: ... begun
            "output": Out(stream.Signature(8)),    #: bytes for the line
            "some": Out(1),                 #: bytes wait to be sent
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = LinkCrc()
        some = self.some
        full = Signal()             # the frame has reached its last byte
        marked = Signal()           # ... which is a mark
        back = Signal()             # go back before the next frame
        with m.If(self.acked):
            m.d.sync += self.base.eq(self.ack)
        m.d.sync += some.eq(self.rd[:RING_BITS] != self.wr[:RING_BITS])

        trailer = Signal(trailer_layout())      # as of the payload's end: it takes 4 bytes' time
        byte = Signal(8, init=FLAG)
        escaped = Signal()          # the escape before it was sent
        special = Signal()
        raw = Signal()              # it is a flag
        payload = Signal()          # it is from the ring
        tail = Signal(range(_TRAILER + _CRC + 1))    # or this one of trailer and CRC
        step = Signal(4)
        bit = Signal()
        m.d.comb += [
            bit.eq(Mux(payload, pick(self.entry[:8], step[:3]), Mux(
                tail[2], ~crc.value[0], pick(trailer.as_value(), Cat(step[:3], tail[:2]))))),
            crc.bit.eq(bit), crc.drain.eq(~payload & tail[2]),
            # Escape differs from the bytes it announces in the low two bits only.
            special.eq((byte[2:] == FLAG >> 2) & (byte[0] ^ byte[1]) & ~raw & ~escaped),
            self.output.payload.eq(Cat(byte[0] | special, byte[1] & ~special, byte[2:5],
                                       byte[5] ^ escaped, byte[6:])),
        ]
        with m.FSM():
            with m.State("idle"):
                m.d.sync += [byte.eq(FLAG), raw.eq(1), payload.eq(1), tail.eq(0), full.eq(0),
                             marked.eq(0)]
                m.d.comb += crc.clear.eq(1)
                with m.If(back):
                    m.d.sync += [self.rd.eq(self.base), back.eq(0)]
                with m.Elif(some | self.answer):
                    m.d.comb += self.answered.eq(1)
                    m.next = "send"
            with m.State("make"):
                m.d.sync += step.eq(step + 1)
                with m.If((step == 7) & (~some | full)):
                    m.d.sync += payload.eq(0)
                with m.If((step == 7) & payload):
                    m.d.sync += [
                        trailer.end.eq(self.rd), trailer.session.eq(self.session),
                        trailer.ack.eq(self.expected), trailer.flags.eq(Cat(self.gap, marked)),
                        trailer.round.eq(self.round),
                    ]
                with m.If(step[3]):
                    m.d.comb += crc.shift.eq(1)
                    m.d.sync += byte.eq(Cat(byte[1:], bit))
                with m.If(step == 15):
                    m.next = "send"
            with m.State("send"):
                m.d.comb += self.output.valid.eq(1)
                with m.If(self.output.ready):
                    m.d.sync += escaped.eq(special)
                    with m.If(special):
                        m.next = "send"
                    with m.Elif(raw):
                        m.d.sync += raw.eq(0)
                        m.next = "make"
                        with m.If(tail[3]):
                            m.next = "idle"
                    with m.Else():
                        m.next = "make"
                        with m.If(payload):
                            m.d.sync += [
                                self.rd.eq(self.rd + 1), marked.eq(self.entry[8]),
                                full.eq(self.entry[8] | self.rd[:FRAME_BITS].all())]
                        with m.Else():
                            m.d.sync += tail.eq(tail + 1)
                            with m.If(tail == _TRAILER + _CRC - 1):
                                m.d.sync += [byte.eq(FLAG), raw.eq(1)]
                                m.next = "send"
        with m.If(self.resend):
            m.d.sync += back.eq(1)
        return m
