"""UART transmitter: 8 data bits, no parity, 1 stop bit."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class UartTx(wiring.Component):
    """Bytes to an asynchronous line, `divisor` clock cycles per bit; 10 bits per byte, no gaps."""

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__({
            "input": In(stream.Signature(8)),    #: bytes
            "tx": Out(1, init=1),                #: the pin, idle high
        })

    def elaborate(self, platform):
        m = Module()
        wait = Signal(range(self.divisor), init=self.divisor - 1)    # cycles left of the bit
        busy = Signal()                         # there is a bit on the line
        bits = Signal(9)                        # to come: a stop bit, always 1, is the highest
        last = Signal()
        step = Signal()
        m.d.comb += [last.eq(bits == 0), step.eq(~busy | (wait == 0)),
                     self.input.ready.eq(step & last)]
        m.d.sync += wait.eq(wait - 1)
        with m.If(step):
            m.d.sync += [
                wait.eq(self.divisor - 1), busy.eq(self.input.valid | ~last),
                self.tx.eq(Mux(last, ~self.input.valid, bits[0])),
                bits.eq(Mux(last, Cat(self.input.payload, 1) & self.input.valid.replicate(9),
                            bits[1:])),
            ]
        return m
