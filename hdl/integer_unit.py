"""Integer unit: the integer lanes, walked through the salient inputs of a run's tokens."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hdl.integer_lane import INTEGER_LATENCY, IntegerLane
from hdl.payloads import prod_layout, row_layout, salient_layout, visit_layout
from spinteger.config import Config

#: Enabled cycles from a list place to the entries there (`SalientList`).
LIST_LATENCY = 2


def sum_stages(cfg: Config) -> int:
    """Pipeline stages of the sum over the integer lanes; at least the output register."""
    return max(1, ceil_log2(cfg.int_lanes))


class IntegerUnit(wiring.Component):
    """Sums of w * q * 2^e per column: one salient input per integer lane and cycle.

    For every visit (a tile of a token) it reads the token's lists once and sends the sums as a
    stream, one word per cycle, `last` on the tile's final word (a zero word when it has no
    salient input). Runs ahead of the spike lanes as far as back-pressure lets it. Latency from
    list place to word: `LIST_LATENCY` + `INTEGER_LATENCY` + `sum_stages` cycles.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "visit": In(stream.Signature(visit_layout(cfg))),       #: a tile of a token
            "buf": In(1),                                           #: ... of this buffer
            "place": Out(cfg.list_bits),                            #: list entry to read
            "place_buf": Out(1),                                    #: ... of this buffer
            "place_read": Out(1),                                   #: read it, if enabled
            "en": Out(1, init=1),          #: pipeline enable, of lists too
            "en_next": Out(1),             #: ... of the next cycle, for the banks
            #: the entries, `LIST_LATENCY` enabled cycles later
            "entry": In(data.ArrayLayout(salient_layout(cfg), cfg.int_lanes)),
            "read": Out(data.ArrayLayout(cfg.group, cfg.int_lanes)),    #: banks to read now
            "addr": Out(data.ArrayLayout(cfg.addr_bits, cfg.int_lanes)),    #: ... and where
            "rows": In(data.ArrayLayout(row_layout(cfg),
                                        cfg.int_lanes * cfg.group)),    #: see IntegerLane
            "prod": Out(stream.Signature(prod_layout(cfg))),        #: product sums
            "prod_ready_next": In(1),      #: `prod.ready` in the next cycle
            "entries": Out(cfg.int_lanes.bit_length()),             #: list entries read now
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        en = self.en
        m.d.sync += en.eq(self.en_next)

        # Walk: index over the longest list. The next visit is worked out meanwhile.
        busy = Signal()
        visit = Signal(self.visit.payload.shape())
        token = visit.token
        index = Signal(cfg.list_worst.bit_length())
        tile_end = Signal()
        # Whether a list has this entry, and one after it, is found out a cycle before.
        here, more = Signal(cfg.int_lanes), Signal(cfg.int_lanes)
        counts, begins = token.count, self.visit.payload.token.count
        inside = here & busy.replicate(cfg.int_lanes)
        with m.If(self.visit.ready):
            m.d.sync += [busy.eq(self.visit.valid), visit.eq(self.visit.payload),
                         self.place_buf.eq(self.buf)]
        m.d.comb += [
            tile_end.eq(more == 0),
            self.place.eq(token.list_start + index),
            self.place_read.eq(busy), self.visit.ready.eq(en & (~busy | tile_end)),
            self.entries.eq(sum((bit & en for bit in inside[1:]), inside[0] & en)),
        ]
        depth = LIST_LATENCY - 1 + INTEGER_LATENCY + sum_stages(cfg)
        valid = Signal(depth)      # of the words in the pipeline
        last = Signal(depth)
        base = [Signal(cfg.addr_bits, name=f"base_{stage}", reset_less=True)
                for stage in range(LIST_LATENCY)]
        entry_valid = [Signal(cfg.int_lanes, name=f"entry_valid_{stage}")
                       for stage in range(LIST_LATENCY)]
        with m.If(en):
            m.d.sync += [
                valid.eq(Cat(busy, valid)), last.eq(Cat(tile_end, last)),
                *(later.eq(sooner) for sooner, later in zip(
                    [visit.base, *base], base, strict=False)),
                *(later.eq(sooner) for sooner, later in zip(
                    [inside, *entry_valid], entry_valid, strict=False)),
            ]
            with m.If(busy):
                m.d.sync += [index.eq(index + 1), here.eq(more),
                             more.eq(Cat(index + 2 < count for count in counts))]
                with m.If(tile_end):
                    m.d.sync += index.eq(0)
        with m.If(self.visit.ready):
            m.d.sync += [here.eq(Cat(count != 0 for count in begins)),
                         more.eq(Cat(count > 1 for count in begins))]

        # Multiply, and sum over the lanes.
        lanes = []
        for number in range(cfg.int_lanes):
            m.submodules[f"integer_lane_{number}"] = lane = IntegerLane(cfg)
            first = number * cfg.group
            m.d.comb += [
                lane.en.eq(en), lane.valid.eq(entry_valid[-1][number]), lane.base.eq(base[-1]),
                lane.entry.eq(self.entry[number]),
                self.read[number].eq(lane.read),
                self.addr[number].eq(lane.addr),
            ]
            m.d.comb += [lane.rows[index].eq(self.rows[first + index])
                         for index in range(cfg.group)]
            lanes.append(lane)
        # Known a cycle ahead, since it goes to all banks.
        m.d.comb += self.en_next.eq(~Mux(en, valid[-1], self.prod.valid) | self.prod_ready_next)
        columns = [[lane.prod[col] for lane in lanes] for col in range(cfg.cols)]
        for stage in range(sum_stages(cfg)):       # two at a time, or Yosys builds them of LUTs
            here = valid[stage - sum_stages(cfg)]
            columns = [self._add_pairs(m, en & here, terms, f"sum_{stage}_{col}")
                       for col, terms in enumerate(columns)]
        m.d.comb += [self.prod.payload.prod[col].eq(total)
                     for col, (total,) in enumerate(columns)]
        with m.If(en):
            m.d.sync += [self.prod.valid.eq(valid[-1]), self.prod.payload.last.eq(last[-1])]
        return m

    def _add_pairs(self, m, en, terms, name):
        """One stage of a column's adder tree: half as many sums, registered."""
        sums = []
        for number in range(0, len(terms), 2):
            pair = terms[number:number + 2]
            value = pair[0] + pair[1] if len(pair) == 2 else pair[0]
            total = Signal(value.shape(), name=f"{name}_{number // 2}", reset_less=True)
            with m.If(en):
                m.d.sync += total.eq(value)
            sums.append(total)
        return sums
