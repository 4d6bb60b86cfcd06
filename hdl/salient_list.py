"""Salient list of one integer lane: the salient inputs of all tokens of both buffers."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import salient_layout
from spinteger.config import Config


class SalientList(wiring.Component):
    """Stores {q, e, row, bank} where the encoder says; read once per column tile.

    The encoder packs tokens one after another, so a list is as long as its tokens need. Read
    latency two enabled cycles: memory, and its output register.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "write": In(1),                         #: store an entry
            "write_buf": In(1),                     #: ... of this buffer
            "write_place": In(cfg.list_bits),       #: ... at this place
            "write_entry": In(salient_layout(cfg)),
            "en": In(1),                            #: pipeline enable
            "read": In(1),                          #: read, if enabled
            "buf": In(1),                           #: ... from this buffer
            "place": In(cfg.list_bits),             #: ... this place
            "entry": Out(salient_layout(cfg)),      #: the entry, two enabled cycles later
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.entries = entries = Memory(shape=salient_layout(cfg), init=[],
                                                depth=2 << cfg.list_bits)
        write, read = entries.write_port(), entries.read_port()
        m.d.comb += [
            write.en.eq(self.write), write.data.eq(self.write_entry),
            write.addr.eq(Cat(self.write_place, self.write_buf)),
            read.en.eq(self.en & self.read), read.addr.eq(Cat(self.place, self.buf)),
        ]
        entry = Signal.like(read.data, reset_less=True)
        with m.If(self.en):
            m.d.sync += entry.eq(read.data)
        m.d.comb += self.entry.eq(entry)
        return m
