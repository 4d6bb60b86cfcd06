"""The machine: packets in, results out, registers beside; the array with its front end."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.array import HybridArray
from hdl.counters import Counters
from hdl.frontend import Frontend
from hdl.packets import input_layout, output_layout
from hdl.registers import Registers
from spinteger import isa
from spinteger.config import Config


class Machine(wiring.Component):
    """Executes programs of packets (docs/isa.md) and counts where the cycles go.

    Two data streams of `bus_bits` and a register port; the bus wrappers add nothing but their
    protocol. Packets are executed in order; loads overlap the runs before them.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "input": In(stream.Signature(input_layout(cfg))),      #: packets
            "output": Out(stream.Signature(output_layout(cfg))),   #: results
            "reg_addr": In(isa.REGISTER_ADDR_BITS),    #: register, byte address
            "reg_write": In(1),                        #: write it
            "reg_wdata": In(32),                       #: ... this
            "reg_rdata": Out(32),                      #: its value, two cycles later
            "irq": Out(1),                             #: interrupt, until cleared
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.frontend = frontend = Frontend(cfg)
        m.submodules.array = array = HybridArray(cfg)
        m.submodules.counters = counters = Counters(cfg)
        m.submodules.registers = registers = Registers(cfg)
        wiring.connect(m, wiring.flipped(self.input), frontend.input)
        wiring.connect(m, frontend.output, wiring.flipped(self.output))
        for name in ("wgt", "thr", "act", "run"):
            wiring.connect(m, getattr(frontend, name), getattr(array, name))
        wiring.connect(m, array.out, frontend.words)
        m.d.comb += [
            array.open.eq(frontend.open), frontend.run_done.eq(array.run_done),
            frontend.run_dropped.eq(array.run_dropped),
            frontend.run_overflow.eq(array.run_overflow), frontend.encoding.eq(array.encoding),
            frontend.full.eq(array.full), frontend.wgt_held.eq(array.wgt_held),

            counters.activity.eq(array.activity), counters.encoding.eq(array.encoding),
            counters.loading_weights.eq(frontend.loading_weights),
            counters.loading_acts.eq(frontend.loading_acts),
            counters.rows_loaded.eq(frontend.rows_loaded),
            counters.rows_skipped.eq(frontend.rows_skipped),
            counters.clear.eq(registers.clear_counters), counters.latch.eq(registers.latch),
            counters.addr.eq(registers.counter_addr), registers.counter.eq(counters.value),
            registers.copying.eq(counters.copying),
            registers.error.eq(frontend.error),
            registers.packets.eq(frontend.packets), registers.fence.eq(frontend.fence),
            registers.busy.eq(frontend.busy), registers.waiting.eq(frontend.waiting),
            registers.addr.eq(self.reg_addr), registers.write.eq(self.reg_write),
            registers.wdata.eq(self.reg_wdata), self.reg_rdata.eq(registers.rdata),
            self.irq.eq(registers.irq),
        ]
        return m
