"""A stand-in for the machine behind a bus wrapper: what comes in goes out, the registers real.

It has the ports of `hdl.machine.Machine`, so the wrappers' benches need none of its inside.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.bus_axi import AxiMachine
from hdl.bus_wishbone import WishboneMachine
from hdl.counters import Counters
from hdl.registers import Registers
from spinteger import isa
from spinteger.config import Config

DEPTH = 4


class Loopback(wiring.Component):
    """Beats through a short FIFO; bytes that were not kept come back as zeros.

    At the end of each packet: a packet with missing bytes is an error BAD_KEEP, any other passes
    a fence whose tag is the low 32 bits of its last beat. A cycle in which a beat waits at the
    input counts as loading of tokens, one in which a beat waits at the output as blocked.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "input": In(stream.Signature(data.StructLayout(
                {"data": cfg.bus_bits, "keep": cfg.bus_bits // 8, "last": 1}))),
            "output": Out(stream.Signature(data.StructLayout({"data": cfg.bus_bits, "last": 1}))),
            "reg_addr": In(isa.REGISTER_ADDR_BITS), "reg_write": In(1), "reg_wdata": In(32),
            "reg_rdata": Out(32), "irq": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        beat, width = self.input.payload, self.cfg.bus_bits
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=width + 1, depth=DEPTH)
        m.submodules.registers = registers = Registers(self.cfg)
        m.submodules.counters = counters = Counters(self.cfg)
        kept = Signal(width)
        m.d.comb += [
            kept.eq(Cat(beat.data.word_select(byte, 8) & keep.replicate(8)
                        for byte, keep in enumerate(beat.keep))),
            fifo.w_data.eq(Cat(kept, beat.last)), fifo.w_en.eq(self.input.valid),
            self.input.ready.eq(fifo.w_rdy),
            Cat(self.output.payload.data, self.output.payload.last).eq(fifo.r_data),
            self.output.valid.eq(fifo.r_rdy), fifo.r_en.eq(self.output.ready),
        ]

        packets = Signal(32)
        short = Signal()         # a beat of this packet had missing bytes
        taken = Signal()
        bad = Signal()
        m.d.comb += [taken.eq(self.input.valid & self.input.ready),
                     bad.eq(short | ~beat.keep.all())]
        with m.If(taken):
            m.d.sync += short.eq(bad & ~beat.last)
            with m.If(beat.last):
                m.d.sync += packets.eq(packets + 1)
                m.d.comb += [registers.error.valid.eq(bad), registers.fence.valid.eq(~bad)]
        m.d.comb += [
            registers.error.code.eq(isa.Error.BAD_KEEP), registers.error.number.eq(packets),
            registers.fence.tag.eq(beat.data), registers.packets.eq(packets),
            registers.busy.eq(fifo.level != 0), registers.waiting.eq(fifo.level),
            counters.loading_acts.eq(self.input.valid),
            counters.activity.blocked.eq(self.output.valid & ~self.output.ready),
            counters.activity.tile.eq(taken & beat.last),
            counters.clear.eq(registers.clear_counters), counters.latch.eq(registers.latch),
            counters.addr.eq(registers.counter_addr), registers.counter.eq(counters.value),
            registers.copying.eq(counters.copying),
            registers.addr.eq(self.reg_addr), registers.write.eq(self.reg_write),
            registers.wdata.eq(self.reg_wdata), self.reg_rdata.eq(registers.rdata),
            self.irq.eq(registers.irq),
        ]
        return m


class AxiTop(AxiMachine):
    """The AXI wrapper around a loopback."""

    def __init__(self, cfg: Config):
        super().__init__(cfg, Loopback(cfg))


class WishboneTop(WishboneMachine):
    """The Wishbone wrapper around a loopback."""

    def __init__(self, cfg: Config):
        super().__init__(cfg, Loopback(cfg))
