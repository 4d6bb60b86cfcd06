"""Slot state: which parts of each weight slot are complete."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.select import pick
from spinteger.config import Config


def slot_layout() -> data.StructLayout:
    """Which of a slot's three parts are complete."""
    return data.StructLayout({"wgt": 1, "thr": 1, "scale": 1})


class SlotState(wiring.Component):
    """Weights, thresholds and scales of a slot are invalid from a load's start to its good end.

    With its weights, a slot loses its thresholds and scales. One of `wgt`, `thr`, `scale` says
    what is loaded.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "slot": In(cfg.slot_bits),        #: the slot to look at or load
            "entry": Out(slot_layout()),      #: what it holds
            "wgt": In(1),                     #: weights ...
            "thr": In(1),                     #: thresholds ...
            "scale": In(1),                   #: scales ...
            "start": In(1),                   #: ... are being loaded
            "good": In(1),                    #: ... are complete
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        chosen = (self.wgt, self.thr, self.scale)
        valid = [Signal(3, name=f"valid_{slot}") for slot in range(cfg.slots)]
        m.d.comb += self.entry.as_value().eq(pick(valid, self.slot))
        for slot, bits in enumerate(valid):
            with m.If(self.slot == slot):
                with m.If(self.start):
                    m.d.sync += bits.eq(bits & ~(Cat(chosen) | self.wgt.replicate(3)))
                with m.If(self.good):
                    m.d.sync += bits.eq(bits | Cat(chosen))
        return m
