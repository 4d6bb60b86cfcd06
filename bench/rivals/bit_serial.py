"""Bit-serial array (as BISMO): ANDs of bit planes, counted; 16 plane pairs make a 4 x 4 product.

What was tried, LUT per bit product by the chains' widths: pairs of products in two LUTs and a plain
adder tree, 3.5; adders that take one more product as their carry-in, which odd chains have room for
(`Chain` "count"), splits chosen by dynamic programming, 2.3 (kept). The paper's shifter is gone:
plane pairs come by falling weight, so V = 2 V + sum is wiring.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bench.rivals.chain import Chain
from bench.rivals.interface import Ints, Job, Rival, Shape, bits_for, delay, tiles_in_order
from bench.rivals.sequencer import Sequencer
from bench.rivals.store import STORE_LATENCY, Store


@cache
def _plan(products: int) -> tuple[int, int]:
    """LUTs to count so many products of bits, and how many the left branch counts.

    A pair takes two LUTs. A chain adds two counts and one product, which enters as its carry.
    """
    if products <= 2:
        return products, 0
    width = products.bit_length()
    return min((_plan(left)[0] + _plan(products - 1 - left)[0] + width + 2 - width % 2, left)
               for left in range(1, (products - 1) // 2 + 1))


@cache
def count_latency(products: int) -> int:
    """Cycles to count so many."""
    if products <= 2:
        return 1
    left = _plan(products)[1]
    return 1 + max(count_latency(left), count_latency(products - 1 - left))


class PopCount(wiring.Component):
    """How many bits are set in both words, `count_latency` cycles later, each cycle anew."""

    def __init__(self, bits: int):
        self._bits = bits
        super().__init__({
            "act": In(bits),                            #: these
            "wgt": In(bits),                            #: ... and these
            "count": Out(range(bits + 1)),              #: set in both
        })

    def elaborate(self, platform):
        m = Module()
        held: dict[tuple[str, int, int], Signal] = {}

        def late(word: str, place: int, cycles: int):
            """Bit `place` of act or wgt, so many cycles later."""
            if not cycles:
                return getattr(self, word)[place]
            if (word, place, cycles) not in held:
                held[word, place, cycles] = bit = Signal(name=f"{word}_{place}_{cycles}")
                m.d.sync += bit.eq(late(word, place, cycles - 1))
            return held[word, place, cycles]

        def count(first: int, products: int, ready: int) -> Signal:
            """The count of products first ..., registered, `ready` cycles after the inputs."""
            total = Signal(range(products + 1), name=f"count_{first}_{products}")
            if products <= 2:
                ands = [late("act", place, ready - 1) & late("wgt", place, ready - 1)
                        for place in range(first, first + products)]
                m.d.sync += total.eq(sum(ands[1:], ands[0]))
                return total
            left = _plan(products)[1]
            m.submodules[f"add_{first}_{products}"] = add = Chain(
                "count", unsigned((products - 1 - left).bit_length()),
                unsigned(left.bit_length()), len(total))
            extra = first + products - 1
            m.d.comb += [
                add.b.eq(count(first, left, ready - 1)),
                add.a.eq(count(first + left, products - 1 - left, ready - 1)),
                add.c.eq(late("act", extra, ready - 1)), add.d.eq(late("wgt", extra, ready - 1)),
            ]
            m.d.sync += total.eq(add.y)
            return total

        m.d.comb += self.count.eq(count(0, self._bits, count_latency(self._bits)))
        return m


class BitSerial(Rival):
    """4 R binary lanes per column: R / 4 products per cycle at peak, no multiplexer in the path.

    The plane pairs of a tile follow each other by falling weight i + j, all words of a pair in
    a row. Counts of one weight add up in a narrow sum; when the weight falls, V = 2 V + sum. A
    tile takes 16 ceil(K / 4R) cycles; the weights are read from memory four times.
    """

    def __init__(self, shape: Shape):
        self.lanes = shape.wgt_bits * shape.rows
        pairs = [(i, j) for i in range(shape.act_bits) for j in range(shape.wgt_bits)]
        self.pairs = sorted(pairs, key=lambda pair: -sum(pair))
        if len(pairs) & (len(pairs) - 1):
            raise ValueError(f"{shape.act_bits} x {shape.wgt_bits} planes: no power of two")
        self._act_planes, self._wgt_planes = bits_for(shape.act_bits), bits_for(shape.wgt_bits)
        depth = 2 << (-(-shape.k // self.lanes) - 1).bit_length()
        super().__init__(shape, banks=shape.rows, act_word=self.lanes,
                         wgt_word=shape.cols * shape.wgt_bits,
                         wgt_depth=depth << self._wgt_planes)
        self.macs = self.lanes * shape.cols / len(pairs)
        self.act_unit, self.wgt_unit = 1 << self._act_planes, 1 << self._wgt_planes

    def elaborate(self, platform):
        m = Module()
        shape, pairs = self.shape, self.pairs
        rows, cols, wbits = shape.rows, shape.cols, shape.wgt_bits
        m.submodules.sequencer = seq = Sequencer(shape, self.wgt_depth, passes=len(pairs))
        wiring.connect(m, wiring.flipped(self.run), seq.run)
        m.d.comb += [seq.step.eq(1), seq.room.eq(self.room)]

        # What a plane pair is: its planes, its sign, and whether the weight falls after it.
        top = shape.act_bits - 1 if shape.signed else None
        table = [Const(i | j << self._act_planes
                       | ((i == top) != (j == wbits - 1)) << self._act_planes + self._wgt_planes
                       | (number + 1 == len(pairs) or sum(pairs[number + 1]) < i + j)
                       << self._act_planes + self._wgt_planes + 1,
                       self._act_planes + self._wgt_planes + 2)
                 for number, (i, j) in enumerate(pairs)]
        pair, valid, end, last = Signal(len(table[0])), Signal(), Signal(), Signal()
        act_addr, wgt_addr = Signal.like(seq.act_addr), Signal.like(seq.wgt_addr)
        m.d.sync += [pair.eq(Array(table)[seq.number]), valid.eq(seq.valid), end.eq(seq.end),
                     last.eq(seq.last & seq.valid), act_addr.eq(seq.act_addr),
                     wgt_addr.eq(seq.wgt_addr)]
        plane_act = pair[:self._act_planes]
        plane_wgt = pair[self._act_planes:][:self._wgt_planes]
        minus, falls = pair[-2], pair[-1] & end & valid

        m.submodules.acts = acts = Store(self.act_word, shape.act_depth)
        m.d.comb += [acts.write.eq(self.act_write), acts.write_addr.eq(self.act_addr),
                     acts.write_data.eq(self.act_data), acts.en.eq(valid),
                     acts.addr.eq(Cat(plane_act, act_addr))]
        words = []
        for number in range(rows):
            m.submodules[f"bank_{number}"] = bank = Store(self.wgt_word, self.wgt_depth)
            m.d.comb += [bank.write.eq(self.wgt_write & (self.wgt_bank == number)),
                         bank.write_addr.eq(self.wgt_addr), bank.write_data.eq(self.wgt_data),
                         bank.en.eq(valid), bank.addr.eq(Cat(plane_wgt, wgt_addr))]
            words.append(bank.data)

        first = STORE_LATENCY + count_latency(self.lanes)
        add, neg = delay(m, valid, first, "add"), delay(m, minus, first, "neg")
        fall, done = delay(m, falls, first, "fall"), delay(m, last, first + 1, "done")
        folded = Signal()
        m.d.sync += [folded.eq(fall), self.out_valid.eq(done.replicate(cols))]
        m.d.comb += seq.done.eq(done)
        weights = {sum(pair) for pair in pairs}
        most = max(sum(sum(pair) == weight for pair in pairs) for weight in weights)
        for col in range(cols):
            m.submodules[f"count_{col}"] = count = PopCount(self.lanes)
            m.d.comb += [count.act.eq(acts.data),
                         count.wgt.eq(Cat(word[col * wbits:(col + 1) * wbits] for word in words))]
            part = Signal(signed((most * self._padded).bit_length() + 1), name=f"part_{col}")
            whole = Signal.like(part, name=f"whole_{col}")
            m.submodules[f"add_{col}"] = total = Chain(
                "neg", part.shape(), count.count.shape(), len(part))
            m.d.comb += [total.a.eq(part), total.b.eq(count.count), total.d.eq(neg)]
            with m.If(add):
                m.d.sync += part.eq(total.y)
            with m.If(fall):
                m.d.sync += [whole.eq(total.y), part.eq(0)]
            value = Signal(signed(len(self.out_sum[0])), name=f"value_{col}")
            next_value = Signal.like(value, name=f"next_{col}")
            m.d.comb += next_value.eq((value << 1) + whole)
            with m.If(folded):
                m.d.sync += value.eq(next_value)
            with m.If(done):
                m.d.sync += [self.out_sum[col].eq(next_value), value.eq(0)]
        return m

    @property
    def _padded(self) -> int:
        """K in whole words."""
        return -(-self.shape.k // self.lanes) * self.lanes

    def job(self, x: Ints, w: Ints) -> Job:
        shape, lanes, cols = self.shape, self.lanes, self.shape.cols
        x, w = self.pad(x, w, lanes)
        wbits = shape.wgt_bits
        acts = []
        for token in x:
            for word in token.reshape(-1, lanes):
                acts += [_bits(word >> plane & 1) for plane in range(1 << self._act_planes)]
        wgts = []
        tiles, words = w.shape[1] // cols, len(w) // lanes
        for tile, part in enumerate(np.split(w, tiles, axis=1)):
            for number, chunk in enumerate(np.split(part, words)):
                for plane in range(1 << self._wgt_planes):
                    planes = chunk >> plane & 1                     # [lanes, C]
                    row = (tile * words + number) << self._wgt_planes | plane
                    # Bank b has lanes 4 b ... of all columns.
                    wgts += [(bank, row, _bits(planes[bank * wbits:(bank + 1) * wbits].T.ravel()))
                             for bank in range(shape.rows)]
        return Job(acts, wgts, words, tiles, len(x), len(x) * tiles)

    def collect(self, columns: Sequence[Sequence[int]], tokens: int, outputs: int) -> Ints:
        return tiles_in_order(columns, tokens, outputs)

    def cycles(self, tokens: int, inputs: int, outputs: int, x: Ints | None = None) -> float:
        return (tokens * -(-outputs // self.shape.cols) * -(-inputs // self.lanes)
                * len(self.pairs))


def _bits(bits: Ints) -> int:
    """Bits as a number, the first the lowest."""
    return sum(int(bit) << place for place, bit in enumerate(bits))
