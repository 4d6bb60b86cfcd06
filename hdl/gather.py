"""Gather: rows of an activation buffer from the codes of chained runs."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import act_layout, chained_layout, code_layout
from spinteger.config import Config


def can_chain(cfg: Config) -> bool:
    """Whether fired codes can become inputs: rows of G codes must be countable in tiles of C."""
    return cfg.cols % cfg.groups == 0 or cfg.groups & (cfg.groups - 1) == 0


class Gather(wiring.Component):
    """Codes one by one, in column order, into `act` words of G.

    Where C is no multiple of G, a row is kept from tile to tile, and from run to run until a code
    is a token's `last`; then silent codes fill it up, one per cycle. A `fail` says so in one `act`
    word, and what was kept is forgotten.

    A code per cycle, a row one cycle after its last code.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "chained": In(stream.Signature(chained_layout(cfg))),    #: codes in order
            "act": Out(stream.Signature(act_layout(cfg))),           #: rows of codes
            "idle": Out(1),                                          #: nothing is on its way out
        })

    def elaborate(self, platform):
        m = Module()
        cfg, groups = self.cfg, self.cfg.groups
        chained, act = self.chained.payload, self.act.payload
        size = code_layout(cfg).size
        row = Signal(groups * size, reset_less=True)        # the newest on top
        place = Signal(range(groups))                       # codes in it
        filling, fill_buf = Signal(), Signal()              # ... with silent ones
        take, closes = Signal(), Signal()                   # the row with this code leaves
        # A row waits for the one before to be gone; only rows of one code look at once.
        free = ~self.act.valid | (self.act.ready if groups == 1 else 0)
        at_end = place == groups - 1
        m.d.comb += [
            self.chained.ready.eq(~filling & (free | ~(at_end | chained.fail))),
            take.eq(Mux(filling, free | ~at_end, self.chained.valid & self.chained.ready)),
            closes.eq(take & (at_end | (~filling & chained.fail))),
            self.idle.eq(~self.act.valid & ~filling),
        ]
        code = Mux(filling, 0, Value.cast(chained.code))
        row_now = Cat(row, code)[size:]
        with m.If(self.act.ready):
            m.d.sync += self.act.valid.eq(0)
        with m.If(take):
            m.d.sync += [row.eq(row_now), place.eq(Mux(closes, 0, place + 1))]
            if cfg.cols % groups:
                with m.If(~filling):
                    m.d.sync += [filling.eq(chained.last & ~closes), fill_buf.eq(chained.buf)]
        with m.If(closes):
            m.d.sync += [
                self.act.valid.eq(1), Value.cast(act.code).eq(row_now), act.last.eq(
                    filling | chained.last), act.fail.eq(~filling & chained.fail),
                act.buf.eq(Mux(filling, fill_buf, chained.buf)), filling.eq(0),
            ]
        return m
