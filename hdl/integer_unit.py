"""Integer unit: the integer lanes, walked through a token's salient inputs, tile by tile."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.integer_lane import INTEGER_LATENCY, IntegerLane
from hdl.payloads import prod_layout, row_layout, salient_layout, salients_layout
from spinteger.config import Config


class IntegerUnit(wiring.Component):
    """Sums of w * q * 2^e per column: one salient input per integer lane and cycle.

    For every column tile it reads the token's lists once and sends the sums as a stream, one
    word per cycle, `last` on the tile's final word (a zero word when it has no salient
    input). Runs ahead of the spike lanes as far as back-pressure lets it. Latency from list
    index to word: `INTEGER_LATENCY` + 2 cycles.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "token": In(stream.Signature(salients_layout(cfg))),    #: a token's lists
            "index": Out(max(1, (cfg.salient_depth - 1).bit_length())),    #: entry to read
            "index_en": Out(1),                                     #: read it
            "entry": In(data.ArrayLayout(salient_layout(cfg), cfg.int_lanes)),  #: 1 cycle later
            "read": Out(cfg.rows),                                  #: banks to read now
            "addr": Out(data.ArrayLayout(cfg.addr_bits, cfg.int_lanes)),    #: ... and where
            "rows": In(data.ArrayLayout(row_layout(cfg), cfg.rows)),        #: 1 cycle later
            "prod": Out(stream.Signature(prod_layout(cfg))),        #: product sums
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        en = Signal()
        m.d.comb += en.eq(~self.prod.valid | self.prod.ready)

        # Walk: index over the longest list, then the next tile.
        token = self.token.payload
        tile = Signal(cfg.tile_bits)
        base = Signal(cfg.addr_bits)
        tile_end = Signal()
        m.d.comb += [
            tile_end.eq(Cat(self.index + 1 < count for count in token.count) == 0),
            self.index_en.eq(en & self.token.valid),
            self.token.ready.eq(en & tile_end & (tile == token.tile_last)),
        ]
        depth = INTEGER_LATENCY + 1
        valid = Signal(depth)      # of the words in the pipeline
        last = Signal(depth)
        lane_base = Signal(cfg.addr_bits)
        lane_valid = Signal(cfg.int_lanes)
        with m.If(en):
            m.d.sync += [
                valid.eq(Cat(self.token.valid, valid)), last.eq(Cat(tile_end, last)),
                lane_base.eq(base),
                lane_valid.eq(Cat(self.token.valid & (self.index < count)
                                  for count in token.count)),
            ]
            with m.If(self.token.valid):
                m.d.sync += self.index.eq(self.index + 1)
                with m.If(tile_end):
                    m.d.sync += [self.index.eq(0), tile.eq(tile + 1),
                                 base.eq(base + token.stride)]
                with m.If(self.token.ready):
                    m.d.sync += [tile.eq(0), base.eq(0)]

        # Multiply, and sum over the lanes.
        lanes = []
        for number in range(cfg.int_lanes):
            m.submodules[f"integer_lane_{number}"] = lane = IntegerLane(cfg)
            first = number * cfg.group
            m.d.comb += [
                lane.en.eq(en), lane.valid.eq(lane_valid[number]), lane.base.eq(lane_base),
                lane.entry.eq(self.entry[number]),
                self.read[first:first + cfg.group].eq(lane.read),
                self.addr[number].eq(lane.addr),
            ]
            m.d.comb += [lane.rows[index].eq(self.rows[first + index])
                         for index in range(cfg.group)]
            lanes.append(lane)
        with m.If(en):
            m.d.sync += [self.prod.valid.eq(valid[-1]), self.prod.payload.last.eq(last[-1])]
            for col in range(cfg.cols):
                total = sum((lane.prod[col] for lane in lanes[1:]), lanes[0].prod[col])
                m.d.sync += self.prod.payload.prod[col].eq(total)
        return m
