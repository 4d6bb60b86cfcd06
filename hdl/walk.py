"""Walk: the tiles of a run's tokens, one after another, as their tokens become ready."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import run_layout, token_layout, visit_layout
from spinteger.config import Config


class Walk(wiring.Component):
    """Token by token, tile by tile: the order in which sums leave. Two of these walk a run, one
    for the spikes and one for the integers, each at its own pace.

    A token that is not ready is waited for; if its buffer turned bad instead, the run is
    abandoned with one visit marked `drop`. One visit every third cycle; the next token's table
    entry is fetched meanwhile (3 cycles).
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "run": In(stream.Signature(run_layout(cfg))),    #: the next run; taken after its end
            "slot": In(1),                       #: ... its place among the two in flight
            "ready": In(data.ArrayLayout(cfg.token_bits + 1, 2)),    #: tokens ready per buffer
            "bad": In(2),                        #: no more will be
            "ask": Out(data.StructLayout({"en": 1, "buf": 1, "token": cfg.token_bits})),
            "entry": In(token_layout(cfg)),      #: table entry asked for, one cycle later
            "visit": Out(stream.Signature(visit_layout(cfg))),    #: the tiles
            "waits": Out(1),                     #: for a token to become ready, a cycle ago
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        run, visit = self.run.payload, self.visit.payload

        # Fetch: the token after the one being visited. Whether it has come is found out in one
        # cycle and acted upon in the next.
        token = Signal(cfg.token_bits)        # next to ask for
        token_end = Signal()                  # ... the run's last
        looks = Signal()                      # nothing is known of it yet
        comes = Signal()                      # it is ready by now
        here, gone = Signal(), Signal()       # it is ready; it will not come
        asked = Signal()                      # its entry is at `entry`
        failed = Signal()                     # ... or it will not come
        over = Signal()                       # none is left of this run
        taken = Signal()
        m.d.comb += [
            looks.eq(self.run.valid & ~asked & ~over & ~here & ~gone),
            comes.eq(token < self.ready[run.buf]),
            self.ask.buf.eq(run.buf), self.ask.token.eq(token), self.ask.en.eq(here),
        ]
        m.d.sync += [
            here.eq(looks & comes),
            gone.eq(looks & ~comes & self.bad.bit_select(run.buf, 1)),
            token_end.eq(token == run.token_last),
        ]
        with m.If(here | gone):
            m.d.sync += [asked.eq(1), failed.eq(gone)]
        with m.If(taken):
            m.d.sync += [asked.eq(0), token.eq(token + 1), over.eq(token_end | failed)]

        # Visit: once a tile has gone the next one is worked out in a cycle, and whether that is the
        # last in another.
        went = Signal()
        fresh = Signal()                      # a tile to be offered in the next cycle
        tile_end = Signal()
        tile = Signal(cfg.tile_bits)
        base = Signal(cfg.addr_bits)
        current = Signal(token_layout(cfg))
        drop = Signal()
        open_ = Signal()                      # a token is being visited
        m.d.comb += [
            taken.eq(asked & Mux(open_, went & tile_end, 1)),
            self.run.ready.eq(over & went & tile_end),
            visit.token.eq(current), visit.base.eq(base),
            visit.fire.tile.eq(tile), visit.fire.run.eq(self.slot), visit.fire.drop.eq(drop),
            visit.fire.last.eq(tile_end), visit.fire.end.eq(tile_end & over),
        ]
        if cfg.shift_bits:
            m.d.comb += visit.fire.shift.eq(current.shift)
        m.d.sync += [went.eq(self.visit.valid & self.visit.ready), fresh.eq(0),
                     tile_end.eq((tile == run.tile_last) | drop),
                     self.waits.eq(looks & ~open_ & ~comes)]
        with m.If(went):
            m.d.sync += [tile.eq(tile + 1), base.eq(base + run.stride), open_.eq(~tile_end),
                         fresh.eq(~tile_end)]
        with m.If(taken):
            m.d.sync += [fresh.eq(1), open_.eq(1), tile.eq(0), base.eq(run.base),
                         drop.eq(failed), current.eq(self.entry)]
        with m.If(taken & failed):       # outermost, so that it is the registers' own reset
            m.d.sync += current.eq(0)
        with m.If(fresh):
            m.d.sync += self.visit.valid.eq(1)
        with m.Elif(self.visit.ready):
            m.d.sync += self.visit.valid.eq(0)
        with m.If(self.run.ready):
            m.d.sync += [over.eq(0), token.eq(0)]
        return m
