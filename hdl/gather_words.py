"""Gather words: turns a tile's output words back into codes, rows of an activation buffer."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import OutKind, act_layout, out_layout
from hdl.select import pick
from spinteger.config import Config


class GatherWords(wiring.Component):
    """Codes of a chained run, in column order, G per `act` word.

    SALIENT and SPIKE words fill a register per column, each as it comes; a column without any
    is silent. END is held back while the tile's codes leave, and taken with the last of them.
    `fail` on an END means that the run was dropped: one `act` word says so.

    A tile fills whole rows where C is a multiple of G: C/G cycles from END, and END is taken in
    the last. Otherwise codes go one by one into a row that is kept from tile to tile, and from
    run to run until `complete`: C cycles, one per full row, and one for END.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "words": In(stream.Signature(out_layout(cfg))),    #: a tile's words, END after all
            "fail": In(1),          #: the END is a dropped run's
            "buf": In(1),           #: activation buffer that the tile's codes go to
            "complete": In(1),      #: END with `last` completes a token there
            "act": Out(stream.Signature(act_layout(cfg))),     #: rows of codes
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        word, act = self.words.payload, self.act.payload
        clear, at_end = Signal(), Signal()
        m.d.comb += at_end.eq(self.words.valid & (word.kind == OutKind.END))
        codes = self._codes(m, clear)
        m.d.comb += [act.buf.eq(self.buf), self.words.ready.eq(~at_end | clear)]
        flush = word.last & self.complete

        with m.If(at_end & self.fail):
            m.d.comb += [self.act.valid.eq(1), act.last.eq(1), act.fail.eq(1),
                         clear.eq(self.act.ready)]
        if cfg.cols % cfg.groups == 0:
            self._whole_rows(m, at_end & ~self.fail, flush, codes, clear)
        else:
            self._one_by_one(m, at_end & ~self.fail, flush, codes, clear)
        return m

    def _codes(self, m, clear):
        """The columns' codes, (q, e) as bits: level or q is kept, and whether to negate it."""
        cfg = self.cfg
        word = self.words.payload
        spike = Signal()
        value = Signal(signed(cfg.sal_bits))
        exponent = Signal(cfg.exp_bits)
        m.d.comb += [
            spike.eq(word.kind == OutKind.SPIKE),
            value.eq(Mux(spike, cfg.window - word.step, word.data[:cfg.sal_bits].as_signed())),
            exponent.eq(Mux(spike, 0, word.data[cfg.sal_bits:])),
        ]
        codes = []
        for col in range(cfg.cols):
            kept = Signal(signed(cfg.sal_bits), name=f"value_{col}")
            negate = Signal(name=f"negate_{col}")
            kept_e = Signal(cfg.exp_bits, name=f"exponent_{col}")
            fires = Mux(spike, word.data[col],
                        (word.kind == OutKind.SALIENT) & (word.column == col))
            with m.If(clear):
                m.d.sync += [kept.eq(0), negate.eq(0), kept_e.eq(0)]
            with m.Elif(self.words.valid & fires):
                m.d.sync += [kept.eq(value), negate.eq(spike & word.data[cfg.cols + col]),
                             kept_e.eq(exponent)]
            codes.append(Cat(kept, kept_e, negate))
        return codes

    def _code(self, kept):
        """A kept code, as `code_layout` has it."""
        cfg = self.cfg
        q, negate = kept[:cfg.sal_bits], kept[-1]
        return Cat(((q ^ negate.replicate(cfg.sal_bits)) + negate)[:cfg.sal_bits],
                   kept[cfg.sal_bits:-1])

    def _whole_rows(self, m, deliver, flush, codes, clear):
        """Row after row, straight from the columns."""
        cfg = self.cfg
        act, rows = self.act.payload, cfg.cols // cfg.groups
        row = Signal(range(max(2, rows)))
        last_row = row == rows - 1
        for place in range(cfg.groups):
            m.d.comb += act.code[place].as_value().eq(
                self._code(pick(codes[place::cfg.groups], row)))
        with m.If(deliver):
            m.d.comb += [self.act.valid.eq(1), act.last.eq(flush & last_row),
                         clear.eq(self.act.ready & last_row)]
            with m.If(self.act.ready):
                m.d.sync += row.eq(Mux(last_row, 0, row + 1))

    def _one_by_one(self, m, deliver, flush, codes, clear):
        """Code after code into a row; silent ones fill up the last row of a token."""
        cfg = self.cfg
        act = self.act.payload
        kept = Signal(act.code.shape())
        column = Signal(range(cfg.cols + 1))            # C: all are in the row
        fill = Signal(range(cfg.groups))                # codes in the row
        full = Signal()
        through = column == cfg.cols
        m.d.comb += act.code.eq(kept)
        with m.If(deliver & full):
            m.d.comb += [self.act.valid.eq(1), act.last.eq(flush & through)]
            with m.If(self.act.ready):
                m.d.sync += full.eq(0)
        with m.Elif(deliver & through & ~(flush & (fill != 0))):
            m.d.comb += clear.eq(1)
            m.d.sync += column.eq(0)
        with m.Elif(deliver):
            code = Mux(through, 0, self._code(pick(codes, column)))
            m.d.sync += [kept.eq(Cat(kept.as_value()[len(code):], code)),
                         fill.eq(fill + 1), full.eq(fill == cfg.groups - 1)]
            with m.If(~through):
                m.d.sync += column.eq(column + 1)
        with m.If(clear & self.fail):
            m.d.sync += fill.eq(0)
