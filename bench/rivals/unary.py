"""Temporal-unary array (as tubGEMM): an activation of level m adds its weight in m cycles.

The paper's PE adds into an accumulator of its own: about 20 LUT per PE here, for one weight per
cycle. Adding up the lanes of a column in a tree first takes 7 to 9 (see `GatedSum`), so that is
what stands here. A word ends with its largest level, and zeros read no weights. Two levels per
cycle ("2s unary": w and 2w as two planes, 4 cycles instead of 7) needs twice the gated sums, so
that LUTs times cycles stay the same; worked out, not built.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring

from bench.rivals import gated_sum
from bench.rivals.gated_sum import CHAIN
from bench.rivals.interface import (
    Ints,
    Job,
    Rival,
    Shape,
    delay,
    pack,
    sign_magnitude,
    tiles_in_order,
)
from bench.rivals.sequencer import Sequencer
from bench.rivals.store import STORE_LATENCY, Store
from bench.rivals.tree import Copy, PlaneColumn


class Unary(Rival):
    """A word of R activations takes as many cycles as its largest |x|, at least one.

    In cycle t those with |x| > t add their +-w: gates, signs and the correction `fix` are
    shared by all columns, and an adder tree takes the place of an accumulator in each PE. `fix`
    lies behind each token's activations, as in `Tree`.
    """

    def __init__(self, shape: Shape):
        self._offsets = 1 << (shape.wgt_bits - 1), (1 << (shape.wgt_bits - 1)) - 1
        self._fix_bits = (shape.k * shape.act_range[-1] * self._offsets[0]).bit_length() + 1
        super().__init__(shape, banks=shape.rows, act_word=shape.rows * shape.act_bits,
                         wgt_word=shape.cols * shape.wgt_bits, wgt_depth=shape.wgt_depth)

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        rows, cols, bits, wbits = shape.rows, shape.cols, shape.act_bits, shape.wgt_bits
        mag = shape.act_mag_bits
        m.submodules.sequencer = seq = Sequencer(shape, self.wgt_depth)
        wiring.connect(m, wiring.flipped(self.run), seq.run)
        step = Signal()                         # the next word comes to the stage that repeats
        m.d.comb += [seq.step.eq(step), seq.room.eq(self.room)]
        m.submodules.acts = acts = Store(self.act_word, shape.act_depth)
        m.d.comb += [acts.write.eq(self.act_write), acts.write_addr.eq(self.act_addr),
                     acts.write_data.eq(self.act_data), acts.en.eq(step), acts.move.eq(step),
                     acts.addr.eq(seq.act_addr)]

        # The word before: its largest level, by a thermometer code of all levels.
        fetched = [(seq.valid, "valid"), (seq.last & seq.valid, "last"), (seq.wgt_addr, "addr")]
        for late in range(STORE_LATENCY + 2):
            for place, (value, name) in enumerate(fetched):
                held = Signal(len(value), name=f"{name}_{late}")
                with m.If(step):
                    m.d.sync += held.eq(value)
                fetched[place] = held, name
        valid, last, addr = (value for value, _ in fetched)
        fresh, read = Signal(self.act_word), Signal(self.act_word)
        levels = [fresh[lane * bits:lane * bits + mag] for lane in range(rows)]
        top = range(1 << mag)[-1]
        above = Signal(top)
        with m.If(step):
            m.d.sync += [fresh.eq(acts.data), read.eq(fresh), above.eq(
                Cat(Cat(level > t for level in levels).any() for t in range(top)))]
        busy, ends = Signal(), Signal()         # a word is being repeated; its last cycle
        word, length, turn = Signal(self.act_word), Signal(top), Signal(mag)
        word_last, word_addr = Signal(), Signal.like(addr)
        # A cycle ends the word if no level is above the next t: bit t + 1 of the thermometer.
        m.d.comb += [ends.eq(~length[1]), step.eq(~busy | ends)]
        with m.If(step):
            m.d.sync += [word.eq(read), word_last.eq(last), word_addr.eq(addr),
                         busy.eq(valid), turn.eq(0), length.eq(Mux(last, 0, above))]
        with m.Else():
            m.d.sync += [turn.eq(turn + 1), length.eq(length >> 1)]

        # This cycle's spikes, and their weights.
        on = Signal(rows)
        neg, go, end = Signal(rows), Signal(), Signal()
        at = Signal.like(addr)
        fix = Signal(self._fix_bits)
        m.d.sync += [
            on.eq(Cat(word[lane * bits:lane * bits + mag] > turn for lane in range(rows))),
            neg.eq(Cat(word[lane * bits + bits - 1] if shape.signed else 0
                       for lane in range(rows))),
            go.eq(busy), end.eq(busy & word_last), at.eq(word_addr),
        ]
        with m.If(busy & word_last):
            m.d.sync += fix.eq(word)
        weights, ons, negs = [], [], []
        addrs = [delay(m, at, late, f"at_{late}") for late in range(CHAIN)]
        for lane in range(rows):
            late = lane % CHAIN
            m.submodules[f"bank_{lane}"] = bank = Store(self.wgt_word, self.wgt_depth)
            m.d.comb += [
                bank.write.eq(self.wgt_write & (self.wgt_bank == lane)),
                bank.write_addr.eq(self.wgt_addr), bank.write_data.eq(self.wgt_data),
                bank.en.eq(delay(m, on[lane], late, f"live_{lane}")), bank.addr.eq(addrs[late]),
            ]
            weights.append(bank.data)
            ons.append(delay(m, on[lane], late + STORE_LATENCY - 1, f"on_{lane}"))
            negs.append(delay(m, neg[lane], late + STORE_LATENCY - 1, f"neg_{lane}"))
        first = STORE_LATENCY + gated_sum.latency(rows)
        add, close = delay(m, go, first, "add"), delay(m, end, first, "close")
        for col in range(cols):
            m.submodules[f"column_{col}"] = column = PlaneColumn(
                rows, wbits, 1, self._fix_bits, len(self.out_sum[0]))
            m.submodules[f"copy_{col}"] = copy = Copy(2 * rows)
            m.d.comb += copy.word.eq(Cat(ons, negs))
            for lane in range(rows):
                m.d.comb += [
                    column.value[lane].eq(weights[lane][col * wbits:(col + 1) * wbits]),
                    column.gate[lane].eq(copy.held[lane])]
            if shape.signed:
                m.d.comb += column.neg.eq(copy.held[rows:])
            m.d.comb += [column.fix.eq(fix), column.add.eq(add), column.last.eq(close),
                         self.out_sum[col].eq(column.sum)]
        m.d.sync += self.out_valid.eq(close.replicate(cols))
        m.d.comb += seq.done.eq(close)
        return m

    def job(self, x: Ints, w: Ints) -> Job:
        shape, rows = self.shape, self.shape.rows
        x, w = self.pad(x, w, rows)
        bits, positive, negative = shape.act_bits, *self._offsets
        acts = []
        for token in x:
            acts += [pack([sign_magnitude(code, bits) if shape.signed else code
                           for code in word], bits) for word in token.reshape(-1, rows)]
            fix = -(np.abs(token) * np.where(token < 0, negative, positive)).sum()
            acts.append(int(fix) & ((1 << self._fix_bits) - 1))
        tiles, words = w.shape[1] // shape.cols, len(w) // rows + 1
        wgts = [(k % rows, tile * words + k // rows, pack([code + positive for code in part[k]],
                                                          shape.wgt_bits))
                for tile, part in enumerate(np.split(w, tiles, axis=1)) for k in range(len(w))]
        return Job(acts, wgts, words, tiles, len(x), len(x) * tiles)

    def collect(self, columns: Sequence[Sequence[int]], tokens: int, outputs: int) -> Ints:
        return tiles_in_order(columns, tokens, outputs)

    def cycles(self, tokens: int, inputs: int, outputs: int, x: Ints | None = None) -> float:
        shape = self.shape
        if x is None:                           # the worst case
            each = tokens * -(-inputs // shape.rows) * shape.act_range[-1]
        else:
            padded, _ = self.pad(x, np.zeros((inputs, 1), np.int64), shape.rows)
            tops = np.abs(padded).reshape(tokens, -1, shape.rows).max(axis=2)
            each = int(np.maximum(tops, 1).sum())
        return -(-outputs // shape.cols) * (each + tokens)
