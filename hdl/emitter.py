"""Emitter: sends a tile's columns on, to the host as words, to a buffer as codes."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.gather import Gather, can_chain
from hdl.payloads import (
    OutKind,
    act_layout,
    entry_layout,
    fired_layout,
    out_layout,
    settings_layout,
    tile_layout,
)
from hdl.select import setting
from hdl.stages import Stages
from spinteger.config import Config


class Emitter(wiring.Component):
    """Columns of raw, kept and fired tiles in, output words out; the codes of chained ones too.

    Columns of a raw tile, and salient ones of a fired tile, leave at once. Spikes wait until the
    tile is complete and leave as one SPIKE word per time step that has any: the mask of columns
    that fire in it, earliest step (largest level) first. END follows. The next tile's columns are
    taken meanwhile, up to its first word. A kept tile has no columns here and brings no word, but
    its run's end has its turn, when its sums are `stored`.

    One column and one word per cycle. A tile takes as many cycles as it has columns, one more for
    END if it is raw, or two more than its SPIKE words if those are more.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of runs 0 and 1
            "tile": In(stream.Signature(tile_layout(cfg))),      #: the oldest tile
            "entry": In(stream.Signature(entry_layout(cfg))),    #: its columns, in order
            "stored": In(1),          #: all sums of one more kept run are
            "done": Out(1),           #: the oldest tile of those taken has left
            "out": Out(stream.Signature(out_layout(cfg))),       #: words to the host
            "act": Out(stream.Signature(act_layout(cfg))),       #: rows of codes to a buffer
            "run_done": Out(1),       #: a run's last word is taken
            "run_dropped": Out(1),    #: ... it was abandoned
            "run": Out(1),            #: ... run 0 or 1
            "empty": Out(1),          #: no word is inside
        })

    def elaborate(self, platform):
        m = Module()
        cfg, stages = self.cfg, Stages(m)
        entry = self.entry.payload
        fired = data.View(fired_layout(cfg), entry.data[:fired_layout(cfg).size])
        m.submodules.gather = gather = Gather(cfg)
        wiring.connect(m, gather.act, wiring.flipped(self.act))
        free = Signal()                         # the word register can be written
        emitting, waits = Signal(), Signal()    # a tile's spikes leave; its END waits for codes
        behind = Signal()                       # another run has not ended
        take, done = Signal(), Signal()         # a column, the tile
        column, at_end, raw_end = Signal(cfg.col_bits), Signal(init=cfg.cols == 1), Signal()
        tile = self._next_tile(m, take & at_end, done)
        idle = stages.later("idle", gather.idle)        # as of a cycle ago

        # Columns.
        words_ok = ~emitting & free             # words of this tile can leave
        offered, brings, codes_ok = Signal(), Signal(), Signal()
        m.d.comb += [
            brings.eq(tile.raw | (tile.shown & entry.salient)),
            codes_ok.eq(~tile.chain | (gather.chained.ready & ~behind)),
            offered.eq(tile.columns & self.entry.valid & ~((brings | at_end) & ~words_ok)),
            take.eq(offered & codes_ok), self.entry.ready.eq(take),
        ]
        with m.If(take):
            m.d.sync += [column.eq(Mux(at_end, 0, column + 1)), raw_end.eq(at_end & tile.raw)]
            if cfg.cols > 1:
                m.d.sync += at_end.eq(column == cfg.cols - 2)

        # Ends of tiles: raw ones, those without columns here.
        failed, fails, stored = Signal(), Signal(), Signal(2)
        ends, end_now = Signal(), Signal()
        settled = stages.later("settled", failed, reset=True)
        due = Mux(tile.kept, tile.end & (stored != 0),
                  tile.drop & (~tile.chain | (settled & idle)))
        m.d.comb += [
            end_now.eq(words_ok & (raw_end | ends)),
            done.eq(end_now | (take & at_end & ~tile.raw) | (tile.kept & ~tile.end)),
            fails.eq(tile.drop & tile.chain & ~failed & ~behind),
        ]
        m.d.sync += ends.eq(due & ~end_now)
        stores = end_now & tile.kept
        with m.If(self.stored != stores):
            m.d.sync += stored.eq(stored + Mux(self.stored, 1, -1))
        with m.If(end_now):
            m.d.sync += [raw_end.eq(0), failed.eq(0)]
        with m.If(fails & gather.chained.ready):
            m.d.sync += failed.eq(1)

        codes = gather.chained.payload
        m.d.comb += [
            gather.chained.valid.eq((offered & tile.chain & ~behind) | fails),
            codes.code.eq(fired.code), codes.fail.eq(tile.drop), codes.buf.eq(tile.chain_buf),
            codes.last.eq(tile.drop | (tile.completes & at_end)),
        ]

        spikes, spikes_end, masks = self._spikes(m, tile, take, at_end, free, emitting)
        m.d.comb += spikes_end.eq(~spikes.has & (spikes.rest == 0) & (
            ~waits | (stages.later("waited", waits, reset=True) & idle)))
        with m.If(take & at_end):
            m.d.sync += waits.eq(tile.chain & tile.end)
        with m.Elif(emitting & spikes_end & free):
            m.d.sync += waits.eq(0)

        # The word register. What a word has no use for is zero.
        word, full, shown = Signal(out_layout(cfg)), Signal(), Signal()
        dropped, leaves = Signal(), Signal()
        is_end = Mux(emitting, ~spikes.has, raw_end | tile.drop | tile.kept)
        m.d.comb += [
            self.out.payload.eq(word), self.out.valid.eq(full & shown),
            leaves.eq(full & (~shown | self.out.ready)), free.eq(~full | ~shown | self.out.ready),
            behind.eq((emitting & spikes.end) | (full & word.run_end)),
            self.run_done.eq(leaves & (word.kind == OutKind.END) & word.run_end),
            self.run_dropped.eq(self.run_done & dropped), self.empty.eq(~full & ~emitting),
        ]
        with m.If(free):
            m.d.sync += [
                full.eq(Mux(emitting, spikes.has | spikes_end,
                            end_now | (take & brings))),
                shown.eq(Mux(emitting, spikes.host, tile.host)), dropped.eq(~emitting & tile.drop),
                self.run.eq(Mux(emitting, spikes.run, tile.run)),
                word.kind.eq(Mux(is_end, OutKind.END, Mux(emitting, OutKind.SPIKE, Mux(
                    tile.raw, OutKind.RAW, OutKind.SALIENT)))),
                word.last.eq(is_end & Mux(emitting, spikes.last, tile.last)),
                word.run_end.eq(is_end & Mux(emitting, spikes.end, tile.end)),
                word.data.eq(Mux(emitting, masks, entry.data.as_signed())),
                word.column.eq(column), word.step.eq(~spikes.now),
            ]
            with m.If(is_end):
                m.d.sync += word.data.eq(0)
            with m.If(is_end | emitting):
                m.d.sync += word.column.eq(0)
            with m.If(is_end | ~emitting):
                m.d.sync += word.step.eq(0)
        return m

    def _next_tile(self, m, last_column, done):
        """The oldest tile, with what its run's settings say of it. All zero: there is none."""
        cfg, waiting = self.cfg, self.tile.payload
        tile = Signal(data.StructLayout({
            "run": 1, "last": 1, "end": 1, "drop": 1, "chain_buf": 1, "host": 1,
            "columns": 1, "raw": 1, "kept": 1, "fires": 1,
            "shown": 1,                         # it fires, and its words go to the host
            "chain": 1,                         # it fires, or fails, into a buffer
            "completes": 1}))                   # ... and completes a token there
        settings = {name: setting(self.settings, waiting.run, name) for name in
                    ("raw", "acc_last", "host", "chain", "chain_buf", "chain_last")}
        here, kept = self.tile.valid & ~waiting.drop, ~settings["acc_last"]
        fires = here & ~kept & ~settings["raw"]
        chain = settings["chain"] if can_chain(cfg) else Const(0, 1)
        held = Signal()
        m.d.comb += self.tile.ready.eq(~held | done)
        with m.If(self.tile.ready):
            m.d.sync += [held.eq(self.tile.valid), tile.host.eq(settings["host"])]
            m.d.sync += [tile[name].eq(waiting[name]) for name in ("run", "last", "end")]
            m.d.sync += [
                tile.drop.eq(self.tile.valid & waiting.drop), tile.columns.eq(here & ~kept),
                tile.raw.eq(here & ~kept & settings["raw"]), tile.kept.eq(self.tile.valid & kept),
                tile.fires.eq(fires), tile.shown.eq(fires & settings["host"]),
                tile.chain.eq(chain & (fires | (self.tile.valid & waiting.drop))),
                tile.completes.eq(settings["chain_last"] & waiting.last),
                tile.chain_buf.eq(settings["chain_buf"]),
            ]
        with m.Elif(last_column):               # END is still to come
            m.d.sync += tile.columns.eq(0)
        m.d.sync += self.done.eq(held & done)
        return tile

    def _spikes(self, m, tile, take, at_end, free, emitting):
        """Collect a tile's spikes; go through those of the one before: what is next, whether END
        is (set by the caller), and the masks of firing columns and of negative ones."""
        cfg = self.cfg
        entry = self.entry.payload
        fired = data.View(fired_layout(cfg), entry.data[:fired_layout(cfg).size])
        bits = cfg.level_bits
        levels = Signal(cfg.cols * bits, reset_less=True)       # the newest on top
        negs = Signal(cfg.cols, reset_less=True)
        seen = Signal(cfg.window)                               # levels that occur
        levels_now, negs_now = Cat(levels, fired.level)[bits:], Cat(negs, fired.neg)[1:]
        seen_now = seen | Cat(fired.level == level for level in range(1, cfg.window + 1))
        with m.If(take):
            m.d.sync += [levels.eq(levels_now), negs.eq(negs_now),
                         seen.eq(Mux(at_end, 0, seen_now))]

        spikes = Signal(data.StructLayout({
            "now": bits,                        # the level of the next word
            "has": 1,                           # ... there is one
            "rest": cfg.window,                 # levels below
            "host": 1, "run": 1, "last": 1, "end": 1}))
        emit_levels = Signal(cfg.cols * bits, reset_less=True)
        emit_negs = Signal(cfg.cols, reset_less=True)
        ends = Signal()
        with m.If(emitting & (~spikes.has | free)):
            m.d.sync += spikes.has.eq(spikes.rest.any())
            for index in range(cfg.window):     # the last match, the highest level, wins
                with m.If(spikes.rest[index]):
                    m.d.sync += [spikes.now.eq(index + 1),
                                 spikes.rest.eq(spikes.rest[:index])]
            with m.If(ends & free):
                m.d.sync += emitting.eq(0)
        with m.If(take & at_end):
            m.d.sync += [
                emitting.eq(tile.fires), spikes.has.eq(0),
                spikes.rest.eq(Mux(tile.host, seen_now, 0)), spikes.host.eq(tile.host),
                spikes.run.eq(tile.run), spikes.last.eq(tile.last), spikes.end.eq(tile.end),
                emit_levels.eq(levels_now), emit_negs.eq(negs_now),
            ]
        masks = Cat(emit_levels.word_select(n, bits) == spikes.now for n in range(cfg.cols))
        return spikes, ends, Cat(masks, masks & emit_negs)
