"""Salient list of one integer lane: the salient inputs of its banks, two tokens deep."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hdl.payloads import salient_layout
from spinteger.config import Config


class SalientQueue(wiring.Component):
    """Stores {q, e, row, bank} in order of arrival; read by index, once per column tile.

    Holds every input of its banks, twice, so a push is never refused. Read latency one
    enabled cycle. `forget` empties a buffer.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        index_bits = max(1, ceil_log2(cfg.salient_depth))
        super().__init__({
            "push": In(1),                          #: store an entry
            "push_buf": In(1),                      #: buffer it belongs to
            "push_data": In(salient_layout(cfg)),   #: the entry
            "forget": In(2),                        #: empty buffer 0, 1
            "count_buf": In(1),                     #: buffer to count
            "count": Out(cfg.salient_depth.bit_length()),    #: its entries
            "en": In(1),                            #: read
            "buf": In(1),                           #: ... this buffer
            "index": In(index_bits),                #: ... this entry
            "entry": Out(salient_layout(cfg)),      #: the entry, one cycle later
        })

    def elaborate(self, platform):
        m = Module()
        index_bits = len(self.index)
        m.submodules.list = entries = Memory(shape=salient_layout(self.cfg), init=[],
                                             depth=2 << index_bits)
        counts = [Signal.like(self.count, name=f"count_{buf}") for buf in range(2)]
        write, read = entries.write_port(), entries.read_port()
        m.d.comb += [
            write.en.eq(self.push), write.data.eq(self.push_data),
            read.en.eq(self.en), read.addr.eq(Cat(self.index, self.buf)),
            self.entry.eq(read.data),
        ]
        for buf, count in enumerate(counts):
            with m.If(self.push & (self.push_buf == buf)):
                m.d.comb += write.addr.eq(Cat(count[:index_bits], self.push_buf))
                m.d.sync += count.eq(count + 1)
            with m.If(self.forget[buf]):
                m.d.sync += count.eq(0)
            with m.If(self.count_buf == buf):
                m.d.comb += self.count.eq(count)
        return m
