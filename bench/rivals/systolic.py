"""Output-stationary systolic array: R tokens x C outputs, each PE keeps its own sum.

What was tried (ECP5, Yosys 0.70, LUT per PE after synthesis, W4A4, 18-bit sums for K = 2048):

  81  `acc + x * w` and a multiplexed drain register: `systolic_plain`
  79  the same with one shared control;  69  Booth radix 4 (recoded at the edge);  69  4x2 tables
  36  kept: sign and magnitude, converted by who writes the memories; 3x3 bits as gated rows on
      carry chains, the sign by an add-subtract whose carry-in is a bit of its chain, draining
      through the product register and the adder (no multiplexer)
  52  W4A8, the same way

Draining beside the next tile would cost a multiplexer per bit (18 of 36 LUT) to save 2 R of K + 2 R
cycles (5 % at K = 576, R = 16).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bench.rivals.chain import Chain
from bench.rivals.interface import (
    Ints,
    Job,
    Rival,
    Shape,
    bits_for,
    delay,
    pack,
    sign_magnitude,
)
from bench.rivals.sequencer import Sequencer
from bench.rivals.store import STORE_LATENCY, Store

#: Cycles between two passes of a draining column, and from a sum in one PE to the next.
DRAIN_STEP = 2


class ProcessingElement(wiring.Component):
    """sum += x * w, one product per cycle; hands x to the right, w down, one cycle later.

    Codes are sign and magnitude (at the array's edge: as they are stored). The product of
    magnitudes is three rows, two of them ANDed in the chain that adds them; the sign is an
    add-subtract. `move` empties the PE: its sum goes, in two cycles, through the product register
    of the PE below into its sum, which has been emptied too. So draining needs no multiplexer,
    but no products may come: x and w are zero then.
    """

    def __init__(self, shape: Shape):
        self._shape = shape
        act, wgt, bits = shape.act_bits, shape.wgt_bits, shape.sum_bits
        super().__init__({
            "act": In(act), "act_next": Out(act),       #: x, sign on top if it has one
            "wgt": In(wgt), "wgt_next": Out(wgt),       #: w, sign on top
            "move": In(1), "move_next": Out(1),         #: pass the sum on
            "other": In(signed(bits)),                  #: sum of the PE above, or 0
            "sum": Out(signed(bits)),                   #: of this one, the cycle after `move`; or 0
            "leaves": Out(1),                           #: in this cycle
        })

    def elaborate(self, platform):
        m = Module()
        shape = self._shape
        mag, wmag, bits = shape.act_mag_bits, shape.wgt_bits - 1, shape.sum_bits
        m.d.sync += [self.act_next.eq(self.act), self.wgt_next.eq(self.wgt),
                     self.move_next.eq(self.move)]

        # |x| & w0, then + |x| & w1, ...: a chain per cycle, the low bits are finished on the way.
        # After the first cycle x and w are those that the neighbours have meanwhile.
        row = self.act[:mag] & self.wgt[0].replicate(mag)
        negative = self.act[-1] ^ self.wgt[-1] if shape.signed else self.wgt[-1]
        x, w = self.act, self.wgt
        total = row
        low = None
        held = self.other
        for place in range(1, wmag):
            final = place == wmag - 1
            high = Signal(mag + 1, name=f"high_{place}")
            operand = Signal(mag, name=f"row_{place}")
            base = Signal(mag, name=f"base_{place}")
            m.d.comb += [base.eq(total[1:]), operand.eq(x[:mag])]
            if final:
                above = Signal(mag + 1, name=f"held_{place}")
                m.submodules[f"row_{place}"] = add = Chain(
                    "merge", base.shape(), operand.shape(), mag + 1, above.shape())
                m.d.comb += [add.d.eq(w[place]), above.eq(held[place:]), add.c.eq(above)]
            else:
                m.submodules[f"row_{place}"] = add = Chain(
                    "rows", base.shape(), operand.shape(), mag + 1, unsigned(1))
                m.d.comb += add.c.eq(w[place])
            m.d.comb += [add.a.eq(base), add.b.eq(operand)]
            low = Cat(low, total[0]) if low is not None else total[0]
            if final:
                low = low | held[:place]
            kept = Signal(place, name=f"low_{place}")
            m.d.sync += [kept.eq(low), high.eq(add.y)]
            low, total = kept, high
            sign = Signal(name=f"negative_{place}")
            m.d.sync += sign.eq(negative)
            negative = sign
            if not final:
                x, w = (self._delayed(m, x, f"x_{place}") if place > 1 else self.act_next,
                        self._delayed(m, w, f"w_{place}") if place > 1 else self.wgt_next)
        product = Cat(low, total)
        rest = Signal(bits - len(product))
        m.d.sync += rest.eq(self.other[len(product):])

        running = Signal(signed(bits))
        word = Signal(bits)
        m.d.comb += word.eq(Cat(product, rest))
        m.submodules.add = add = Chain("neg", running.shape(), word.shape(), bits)
        m.d.comb += [add.a.eq(running), add.b.eq(word), add.d.eq(negative)]
        m.d.sync += [running.eq(add.y), self.sum.eq(running)]
        m.d.comb += self.leaves.eq(self.move_next)
        with m.If(self.move):
            m.d.sync += running.eq(0)
        with m.If(~self.move):
            m.d.sync += self.sum.eq(0)
        return m

    @staticmethod
    def _delayed(m, value, name):
        held = Signal(len(value), name=name)
        m.d.sync += held.eq(value)
        return held


class Systolic(Rival):
    """R x C PEs; an activation word has the inputs k of R tokens, a weight word of C outputs.

    A tile of R tokens x C outputs takes K cycles and 2 R for draining, each row and column one
    cycle behind the one before. Fewer than R tokens take as long. Sums leave below, the last
    token's first, every other cycle.
    """

    element = ProcessingElement     #: what the array consists of
    gap = DRAIN_STEP                #: cycles per row without words, after a tile
    upward = False                  #: draining goes up, so the first token's sums leave first
    #: Cycles from codes at a PE to the complete sum.
    latency = 3

    def __init__(self, shape: Shape):
        super().__init__(shape, banks=1, act_word=shape.rows * shape.act_bits,
                         wgt_word=shape.cols * shape.wgt_bits,
                         wgt_depth=2 << bits_for(shape.k))

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        rows, cols, act, wgt = shape.rows, shape.cols, shape.act_bits, shape.wgt_bits
        m.submodules.sequencer = seq = Sequencer(shape, self.wgt_depth, gap=self.gap * rows)
        wiring.connect(m, wiring.flipped(self.run), seq.run)
        m.submodules.acts = acts = Store(self.act_word, shape.act_depth)
        m.submodules.wgts = wgts = Store(self.wgt_word, self.wgt_depth)
        m.d.comb += [
            seq.step.eq(1), seq.room.eq(self.room),
            acts.write.eq(self.act_write), acts.write_addr.eq(self.act_addr),
            acts.write_data.eq(self.act_data), acts.en.eq(seq.valid), acts.addr.eq(seq.act_addr),
            wgts.write.eq(self.wgt_write), wgts.write_addr.eq(self.wgt_addr),
            wgts.write_data.eq(self.wgt_data), wgts.en.eq(seq.valid), wgts.addr.eq(seq.wgt_addr),
        ]

        # Words, or zeros, into the array; row r and column c so many cycles later.
        word, row = Signal(self.act_word), Signal(self.wgt_word)
        m.d.sync += [word.eq(acts.data), row.eq(wgts.data)]
        with m.If(~delay(m, seq.valid, STORE_LATENCY, "valid")):
            m.d.sync += [word.eq(0), row.eq(0)]
        last = delay(m, seq.last & seq.valid, STORE_LATENCY + self.latency, "last")
        controls = self.drain(m, last, seq.done)
        across = [delay(m, word[r * act:(r + 1) * act], r, f"act_{r}") for r in range(rows)]
        down = [delay(m, row[c * wgt:(c + 1) * wgt], c, f"wgt_{c}") for c in range(cols)]
        pes = []
        for r in range(rows):
            waves = {name: delay(m, wave, r, f"{name}_{r}") for name, wave in controls.items()}
            pes.append([])
            for c in range(cols):
                m.submodules[f"pe_{r}_{c}"] = pe = self.element(shape)
                pes[r].append(pe)
                m.d.comb += [pe.act.eq(across[r]), pe.wgt.eq(down[c])]
                m.d.comb += [getattr(pe, name).eq(wave) for name, wave in waves.items()]
                across[r], down[c] = pe.act_next, pe.wgt_next
                waves = {name: getattr(pe, f"{name}_next") for name in waves}
        if self.upward:
            pes.reverse()
        for giving, taking in zip(pes, pes[1:], strict=False):
            m.d.comb += [taker.other.eq(giver.sum)
                         for giver, taker in zip(giving, taking, strict=True)]
        for c, pe in enumerate(pes[-1]):
            m.d.comb += [self.out_valid[c].eq(pe.leaves), self.out_sum[c].eq(pe.sum)]
        return m

    def drain(self, m, last, done):
        """Controls of PE (0, 0) that empty the array, `last` being its last product's turn.

        `done` goes up when they are over.
        """
        left, even = Signal(range(self.shape.rows + 1)), Signal()
        move = Signal()
        again = (left != 0) & even
        m.d.comb += [move.eq(last | again), done.eq((left == 1) & even)]
        m.d.sync += even.eq(~even)
        with m.If(again):
            m.d.sync += left.eq(left - 1)
        with m.If(last):
            m.d.sync += [left.eq(self.shape.rows - 1), even.eq(0)]
        wave = Signal()
        m.d.sync += wave.eq(move)
        return {"move": wave}

    def job(self, x: Ints, w: Ints) -> Job:
        shape = self.shape
        x, w = self.pad(x, w, 1)
        x = np.pad(x, ((0, -len(x) % shape.rows), (0, 0)))
        acts = [pack([self.act_code(code) for code in part[:, k]], shape.act_bits)
                for part in np.split(x, len(x) // shape.rows) for k in range(x.shape[1])]
        tiles = w.shape[1] // shape.cols
        wgts = [(0, tile * len(w) + k, pack([self.wgt_code(code) for code in part[k]],
                                             shape.wgt_bits))
                for tile, part in enumerate(np.split(w, tiles, axis=1)) for k in range(len(w))]
        return Job(acts, wgts, len(w), tiles, len(x) // shape.rows, len(x) * tiles)

    def act_code(self, code: int) -> int:
        """An activation as it is stored."""
        return sign_magnitude(code, self.shape.act_bits) if self.shape.signed else code

    def wgt_code(self, code: int) -> int:
        """A weight as it is stored."""
        return sign_magnitude(code, self.shape.wgt_bits)

    def collect(self, columns: Sequence[Sequence[int]], tokens: int, outputs: int) -> Ints:
        rows, groups = self.shape.rows, -(-tokens // self.shape.rows)
        sums = np.array(columns, np.int64).reshape(len(columns), groups, -1, rows)
        if not self.upward:
            sums = sums[..., ::-1]
        return sums.transpose(1, 3, 2, 0).reshape(groups * rows, -1)[:tokens, :outputs]

    def cycles(self, tokens: int, inputs: int, outputs: int, x: Ints | None = None) -> float:
        shape = self.shape
        return -(-tokens // shape.rows) * -(-outputs // shape.cols) * (
            max(inputs + self.gap * shape.rows, DRAIN_STEP * shape.rows))
