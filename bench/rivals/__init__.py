"""Rival arrays, built with the same care as ours: what Spinteger is measured against."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.rivals.bit_serial import BitSerial
from bench.rivals.dsp_tree import DspTree
from bench.rivals.interface import Rival, Shape
from bench.rivals.systolic import Systolic
from bench.rivals.systolic_plain import PlainSystolic
from bench.rivals.tree import Tree
from bench.rivals.unary import Unary


@dataclass(frozen=True)
class Entry:
    """A rival as the tables have it."""

    title: str
    make: Callable[[Shape], Rival]
    act_bits: int = 4
    plain: bool = False         #: not optimised: stands aside from every goal
    dsp: bool = False           #: products on DSPs: stands aside from goals without them

    def build(self, shape: Shape) -> Rival:
        """The rival at this size; the activations' bits are its own."""
        return self.make(replace(shape, act_bits=self.act_bits))


#: Every rival, by the name that the command line and the reports use.
RIVALS: dict[str, Entry] = {
    "systolic": Entry("output-stationary systolic, W4A4", Systolic),
    "systolic-w4a8": Entry("output-stationary systolic, W4A8", Systolic, 8),
    "systolic-plain": Entry("output-stationary systolic, W4A4, as it is usually written",
                            PlainSystolic, plain=True),
    "tree": Entry("adder tree, zero-gated, W4A4", Tree),
    "tree-w4a8": Entry("adder tree, W4A8", lambda shape: Tree(shape, "wgt"), 8),
    "bit-serial": Entry("bit-serial 4x4 (as BISMO)", BitSerial),
    "unary": Entry("temporal-unary 4x4 (as tubGEMM)", Unary),
    "dsp": Entry("adder tree on DSPs, 2 products each, W4A4", DspTree, dsp=True),
    "dsp-w4a8": Entry("adder tree on DSPs, 2 products each, W4A8", DspTree, 8,
                      dsp=True),
}
