"""Spike lane: turns an event into the weight row it selects. One bank per lane."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import row_layout
from spinteger.config import Config

#: Cycles from an event at the lane's input to its weight row at the output.
LANE_LATENCY = 3


class SpikeLane(wiring.Component):
    """Reads one weight row per event: address, bank, gate. No event, no read.

    Latency `LANE_LATENCY` (3) enabled cycles, one event per cycle. An idle lane puts out zero
    codes, by the synchronous reset of the output register: that gates it without any logic.
    The bank's first port serves the spikes; the second serves the integer lane, or takes a
    weight row (the array never asks for both in one cycle).
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "en": In(1),                      #: spike pipeline enable
            "valid": In(1),                   #: an event
            "row": In(cfg.row_bits),          #: its weight row within the tile
            "neg": In(1),                     #: its sign
            "base": In(cfg.addr_bits),        #: first bank row of the tile, in the same cycle
            "wgt": Out(row_layout(cfg)),      #: the codes it selects, or zeros
            "wgt_neg": Out(1),                #: its sign, beside them
            "write": In(1),                   #: store a weight row
            "write_row": In(row_layout(cfg)), #: ... these codes
            "read": In(1),                    #: read a row for the integer lane
            "addr": In(cfg.addr_bits),        #: bank row to store or read
            "read_row": Out(row_layout(cfg)), #: the row read, one cycle later
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.bank = bank = Memory(shape=row_layout(cfg), depth=cfg.bank_depth, init=[])

        addr = Signal(cfg.addr_bits)
        addr_valid = Signal()
        addr_neg = Signal()
        row_valid = Signal()
        row_neg = Signal()
        spike_port = bank.read_port()
        m.d.comb += [spike_port.addr.eq(addr), spike_port.en.eq(self.en & addr_valid)]
        with m.If(self.en):
            m.d.sync += [
                addr.eq(self.base + self.row), addr_valid.eq(self.valid),
                addr_neg.eq(self.neg & self.valid),    # an idle lane is a plain zero
                row_valid.eq(addr_valid), row_neg.eq(addr_neg),
                self.wgt.eq(spike_port.data), self.wgt_neg.eq(row_neg),
            ]
        with m.If(self.en & ~row_valid):     # outermost: the registers' own reset, no logic
            m.d.sync += self.wgt.eq(0)

        read_port, write_port = bank.read_port(), bank.write_port()
        m.d.comb += [
            read_port.addr.eq(self.addr), read_port.en.eq(self.read & ~self.write),
            write_port.addr.eq(self.addr), write_port.en.eq(self.write),
            write_port.data.eq(self.write_row),
            self.read_row.eq(read_port.data),
        ]
        return m
