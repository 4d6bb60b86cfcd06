"""Spike lane: turns an event into the weight row it selects. One bank per lane."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import row_layout
from spinteger.config import Config

#: Enabled cycles from an event at the lane's input to its weight row at the output.
LANE_LATENCY = 4
#: ... and from a read for the integer lane.
READ_LATENCY = 3


class SpikeLane(wiring.Component):
    """Reads one weight row per event: address, bank, the bank's output register, gate. No event,
    no read.

    Latency `LANE_LATENCY` (4) enabled cycles, one event per cycle. An idle lane puts out zero
    codes, by the synchronous reset of the output register: that gates it without any logic.
    (The bank's own output register could be reset, but with it the row behind.) The bank's first
    port serves the spikes; the second serves the integer lane in the same way, or takes a weight
    row (the array asks for one of them at a time). Each port has an enable of its own.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "en_next": In(1),                 #: spike pipeline enable of the next cycle
            "valid": In(1),                   #: an event
            "row": In(cfg.row_bits),          #: its weight row within the tile
            "neg": In(1),                     #: its sign
            "base": In(cfg.addr_bits),        #: first bank row of the tile, in the same cycle
            "wgt": Out(row_layout(cfg)),      #: the codes it selects, or zeros
            "wgt_neg": Out(1),                #: its sign, one enabled cycle before them
            "write": In(1),                   #: store a weight row
            "write_row": In(row_layout(cfg)), #: ... these codes
            "read_en": In(1),                 #: integer pipeline enable
            "read": In(1),                    #: read a row for the integer lane, if enabled
            "addr": In(cfg.addr_bits),        #: bank row to store or read
            "read_row": Out(row_layout(cfg)), #: the codes read, or zeros; `READ_LATENCY` later
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.bank = bank = Memory(shape=row_layout(cfg), depth=cfg.bank_depth, init=[])
        en = Signal(init=1)              # a copy for this lane: the enable reaches everything
        m.d.sync += en.eq(self.en_next)

        addr = Signal(cfg.addr_bits, reset_less=True)
        neg = Signal(3)
        valid = Signal(3)                # address, bank, output register hold an event
        spike_port = bank.read_port()
        m.d.comb += [spike_port.addr.eq(addr), spike_port.en.eq(en & valid[0]),
                     self.wgt_neg.eq(neg[2])]
        with m.If(en):
            m.d.sync += [
                addr.eq(self.base + self.row), valid.eq(Cat(self.valid, valid)),
                neg.eq(Cat(self.neg & self.valid, neg)),    # an idle lane is a plain zero
            ]
        self._gate(m, spike_port.data, en, valid[1:], self.wgt)

        read_port, write_port = bank.read_port(), bank.write_port()
        read_valid = Signal(2)
        m.d.comb += [
            read_port.addr.eq(self.addr),
            read_port.en.eq(self.read_en & self.read),
            write_port.addr.eq(self.addr), write_port.en.eq(self.write),
            write_port.data.eq(self.write_row),
        ]
        with m.If(self.read_en):
            m.d.sync += read_valid.eq(Cat(self.read, read_valid))
        self._gate(m, read_port.data, self.read_en, read_valid, self.read_row)
        return m

    def _gate(self, m, data, en, valid, out):
        """The port's output register, part of the memory on an FPGA, and behind it the gate.
        `valid`: of what the port and that register hold. Without, the register keeps what it has.
        """
        fetched = Signal.like(data, reset_less=True)
        gated = Signal.like(data, reset_less=True)
        with m.If(en & valid[0]):
            m.d.sync += fetched.eq(data)
        with m.If(en):
            m.d.sync += gated.eq(fetched)
        with m.If(en & ~valid[1]):       # outermost: the registers' own reset, no logic
            m.d.sync += gated.eq(0)
        m.d.comb += out.eq(gated)
