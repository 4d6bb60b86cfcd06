"""Loader: payload beats of the LOAD operations into the array's streams."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.load_layout import load_layout, map_step, placed
from hdl.packets import beat_layout
from hdl.payloads import SCALE_SHIFT_BITS, act_layout, thr_layout, wgt_layout
from hdl.row_maps import RowMaps
from hdl.stage import Stage
from spinteger.config import Config
from spinteger.isa import Error

#: Bits of a code in a beat: q, then e.
CODE_BITS = 16


class Loader(wiring.Component):
    """Carries out one load after the other, one beat per cycle, and says how it ended.

    Weights come tile by tile, input by input: `wgt_beat_rows` rows per beat or `wgt_row_beats`
    beats per row, or those that bit maps name (`RowMaps`), one at a time. Thresholds and scales
    come one per beat. A token is a beat with its shift, then `act_word_beats` beats per row.
    Words leave 1 cycle after their last beat.

    A load ends with its packet, with the beat that completes its payload, or with a bad beat,
    whichever comes first; it is good if the first two coincide. Of a bad beat nothing is
    stored, but all others before the end are. Bad tokens end with a word that has `fail`; it
    fails the token that they are in, or one of its own. `done` comes once all words were taken, 3
    cycles after the last beat at the earliest.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "load": In(load_layout(cfg)),    #: what; holds from 2 cycles before `start` to `done`
            "start": In(1),                  #: begin
            "empty": In(1),                  #: ... and end: the packet has no payload
            "done": Out(1),                  #: the load has ended
            "error": Out(8),                 #: ... so: NONE, TLAST_EARLY, TLAST_LATE, BAD_KEEP
            "beats": In(stream.Signature(beat_layout(cfg))),    #: the payload
            "wgt": Out(stream.Signature(wgt_layout(cfg))),      #: to the array: weight rows
            "wgt_held": In(1),                                  #: ... which wait on their way
            "thr": Out(stream.Signature(thr_layout(cfg))),      #: ... thresholds and scales
            "act": Out(stream.Signature(act_layout(cfg))),      #: ... tokens
            "rows_loaded": Out(range(cfg.wgt_beat_rows + 1)),   #: weight rows that came ...
            "rows_skipped": Out(range(map_step(cfg) + 1)),      #: ... or were left out, a cycle ago
        })

    def elaborate(self, platform):
        m = Module()
        cfg, load, op, beat = self.cfg, self.load, self.load.op, self.beats.payload
        m.submodules.maps = maps = RowMaps(cfg)
        going = Signal()                 # from `start` to `done`
        taking = Signal()                # there may be beats to come
        ended = Signal()                 # the packet is over
        complete = Signal()              # ... the payload is
        bad = Signal()                   # ... because of a bad beat
        thr = op.thr | op.scale

        # What this beat is: a map, a token's shift, or a part of a word, and whether the last.
        inside = Signal()                # the token's shift was here
        part = Signal(range(max(cfg.wgt_row_beats, cfg.act_word_beats)))
        first = Signal()
        word_end = Signal()
        m.d.comb += [
            first.eq((op.act & ~inside) | (op.wgt & maps.wanted)),
            word_end.eq(thr | (~first & (part == Mux(
                op.wgt, cfg.wgt_row_beats - 1, cfg.act_word_beats - 1)))),
        ]
        m.submodules.stage = stage = Stage(_word_layout(cfg))
        word = stage.input.payload
        take = Signal()                  # a bad beat is taken as any other, but not stored
        wanted = taking & ~maps.empty & stage.input.ready
        m.d.comb += [self.beats.ready.eq(wanted), take.eq(self.beats.valid & wanted)]
        with m.If(take):
            m.d.sync += part.eq(Mux(word_end | first, 0, part + 1))
            with m.If(op.act):
                m.d.sync += inside.eq(1)

        # Where it belongs: row by row, tile by tile or token by token. Which is the last row or
        # unit is known beforehand, from how many there are.
        row = Signal(load.rows.shape())  # the row after the next
        rows, units = Signal.like(row), Signal(range(max(cfg.tiles, cfg.tokens) + 1))
        one_row, one_unit, last_row, last_unit = Signal(), Signal(), Signal(), Signal()
        place = Signal(cfg.addr_bits)    # bank rows so far
        column = Signal(cfg.col_bits)
        unit = Signal.like(units)
        moves = Signal()                 # a word is complete, or an empty step of a map
        row_end = Signal()
        unit_end = Signal()
        last_beat = Signal()             # this beat completes a unit
        row_beat = Signal()              # this beat completes a weight row
        clear = Signal()
        m.d.sync += [rows.eq(load.rows), one_row.eq(rows == 1), one_unit.eq(units == 1),
                     units.eq(Mux(op.act, load.tokens, load.tiles))]
        m.d.comb += [
            maps.sparse.eq(load.sparse), maps.map.eq(beat.data),
            row_beat.eq(op.wgt & ~maps.wanted & (part == cfg.wgt_row_beats - 1)),
            maps.put.eq(take & op.wgt & maps.wanted), maps.next.eq(take & row_beat),
            moves.eq((take & word_end) | maps.empty),
            row_end.eq(moves & ~thr & (op.act | maps.row_ends)),
            last_beat.eq((thr & (column == cfg.cols - 1)) | (last_row & (
                (op.act & word_end) | (row_beat & maps.row_ends)))),
            unit_end.eq((take & last_beat) | (maps.empty & maps.row_ends & last_row)),
            clear.eq(self.start | unit_end), maps.start.eq(self.start), maps.drop.eq(clear),
        ]
        with m.If(row_end):
            m.d.sync += [row.eq(row + 1), last_row.eq(row == rows), place.eq(place + 1)]
        with m.If(take):
            m.d.sync += column.eq(column + 1)
        with m.If(unit_end):
            m.d.sync += [unit.eq(unit + 1), last_unit.eq(unit == (units - 2)[:len(units)])]
        with m.If(clear):
            m.d.sync += [row.eq(2), last_row.eq(one_row), column.eq(0), inside.eq(0)]
        with m.If(self.start):
            m.d.sync += [part.eq(0), place.eq(0), unit.eq(0), last_unit.eq(one_unit)]

        with m.If(take):
            m.d.sync += [bad.eq(beat.bad), ended.eq(beat.last)]
            with m.If(beat.bad | beat.last):
                m.d.sync += taking.eq(0)
        with m.If(unit_end & last_unit):
            m.d.sync += [complete.eq(1), taking.eq(0)]
        with m.If(self.start):
            m.d.sync += [going.eq(1), taking.eq(~self.empty), ended.eq(self.empty),
                         complete.eq(0), bad.eq(0)]

        # The end.
        good = complete & ended & ~bad
        over = Signal()
        fails = Signal()                 # bad tokens: their last word is to be sent
        with m.If(~over & going & (bad | complete | (ended & ~maps.empty))):
            m.d.sync += [over.eq(1), fails.eq(op.act & ~good)]
        with m.If(fails & stage.input.ready):
            m.d.sync += fails.eq(0)
        m.d.comb += [
            self.done.eq(over & ~fails & stage.input.ready & ~stage.output.valid
                         & ~self.wgt_held),
            self.error.eq(Mux(bad, Error.BAD_KEEP, Mux(
                good, Error.NONE, Mux(complete, Error.TLAST_LATE, Error.TLAST_EARLY)))),
        ]
        with m.If(self.done):
            m.d.sync += [going.eq(0), over.eq(0)]

        # The words.
        shift = Signal(cfg.shift_bits)
        if cfg.shift_bits:
            with m.If(take & first):
                m.d.sync += shift.eq(beat.data)
        pattern_bits = (cfg.patterns - 1).bit_length() if cfg.homes > 1 else 0
        m.d.comb += [
            stage.input.valid.eq((take & word_end & ~beat.bad) | fails),
            word.data.eq(self._word(m, take, part)),
            word.place.eq(place), word.group.eq(maps.group),
            word.pattern.eq((row - 2)[:pattern_bits]),
            word.column.eq(column), word.unit.eq(unit), word.shift.eq(shift),
            word.fail.eq(fails), word.last.eq(fails | last_row),
        ]
        came, counts = Signal(), Signal()
        m.d.sync += [came.eq(maps.next & ~beat.bad),
                     counts.eq(going & ~bad & ~(take & beat.bad))]
        m.d.comb += [
            self.rows_loaded.eq(Mux(came, Mux(load.sparse, 1, cfg.wgt_beat_rows), 0)),
            self.rows_skipped.eq(Mux(counts, maps.skipped, 0)),
        ]
        self._leave(m, stage.output, thr)
        return m

    def _word(self, m, take, part):
        """The beats of a word of either kind; those before this one were kept."""
        cfg, data, op = self.cfg, self.beats.payload.data, self.load.op
        kept = []
        for number in range(max(cfg.wgt_row_beats, cfg.act_word_beats) - 1):
            kept.append(Signal(cfg.bus_bits, name=f"part_{number}"))
            with m.If(take & (part == number)):
                m.d.sync += kept[number].eq(data)
        weights, acts = (Cat(*kept[:count - 1], data)
                         for count in (cfg.wgt_row_beats, cfg.act_word_beats))
        words = [weights] if cfg.wgt_row_beats == 1 else [weights, data]
        return Mux(op.act, acts, Mux(op.wgt, weights, words[-1])) if kept else data

    def _leave(self, m, words, thr):
        """A word goes to one of three; what the whole load has in common is not in it."""
        cfg, load, op, word = self.cfg, self.load, self.load.op, words.payload
        m.d.comb += [
            self.wgt.valid.eq(words.valid & op.wgt), self.thr.valid.eq(words.valid & thr),
            self.act.valid.eq(words.valid & op.act),
            words.ready.eq((op.wgt & self.wgt.ready) | (thr & self.thr.ready)
                           | (op.act & self.act.ready)),
            self.thr.payload.is_scale.eq(op.scale), self.thr.payload.column.eq(word.column),
            self.thr.payload.index.eq(placed(cfg.tiles, load.slot, word.unit)),
            self.thr.payload.value.eq(Mux(op.scale, word.data[:cfg.scale_bits + SCALE_SHIFT_BITS],
                                          word.data[:cfg.theta_bits])),
            self.act.payload.buf.eq(load.buf), self.act.payload.fail.eq(word.fail),
            self.act.payload.last.eq(word.last), self.act.payload.shift.eq(word.shift),
        ]
        for group in range(cfg.groups):
            code, field = self.act.payload.code[group], word.data.word_select(group, CODE_BITS)
            m.d.comb += code.q.eq(field)
            if cfg.exp_bits:
                m.d.comb += code.e.eq(field[cfg.sal_bits:])

        # A single weight row may go to any place in the beat.
        wgt = self.wgt.payload
        row_bits, beat_bits = cfg.cols * cfg.wgt_bits, (cfg.wgt_beat_rows - 1).bit_length()
        m.d.comb += [wgt.addr.eq(placed(cfg.slot_rows, load.slot, word.place)),
                     wgt.group.eq(word.group >> beat_bits << beat_bits),
                     wgt.pattern.eq(word.pattern)]
        for number in range(cfg.wgt_beat_rows):
            m.d.comb += [
                wgt.row[number].as_value().eq(
                    Mux(load.sparse, word.data[:row_bits],
                        word.data.word_select(number, row_bits))),
                wgt.mask[number].eq(~load.sparse | (word.group[:beat_bits] == number)),
            ]


def _word_layout(cfg: Config) -> data.StructLayout:
    """A word on its way to the array, and all places that it may have there."""
    return data.StructLayout({
        "data": cfg.bus_bits * max(cfg.wgt_row_beats, cfg.act_word_beats),
        "place": cfg.addr_bits, "group": cfg.group_bits, "pattern": cfg.pattern_bits,
        "column": cfg.col_bits, "unit": range(max(cfg.tiles, cfg.tokens) + 1),
        "shift": cfg.shift_bits, "last": 1, "fail": 1})
