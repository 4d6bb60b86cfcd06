"""Loader: payload beats of the LOAD operations into the array's streams."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.load_acts import ActLoader
from hdl.load_layout import load_layout
from hdl.load_thresholds import ThresholdLoader
from hdl.load_weights import WeightLoader
from hdl.packets import beat_layout
from hdl.payloads import act_layout, thr_layout, wgt_layout
from spinteger.config import Config
from spinteger.isa import Error


class Loader(wiring.Component):
    """Carries out one load after the other, one beat per cycle, and says how it ended.

    A load ends with its packet, with the beat that completes its payload, or with a bad beat,
    whichever comes first; it is good if the first two coincide. Of a bad beat nothing is
    stored, but all others before the end are. Bad tokens end with a word that has `fail`.
    `done` comes once all words were taken.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "load": In(load_layout(cfg)),    #: what to load; must hold from `start` to `done`
            "start": In(1),                  #: begin
            "empty": In(1),                  #: ... and end: the packet has no payload
            "done": Out(1),                  #: the load has ended
            "error": Out(8),                 #: ... so: NONE, TLAST_EARLY, TLAST_LATE, BAD_KEEP
            "beats": In(stream.Signature(beat_layout(cfg))),    #: the payload
            "wgt": Out(stream.Signature(wgt_layout(cfg))),      #: to the array: weight rows
            "thr": Out(stream.Signature(thr_layout(cfg))),      #: ... thresholds and scales
            "act": Out(stream.Signature(act_layout(cfg))),      #: ... tokens
            "rows_loaded": Out(range(cfg.wgt_beat_rows + 1)),   #: weight rows that came ...
            "rows_skipped": Out(range(33)),                     #: ... or were left out, this cycle
        })

    def elaborate(self, platform):
        m = Module()
        cfg, op, beat = self.cfg, self.load.op, self.beats.payload
        m.submodules.weights = weights = WeightLoader(cfg)
        m.submodules.thresholds = thresholds = ThresholdLoader(cfg)
        m.submodules.acts = acts = ActLoader(cfg)
        loading = Signal()
        failing = Signal()               # bad tokens: their last word is to be sent
        draining = Signal()
        wrong = Signal(8)                # what this beat ends the load with
        ready = Signal()
        final = Signal()                 # the payload is complete with this beat

        # Each beat goes to one of three.
        for chosen, loader in ((op.wgt, weights), (op.thr | op.scale, thresholds), (op.act, acts)):
            m.d.comb += [
                loader.load.eq(self.load), loader.start.eq(self.start),
                loader.beat.payload.eq(beat.data),
                loader.beat.valid.eq(loading & self.beats.valid & chosen & ~beat.bad),
            ]
            with m.If(chosen):
                m.d.comb += [final.eq(loader.final), ready.eq(loader.beat.ready)]
        m.d.comb += [self.beats.ready.eq(loading & ready), acts.fail.eq(failing)]

        # The end.
        with m.If(beat.bad):
            m.d.comb += wrong.eq(Error.BAD_KEEP)
        with m.Elif(final & ~beat.last):
            m.d.comb += wrong.eq(Error.TLAST_LATE)
        with m.Elif(~final & beat.last):
            m.d.comb += wrong.eq(Error.TLAST_EARLY)
        with m.If(self.start):
            m.d.sync += [loading.eq(~self.empty), failing.eq(self.empty & op.act),
                         draining.eq(self.empty), self.error.eq(Error.TLAST_EARLY)]
        with m.If(self.beats.valid & self.beats.ready & (final | beat.last | beat.bad)):
            m.d.sync += [loading.eq(0), failing.eq(op.act & (wrong != Error.NONE)),
                         draining.eq(1), self.error.eq(wrong)]
        with m.If(failing & acts.beat.ready):
            m.d.sync += failing.eq(0)
        m.d.comb += self.done.eq(draining & ~failing & ~self.wgt.valid & ~self.thr.valid
                                 & ~self.act.valid)
        with m.If(self.done):
            m.d.sync += draining.eq(0)

        wiring.connect(m, weights.wgt, wiring.flipped(self.wgt))
        wiring.connect(m, thresholds.thr, wiring.flipped(self.thr))
        wiring.connect(m, acts.act, wiring.flipped(self.act))
        m.d.comb += [self.rows_loaded.eq(weights.rows_loaded),
                     self.rows_skipped.eq(weights.rows_skipped)]
        return m
