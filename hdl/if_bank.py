"""IF bank: drains a tile's finished sums and fires them against their thresholds."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.emitter import Emitter
from hdl.fire_sar import SarFire
from hdl.fire_staircase import StaircaseFire
from hdl.payloads import (
    OutKind,
    fire_layout,
    neuron_layout,
    out_layout,
    psum_layout,
    thr_layout,
)
from hdl.select import pick
from spinteger.config import Config


class IfBank(wiring.Component):
    """Integrate-and-fire neurons of all columns, with one threshold memory for all tiles.

    Takes V column by column, one per cycle, and looks up theta on the way. Fired tiles go
    through the firing order of the configuration; raw tiles leave as C RAW words and END.
    A tile's words are never mixed with another's. Takes a tile in C cycles. Latency to the first
    word: 1 cycle raw; 2 cycles plus the firing order's for a salient integer.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "psum": In(stream.Signature(psum_layout(cfg))),    #: a tile's V, all columns
            "thr": In(stream.Signature(thr_layout(cfg))),      #: thresholds to store
            "out": Out(stream.Signature(out_layout(cfg))),     #: output words
        })

    def elaborate(self, platform):
        m = Module()
        picked = stream.Signature(self._picked_layout()).create(path=("picked",))
        theta = self._drain(m, picked)
        fired = stream.Signature(out_layout(self.cfg)).create(path=("fired",))
        enter, free = self._fire(m, picked.payload, theta, fired)

        # A raw tile's words, and END after them, wait for the fired tiles before them.
        raw = picked.payload.fire.raw
        in_fire = Signal(8)               # fired tiles not yet ended
        raw_end = Signal()
        end_last = Signal()
        raw_now = Signal()
        out = self.out.payload
        leave = fired.valid & fired.ready & (fired.payload.kind == OutKind.END)
        m.d.comb += [
            raw_now.eq(((picked.valid & raw) | raw_end) & (in_fire == 0)),
            enter.eq(free & picked.valid & ~raw & ~raw_end),
            picked.ready.eq(enter | (raw & raw_now & ~raw_end & self.out.ready)),
        ]
        m.d.sync += in_fire.eq(in_fire + (enter & picked.payload.end) - leave)
        with m.If(~raw_now):
            m.d.comb += [self.out.valid.eq(fired.valid), fired.ready.eq(self.out.ready),
                         out.eq(fired.payload)]
        with m.Elif(raw_end):
            m.d.comb += [self.out.valid.eq(1), out.kind.eq(OutKind.END), out.last.eq(end_last)]
            with m.If(self.out.ready):
                m.d.sync += raw_end.eq(0)
        with m.Else():
            m.d.comb += [self.out.valid.eq(1), out.kind.eq(OutKind.RAW),
                         out.column.eq(picked.payload.column), out.data.eq(picked.payload.v)]
            with m.If(self.out.ready & picked.payload.end):
                m.d.sync += [raw_end.eq(1), end_last.eq(picked.payload.fire.last)]
        return m

    def _picked_layout(self):
        """One column's V, picked from the tile's."""
        return data.StructLayout({"v": signed(self.cfg.v_bits), "column": self.cfg.col_bits,
                                  "end": 1, "fire": fire_layout(self.cfg)})

    def _drain(self, m, picked):
        """Pick V column by column into `picked`; returns theta, read beside it."""
        cfg = self.cfg
        m.submodules.thresholds = thresholds = Memory(shape=cfg.theta_bits, init=[],
                                                      depth=1 << (cfg.tile_bits + cfg.col_bits))
        write = thresholds.write_port()
        read = thresholds.read_port()
        thr = self.thr.payload
        m.d.comb += [self.thr.ready.eq(1), write.en.eq(self.thr.valid),
                     write.addr.eq(Cat(thr.column, thr.tile)), write.data.eq(thr.theta)]

        psum, here = self.psum.payload, picked.payload
        column = Signal(cfg.col_bits)
        at_end = Signal()
        step = Signal()
        free = Signal()
        m.d.comb += [
            free.eq(~picked.valid | picked.ready),
            at_end.eq(column == cfg.cols - 1),
            step.eq(self.psum.valid & free),
            self.psum.ready.eq(free & at_end),
            read.addr.eq(Cat(column, psum.fire.tile)), read.en.eq(step),
        ]
        with m.If(free):
            m.d.sync += picked.valid.eq(step)
        with m.If(step):
            columns = [psum.v[n] for n in range(cfg.cols)]
            m.d.sync += [here.v.eq(pick(columns, column)), here.column.eq(column),
                         here.end.eq(at_end), here.fire.eq(psum.fire), column.eq(column + 1)]
            with m.If(at_end):
                m.d.sync += column.eq(0)
        return read.data

    def _fire(self, m, picked, theta, fired):
        """The firing order, its words on `fired`; returns (take `picked` now, there is room)."""
        cfg = self.cfg
        enter = Signal()
        free = Signal()
        neuron = Signal(neuron_layout(cfg))
        neuron_valid = Signal()
        if cfg.fire == "sar":
            m.submodules.fire = fire = SarFire(cfg)
            m.submodules.emitter = emitter = Emitter(cfg)
            wiring.connect(m, fire.fired, emitter.fired)
            words = emitter.out
        else:
            m.submodules.fire = fire = StaircaseFire(cfg)
            words = fire.out
        m.d.comb += [fire.neuron.valid.eq(neuron_valid), fire.neuron.payload.eq(neuron),
                     free.eq(~neuron_valid | fire.neuron.ready)]
        with m.If(free):
            m.d.sync += [
                neuron_valid.eq(enter), neuron.mag.eq(abs(picked.v)), neuron.neg.eq(picked.v < 0),
                neuron.theta.eq(theta), neuron.column.eq(picked.column),
                neuron.end.eq(picked.end), neuron.fire.eq(picked.fire),
            ]
        m.d.comb += [fired.valid.eq(words.valid), fired.payload.eq(words.payload),
                     words.ready.eq(fired.ready)]
        return enter, free
