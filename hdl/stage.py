"""Stage: a register between two streams that cuts the ways of words and of `ready` alike."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Stage(wiring.Component):
    """Latency 1 cycle, one word per cycle; `input.ready` is a register.

    A word that comes while the output is blocked waits in a second register.
    """

    def __init__(self, shape):
        super().__init__({
            "input": In(stream.Signature(shape)),      #: words
            "output": Out(stream.Signature(shape)),    #: the same words
        })

    def elaborate(self, platform):
        m = Module()
        kept = Signal(self.input.payload.shape())
        empty = Signal(init=1)           # no word waits there
        free = Signal()
        m.d.comb += [self.input.ready.eq(empty), free.eq(~self.output.valid | self.output.ready)]
        with m.If(free):
            m.d.sync += [self.output.valid.eq(~empty | self.input.valid), empty.eq(1),
                         Value.cast(self.output.payload).eq(
                             Mux(empty, Value.cast(self.input.payload), Value.cast(kept)))]
        with m.Elif(self.input.valid):
            m.d.sync += empty.eq(0)
        with m.If(empty):
            m.d.sync += kept.eq(self.input.payload)
        return m
