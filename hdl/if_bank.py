"""IF bank: drains a tile's finished sums and fires them, to the host or as the next inputs."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.accumulate import Accumulate
from hdl.emitter import Emitter
from hdl.fire_sar import SarFire
from hdl.fire_staircase import StaircaseFire
from hdl.gather import Gather, can_chain
from hdl.payloads import (
    OutKind,
    act_layout,
    neuron_layout,
    out_layout,
    psum_layout,
    settings_layout,
    thr_layout,
)
from hdl.select import setting
from spinteger.config import Config


class IfBank(wiring.Component):
    """Integrate-and-fire neurons of all columns, with the thresholds and scales of all tiles.

    Takes V column by column (`Accumulate`). Fired sums go through the firing order of the
    configuration; raw tiles leave as C RAW words and END; sums that are not complete are kept
    and bring no word. Words go to the host, to the chained buffer (`Gather`), or to both. A
    tile's words are never mixed with another's, and runs end in order.

    Takes a tile in C cycles if it is raw or kept, one more for END if raw, or to fire by `sar`.
    Latency to the first word: `Accumulate`'s if raw; that, 1 and the firing order's for a
    salient integer.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "psum": In(stream.Signature(psum_layout(cfg))),    #: a tile's V, all columns
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of the runs in flight
            "thr": In(stream.Signature(thr_layout(cfg))),      #: thresholds and scales to store
            "out": Out(stream.Signature(out_layout(cfg))),     #: words to the host
            "act": Out(stream.Signature(act_layout(cfg))),     #: codes to the encoder
            "run_done": Out(1),       #: the oldest run is complete: all it sends is taken
            "run_dropped": Out(1),    #: ... it was abandoned
            "run_overflow": Out(1),   #: ... a sum wrapped
            "idle": Out(1),           #: nothing is inside, and no tile waits
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.accumulate = accumulate = Accumulate(cfg)
        wiring.connect(m, wiring.flipped(self.psum), accumulate.psum)
        wiring.connect(m, wiring.flipped(self.thr), accumulate.thr)
        m.d.comb += accumulate.settings.eq(self.settings)
        total, total_valid = accumulate.sum.payload, accumulate.sum.valid

        # The next column fires, or is kept, or brings a word itself: RAW, or its run's end.
        raw = setting(self.settings, total.run, "raw")
        kept = ~setting(self.settings, total.run, "acc_last")
        raw_end = Signal()                  # a raw tile's END is due
        fires, brings, own = Signal(), Signal(), Signal()
        in_fire = Signal(range(cfg.out_level_bits + 8))    # fired tiles not yet ended
        m.d.comb += [
            fires.eq(total_valid & ~raw_end & ~total.drop & ~kept & ~raw),
            brings.eq(total_valid & ~raw_end & Mux(kept | total.drop, total.end, raw)),
            own.eq((brings | raw_end) & (in_fire == 0)),   # ... after the tiles before it
        ]
        fired, fired_run, enter = self._fire(m, total, fires)

        # Words, one at a time, fired or own. A kept run's END is nobody's, but ends the run.
        word = Signal(out_layout(cfg))
        valid, run, taken = Signal(), Signal(), Signal()
        raw_last, raw_run_end, raw_run = Signal(), Signal(), Signal()
        m.d.comb += accumulate.sum.ready.eq(
            ~raw_end & Mux(fires, enter, ~brings | (own & taken)))
        with m.If(~own):
            m.d.comb += [word.eq(fired.payload), run.eq(fired_run), valid.eq(fired.valid),
                         fired.ready.eq(taken)]
        with m.Elif(raw_end):
            m.d.comb += [valid.eq(1), run.eq(raw_run), word.kind.eq(OutKind.END),
                         word.last.eq(raw_last), word.run_end.eq(raw_run_end)]
            with m.If(taken):
                m.d.sync += raw_end.eq(0)
        with m.Elif(kept | total.drop):
            m.d.comb += [valid.eq(1), run.eq(total.run), word.kind.eq(OutKind.END),
                         word.last.eq(1), word.run_end.eq(1)]
        with m.Else():
            m.d.comb += [valid.eq(1), run.eq(total.run), word.kind.eq(OutKind.RAW),
                         word.column.eq(total.column), word.data.eq(total.v)]
            with m.If(taken & total.tile_end):
                m.d.sync += [raw_end.eq(1), raw_last.eq(total.last), raw_run_end.eq(total.end),
                             raw_run.eq(total.run)]
        self._deliver(m, word, valid, run, own & brings & total.drop, taken)

        leave, done = Signal(), Signal()
        m.d.comb += [
            leave.eq(valid & taken & (word.kind == OutKind.END)),
            done.eq(leave & word.run_end),
            self.run_done.eq(done), self.run_dropped.eq(done & own & brings & total.drop),
            self.idle.eq(accumulate.empty & ~self.psum.valid & ~raw_end & (in_fire == 0)),
        ]
        m.d.sync += in_fire.eq(in_fire + (enter & total.tile_end) - (leave & ~own))
        if cfg.scale_bits or cfg.acc_depth:
            wrapped = Signal(2)             # a sum of run 0, 1 did
            wraps = total_valid & total.overflow
            m.d.comb += self.run_overflow.eq(
                done & (wrapped.bit_select(run, 1) | (own & brings & total.overflow)))
            with m.If(wraps):
                m.d.sync += wrapped.bit_select(total.run, 1).eq(1)
            with m.If(done):
                m.d.sync += wrapped.bit_select(run, 1).eq(0)
        return m

    def _fire(self, m, total, fires):
        """The firing order: its words, the run they belong to, and (the sum is taken)."""
        cfg = self.cfg
        if cfg.fire == "sar":
            m.submodules.fire = fire = SarFire(cfg)
            m.submodules.emitter = words = Emitter(cfg)
            wiring.connect(m, fire.fired, words.fired)
        else:
            m.submodules.fire = fire = words = StaircaseFire(cfg)
        enter = Signal()
        neuron = Signal(neuron_layout(cfg))
        neuron_valid = Signal()
        free = ~neuron_valid | fire.neuron.ready
        m.d.comb += [fire.settings.eq(self.settings), fire.neuron.valid.eq(neuron_valid),
                     fire.neuron.payload.eq(neuron), enter.eq(fires & free)]
        with m.If(free):
            m.d.sync += [
                neuron_valid.eq(enter), neuron.mag.eq(abs(total.v)), neuron.neg.eq(total.v < 0),
                neuron.theta.eq(total.theta), neuron.last.eq(total.last),
                neuron.end.eq(total.end), neuron.run.eq(total.run),
            ]
        return words.out, words.run, enter

    def _deliver(self, m, word, valid, run, drop, taken):
        """Each word to the host, to the chained buffer, or to both, each at its own pace."""
        to_host = setting(self.settings, run, "host")
        has = Signal(2)                     # host, chain have the word that waits for the other
        ok = Signal(2)
        m.d.comb += [self.out.payload.eq(word), self.out.valid.eq(valid & to_host & ~has[0]),
                     ok[0].eq(~to_host | has[0] | self.out.ready), taken.eq(ok.all())]
        if not can_chain(self.cfg):
            m.d.comb += ok[1].eq(1)
            return
        to_chain = setting(self.settings, run, "chain")
        m.submodules.gather = gather = Gather(self.cfg)
        m.d.comb += [
            gather.words.payload.eq(word), gather.words.valid.eq(valid & to_chain & ~has[1]),
            ok[1].eq(~to_chain | has[1] | gather.words.ready), gather.fail.eq(drop),
            gather.buf.eq(setting(self.settings, run, "chain_buf")),
            gather.complete.eq(setting(self.settings, run, "chain_last")),
        ]
        wiring.connect(m, gather.act, wiring.flipped(self.act))
        with m.If(valid):
            m.d.sync += has.eq(Mux(taken, 0, ok))
