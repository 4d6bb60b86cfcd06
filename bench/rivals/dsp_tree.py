"""Adder-tree array on DSPs: two INT4 products per MULT18X18D, sums in LUTs.

One operand holds two weights, so one 18x18 multiplier gives the products of two columns. The usual
correction of the upper product (add the lower one's sign bit) is gone: the lower weight is stored
with an offset that makes it positive, so the correction depends on the activation only and is added
once per token. A systolic form needs an 18-bit sum per PE (20 LUT) where the tree needs 10 LUT per
lane. Four 4x4 products per multiplier (two activations times two weights, 7-bit fields) fit its 36
bits, but every field then borrows from the one below; not built.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from bench.rivals.accumulator import accumulate
from bench.rivals.interface import Ints, Job, Rival, delay, pack, tiles_in_order
from bench.rivals.interface import Shape as RivalShape
from bench.rivals.sequencer import Sequencer
from bench.rivals.store import STORE_LATENCY, Store


class Products(wiring.Component):
    """x times two weights in one multiplication; 2 cycles.

    The lower weight is w + offset, never negative, so that both simply lie side by side. The low
    field of x * (high * 2^s + low) is x * low; the high one is x * high less 1 if x is negative,
    since low is not 0 then. Who uses this adds that 1, and takes off x * offset.
    """

    def __init__(self, act: Shape, wgt_bits: int):
        self._low = act.width + wgt_bits
        super().__init__({
            "act": In(act),                             #: x
            "high": In(signed(wgt_bits)),               #: w of a column
            "low": In(unsigned(wgt_bits)),              #: w + offset of another
            "product_high": Out(signed(self._low)),
            "product_low": Out(signed(self._low + (not act.signed))),
        })

    def elaborate(self, platform):
        m = Module()
        both = Signal(signed(self._low + len(self.high)))
        # Without reset: they move into the multiplier.
        x = Signal(self.act.shape(), reset_less=True)
        product = Signal(signed(len(both) + len(x) + 1), reset_less=True)
        m.d.comb += both.eq(Cat(self.low, Const(0, self._low - len(self.low)), self.high))
        held = Signal(both.shape(), reset_less=True)
        m.d.sync += [x.eq(self.act), held.eq(both), product.eq(x * held)]
        m.d.comb += [self.product_low.eq(product[:self._low]),
                     self.product_high.eq(product[self._low:])]
        return m


class TreeColumn(wiring.Component):
    """Sum of a column's products and the accumulator; `fix` is added after the tile's last word."""

    def __init__(self, rows: int, bits: int, fix_bits: int, sum_bits: int):
        super().__init__({
            "product": In(data.ArrayLayout(signed(bits), rows)),
            "fix": In(signed(fix_bits)),                #: beside `last`
            "add": In(1),                               #: the total is one of the tile
            "last": In(1),                              #: ... the tile's end: add `fix`
            "sum": Out(signed(sum_bits)),               #: finished, one cycle later
        })

    def elaborate(self, platform):
        m = Module()
        sums = [self.product[lane] for lane in range(len(self.product))]
        while len(sums) > 1:
            pairs = []
            for left, right in zip(sums[::2], sums[1::2], strict=False):
                total = Signal(signed(len(left) + 1), name=f"sum_{len(sums)}_{len(pairs)}")
                m.d.sync += total.eq(left + right)
                pairs.append(total)
            if len(sums) % 2:
                odd = Signal(signed(len(sums[-1]) + 1), name=f"sum_{len(sums)}_{len(pairs)}")
                m.d.sync += odd.eq(sums[-1])
                pairs.append(odd)
            sums = pairs
        accumulate(m, sums[0], self.fix, add=self.add, last=self.last, out=self.sum)
        return m


class DspTree(Rival):
    """R x C products per cycle, summed over R in every column; C / 2 multipliers a lane.

    The correction of both columns of a pair depends on the activations only: it lies behind each
    token in their memory (`fix`), worked out by who writes it. A zero reads no weight. A tile
    takes ceil(K / R) + 1 cycles.
    """

    dsp = True

    def __init__(self, shape: RivalShape):
        self._offset = 1 << (shape.wgt_bits - 1)
        top = shape.act_range[-1]
        self._fix_low = (shape.k * top * self._offset).bit_length() + 1
        self._fix_high = shape.k.bit_length() + 1
        super().__init__(shape, banks=shape.rows, act_word=shape.rows * shape.act_bits,
                         wgt_word=shape.cols * shape.wgt_bits, wgt_depth=shape.wgt_depth)
        if self.act_word < self._fix_low + self._fix_high:
            raise ValueError(f"{shape.rows} rows: too few for the corrections")

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        rows, cols, bits, wbits = shape.rows, shape.cols, shape.act_bits, shape.wgt_bits
        m.submodules.sequencer = seq = Sequencer(shape, self.wgt_depth)
        wiring.connect(m, wiring.flipped(self.run), seq.run)
        m.submodules.acts = acts = Store(self.act_word, shape.act_depth)
        m.d.comb += [seq.step.eq(1), seq.room.eq(self.room), acts.write.eq(self.act_write),
                     acts.write_addr.eq(self.act_addr), acts.write_data.eq(self.act_data),
                     acts.en.eq(seq.valid), acts.addr.eq(seq.act_addr)]
        fetch = STORE_LATENCY + 1
        word = delay(m, acts.data, 1, "word")
        present = delay(m, seq.valid, STORE_LATENCY, "present")     # beside acts.data
        valid = delay(m, seq.valid, fetch, "valid")
        last = delay(m, seq.last & seq.valid, fetch, "last")
        addr = delay(m, seq.wgt_addr, fetch, "addr")
        fix_low, fix_high = Signal(signed(self._fix_low)), Signal(signed(self._fix_high))
        with m.If(last):
            m.d.sync += Cat(fix_low, fix_high).eq(word)

        act_shape = Shape(bits, shape.signed)
        columns = []
        for col in range(cols):
            width = bits + wbits + (not shape.signed and col % 2 == 0)
            m.submodules[f"column_{col}"] = column = TreeColumn(
                rows, width, self._fix_high if col % 2 else self._fix_low, len(self.out_sum[0]))
            m.d.comb += [column.fix.eq(fix_high if col % 2 else fix_low),
                         self.out_sum[col].eq(column.sum)]
            columns.append(column)
        for lane in range(rows):
            code, part = word[lane * bits:(lane + 1) * bits], acts.data.word_select(lane, bits)
            m.submodules[f"bank_{lane}"] = bank = Store(self.wgt_word, self.wgt_depth)
            m.d.comb += [
                bank.write.eq(self.wgt_write & (self.wgt_bank == lane)),
                bank.write_addr.eq(self.wgt_addr), bank.write_data.eq(self.wgt_data),
                bank.en.eq(delay(m, present & (part != 0), 1, f"live_{lane}")),
                bank.addr.eq(addr),
            ]
            x = delay(m, code & (~last).replicate(bits), STORE_LATENCY, f"act_{lane}")
            for pair in range(-(-cols // 2)):
                m.submodules[f"products_{lane}_{pair}"] = products = Products(act_shape, wbits)
                at = 2 * pair
                m.d.comb += [products.act.eq(x),
                             products.low.eq(bank.data[at * wbits:(at + 1) * wbits]),
                             columns[at].product[lane].eq(products.product_low)]
                if at + 1 < cols:
                    m.d.comb += [
                        products.high.eq(bank.data[(at + 1) * wbits:(at + 2) * wbits]),
                        columns[at + 1].product[lane].eq(products.product_high)]
        first = STORE_LATENCY + 2 + ceil_log2(rows)
        add, end = delay(m, valid, first, "add"), delay(m, last, first, "end")
        m.d.comb += [signal.eq(value) for column in columns
                     for signal, value in ((column.add, add), (column.last, end))]
        m.d.sync += self.out_valid.eq(end.replicate(cols))
        m.d.comb += seq.done.eq(end)
        return m

    def job(self, x: Ints, w: Ints) -> Job:
        shape, rows = self.shape, self.shape.rows
        x, w = self.pad(x, w, rows)
        acts = []
        for token in x:
            acts += [pack(word, shape.act_bits) for word in token.reshape(-1, rows)]
            low, high = int(-self._offset * token.sum()), int((token < 0).sum())
            acts.append(low & ((1 << self._fix_low) - 1) | high << self._fix_low)
        tiles, words = w.shape[1] // shape.cols, len(w) // rows + 1
        offsets = np.where(np.arange(shape.cols) % 2, 0, self._offset)
        wgts = [(k % rows, tile * words + k // rows, pack(part[k] + offsets, shape.wgt_bits))
                for tile, part in enumerate(np.split(w, tiles, axis=1)) for k in range(len(w))]
        return Job(acts, wgts, words, tiles, len(x), len(x) * tiles)

    def collect(self, columns: Sequence[Sequence[int]], tokens: int, outputs: int) -> Ints:
        return tiles_in_order(columns, tokens, outputs)

    def cycles(self, tokens: int, inputs: int, outputs: int, x: Ints | None = None) -> float:
        shape = self.shape
        return tokens * -(-outputs // shape.cols) * (-(-inputs // shape.rows) + 1)
