"""Output: the array's words, and those of fences, as beats of the data output."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.packets import output_layout
from hdl.payloads import OutKind, out_layout
from hdl.registers import fence_layout
from spinteger.config import Config

TAG_BITS = 32


class Output(wiring.Component):
    """Each word, padded with zeros to whole beats, low bits first. One beat per cycle.

    `last` is on the final beat of END words with `run_end`. A fence's word is an END with its
    tag; it must be offered when no run is under way. Latency 1 cycle.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "words": In(stream.Signature(out_layout(cfg))),        #: from the array
            "fence": In(stream.Signature(TAG_BITS)),               #: a fence's tag
            "output": Out(stream.Signature(output_layout(cfg))),   #: beats
            "passed": Out(fence_layout()),                        #: the fence's word was taken
            "busy": Out(1),                                        #: a word is on its way out
        })

    def elaborate(self, platform):
        m = Module()
        cfg, output = self.cfg, self.output
        word = Signal(out_layout(cfg))
        beats = -(-len(word.as_value()) // cfg.bus_bits)
        beat = Signal(range(beats))
        is_fence = Signal()
        rest = Signal(max(0, TAG_BITS - len(word.data)))    # of a tag that is wider than a word
        final = Signal()
        free = Signal()
        padded = Cat(word.as_value(), Const(0, beats * cfg.bus_bits - len(word.as_value())))
        m.d.comb += [
            output.valid.eq(self.busy), output.payload.data.eq(padded.word_select(
                beat, cfg.bus_bits) if beats > 1 else padded),
            output.payload.last.eq(final & (word.kind == OutKind.END) & word.run_end),
            final.eq(beat == beats - 1),
            self.passed.valid.eq(self.busy & output.ready & final & is_fence),
            self.passed.tag.eq(Cat(word.data, rest)),
            free.eq(~self.busy | (output.ready & final)),
            self.words.ready.eq(free), self.fence.ready.eq(free & ~self.words.valid),
        ]
        with m.If(self.busy & output.ready):
            m.d.sync += beat.eq(Mux(final, 0, beat + 1))
        with m.If(free):
            m.d.sync += [self.busy.eq(self.words.valid | self.fence.valid),
                         is_fence.eq(~self.words.valid)]
            with m.If(self.words.valid):
                m.d.sync += word.eq(self.words.payload)
            with m.Elif(self.fence.valid):
                m.d.sync += [word.eq(0), word.kind.eq(OutKind.END), word.last.eq(1),
                             word.run_end.eq(1), Cat(word.data, rest).eq(self.fence.payload)]
        return m
