"""Frames from the host: checked, and their payload into the host's ring."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.link_crc import LinkCrc
from hdl.link_format import (
    CRC_BITS,
    CRC_GOOD,
    ESCAPE,
    FLAG,
    FLIP,
    OFFSET_BITS,
    PIECE_BITS,
    RING_BITS,
    SESSION_BITS,
    trailer_layout,
)
from hdl.select import pick

#: Bytes behind the payload: trailer and CRC.
_TAIL = (trailer_layout().size + CRC_BITS) // 8


class LinkRx(wiring.Component):
    """Takes a frame for good when its CRC, session and offset are right and there was room.

    The line's bytes pass, bit by bit, through the CRC and a delay of trailer and CRC; what comes
    out of the delay is payload and goes to the ring at once. It counts (`commit`) only when the
    flag finds the tail good; else the next frame overwrites it. Every frame is answered.

    Bytes may come every 12 cycles; `data` must hold for 10. A frame counts 2 cycles after its flag.
    """

    def __init__(self):
        super().__init__({
            "data": In(8),                 #: a byte of the line
            "valid": In(1),                #: ... came
            "put": Out(1),                 #: write the ring
            "wdata": Out(8),               #: ... this byte
            "wr": Out(OFFSET_BITS),        #: ... here
            "rd": In(RING_BITS),           #: the ring is read from here
            "commit": Out(OFFSET_BITS),    #: ... to here
            "base": In(OFFSET_BITS),       #: the host has all our bytes before this
            "ack": Out(OFFSET_BITS),       #: ... or before this, if `acked`
            "acked": Out(1),               #: the host said so
            "resend": Out(1),              #: ... and that it wants those after that again
            "restart": Out(1),             #: the host starts anew: reset everything
            "session": Out(SESSION_BITS),  #: the host's; 0 until it has started
            "round": Out(2),               #: of the host's last good frame
            "gap": Out(1),                 #: something is missing since `commit`
            "answer": Out(1),              #: the host waits for a frame
            "answered": In(1),             #: ... it is on its way
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = LinkCrc()

        # Flags end a frame; other bytes, unescaped, pass in eight cycles.
        ended = Signal()
        escaped = Signal()
        running = Signal()
        step = Signal(3)
        bit = Signal()
        m.d.comb += bit.eq(pick(self.data, step)
                           ^ (escaped & (step == FLIP.bit_length() - 1)))
        m.d.sync += [ended.eq(self.valid & (self.data == FLAG)), step.eq(step + running)]
        with m.If(self.valid & (self.data != FLAG)):
            m.d.sync += [running.eq(self.data != ESCAPE), escaped.eq(escaped
                                                                     | (self.data == ESCAPE))]
        with m.Elif(ended | (step == 7)):
            m.d.sync += [running.eq(0), escaped.eq(0)]

        # The delay: trailer and CRC are in it when the flag comes.
        line = Signal(8 * _TAIL)
        there = Signal(_TAIL)                   # bytes of this frame in the delay
        with m.If(running):
            m.d.sync += line.eq(Cat(line[1:], bit))
        with m.If(ended):
            m.d.sync += there.eq(0)
        with m.Elif(step == 7):
            m.d.sync += there.eq(Cat(Const(1, 1), there))
        m.d.comb += [crc.shift.eq(running), crc.bit.eq(bit), crc.clear.eq(ended),
                     crc.drain.eq(0)]

        # Payload that leaves the delay, to the ring. A byte that finds no room is not counted, so
        # its frame will not end where it should.
        full = Signal()
        place, piece = self.wr[:RING_BITS], slice(PIECE_BITS, RING_BITS)
        m.d.sync += full.eq((place[piece] + 1)[:RING_BITS - PIECE_BITS] == self.rd[piece])
        m.d.comb += [self.put.eq(running & (step == 0) & there[-1]), self.wdata.eq(line[:8])]

        # What the tail says. It rests while the flag passes, so each test has its own cycle.
        tail = Signal(trailer_layout())
        m.d.comb += [Cat(tail.as_value()).eq(line), self.ack.eq(tail.ack)]
        right = Signal()
        mine = Signal()
        placed = Signal()
        onward = Signal()
        m.d.sync += [right.eq((crc.value == CRC_GOOD) & there[-1]),
                     mine.eq(tail.session == self.session), placed.eq(self.wr == tail.end),
                     onward.eq(~(tail.ack[PIECE_BITS:] - self.base[PIECE_BITS:])[
                         OFFSET_BITS - PIECE_BITS - 1])]
        good = Signal()
        m.d.comb += [
            good.eq(ended & right & mine & ~tail.flags[0]),
            self.restart.eq(ended & right & tail.flags[0]),
            self.acked.eq(good & onward), self.resend.eq(self.acked & tail.flags[1]),
        ]
        taken = Signal()
        back = Signal()             # to `commit`, for the next frame
        m.d.comb += taken.eq(good & placed)
        m.d.sync += back.eq(ended)
        with m.If(back | (self.put & ~full)):
            m.d.sync += self.wr.eq(Mux(back, self.commit, self.wr + 1))
        with m.If(taken):
            m.d.sync += self.commit.eq(self.wr)
        with m.If(self.restart):
            m.d.sync += [self.commit.eq(0), self.session.eq(tail.session)]
        with m.If(self.restart | taken):
            m.d.sync += self.gap.eq(0)
        with m.Elif(ended & there[0]):
            m.d.sync += self.gap.eq(1)
        with m.If(ended & right):
            m.d.sync += self.round.eq(tail.round)
        with m.If(ended & there[0]):
            m.d.sync += self.answer.eq(1)
        with m.Elif(self.answered):
            m.d.sync += self.answer.eq(0)
        return m
