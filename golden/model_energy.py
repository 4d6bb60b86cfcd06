"""Energy of a layer's products by counting, in two ways that must never be mixed.

*op-count*, as the papers' figures fit: every salient or 8-bit input is an INT8 MAC, every other
input, silent or not, an INT8 addition (in plain INT4, a 4-bit MAC). Nothing else. With a salient
share p this saves 1 - [(1-p) 0.03 + p 0.23] / 0.23 of INT8's energy: 84.66 % at p = 2.64 % (Kirin),
4.6x at p = 10 % (SpikeQuant).

*with data movement*: the additions and multiplications that are made (none for a silent input),
plus what moves: weights from DRAM once per batch and from SRAM for every row read, acts in and out
of SRAM, sums of 32 bits in an accumulator. Keys and values are weights that heads of a group share;
writing them is left out. Constants: Horowitz, ISSCC 2014, 45 nm.
"""

from __future__ import annotations

from dataclasses import dataclass

ADD8, MUL8, ADD32 = 0.03, 0.2, 0.1          #: pJ
MAC8 = ADD8 + MUL8
#: Bits of a weight's or an act's scale.
SCALE_BITS = 16
SRAM_BIT, DRAM_BIT = 10 / 64, 1300 / 64     #: pJ per bit: 8 KB SRAM, DRAM
#: Tokens that share a fetch of the weights from DRAM.
BATCH = 16
#: A sum is added to in a register; this is what it costs per addition: 32 bits, not 8.
SUM_ADD = ADD32


@dataclass(frozen=True)
class Traffic:
    """One layer, per token (of attention: per token and head); shares are of its K inputs."""

    k: float
    n: float
    live: float             #: share that is not silent
    salient: float          #: share that is salient, of hybrid acts
    wgt_bits: float         #: per weight, scales included
    window: int             #: L: additions of the running sum to V, per output and pass
    groups: int = 1         #: passes, each with sums that leave the array
    acts: str = "hybrid"    #: or "int8", "int4"
    steps: int = 1          #: of the acts
    code_bits: int = 4      #: of a weight's code
    shared: int = 1         #: products of a token that share a fetch of the weights from DRAM

    @property
    def macs(self) -> float:
        """Multiply-accumulates of a dense layer."""
        return self.k * self.n


def multiplication(act_bits: int, code_bits: int) -> float:
    """pJ: the share of an 8-bit one's partial products that it has (our assumption)."""
    return MUL8 * act_bits * code_bits / 64


def op_count(layer: Traffic) -> float:
    """pJ per token, the papers' way."""
    if layer.acts != "hybrid":
        return layer.macs * (MAC8 if layer.acts == "int8" else multiplication(4, layer.code_bits)
                              + ADD8)
    return layer.macs * (layer.salient * MAC8 + (1 - layer.salient) * ADD8)


def movement(layer: Traffic) -> float:
    """pJ per token, with data movement."""
    if layer.acts == "hybrid":
        adds = layer.macs * (layer.live - layer.salient) + layer.n * layer.window * layer.groups
        operations = adds * SUM_ADD + layer.macs * layer.salient * (
            multiplication(8, layer.code_bits) + SUM_ADD)
        act_bits = 4 + 12 * layer.salient       # a salient value: 8 bits, its exponent and place
    else:
        act_bits = 8 if layer.acts == "int8" else 4
        operations = layer.macs * layer.live * (multiplication(act_bits, layer.code_bits) + SUM_ADD)
    fetches = BATCH * layer.shared
    weights = layer.macs * layer.wgt_bits * (DRAM_BIT / fetches + layer.live * SRAM_BIT)
    acts = (layer.k * act_bits + layer.steps * SCALE_BITS) * SRAM_BIT * 2
    outputs = layer.n * layer.groups * 32 * SRAM_BIT * 2
    return operations + weights + acts + outputs
