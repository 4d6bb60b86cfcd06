"""Adder-tree array: R weight rows x R activations per cycle, zero activations read nothing.

What was tried (ECP5, Yosys 0.70, LUT per lane after synthesis, one column of 16 lanes with its
accumulator, W4A4 unless said otherwise):

  52.1  `x * w` and `+`, as Yosys maps them (Baugh-Wooley rows in LUTs and chains)
  47.1  quarter squares, two tables
  45.2  two 4x2-bit tables and an adder, then a tree
  42.1  Booth radix 4, activations recoded once for all columns
  25.8  products as gated rows on carry chains (`Chain`), sign by complement, then a tree
  25.4  bit planes: lanes summed per plane, in chains of two lanes, all planes in one carry chain
  22.9  ... in chains of four lanes (kept), or of eight
  37.9  W4A8, planes of the weight (kept);  52.7  planes of the activation

What makes it small: ANDs and complements in the adders' own LUTs; signs and offsets put right once
per token by a word that the activation memory holds already; one carry chain for all planes, since
a chain costs two LUTs more than its bits (`gen.carry`). Tables of multiples in block RAM (w, 3w,
...) would save one row of three for three times the weight memory; not built.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bench.rivals import gated_sum
from bench.rivals.accumulator import accumulate
from bench.rivals.gated_sum import CHAIN, GatedSum
from bench.rivals.interface import Ints, Job, Rival, delay, pack, sign_magnitude, tiles_in_order
from bench.rivals.interface import Shape as RivalShape
from bench.rivals.sequencer import Sequencer
from bench.rivals.store import STORE_LATENCY, Store


class Copy(wiring.Component):
    """A register of a column's own for what all columns share: short wires, no high fan-out."""

    def __init__(self, bits: int):
        super().__init__({"word": In(bits), "held": Out(bits)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.held.eq(self.word)
        return m


class PlaneColumn(wiring.Component):
    """One output: a `GatedSum`, its planes shifted and added, and the accumulator.

    Plane b sums the words whose multiplier has bit b set; multipliers are sign and magnitude.
    What the words' offsets and complements are too much is put right by `fix`, added instead of
    the sum in the tile's last word.
    """

    def __init__(self, rows: int, bits: int, planes: int, fix_bits: int, sum_bits: int):
        self._lanes = rows, bits, planes
        super().__init__({
            "value": In(data.ArrayLayout(bits, rows)),      #: a word per lane, skewed (GatedSum)
            "gate": In(data.ArrayLayout(planes, rows)),     #: each lane's multiplier
            "neg": In(rows),                                #: its sign
            "fix": In(signed(fix_bits)),                    #: beside `last`
            "add": In(1),                                   #: the total is one of the tile
            "last": In(1),                                  #: ... the tile's end: add `fix`
            "sum": Out(signed(sum_bits)),                   #: finished, one cycle later
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.lanes = lanes = GatedSum(*self._lanes)
        m.d.comb += [lanes.value.eq(self.value), lanes.gate.eq(self.gate),
                     lanes.neg.eq(self.neg)]
        total = lanes.sum[0]
        for plane in range(1, self._lanes[-1]):
            part = delay(m, lanes.sum[plane], plane - 1, f"plane_{plane}")
            both = Signal(len(part) + plane + 1, name=f"planes_{plane}")
            m.d.sync += both.eq(Cat(total[:plane], total[plane:] + part))
            total = both
        accumulate(m, total, self.fix, add=self.add, last=self.last, out=self.sum)
        return m


class Tree(Rival):
    """R x C products per cycle, summed over R in every column.

    `by` chooses which operand's bits are the planes, and gate the other one's words. "act":
    gates and signs are shared by all columns, so is `fix`, and a zero reads no weight. "wgt": 3
    planes however wide activations are, `fix` is a constant of each column. `fix` lies in the
    memory in question as one word more at the end of each token, or tile; computing it is left
    to who writes the memory, free of charge. A tile takes ceil(K / R) + 1 cycles.

    Pipeline: sequencer, activation memory (3), weight memory (2), `GatedSum`, planes (1 each but
    the first), accumulator.
    """

    def __init__(self, shape: RivalShape, by: str = "act"):
        self.by = by
        if by == "act":
            self._offsets = 1 << (shape.wgt_bits - 1), (1 << (shape.wgt_bits - 1)) - 1
            top = shape.act_range[-1]
        else:
            high = 1 << (shape.act_bits - 1)
            self._offsets = (high, high - 1) if shape.signed else (0, 2 * high - 1)
            top = shape.wgt_max
        self._fix_bits = (shape.k * top * max(self._offsets)).bit_length() + 1
        if shape.rows * shape.wgt_bits < self._fix_bits:
            raise ValueError(f"{shape.rows} rows: too few for the correction's "
                             f"{self._fix_bits} bits")
        super().__init__(shape, banks=shape.rows, act_word=shape.rows * shape.act_bits,
                         wgt_word=shape.cols * shape.wgt_bits, wgt_depth=shape.wgt_depth)

    def elaborate(self, platform):
        m = Module()
        shape, by_act = self.shape, self.by == "act"
        rows, cols, bits, wbits = shape.rows, shape.cols, shape.act_bits, shape.wgt_bits
        planes = shape.act_mag_bits if by_act else wbits - 1
        m.submodules.sequencer = seq = Sequencer(shape, self.wgt_depth)
        wiring.connect(m, wiring.flipped(self.run), seq.run)
        m.d.comb += [seq.step.eq(1), seq.room.eq(self.room)]

        # Activations first: a zero one does not read its weights.
        m.submodules.acts = acts = Store(self.act_word, shape.act_depth)
        m.d.comb += [acts.write.eq(self.act_write), acts.write_addr.eq(self.act_addr),
                     acts.write_data.eq(self.act_data), acts.en.eq(seq.valid),
                     acts.addr.eq(seq.act_addr)]
        fetch = STORE_LATENCY + 1
        word = delay(m, acts.data, 1, "word")
        valid = delay(m, seq.valid, fetch, "valid")
        last = delay(m, seq.last & seq.valid, fetch, "last")
        addr = delay(m, seq.wgt_addr, fetch, "addr")
        present = delay(m, seq.valid, STORE_LATENCY, "present")     # beside acts.data

        codes = []
        addrs = [delay(m, addr, late, f"addr_{late}") for late in range(CHAIN)]
        words = []
        for lane in range(rows):
            late = lane % CHAIN
            code, part = word[lane * bits:(lane + 1) * bits], acts.data.word_select(lane, bits)
            m.submodules[f"bank_{lane}"] = bank = Store(self.wgt_word, self.wgt_depth)
            live = present & (part != 0) if by_act else present
            m.d.comb += [
                bank.write.eq(self.wgt_write & (self.wgt_bank == lane)),
                bank.write_addr.eq(self.wgt_addr), bank.write_data.eq(self.wgt_data),
                bank.en.eq(delay(m, live, late + 1, f"live_{lane}")), bank.addr.eq(addrs[late]),
            ]
            words.append(bank.data)
            codes.append(delay(m, code, late + STORE_LATENCY - 1, f"code_{lane}"))

        # Operands of each column; what is shared is worked out once.
        first = STORE_LATENCY + gated_sum.latency(rows) + planes - 1
        add = delay(m, valid, first, "add")
        end = delay(m, last, first, "end")
        ends = [delay(m, last, STORE_LATENCY + late, f"fix_{late}") for late in range(CHAIN)]
        fix_acts = Signal(self._fix_bits)
        if by_act:
            with m.If(last):
                m.d.sync += fix_acts.eq(word)
        for col in range(cols):
            weights = [word[col * wbits:(col + 1) * wbits] for word in words]
            m.submodules[f"copy_{col}"] = copy = Copy(rows * bits)
            m.d.comb += copy.word.eq(Cat(codes))
            own = [copy.held[lane * bits:(lane + 1) * bits] for lane in range(rows)]
            values, multipliers = (weights, own) if by_act else (own, weights)
            m.submodules[f"column_{col}"] = column = PlaneColumn(
                rows, len(values[0]), planes, self._fix_bits, len(self.out_sum[0]))
            for lane in range(rows):
                m.d.comb += [column.value[lane].eq(values[lane]),
                             column.gate[lane].eq(multipliers[lane][:planes])]
            if not by_act or shape.signed:
                m.d.comb += column.neg.eq(Cat(word[-1] for word in multipliers))
            if by_act:
                m.d.comb += column.fix.eq(fix_acts)
            else:
                fix = Signal(self._fix_bits, name=f"fix_{col}")
                for place, lane in enumerate(self._fix_lanes):
                    with m.If(ends[lane % CHAIN]):
                        m.d.sync += fix[place * wbits:(place + 1) * wbits].eq(weights[lane])
                m.d.comb += column.fix.eq(fix)
            m.d.comb += [column.add.eq(add), column.last.eq(end),
                         self.out_sum[col].eq(column.sum)]
        m.d.sync += self.out_valid.eq(end.replicate(cols))
        m.d.comb += seq.done.eq(end)
        return m

    @property
    def _fix_lanes(self) -> list[int]:
        """Lanes whose codes hold a column's `fix`, lowest digit first."""
        digits = -(-self._fix_bits // self.shape.wgt_bits)
        return list(range(digits))

    def job(self, x: Ints, w: Ints) -> Job:
        shape, rows = self.shape, self.shape.rows
        x, w = self.pad(x, w, rows)
        bits, wbits = shape.act_bits, shape.wgt_bits
        by_act = self.by == "act"

        # Multipliers are sign and magnitude, the words that they gate have an offset.
        def act(code: int) -> int:
            if not by_act:
                return code + self._offsets[0]
            return sign_magnitude(code, bits) if shape.signed else code

        def wgt(code: int) -> int:
            return code + self._offsets[0] if by_act else sign_magnitude(code, wbits)

        def fix(multipliers: Ints) -> Ints:
            positive, negative = self._offsets
            return -(np.abs(multipliers) * np.where(multipliers < 0, negative, positive)
                     ).sum(axis=0)

        acts = []
        for token in x:
            acts += [pack([act(code) for code in word], bits)
                     for word in token.reshape(-1, rows)]
            acts.append(int(fix(token)) & ((1 << self._fix_bits) - 1) if by_act else 0)
        wgts = []
        tiles = w.shape[1] // shape.cols
        words = x.shape[1] // rows + 1
        for tile in range(tiles):
            part = w[:, tile * shape.cols:(tile + 1) * shape.cols]
            for row in range(words - 1):
                for lane in range(rows):
                    wgts.append((lane, tile * words + row, pack(
                        [wgt(code) for code in part[row * rows + lane]], wbits)))
            if not by_act:
                constants = fix(part)
                for place, lane in enumerate(self._fix_lanes):
                    wgts.append((lane, tile * words + words - 1, pack(
                        [int(value) >> (place * wbits) for value in constants], wbits)))
        return Job(acts, wgts, words, tiles, len(x), len(x) * tiles)

    def collect(self, columns: Sequence[Sequence[int]], tokens: int, outputs: int) -> Ints:
        return tiles_in_order(columns, tokens, outputs)

    def cycles(self, tokens: int, inputs: int, outputs: int, x: Ints | None = None) -> float:
        shape = self.shape
        return tokens * -(-outputs // shape.cols) * (-(-inputs // shape.rows) + 1)
