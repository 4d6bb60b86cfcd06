"""Staircase emitter: fires a tile's columns by staircase, or sends them on raw."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.fire_staircase import StaircaseFire
from hdl.gather import can_chain
from hdl.gather_words import GatherWords
from hdl.payloads import (
    OutKind,
    act_layout,
    out_layout,
    settings_layout,
    sum_layout,
    tile_layout,
)
from hdl.select import setting
from spinteger.config import Config


class StaircaseEmitter(wiring.Component):
    """Sums in, output words out; what `Emitter` is to a queue of fired columns.

    One tile at a time: a raw one is C RAW words and END, a kept one has no columns here, a
    fired one goes to `StaircaseFire`. Words go to the host, to the chained buffer (`GatherWords`),
    or to both, each at its own pace.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of runs 0 and 1
            "tile": In(stream.Signature(tile_layout(cfg))),     #: the oldest tile
            "entry": In(stream.Signature(sum_layout(cfg))),     #: its columns, in order
            "stored": In(1),          #: all sums of one more kept run are
            "done": Out(1),           #: a tile was taken
            "out": Out(stream.Signature(out_layout(cfg))),      #: words to the host
            "act": Out(stream.Signature(act_layout(cfg))),      #: rows of codes to a buffer
            "run_done": Out(1),       #: a run's last word is taken
            "run_dropped": Out(1),    #: ... it was abandoned
            "run": Out(1),            #: ... run 0 or 1
            "empty": Out(1),          #: no tile is being fired
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.fire = fire = StaircaseFire(cfg)
        tile, entry, v = self.tile.payload, self.entry.payload, self.entry.payload.v
        kept = ~setting(self.settings, tile.run, "acc_last")
        raw = setting(self.settings, tile.run, "raw") & ~kept
        word = Signal(out_layout(cfg))
        valid, taken = Signal(), Signal()
        column = Signal(cfg.col_bits)
        at_end, raw_end, firing, stored = Signal(), Signal(), Signal(), Signal(2)
        here = self.tile.valid & ~firing        # a tile that brings its own words, if any
        ends = Signal()                         # ... its END has its turn
        m.d.comb += [
            at_end.eq(column == cfg.cols - 1), self.empty.eq(~firing),
            self.done.eq(self.tile.valid & self.tile.ready),
            fire.settings.eq(self.settings), self.run.eq(Mux(firing, fire.run, tile.run)),
            fire.neuron.payload.mag.eq(abs(v)), fire.neuron.payload.neg.eq(v < 0),
            fire.neuron.payload.theta.eq(entry.theta), fire.neuron.payload.last.eq(tile.last),
            fire.neuron.payload.end.eq(tile.end & at_end), fire.neuron.payload.run.eq(tile.run),
            ends.eq(raw_end | Mux(kept, tile.end & (stored != 0), tile.drop)),
        ]
        stores = here & ends & kept & taken
        with m.If(self.stored != stores):
            m.d.sync += stored.eq(stored + Mux(self.stored, 1, -1))
        with m.If(firing):
            m.d.comb += [word.eq(fire.out.payload), valid.eq(fire.out.valid),
                         fire.out.ready.eq(taken)]
            with m.If(taken & valid & (word.kind == OutKind.END)):
                m.d.sync += firing.eq(0)
        with m.Elif(here & ends):
            m.d.comb += [
                valid.eq(1), word.kind.eq(OutKind.END), word.last.eq(tile.last),
                word.run_end.eq(tile.end), self.tile.ready.eq(taken),
            ]
            with m.If(taken):
                m.d.sync += raw_end.eq(0)
        with m.Elif(here & raw):
            m.d.comb += [valid.eq(self.entry.valid), word.kind.eq(OutKind.RAW),
                         word.column.eq(column), word.data.eq(v), self.entry.ready.eq(taken)]
            with m.If(valid & taken & at_end):
                m.d.sync += raw_end.eq(1)
        with m.Elif(here & kept):
            m.d.comb += self.tile.ready.eq(~tile.end)
        with m.Elif(here):
            m.d.comb += [fire.neuron.valid.eq(self.entry.valid),
                         self.entry.ready.eq(fire.neuron.ready),
                         self.tile.ready.eq(self.entry.valid & fire.neuron.ready & at_end)]
            m.d.sync += firing.eq(self.tile.ready)
        with m.If(self.entry.valid & self.entry.ready):
            m.d.sync += column.eq(Mux(at_end, 0, column + 1))

        self._deliver(m, word, valid, ~firing & tile.drop, taken)
        m.d.comb += [self.run_done.eq(valid & taken & (word.kind == OutKind.END) & word.run_end),
                     self.run_dropped.eq(self.run_done & ~firing & tile.drop)]
        return m

    def _deliver(self, m, word, valid, drop, taken):
        """Each word to the host, to the chained buffer, or to both, each at its own pace."""
        to_host = setting(self.settings, self.run, "host")
        has = Signal(2)                     # host, chain have the word that waits for the other
        ok = Signal(2)
        m.d.comb += [self.out.payload.eq(word), self.out.valid.eq(valid & to_host & ~has[0]),
                     ok[0].eq(~to_host | has[0] | self.out.ready), taken.eq(ok.all())]
        if not can_chain(self.cfg):
            m.d.comb += ok[1].eq(1)
            return
        to_chain = setting(self.settings, self.run, "chain")
        m.submodules.gather = gather = GatherWords(self.cfg)
        m.d.comb += [
            gather.words.payload.eq(word), gather.words.valid.eq(valid & to_chain & ~has[1]),
            ok[1].eq(~to_chain | has[1] | gather.words.ready), gather.fail.eq(drop),
            gather.buf.eq(setting(self.settings, self.run, "chain_buf")),
            gather.complete.eq(setting(self.settings, self.run, "chain_last")),
        ]
        wiring.connect(m, gather.act, wiring.flipped(self.act))
        with m.If(valid):
            m.d.sync += has.eq(Mux(taken, 0, ok))
