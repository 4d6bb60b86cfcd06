"""UART receiver: 8 data bits, no parity, 1 stop bit."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out


class UartRx(wiring.Component):
    """Bytes from an asynchronous line, `divisor` clock cycles per bit, each sampled mid-bit.

    `data` holds from `valid` until the next byte's first data bit, at least 1.5 bits later. A
    byte without its stop bit is dropped: the frame it belonged to then fails its check. Two
    flip-flops synchronise the pin. With a divisor of 8 or more, a sender's clock may be off by
    3 % in either direction.
    """

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__({
            "rx": In(1, init=1),   #: the pin, idle high
            "data": Out(8),        #: the byte
            "valid": Out(1),       #: ... came, for one cycle
        })

    def elaborate(self, platform):
        m = Module()
        level = Signal(init=1)
        m.submodules.sync = FFSynchronizer(self.rx, level, init=1)
        cycle = Signal(range(self.divisor))     # of the bit, its edge is at 0
        left = Signal(4, init=9)                # samples after the next: 9 at the start bit
        busy = Signal()
        sample = Signal()
        data = Signal()                         # ... of a data bit
        m.d.comb += [sample.eq(busy & (cycle == self.divisor // 2 - 1)),
                     data.eq(sample & (left != 0) & (left != 9))]
        m.d.sync += [cycle.eq(cycle + 1), self.valid.eq(sample & (left == 0) & level)]
        with m.If(~busy | (cycle == self.divisor - 1)):
            m.d.sync += cycle.eq(0)
        with m.If(sample):
            m.d.sync += left.eq(left - 1)
        with m.If(~busy):
            m.d.sync += [left.eq(9), busy.eq(~level)]
        with m.Elif(sample & ((left == 0) | ((left == 9) & level))):    # done, or a glitch
            m.d.sync += busy.eq(0)
        with m.If(data):
            m.d.sync += self.data.eq(Cat(self.data[1:], level))
        return m
