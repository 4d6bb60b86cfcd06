"""Act loader: beats into tokens, row by row."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.load_layout import load_layout
from hdl.payloads import act_layout
from spinteger.config import Config

#: Bits of a code in a beat: q, then e.
CODE_BITS = 16


class ActLoader(wiring.Component):
    """Per token a beat with its shift, then `act_word_beats` beats per row. Latency 1 cycle.

    With `fail` up and `beat` not valid, it sends a last word that fails the token that it is in,
    or one of its own; so no token is left half delivered.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "load": In(load_layout(cfg)),    #: what comes; holds from `start` to the last beat
            "start": In(1),                  #: a new load
            "beat": In(stream.Signature(cfg.bus_bits)),      #: payload
            "fail": In(1),                   #: end a load that failed; taken with `beat.ready`
            "final": Out(1),                 #: this beat is the last one
            "act": Out(stream.Signature(act_layout(cfg))),   #: to the array
        })

    def elaborate(self, platform):
        m = Module()
        cfg, act = self.cfg, self.act
        inside = Signal()                # the token's shift was here
        part = Signal(range(cfg.act_word_beats))
        row = Signal(cfg.row_bits)
        token = Signal(cfg.token_bits)
        word_end = inside & (part == cfg.act_word_beats - 1)
        token_end = Signal()
        m.d.comb += [
            token_end.eq(word_end & (row == (self.load.rows - 1)[:cfg.row_bits])),
            self.final.eq(token_end & (token == self.load.token_last)),
            self.beat.ready.eq(~act.valid | act.ready),
        ]

        with m.If(act.ready):
            m.d.sync += act.valid.eq(0)
        take = self.beat.valid & self.beat.ready
        with m.If(take):
            with m.If(inside):
                m.d.sync += part.eq(part + 1)
                with m.If(word_end):
                    m.d.sync += [part.eq(0), row.eq(row + 1)]
                with m.If(token_end):
                    m.d.sync += [row.eq(0), token.eq(token + 1), inside.eq(0)]
            with m.Else():
                m.d.sync += inside.eq(1)
                if cfg.shift_bits:
                    m.d.sync += act.payload.shift.eq(self.beat.payload)
            m.d.sync += [act.valid.eq(word_end), act.payload.last.eq(token_end),
                         act.payload.fail.eq(0)]
        with m.Elif(self.fail & self.beat.ready):
            m.d.sync += [act.valid.eq(1), act.payload.last.eq(1), act.payload.fail.eq(1)]
        with m.If(self.start):
            m.d.sync += [inside.eq(0), part.eq(0), row.eq(0), token.eq(0),
                         act.payload.buf.eq(self.load.buf)]

        # A word's codes, from its beats.
        parts = [self.beat.payload]
        for number in reversed(range(cfg.act_word_beats - 1)):
            kept = Signal(cfg.bus_bits, name=f"part_{number}")
            with m.If(take & (part == number)):
                m.d.sync += kept.eq(self.beat.payload)
            parts.insert(0, kept)
        word = Cat(parts)
        for group in range(cfg.groups):
            code, field = act.payload.code[group], word.word_select(group, CODE_BITS)
            with m.If(take):
                m.d.sync += code.q.eq(field)
                if cfg.exp_bits:
                    m.d.sync += code.e.eq(field[cfg.sal_bits:])
        return m
