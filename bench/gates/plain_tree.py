"""Adder-tree array as one writes it for standard cells: multipliers, a tree, an accumulator.

The rivals of bench.rivals are shaped for FPGA carry chains, with a register behind every adder;
in gates those cost more clock energy than they save glitches. This one has as few registers as
its clock allows.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bench.rivals.interface import Ints, Job, Rival, Shape, delay, pack, tiles_in_order
from bench.rivals.sequencer import Sequencer
from bench.rivals.store import STORE_LATENCY, Store


class PlainColumn(wiring.Component):
    """sum += x[0] w[0] + ... + x[R-1] w[R-1]. Latency 2, or 3 with registers of products."""

    def __init__(self, shape: Shape, product_registers: bool):
        self._shape, self._registers = shape, product_registers
        super().__init__({
            "act": In(data.ArrayLayout(signed(shape.act_bits), shape.rows)),    #: x
            "wgt": In(data.ArrayLayout(signed(shape.wgt_bits), shape.rows)),    #: w
            "add": In(1),                               #: the total is one of the tile
            "last": In(1),                              #: ... its last
            "sum": Out(signed(shape.sum_bits)),         #: finished, one cycle later
        })

    def elaborate(self, platform):
        m = Module()
        shape = self._shape
        products = []
        for lane in range(shape.rows):
            product = Signal(signed(shape.act_bits + shape.wgt_bits), name=f"product_{lane}")
            target = m.d.sync if self._registers else m.d.comb
            target += product.eq(self.act[lane] * self.wgt[lane])
            products.append(product)
        while len(products) > 1:
            products = [sum(products[at:at + 2]) for at in range(0, len(products), 2)]
        total = Signal(products[0].shape())
        m.d.sync += total.eq(products[0])
        running, following = Signal.like(self.sum), Signal.like(self.sum)
        m.d.comb += following.eq(running + total)
        with m.If(self.add):
            m.d.sync += running.eq(following)
        with m.If(self.last):
            m.d.sync += [self.sum.eq(following), running.eq(0)]
        return m


class PlainTree(Rival):
    """R x C products per cycle, summed over R in every column. A tile takes ceil(K / R) cycles.

    Zero activations read no weight: the row read last stays, and so do the multipliers' inputs.
    """

    def __init__(self, shape: Shape, product_registers: int = 1):
        self._registers = product_registers
        super().__init__(shape, banks=shape.rows, act_word=shape.rows * shape.act_bits,
                         wgt_word=shape.cols * shape.wgt_bits, wgt_depth=shape.wgt_depth)

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        m.submodules.sequencer = seq = Sequencer(shape, self.wgt_depth)
        wiring.connect(m, wiring.flipped(self.run), seq.run)
        m.submodules.acts = acts = Store(self.act_word, shape.act_depth)
        m.d.comb += [
            seq.step.eq(1), seq.room.eq(self.room),
            acts.write.eq(self.act_write), acts.write_addr.eq(self.act_addr),
            acts.write_data.eq(self.act_data), acts.en.eq(seq.valid),
            acts.addr.eq(seq.act_addr)]
        valid = delay(m, seq.valid, STORE_LATENCY, "valid")
        last = delay(m, seq.last & seq.valid, STORE_LATENCY, "last")
        addr = delay(m, seq.wgt_addr, STORE_LATENCY, "addr")
        codes = acts.data
        words = []
        for lane in range(shape.rows):
            code = codes.word_select(lane, shape.act_bits)
            live = valid & (code != 0)
            m.submodules[f"bank_{lane}"] = bank = Store(self.wgt_word, self.wgt_depth)
            m.d.comb += [
                bank.write.eq(self.wgt_write & (self.wgt_bank == lane)),
                bank.write_addr.eq(self.wgt_addr), bank.write_data.eq(self.wgt_data),
                bank.en.eq(live), bank.addr.eq(addr),
                bank.move.eq(delay(m, live, 1, f"live_{lane}"))]
            words.append(bank.data)
        act = delay(m, codes, STORE_LATENCY, "code")
        first = STORE_LATENCY + 1 + self._registers
        add, end = delay(m, valid, first, "add"), delay(m, last, first, "end")
        for number in range(shape.cols):
            m.submodules[f"column_{number}"] = column = PlainColumn(shape, bool(self._registers))
            m.d.comb += [column.act.eq(act), column.add.eq(add), column.last.eq(end),
                         self.out_sum[number].eq(column.sum)]
            m.d.comb += [column.wgt[lane].eq(word.word_select(number, shape.wgt_bits))
                         for lane, word in enumerate(words)]
        m.d.sync += self.out_valid.eq(end.replicate(shape.cols))
        m.d.comb += seq.done.eq(end)
        return m

    def job(self, x: Ints, w: Ints) -> Job:
        shape = self.shape
        x, w = self.pad(x, w, shape.rows)
        words, tiles = x.shape[1] // shape.rows, w.shape[1] // shape.cols
        acts = [pack(word, shape.act_bits) for word in x.reshape(-1, shape.rows).tolist()]
        wgts = [(lane, tile * words + row, pack(
            w[row * shape.rows + lane,
              tile * shape.cols:(tile + 1) * shape.cols].tolist(), shape.wgt_bits))
            for tile in range(tiles) for row in range(words) for lane in range(shape.rows)]
        return Job(acts, wgts, words, tiles, len(x), len(x) * tiles)

    def collect(self, columns: Sequence[Sequence[int]], tokens: int, outputs: int) -> Ints:
        return tiles_in_order(columns, tokens, outputs)

    def cycles(self, tokens: int, inputs: int, outputs: int, x: Ints | None = None) -> float:
        return tokens * -(-outputs // self.shape.cols) * -(-inputs // self.shape.rows)
