"""Sums of gated words, one word per lane, for all bit planes at once: chains of lanes, then a tree.
"""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from bench.rivals.chain import Chain

#: Lanes of a chain: lane r's operands come r % CHAIN cycles after lane 0's.
CHAIN = 4


def latency(rows: int) -> int:
    """Cycles from lane 0's operands to the sums."""
    return CHAIN + ceil_log2(rows // CHAIN)


class GatedSum(wiring.Component):
    """Per plane: sum over the lanes of (value ^ neg) & gate, each cycle anew. All unsigned.

    Values are signed numbers plus an offset, which who uses this takes off elsewhere, once for
    all columns or all tokens; so is the 1 by which a complement differs from a negative. So
    lanes need no carry of their own, fields need no sign, and the sums of all planes lie side by
    side in one carry chain. Adding a gated word to a running sum is free on ECP5 (`Chain`), adding
    two gated words is not: in a tree half of the lanes need a row of ANDs first. So lanes add up
    in chains of four, skewed in time.
    """

    def __init__(self, rows: int, bits: int, planes: int):
        self._rows, self._bits, self._planes = rows, bits, planes
        super().__init__({
            "value": In(data.ArrayLayout(bits, rows)),          #: a word per lane
            "gate": In(data.ArrayLayout(planes, rows)),         #: it counts in plane p
            "neg": In(rows),                                    #: its complement does
            #: `latency` cycles later
            "sum": Out(data.ArrayLayout(self._width(rows), planes)),
        })

    def _width(self, lanes: int) -> int:
        """Bits of the sum of so many lanes."""
        return (((1 << self._bits) - 1) * lanes).bit_length()

    def elaborate(self, platform):
        m = Module()
        planes = self._planes
        sums = []
        for base in range(0, self._rows, CHAIN):
            running = Signal(planes * self._bits, name=f"chain_{base}")
            word = self.value[base] ^ self.neg[base].replicate(self._bits)
            m.d.sync += running.eq(Cat(word & self.gate[base][plane].replicate(self._bits)
                                       for plane in range(planes)))
            for lane in range(base + 1, base + CHAIN):
                width = planes * self._width(lane - base + 1)
                m.submodules[f"add_{lane}"] = add = Chain(
                    "rows", running.shape(), unsigned(self._bits), width, unsigned(planes))
                m.d.comb += [add.a.eq(running), add.b.eq(self.value[lane]),
                             add.c.eq(self.gate[lane]), add.d.eq(self.neg[lane])]
                running = Signal(width, name=f"chain_{lane}")
                m.d.sync += running.eq(add.y)
            sums.append(running)
        lanes = CHAIN
        while len(sums) > 1:
            pairs, width = [], self._width(2 * lanes)
            for left, right in zip(sums[::2], sums[1::2], strict=False):
                total = Signal(planes * width, name=f"sum_{len(sums)}_{len(pairs)}")
                m.d.sync += total.eq(self._spread(left, width) + self._spread(right, width))
                pairs.append(total)
            if len(sums) % 2:
                odd = Signal(planes * width, name=f"sum_{len(sums)}_{len(pairs)}")
                m.d.sync += odd.eq(self._spread(sums[-1], width))
                pairs.append(odd)
            sums, lanes = pairs, 2 * lanes
        for plane in range(planes):
            m.d.comb += self.sum[plane].eq(sums[0].word_select(plane, len(sums[0]) // planes))
        return m

    def _spread(self, fields, width: int):
        """Fields side by side, each extended to `width` bits."""
        part = len(fields) // self._planes
        return Cat(Cat(fields.word_select(plane, part), *[0] * (width - part))
                   for plane in range(self._planes))
