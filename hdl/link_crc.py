"""CRC-32 of a frame, bit by bit."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.link_format import CRC_BITS

#: IEEE 802.3, low bit first.
POLYNOMIAL = 0xEDB88320


class LinkCrc(wiring.Component):
    """The CRC of Ethernet and of Python's `zlib.crc32`, one bit per cycle, low bits first.

    Serial since a byte of the line lasts 80 cycles or more: 15 LUTs, not a hundred. Eight
    `shift`s per byte; with `drain` the register is emptied instead, and ~`value[0]` are the bits to
    send.
    """

    def __init__(self):
        super().__init__({
            "clear": In(1),            #: start a new frame
            "shift": In(1),            #: take a bit
            "bit": In(1),              #: ... this one
            "drain": In(1),            #: ... or none, and lose the lowest of `value`
            "value": Out(CRC_BITS, init=(1 << CRC_BITS) - 1),   #: the register
        })

    def elaborate(self, platform):
        m = Module()
        odd = Signal()
        m.d.comb += odd.eq((self.bit ^ self.value[0]) & ~self.drain)
        with m.If(self.clear):
            m.d.sync += self.value.eq((1 << CRC_BITS) - 1)
        with m.Elif(self.shift):
            m.d.sync += self.value.eq(Cat(self.value[1:], Const(0, 1))
                                      ^ Mux(odd, POLYNOMIAL, 0))
        return m
