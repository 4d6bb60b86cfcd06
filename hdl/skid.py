"""Skid: a stream stage whose `ready` comes from a register."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Skid(wiring.Component):
    """Keeps a word that came while the output was blocked, so that `ready` has no way through.

    No latency, one word per cycle.
    """

    def __init__(self, shape):
        super().__init__({
            "input": In(stream.Signature(shape)),      #: words
            "output": Out(stream.Signature(shape)),    #: the same words
        })

    def elaborate(self, platform):
        m = Module()
        kept = Signal(self.input.payload.shape())
        full = Signal()
        m.d.comb += [
            self.input.ready.eq(~full), self.output.valid.eq(full | self.input.valid),
            self.output.payload.eq(Mux(full, Value.cast(kept), Value.cast(self.input.payload))),
        ]
        with m.If(self.output.ready):
            m.d.sync += full.eq(0)
        with m.Elif(self.input.valid & ~full):
            m.d.sync += [full.eq(1), kept.eq(self.input.payload)]
        return m
