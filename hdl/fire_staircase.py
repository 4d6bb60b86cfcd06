"""Firing by staircase: every column an integrate-and-fire neuron, thresholds descending."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import OutKind, neuron_layout, out_layout, settings_layout
from hdl.recode import Recode
from hdl.select import setting
from spinteger.config import Config


class StaircaseFire(wiring.Component):
    """The silence threshold comes down one level per cycle; a neuron fires once, when reached.

    A neuron holds d = 2^(f+1)|V| - (2m-1) theta for the current level m. It fires when d >= 0;
    then the threshold falls by 2 theta, that is d grows by it: one adder per column and no
    comparator. All columns step together, so spikes leave in time order by themselves: one
    SPIKE word per step in which any column fires. Above L each firing column leaves as a
    SALIENT word. END follows. (numerics.md, Firing; Kirin's silence threshold.)

    Takes a tile in C cycles, then M cycles of steps (127 * 2^E, or L if spikes only), fewer
    when all neurons have fired, plus one for each SALIENT word and one for END.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "neuron": In(stream.Signature(neuron_layout(cfg))),    #: |V| and threshold
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of runs 0 and 1
            "out": Out(stream.Signature(out_layout(cfg))),         #: output words
            "run": Out(1),                                         #: ... of this run
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        top = cfg.level_max
        d_bits = max(cfg.acc_bits - 1 + cfg.frac_bits + 1,
                     cfg.theta_bits + top.bit_length() + 1) + 2
        neuron = self.neuron.payload
        column = Signal(range(max(2, cfg.cols)))        # the next neuron's
        at_end = Signal()
        last, end = Signal(), Signal()                  # the tile's
        silence = setting(self.settings, self.run, "silence")
        spikes_only = setting(self.settings, neuron.run, "spikes_only")
        unsigned = setting(self.settings, neuron.run, "unsigned")
        level = Signal(cfg.out_level_bits)              # m, now
        running = Signal()
        waiting = Signal(cfg.cols)    # may still fire
        negs = Signal(cfg.cols)    # fire negative

        # Start at d for level M: 2M theta = (2^a - 2^b) theta, so two shifts make it.
        def start(limit_a: int, limit_b: int):
            return ((neuron.mag << (cfg.frac_bits + 1)) + neuron.theta
                    - (neuron.theta << limit_a) + (neuron.theta << limit_b))
        spikes_start = start(cfg.level_bits + 1, 1)
        full_start = start(cfg.sal_bits + cfg.exp_max, 1 + cfg.exp_max)
        d_start = Signal(signed(d_bits))
        m.d.comb += [d_start.eq(Mux(spikes_only, spikes_start, full_start)),
                     self.neuron.ready.eq(~running)]
        reached = Signal(cfg.cols)
        step = Signal()
        load = Signal()
        m.d.comb += [load.eq(self.neuron.valid & self.neuron.ready),
                     at_end.eq(column == cfg.cols - 1)]
        for col in range(cfg.cols):
            d = Signal(signed(d_bits), name=f"d_{col}")
            theta = Signal(cfg.theta_bits, name=f"theta_{col}")
            m.d.comb += reached[col].eq(~d[-1])
            with m.If(load & (column == col)):
                m.d.sync += [d.eq(d_start), theta.eq(neuron.theta), negs[col].eq(neuron.neg),
                             waiting[col].eq(~(unsigned & neuron.neg))]
            with m.If(step & d[-1]):
                m.d.sync += d.eq(d + (theta << 1))
        with m.If(load):
            m.d.sync += [column.eq(Mux(at_end, 0, column + 1)), running.eq(at_end),
                         last.eq(neuron.last), end.eq(neuron.end), self.run.eq(neuron.run),
                         level.eq(Mux(spikes_only, cfg.window, top))]

        # Step down; words of this level leave first.
        firing = Signal(cfg.cols)
        first = Signal(range(max(2, cfg.cols)))
        over = Signal()
        m.submodules.recode = recode = Recode(cfg)
        out = self.out.payload
        m.d.comb += [firing.eq(reached & waiting), recode.level.eq(level),
                     over.eq((level <= silence) | (waiting == 0))]
        for col in reversed(range(cfg.cols)):           # the lowest column wins
            with m.If(firing[col]):
                m.d.comb += [first.eq(col), recode.neg.eq(negs[col])]
        with m.If(running):
            with m.If(over):
                m.d.comb += [self.out.valid.eq(1), out.kind.eq(OutKind.END),
                             out.last.eq(last), out.run_end.eq(end)]
                with m.If(self.out.ready):
                    m.d.sync += running.eq(0)
            with m.Elif(firing == 0):
                m.d.comb += step.eq(1)
                m.d.sync += level.eq(level - 1)
            with m.Elif(level > cfg.window):
                m.d.comb += [self.out.valid.eq(1), out.kind.eq(OutKind.SALIENT),
                             out.column.eq(first), out.data.eq(Cat(recode.q, recode.e))]
                with m.If(self.out.ready):
                    m.d.sync += waiting.bit_select(first, 1).eq(0)
            with m.Else():
                m.d.comb += [self.out.valid.eq(1), out.kind.eq(OutKind.SPIKE),
                             out.step.eq(cfg.window - level),
                             out.data.eq(Cat(firing, firing & negs))]
                with m.If(self.out.ready):
                    m.d.comb += step.eq(1)
                    m.d.sync += [waiting.eq(waiting & ~firing), level.eq(level - 1)]
        return m
