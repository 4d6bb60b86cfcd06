"""IF bank: drains a tile's finished sums and fires them against their thresholds."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.emitter import Emitter
from hdl.fire_sar import SarFire
from hdl.fire_staircase import StaircaseFire
from hdl.payloads import OutKind, neuron_layout, out_layout, psum_layout, thr_layout
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
        cfg = self.cfg
        m.submodules.thresholds = thresholds = Memory(shape=cfg.theta_bits, init=[],
                                                      depth=1 << (cfg.tile_bits + cfg.col_bits))
        write, read = thresholds.write_port(), thresholds.read_port()
        thr = self.thr.payload
        m.d.comb += [self.thr.ready.eq(1), write.en.eq(self.thr.valid),
                     write.addr.eq(Cat(thr.column, thr.tile)), write.data.eq(thr.theta)]

        # Drain: V by column, its threshold a cycle later, then |V|.
        psum = self.psum.payload
        column = Signal(cfg.col_bits)
        at_end = Signal()
        step = Signal()
        picked_valid = Signal()
        picked_free = Signal()
        picked = Signal(data.StructLayout({"v": psum.v[0].shape(), "column": cfg.col_bits,
                                           "end": 1, "fire": psum.fire.shape()}))
        columns = [psum.v[n] for n in range(cfg.cols)]
        m.d.comb += [
            at_end.eq(column == cfg.cols - 1),
            step.eq(self.psum.valid & picked_free),
            self.psum.ready.eq(picked_free & at_end),
            read.addr.eq(Cat(column, psum.fire.tile)), read.en.eq(step),
        ]
        with m.If(picked_free):
            m.d.sync += picked_valid.eq(step)
        with m.If(step):
            m.d.sync += [picked.v.eq(pick(columns, column)), picked.column.eq(column),
                         picked.end.eq(at_end), picked.fire.eq(psum.fire),
                         column.eq(column + 1)]
            with m.If(at_end):
                m.d.sync += column.eq(0)

        # Raw words, and END after them, wait for the fired tiles before them.
        neuron_free = Signal()
        neuron_valid = Signal()
        neuron = Signal(neuron_layout(cfg))
        in_fire = Signal(8)               # fired tiles not yet ended
        raw_end = Signal()
        end_last = Signal()
        raw_now = Signal()
        fire_out = stream.Signature(out_layout(cfg)).create(path=("fire_out",))
        is_end = fire_out.payload.kind == OutKind.END
        m.d.comb += raw_now.eq(((picked_valid & picked.fire.raw) | raw_end) & (in_fire == 0))
        enters = neuron_free & picked_valid & ~picked.fire.raw & ~raw_end
        leaves = fire_out.valid & fire_out.ready & is_end
        m.d.sync += in_fire.eq(in_fire + (enters & picked.end) - leaves)
        with m.If(raw_now):
            m.d.comb += self.out.valid.eq(1)
            with m.If(raw_end):
                m.d.comb += [self.out.payload.kind.eq(OutKind.END),
                             self.out.payload.last.eq(end_last)]
                with m.If(self.out.ready):
                    m.d.sync += raw_end.eq(0)
            with m.Else():
                m.d.comb += [self.out.payload.kind.eq(OutKind.RAW),
                             self.out.payload.column.eq(picked.column),
                             self.out.payload.data.eq(picked.v)]
                with m.If(self.out.ready & picked.end):
                    m.d.sync += [raw_end.eq(1), end_last.eq(picked.fire.last)]
        with m.Else():
            m.d.comb += [self.out.valid.eq(fire_out.valid), fire_out.ready.eq(self.out.ready),
                         self.out.payload.eq(fire_out.payload)]
        m.d.comb += picked_free.eq(
            ~picked_valid | enters
            | (picked.fire.raw & raw_now & ~raw_end & self.out.ready))

        # Fire.
        fire = SarFire(cfg) if cfg.fire == "sar" else StaircaseFire(cfg)
        m.submodules.fire = fire
        m.d.comb += [fire.neuron.valid.eq(neuron_valid), fire.neuron.payload.eq(neuron),
                     neuron_free.eq(~neuron_valid | fire.neuron.ready)]
        with m.If(neuron_free):
            m.d.sync += [
                neuron_valid.eq(enters), neuron.mag.eq(abs(picked.v)),
                neuron.neg.eq(picked.v < 0), neuron.theta.eq(read.data),
                neuron.column.eq(picked.column), neuron.end.eq(picked.end),
                neuron.fire.eq(picked.fire),
            ]
        if cfg.fire == "sar":
            m.submodules.emitter = emitter = Emitter(cfg)
            wiring.connect(m, fire.fired, emitter.fired)
            last_stage = emitter.out
        else:
            last_stage = fire.out
        m.d.comb += [fire_out.valid.eq(last_stage.valid), fire_out.payload.eq(last_stage.payload),
                     last_stage.ready.eq(fire_out.ready)]
        return m
