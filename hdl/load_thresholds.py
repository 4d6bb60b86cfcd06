"""Threshold loader: beats into thresholds or group scales and their places."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.load_layout import load_layout
from hdl.payloads import SCALE_SHIFT_BITS, thr_layout
from spinteger.config import Config


class ThresholdLoader(wiring.Component):
    """One value per beat: column by column, tile by tile. Latency 1 cycle."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "load": In(load_layout(cfg)),    #: what comes; holds from `start` to the last beat
            "start": In(1),                  #: a new load
            "beat": In(stream.Signature(cfg.bus_bits)),      #: payload
            "final": Out(1),                 #: this beat is the last one
            "thr": Out(stream.Signature(thr_layout(cfg))),   #: to the array
        })

    def elaborate(self, platform):
        m = Module()
        cfg, thr = self.cfg, self.thr
        column = Signal(cfg.col_bits)
        tile = Signal(cfg.tile_bits)
        tile_end = column == cfg.cols - 1
        beat = self.beat.payload
        m.d.comb += [self.beat.ready.eq(~thr.valid | thr.ready),
                     self.final.eq(tile_end & (tile == self.load.tile_last))]
        with m.If(thr.ready):
            m.d.sync += thr.valid.eq(0)
        with m.If(self.beat.valid & self.beat.ready):
            m.d.sync += [
                thr.valid.eq(1), thr.payload.is_scale.eq(self.load.op.scale),
                thr.payload.column.eq(column), thr.payload.index.eq(self.load.index + tile),
                thr.payload.value.eq(Mux(self.load.op.scale,
                                         beat[:cfg.scale_bits + SCALE_SHIFT_BITS],
                                         beat[:cfg.theta_bits])),
                column.eq(column + 1),
            ]
            with m.If(tile_end):
                m.d.sync += [column.eq(0), tile.eq(tile + 1)]
        with m.If(self.start):
            m.d.sync += [column.eq(0), tile.eq(0)]
        return m
