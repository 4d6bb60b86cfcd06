"""Act arbiter: lets tokens from the loader and tokens from the IF bank into the one encoder."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import act_layout
from spinteger.config import Config


class ActArbiter(wiring.Component):
    """Whole tokens at a time; the chain goes first, since columns wait behind it. Adds no cycle."""

    def __init__(self, cfg: Config):
        super().__init__({
            "load": In(stream.Signature(act_layout(cfg))),     #: from the host
            "chain": In(stream.Signature(act_layout(cfg))),    #: from the IF bank
            "act": Out(stream.Signature(act_layout(cfg))),     #: to the encoder
        })

    def elaborate(self, platform):
        m = Module()
        inside = Signal()                # a token is half delivered
        kept = Signal()                  # ... from the chain
        chain = Signal()
        act = self.act
        m.d.comb += [
            chain.eq(Mux(inside, kept, self.chain.valid)),
            act.valid.eq(Mux(chain, self.chain.valid, self.load.valid)),
            act.payload.eq(Mux(chain, self.chain.payload.as_value(),
                               self.load.payload.as_value())),
            self.chain.ready.eq(act.ready & chain), self.load.ready.eq(act.ready & ~chain),
        ]
        # A word that waits keeps its place, or a stream would change its mind.
        with m.If(act.valid):
            m.d.sync += [inside.eq(~(act.ready & act.payload.last)), kept.eq(chain)]
        return m
