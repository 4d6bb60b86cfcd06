"""What all rival arrays have in common: shape, ports, and how a matrix product is laid out in one.

A rival is what turns codes and weight rows, both in its own block memory, into finished sums:
memories, addresses, control, arithmetic. It has nothing that ours has in common with it (packets,
firing, output words). So a rival stands for `hdl.array` without its IF bank.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.hdl import signed as signed_shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

Ints = NDArray[np.int64]

#: Columns, tokens and words of a run that a rival counts to; addresses are the memories' own.
COUNT_BITS = 12


@dataclass(frozen=True)
class Shape:
    """Size and number formats of a rival: R x C, activations of n bits, weights of 4.

    Weights are -7..7 as `golden.wgt` makes them. Activations are two's complement, or unsigned.
    """

    rows: int = 16
    cols: int = 16
    k: int = 2048               #: longest sum: widths follow
    act_bits: int = 4
    wgt_bits: int = 4
    signed: bool = True         #: activations have a sign
    act_depth: int = 4096       #: words of the activation memory: as many as our two train buffers

    def __post_init__(self) -> None:
        if self.rows % 4 or not 4 <= self.rows <= 256 or not 1 <= self.cols <= 256:
            raise ValueError(f"{self.rows}x{self.cols}: rows must be a multiple of 4 in 4..256, "
                             "columns 1..256")
        if not (2 <= self.act_bits <= 8 and 2 <= self.wgt_bits <= 8):
            raise ValueError(f"{self.act_bits}-bit activations, {self.wgt_bits}-bit weights: "
                             "must be 2..8")

    @property
    def wgt_max(self) -> int:
        """Largest |weight|: symmetric codes."""
        return (1 << (self.wgt_bits - 1)) - 1

    @property
    def act_range(self) -> range:
        """Activations that every rival takes: symmetric, or from 0."""
        top = (1 << (self.act_bits - self.signed)) - 1
        return range(-top if self.signed else 0, top + 1)

    @property
    def act_mag_bits(self) -> int:
        """Bits of |activation|."""
        return self.act_bits - self.signed

    @property
    def sum_bits(self) -> int:
        """Bits of a finished sum: |sum| <= K * |w|max * |x|max (signed)."""
        return (self.k * self.wgt_max * self.act_range[-1]).bit_length() + 1

    @property
    def wgt_depth(self) -> int:
        """Weight rows per bank: two slots, each with room for the longest K and one row more."""
        return 2 << (-(-self.k // self.rows)).bit_length()


def run_layout(shape: Shape, act_depth: int, wgt_depth: int) -> data.StructLayout:
    """A run: `tokens` x `tiles` x `words`, less one each, from these addresses on."""
    return data.StructLayout({
        "words": COUNT_BITS, "tiles": COUNT_BITS, "tokens": COUNT_BITS,
        "act_base": bits_for(act_depth), "wgt_base": bits_for(wgt_depth)})


def bits_for(depth: int) -> int:
    """Bits of an address."""
    return max(1, (depth - 1).bit_length())


@dataclass(frozen=True)
class Job:
    """A matrix product x [T, K] @ w [K, N] as a rival's memories hold it."""

    acts: list[int]                     #: words of the activation memory, from its first on
    wgts: list[tuple[int, int, int]]    #: (bank, row, word) of the weight memory
    words: int                          #: per token and tile (of the memories, both)
    tiles: int
    tokens: int                         #: or groups of tokens
    sums: int                           #: that each column will give


class Rival(wiring.Component):
    """Base of all rivals: their ports, and what the tests and the benchmark ask them.

    Weights and activations are written while nothing runs that reads them (two slots each: a
    run names its base). `room` is looked at before a tile's last word is started: the sink
    promises to take one more tile's sums, which come `latency` cycles later.
    """

    #: How this rival's weight memory is split: words of `wgt_word` bits in `banks` banks.
    banks: int
    #: Words of the memories for one word of a run: the bases and counts of a run are in these.
    act_unit: int = 1
    wgt_unit: int = 1
    #: DSPs are meant.
    dsp: bool = False
    #: Multiply-accumulates per cycle at peak.
    macs: float

    def __init__(self, shape: Shape, *, act_word: int, wgt_word: int, banks: int, wgt_depth: int,
                 sum_bits: int | None = None):
        self.shape, self.banks, self.wgt_depth = shape, banks, wgt_depth
        self.act_word, self.wgt_word = act_word, wgt_word
        self.macs = shape.rows * shape.cols
        super().__init__({
            "act_write": In(1),                                 #: store an activation word
            "act_addr": In(bits_for(shape.act_depth)),          #: ... here
            "act_data": In(unsigned(act_word)),                 #: ... this
            "wgt_write": In(1),                                 #: store a weight word
            "wgt_bank": In(bits_for(banks)),                    #: ... in this bank
            "wgt_addr": In(bits_for(wgt_depth)),                #: ... here
            "wgt_data": In(unsigned(wgt_word)),                 #: ... this
            "run": In(stream.Signature(run_layout(shape, shape.act_depth, wgt_depth))),
            "room": In(1),                                      #: the sink takes one more tile
            "out_valid": Out(shape.cols),                       #: per column: a finished sum
            "out_sum": Out(data.ArrayLayout(signed_shape(sum_bits or shape.sum_bits),
                                            shape.cols)),
        })

    @abstractmethod
    def job(self, x: Ints, w: Ints) -> Job:
        """Lay out x [T, K] @ w [K, N]; codes within the shape's ranges."""

    @abstractmethod
    def collect(self, columns: Sequence[Sequence[int]], tokens: int, outputs: int) -> Ints:
        """The product [T, N] from each column's finished sums, in the order they came."""

    @abstractmethod
    def cycles(self, tokens: int, inputs: int, outputs: int, x: Ints | None = None) -> float:
        """Cycles of a layer once the pipeline is full, T tokens, K inputs, N outputs.

        `x` [T, K]: the activations, for a rival whose pace depends on them.
        """

    def pad(self, x: Ints, w: Ints, step: int) -> tuple[Ints, Ints]:
        """x and w with K padded to a multiple of `step`, N to whole tiles, by zeros."""
        k, n = w.shape
        x = np.pad(np.asarray(x, np.int64), ((0, 0), (0, -k % step)))
        w = np.pad(np.asarray(w, np.int64), ((0, -k % step), (0, -n % self.shape.cols)))
        return x, w


def delay(m: Module, value: Value, cycles: int, name: str) -> Value:
    """`value`, so many cycles later."""
    for late in range(cycles):
        held = Signal(len(value), name=f"{name}_{late}")
        m.d.sync += held.eq(value)
        value = held
    return value


def tiles_in_order(columns: Sequence[Sequence[int]], tokens: int, outputs: int) -> Ints:
    """`Rival.collect` of arrays that finish token by token, tile by tile, all columns together."""
    sums = np.array(columns, np.int64)                            # [C, tokens * tiles]
    tiles = sums.shape[1] // tokens
    return sums.reshape(len(columns), tokens, tiles).transpose(1, 2, 0).reshape(
        tokens, -1)[:, :outputs]


def pack(codes: Sequence[int], bits: int) -> int:
    """Codes side by side, the first in the lowest bits, each modulo 2^bits."""
    word = 0
    for place, code in enumerate(codes):
        word |= (int(code) & ((1 << bits) - 1)) << (place * bits)
    return word


def sign_magnitude(code: int, bits: int) -> int:
    """A code of `bits` bits: the sign on top, |code| below."""
    return (code < 0) << (bits - 1) | abs(int(code))
