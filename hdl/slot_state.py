"""Slot state: what each weight slot holds."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.select import pick
from spinteger.config import Config


def size_layout(cfg: Config) -> data.StructLayout:
    """Weight rows of a tile, and tiles."""
    return data.StructLayout({"rows": range(cfg.rows_k + 1), "tiles": range(cfg.tiles + 1)})


def slot_layout(cfg: Config) -> data.StructLayout:
    """What is in a slot: its weights' size, and which of its three parts are complete."""
    return data.StructLayout({"size": size_layout(cfg), "wgt": 1, "thr": 1, "scale": 1})


class SlotState(wiring.Component):
    """Weights, thresholds and scales of a slot are invalid from a load's start to its good end.

    With its weights, a slot loses its thresholds and scales. Read latency 1 cycle for the size,
    none for the rest. One of `wgt`, `thr`, `scale` says what is loaded.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "slot": In(cfg.slot_bits),        #: the slot to read or load
            "entry": Out(slot_layout(cfg)),   #: what it holds
            "wgt": In(1),                     #: weights ...
            "thr": In(1),                     #: thresholds ...
            "scale": In(1),                   #: scales ...
            "start": In(1),                   #: ... are being loaded
            "good": In(1),                    #: ... are complete
            "size": In(size_layout(cfg)),    #: with `wgt` and `start`: their size
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.sizes = sizes = Memory(shape=size_layout(cfg), depth=cfg.slots, init=[])
        write, read = sizes.write_port(), sizes.read_port()
        m.d.comb += [
            write.addr.eq(self.slot), write.data.eq(self.size),
            write.en.eq(self.wgt & self.start),
            read.addr.eq(self.slot), self.entry.size.eq(read.data),
        ]
        chosen = (self.wgt, self.thr, self.scale)
        valid = [Signal(3, name=f"valid_{slot}") for slot in range(cfg.slots)]
        m.d.comb += Cat(self.entry.wgt, self.entry.thr, self.entry.scale).eq(
            pick(valid, self.slot))
        for slot, bits in enumerate(valid):
            with m.If(self.slot == slot):
                with m.If(self.start):
                    m.d.sync += bits.eq(bits & ~(Cat(chosen) | self.wgt.replicate(3)))
                with m.If(self.good):
                    m.d.sync += bits.eq(bits | Cat(chosen))
        return m
