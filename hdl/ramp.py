"""Ramp control: when V takes S, when it takes a product, when a tile is complete."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spinteger.config import Config


class RampControl(wiring.Component):
    """The one control of all columns' V (numerics.md, Integration and Firing).

    Each step's final S arrives as a snapshot with dt, the number of time steps it stays
    valid, and is added to V dt times, one add a cycle; products fill the other cycles.
    **Silence threshold**: V leaves the array only when the window is over (the tile's last
    snapshot fully added) and the integer lanes are done (their `last` product added), so no
    neuron can fire on a partial sum.

    A snapshot waits (`stall`) while the one before is still being added, which happens only
    when a step has fewer events than the gap before it; a tile that cannot close because the
    IF bank has not taken the last one stalls everything behind it. Adds no latency.
    """

    def __init__(self, cfg: Config):
        super().__init__({
            "snap": In(1),                #: a step's final S is at the adder of S
            "dt": In(cfg.level_bits),     #: time steps it counts for; 0 if the tile is silent
            "tile_end": In(1),            #: it is the tile's last
            "stall": Out(1),              #: it cannot be taken this cycle: hold the pipeline
            "prod_valid": In(1),          #: products are waiting
            "prod_last": In(1),           #: ... the tile's last
            "prod_ready": Out(1),         #: taken this cycle
            "add_hold": Out(1),           #: V += hold
            "add_prod": Out(1),           #: V += prod
            "close": Out(1),              #: V complete: move it out
            "v_free": In(1),              #: the place V moves to is free
            "waits_ramp": Out(1),         #: the stall is for an earlier snapshot's adds,
            "waits_prod": Out(1),         #: ... for the tile's products,
            "waits_fire": Out(1),         #: ... or for the place V moves to
        })

    def elaborate(self, platform):
        m = Module()
        left = Signal.like(self.dt)       # adds of `hold` still to do
        tail = Signal()                   # `hold` is the tile's last snapshot
        prods_done = Signal()             # the tile's last product is in V
        adds_end = Signal()               # no add of `hold` remains after this cycle

        m.d.comb += [
            self.add_hold.eq(left != 0),
            adds_end.eq(left <= 1),
            self.prod_ready.eq(~self.add_hold & ~prods_done),
            self.add_prod.eq(self.prod_ready & self.prod_valid),
            self.close.eq(tail & adds_end & self.v_free
                          & (prods_done | (self.add_prod & self.prod_last))),
            self.stall.eq(self.snap & ~(adds_end & (~tail | self.close))),
            self.waits_ramp.eq(self.stall & ~adds_end),
            self.waits_fire.eq(self.stall & adds_end & ~self.v_free),
            self.waits_prod.eq(self.stall & adds_end & self.v_free),
        ]
        with m.If(self.add_hold):
            m.d.sync += left.eq(left - 1)
        with m.If(self.add_prod & self.prod_last):
            m.d.sync += prods_done.eq(1)
        with m.If(self.close):
            m.d.sync += [prods_done.eq(0), tail.eq(0)]
        with m.If(self.snap & ~self.stall):
            m.d.sync += [left.eq(self.dt), tail.eq(self.tile_end)]
        return m
