"""Walk: the tiles of a run's tokens, one after another, as their tokens become ready."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import run_layout, token_layout, visit_layout
from spinteger.config import Config


class Walk(wiring.Component):
    """Token by token, tile by tile: the order in which sums leave. Two of these walk a run, one
    for the spikes and one for the integers, each at its own pace.

    A token that is not ready is waited for; if its buffer turned bad instead, the run is
    abandoned with one visit marked `drop`. One visit per cycle within a token; the next token's
    table entry is fetched meanwhile (2 cycles).
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "run": In(stream.Signature(run_layout(cfg))),    #: the next run; taken at its end
            "slot": In(1),                       #: ... its place among the two in flight
            "ready": In(data.ArrayLayout(cfg.token_bits + 1, 2)),    #: tokens ready per buffer
            "bad": In(2),                        #: no more will be
            "ask": Out(data.StructLayout({"en": 1, "buf": 1, "token": cfg.token_bits})),
            "entry": In(token_layout(cfg)),      #: table entry asked for, one cycle later
            "visit": Out(stream.Signature(visit_layout(cfg))),    #: the tiles
            "waits": Out(1),                     #: for a token to become ready
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        run, visit = self.run.payload, self.visit.payload

        # Fetch: the token after the one being visited.
        token = Signal(cfg.token_bits)        # next to ask for
        token_end = Signal()
        asked = Signal()                      # its entry is at `entry`
        failed = Signal()                     # ... or it will not come
        over = Signal()                       # none is left of this run
        taken = Signal()
        here = Signal()
        m.d.comb += [
            here.eq(token < self.ready[run.buf]),
            self.ask.buf.eq(run.buf), self.ask.token.eq(token),
            self.ask.en.eq(self.run.valid & ~asked & ~over & here),
            token_end.eq(token == run.token_last),
        ]
        lost = Signal()
        m.d.comb += lost.eq(self.run.valid & ~asked & ~over & ~here
                            & self.bad.bit_select(run.buf, 1))
        with m.If(self.ask.en | lost):
            m.d.sync += [asked.eq(1), failed.eq(lost)]
        with m.If(taken):
            m.d.sync += [asked.eq(0), token.eq(token + 1), over.eq(token_end | failed)]

        # Visit.
        tile_end = Signal()
        tile = Signal(cfg.tile_bits)
        base = Signal(cfg.addr_bits)
        current = Signal(token_layout(cfg))
        drop = Signal()
        m.d.comb += [
            tile_end.eq((tile == run.tile_last) | drop),
            taken.eq(asked & (~self.visit.valid | (self.visit.ready & tile_end))),
            self.run.ready.eq(over & self.visit.valid & self.visit.ready & tile_end),
            visit.token.eq(current), visit.base.eq(base),
            visit.fire.tile.eq(tile), visit.fire.run.eq(self.slot), visit.fire.drop.eq(drop),
            visit.fire.last.eq(tile_end), visit.fire.end.eq(tile_end & over),
            self.waits.eq(self.run.valid & ~asked & ~over & ~here & ~self.visit.valid),
        ]
        if cfg.shift_bits:
            m.d.comb += visit.fire.shift.eq(current.shift)
        with m.If(self.visit.valid & self.visit.ready):
            m.d.sync += [tile.eq(tile + 1), base.eq(base + run.stride)]
            with m.If(tile_end):
                m.d.sync += self.visit.valid.eq(0)
        with m.If(taken):
            m.d.sync += [self.visit.valid.eq(1), tile.eq(0), base.eq(run.base), drop.eq(failed)]
            with m.If(failed):
                m.d.sync += current.eq(0)
            with m.Else():
                m.d.sync += current.eq(self.entry)
        with m.If(self.run.ready):
            m.d.sync += [over.eq(0), token.eq(0)]
        return m
