"""Weight loader: beats into weight rows and their places, all of them or those of bit maps."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.load_layout import load_layout
from hdl.multiply import times
from hdl.payloads import wgt_layout
from hdl.select import lowest
from spinteger.config import Config

#: Inputs per bit map of a sparse load.
MAP_BITS = 32
MAP_SHIFT = MAP_BITS.bit_length() - 1


class WeightLoader(wiring.Component):
    """Tile by tile, input by input; `wgt_beat_rows` rows per beat or `wgt_row_beats` beats per row.

    Sparse: a bit map says which of the next 32 inputs' rows follow, one at a time. Bits past
    the tile's last input mean nothing. Latency 1 cycle; one beat per cycle.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "load": In(load_layout(cfg)),    #: what comes; holds from `start` to the last beat
            "start": In(1),                  #: a new load
            "beat": In(stream.Signature(cfg.bus_bits)),      #: payload
            "final": Out(1),                 #: this beat is the last one
            "wgt": Out(stream.Signature(wgt_layout(cfg))),   #: to the array
            "rows_loaded": Out(range(cfg.wgt_beat_rows + 1)),    #: rows that came, 1 cycle later
            "rows_skipped": Out(range(MAP_BITS + 1)),        #: ... that the map before left out
        })

    def elaborate(self, platform):
        m = Module()
        cfg, load, wgt = self.cfg, self.load, self.wgt
        # The place of the next row (of the map, if sparse), and what is left of the tile there.
        tile = Signal(cfg.tile_bits)
        tile_base = Signal(cfg.addr_bits)
        left = Signal(range(cfg.rows_k * cfg.groups + 1))
        addr = Signal(cfg.addr_bits)
        pattern = Signal(cfg.pattern_bits)
        group = Signal(range(cfg.groups))
        named = Signal(MAP_BITS)         # rows of the map that are still to come
        mapped = Signal()                # there are any
        part = Signal(range(cfg.wgt_row_beats))

        # What this beat is: a map, a part of a row, a row's end; does it complete the place?
        take = self.beat.valid & self.beat.ready
        is_map = Signal()
        row_end = Signal()
        asked = Signal(MAP_BITS)
        first = Signal(MAP_BITS)
        move = Signal()
        tile_end = Signal()
        real = Signal(MAP_BITS)          # bits of a map that mean something
        m.d.comb += [
            is_map.eq(load.sparse & ~mapped),
            row_end.eq(~is_map & (part == cfg.wgt_row_beats - 1)),
            real.eq(_below(left[:MAP_SHIFT]) | left[MAP_SHIFT:].any().replicate(MAP_BITS)),
            asked.eq(self.beat.payload[:MAP_BITS] & real),
            first.eq(lowest(named)),
            move.eq(Mux(is_map, asked == 0, row_end & (~load.sparse | (named == first)))),
            tile_end.eq(left <= Mux(load.sparse, MAP_BITS, cfg.wgt_beat_rows)),
            self.final.eq(move & tile_end & (tile == load.tile_last)),
            self.beat.ready.eq(~wgt.valid | wgt.ready),
        ]

        inputs = times(load.rows, cfg.groups)
        moved, moved_group = _split(m, cfg, "move", group,
                                    Mux(load.sparse, MAP_BITS, cfg.wgt_beat_rows))
        with m.If(take):
            with m.If(is_map):
                m.d.sync += [named.eq(asked), mapped.eq(asked != 0)]
            with m.Else():
                m.d.sync += part.eq(part + 1)
            with m.If(row_end):
                m.d.sync += [part.eq(0), named.eq(named & ~first), mapped.eq(named != first)]
            with m.If(move):
                m.d.sync += [left.eq(left - Mux(load.sparse, MAP_BITS, cfg.wgt_beat_rows)),
                             addr.eq(addr + moved), pattern.eq(pattern + moved),
                             group.eq(moved_group)]
                with m.If(tile_end):
                    m.d.sync += [tile.eq(tile + 1), tile_base.eq(tile_base + load.rows),
                                 addr.eq(tile_base + load.rows), pattern.eq(0), group.eq(0),
                                 left.eq(inputs)]
        with m.If(self.start):
            m.d.sync += [tile.eq(0), tile_base.eq(load.base), addr.eq(load.base), pattern.eq(0),
                         group.eq(0), left.eq(inputs), mapped.eq(0), part.eq(0)]

        self._store(m, take, row_end, part, addr, pattern, group, first)

        # Rows of a map that did not come are those it covers less those that did.
        came = Signal(range(MAP_BITS + 1))
        with m.If(take & (row_end | is_map)):
            m.d.sync += came.eq(Mux(is_map, 0, came + 1))
        covers = Mux(left[MAP_SHIFT:].any(), MAP_BITS, left[:MAP_SHIFT])
        m.d.sync += [
            self.rows_loaded.eq(Mux(take & row_end, Mux(load.sparse, 1, cfg.wgt_beat_rows), 0)),
            self.rows_skipped.eq(Mux(take & move & load.sparse,
                                     covers - Mux(is_map, 0, came + 1), 0)),
        ]
        return m

    def _store(self, m, take, row_end, part, addr, pattern, group, first):
        """The output register: the row at the place, or at the map's first named bit."""
        cfg, wgt, sparse = self.cfg, self.wgt, self.load.sparse
        bit = Cat(Cat(first[i] for i in range(MAP_BITS) if i >> n & 1).any()
                  for n in range((MAP_BITS - 1).bit_length()))
        rows, in_group = _split(m, cfg, "row", group, Mux(sparse, bit, 0))
        beats = [self.beat.payload]
        for number in reversed(range(cfg.wgt_row_beats - 1)):
            kept = Signal(cfg.bus_bits, name=f"part_{number}")
            with m.If(take & (part == number)):
                m.d.sync += kept.eq(self.beat.payload)
            beats.insert(0, kept)
        word, row_bits = Cat(beats), cfg.cols * cfg.wgt_bits
        beat_bits = (cfg.wgt_beat_rows - 1).bit_length()
        with m.If(wgt.ready):
            m.d.sync += wgt.valid.eq(0)
        with m.If(take):
            m.d.sync += [
                wgt.valid.eq(row_end), wgt.payload.addr.eq(addr + rows),
                wgt.payload.group.eq(in_group >> beat_bits << beat_bits),
                wgt.payload.pattern.eq(pattern + rows if cfg.homes > 1 else 0),
            ]
            for number in range(cfg.wgt_beat_rows):    # a single row may go to any place
                m.d.sync += [
                    wgt.payload.row[number].as_value().eq(
                        Mux(sparse, word[:row_bits], word.word_select(number, row_bits))),
                    wgt.payload.mask[number].eq(~sparse | (in_group[:beat_bits] == number)),
                ]


def _split(m: Module, cfg: Config, name: str, group: Value, steps: Value) -> tuple[Value, Value]:
    """(group + steps) divided by the number of groups, and the rest; `steps` is at most 32."""
    count = cfg.groups
    most = count - 1 + MAP_BITS
    total = Signal(range(most + 1), name=f"{name}_sum")
    m.d.comb += total.eq(group + steps)
    if count & (count - 1) == 0:
        bits = count.bit_length() - 1
        return total[bits:], total[:bits]
    quotient = Signal(range(most // count + 1), name=f"{name}_rows")
    rest = Signal(range(count), name=f"{name}_group")
    m.d.comb += rest.eq(total)
    for rows in range(1, most // count + 1):
        with m.If(total >= rows * count):
            m.d.comb += [quotient.eq(rows), rest.eq(total - rows * count)]
    return quotient, rest


def _below(value: Value) -> Value:
    """Bit n: n < value. Without comparisons, which would each take a carry chain."""
    if not len(value):
        return Const(0, 1)
    top, rest = value[-1], _below(value[:-1])
    return Cat(rest[:-1] | top.replicate(len(rest) - 1), top, rest & top.replicate(len(rest)))
