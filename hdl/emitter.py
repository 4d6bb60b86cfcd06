"""Emitter: puts a tile's fired levels on the output stream, spikes in time order."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import OutKind, level_layout, out_layout
from hdl.recode import Recode
from spinteger.config import Config


class Emitter(wiring.Component):
    """Levels of a tile's columns in, output words out.

    Salient levels (above L) leave at once, as integers. The others wait until the tile is
    complete and leave as one SPIKE word per time step that has any: the mask of columns that
    fire in it, earliest step (largest level) first; then END. The next tile's levels are
    taken meanwhile. Throughput: one neuron per cycle, one word per cycle; a tile takes one more
    than its columns or its words, whichever are more.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "fired": In(stream.Signature(level_layout(cfg))),    #: levels, column by column
            "out": Out(stream.Signature(out_layout(cfg))),       #: output words
            "run": Out(1),                                       #: ... of this run
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        fired, out = self.fired.payload, self.out.payload

        # Collect the spikes of the tile.
        column = Signal(range(max(2, cfg.cols)))
        at_end = Signal()
        levels = Array(Signal(cfg.level_bits, name=f"level_{n}") for n in range(cfg.cols))
        negs = Signal(cfg.cols)
        seen = Signal(cfg.window)                # levels that occur
        full = Signal()                          # tile complete
        last, end, run = Signal(), Signal(), Signal()
        salient = Signal()
        emit_levels = [Signal(cfg.level_bits, name=f"emit_level_{n}") for n in range(cfg.cols)]
        emit_negs = Signal(cfg.cols)
        emit_seen = Signal(cfg.window)
        emitting = Signal()
        emit_last, emit_end, emit_run = Signal(), Signal(), Signal()

        m.d.comb += [salient.eq(fired.level > cfg.window), at_end.eq(column == cfg.cols - 1)]
        with m.If(self.fired.valid & self.fired.ready):
            m.d.sync += [levels[column].eq(fired.level), full.eq(at_end),
                         negs.bit_select(column, 1).eq(fired.neg),
                         column.eq(Mux(at_end, 0, column + 1)),
                         last.eq(fired.last), end.eq(fired.end), run.eq(fired.run)]
            with m.If(salient):
                m.d.sync += levels[column].eq(0)
            for level in range(1, cfg.window + 1):
                with m.If(fired.level == level):
                    m.d.sync += seen[level - 1].eq(1)
        with m.If(full & ~emitting):
            m.d.sync += [emitting.eq(1), full.eq(0), seen.eq(0), emit_seen.eq(seen),
                         emit_negs.eq(negs), emit_last.eq(last), emit_end.eq(end),
                         emit_run.eq(run)]
            m.d.sync += [emit.eq(level) for emit, level in zip(emit_levels, levels, strict=True)]

        # Emit: the spikes of the complete tile go before the salients of the next.
        m.submodules.recode = recode = Recode(cfg)
        m.d.comb += [recode.level.eq(fired.level), recode.neg.eq(fired.neg),
                     self.run.eq(Mux(emitting, emit_run, fired.run))]
        now = Signal(cfg.level_bits)
        rest = Signal(cfg.window)
        for index in range(cfg.window):          # the last match, the highest level, wins
            with m.If(emit_seen[index]):
                m.d.comb += [now.eq(index + 1), rest.eq(emit_seen & ((1 << index) - 1))]
        with m.If(emitting):
            m.d.comb += [self.out.valid.eq(1), self.fired.ready.eq(~full & ~salient)]
            with m.If(emit_seen == 0):
                m.d.comb += [out.kind.eq(OutKind.END), out.last.eq(emit_last),
                             out.run_end.eq(emit_end)]
            with m.Else():
                fires = Cat(level == now for level in emit_levels)
                m.d.comb += [out.kind.eq(OutKind.SPIKE), out.step.eq(cfg.window - now),
                             out.data.eq(Cat(fires, fires & emit_negs))]
            with m.If(self.out.ready):
                m.d.sync += emit_seen.eq(rest)
                with m.If(emit_seen == 0):
                    m.d.sync += emitting.eq(0)
        with m.Elif(~full):
            m.d.comb += self.fired.ready.eq(~salient | self.out.ready)
            with m.If(self.fired.valid & salient):
                m.d.comb += [self.out.valid.eq(1), out.kind.eq(OutKind.SALIENT),
                             out.column.eq(column),
                             out.data.eq(Cat(recode.q, recode.e))]
        return m
