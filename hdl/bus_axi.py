"""AxiMachine: the machine with AXI4-Stream data and AXI4-Lite control, in their standard names."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from hdl.registers import among
from spinteger import isa
from spinteger.config import Config


class Resp(enum.Enum, shape=2):  # type: ignore[call-arg]
    """AXI responses."""

    OKAY = 0
    SLVERR = 2   #: a register, but it cannot be accessed like that
    DECERR = 3   #: no register


class AxiMachine(wiring.Component):
    """A thin wrapper: the streams pass as they are, and AXI4-Lite reads and writes registers.

    AXI4-Lite takes one write and one read at a time, which do not wait for each other. Address
    and data of a write may come in any order. Only whole words can be written: other byte
    strobes, or a register that is read only, give SLVERR and do nothing. Reading always works
    where there is a register. `prot` does not matter, nor do the low two bits of an address.
    A write takes 2 cycles, a read 5.

    `rst` is high while AXI's `aresetn` is low.
    """

    def __init__(self, cfg: Config, machine: wiring.Component | None = None):
        """`machine`: what to wrap, if not a `Machine`; it has the same ports."""
        if machine is None:
            from hdl.machine import Machine  # benches wrap something smaller

            machine = Machine(cfg)
        self.cfg, self.machine = cfg, machine
        addr = isa.REGISTER_ADDR_BITS
        super().__init__({
            "s_axis_tdata": In(cfg.bus_bits),         #: packets
            "s_axis_tkeep": In(cfg.bus_bits // 8),    #: all ones, but on the last beat
            "s_axis_tlast": In(1),                    #: the packet's last beat
            "s_axis_tvalid": In(1),
            "s_axis_tready": Out(1),
            "m_axis_tdata": Out(cfg.bus_bits),        #: results
            "m_axis_tkeep": Out(cfg.bus_bits // 8),   #: all ones
            "m_axis_tlast": Out(1),                   #: a run's last beat
            "m_axis_tvalid": Out(1),
            "m_axis_tready": In(1),
            "s_axil_awaddr": In(addr),                #: register to write, byte address
            "s_axil_awprot": In(3),
            "s_axil_awvalid": In(1),
            "s_axil_awready": Out(1),
            "s_axil_wdata": In(32),                   #: what to write
            "s_axil_wstrb": In(4),                    #: all ones
            "s_axil_wvalid": In(1),
            "s_axil_wready": Out(1),
            "s_axil_bresp": Out(Resp),                #: whether it was written
            "s_axil_bvalid": Out(1),
            "s_axil_bready": In(1),
            "s_axil_araddr": In(addr),                #: register to read, byte address
            "s_axil_arprot": In(3),
            "s_axil_arvalid": In(1),
            "s_axil_arready": Out(1),
            "s_axil_rdata": Out(32),                  #: its value
            "s_axil_rresp": Out(Resp),                #: whether there is such a register
            "s_axil_rvalid": Out(1),
            "s_axil_rready": In(1),
            "irq": Out(1),                            #: interrupt, until cleared
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.machine = machine = self.machine

        # Data.
        beat, result = machine.input.payload, machine.output.payload
        m.d.comb += [
            beat.data.eq(self.s_axis_tdata), beat.keep.eq(self.s_axis_tkeep),
            beat.last.eq(self.s_axis_tlast),
            machine.input.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(machine.input.ready),
            self.m_axis_tdata.eq(result.data), self.m_axis_tkeep.eq(-1),
            self.m_axis_tlast.eq(result.last),
            self.m_axis_tvalid.eq(machine.output.valid),
            machine.output.ready.eq(self.m_axis_tready),
            self.irq.eq(machine.irq),
        ]

        # Writing: wait for both address and data, and for the response before to be taken.
        aw_full = Signal()
        w_full = Signal()
        whole = Signal()
        aw_addr = Signal.like(self.s_axil_awaddr)
        w_data = Signal(32)
        m.d.comb += [self.s_axil_awready.eq(~aw_full), self.s_axil_wready.eq(~w_full)]
        with m.If(self.s_axil_awvalid & ~aw_full):
            m.d.sync += [aw_full.eq(1), aw_addr.eq(self.s_axil_awaddr)]
        with m.If(self.s_axil_wvalid & ~w_full):
            m.d.sync += [w_full.eq(1), w_data.eq(self.s_axil_wdata),
                         whole.eq(self.s_axil_wstrb.all())]
        writing = Signal()
        writable = Signal()
        m.d.comb += [
            writing.eq(aw_full & w_full & ~self.s_axil_bvalid),
            writable.eq(whole & among(aw_addr, isa.REGISTERS, "w")),
            machine.reg_wdata.eq(w_data), machine.reg_write.eq(writing & writable),
        ]
        with m.If(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        with m.If(writing):
            m.d.sync += [aw_full.eq(0), w_full.eq(0), self.s_axil_bvalid.eq(1)]
            with m.If(writable):
                m.d.sync += self.s_axil_bresp.eq(Resp.OKAY)
            with m.Elif(among(aw_addr, isa.REGISTERS)):
                m.d.sync += self.s_axil_bresp.eq(Resp.SLVERR)
            with m.Else():
                m.d.sync += self.s_axil_bresp.eq(Resp.DECERR)

        # Reading: the register port is free whenever nothing is written.
        ar_addr = Signal.like(self.s_axil_araddr)
        m.d.comb += machine.reg_addr.eq(Mux(writing, aw_addr, ar_addr))
        with m.FSM(name="read"):
            with m.State("idle"):
                m.d.comb += self.s_axil_arready.eq(1)
                with m.If(self.s_axil_arvalid):
                    m.d.sync += ar_addr.eq(self.s_axil_araddr)
                    m.next = "address"
            with m.State("address"):
                with m.If(~writing):
                    m.next = "wait"
            with m.State("wait"):
                m.next = "data"
            with m.State("data"):
                m.d.sync += [self.s_axil_rvalid.eq(1), self.s_axil_rdata.eq(machine.reg_rdata),
                             self.s_axil_rresp.eq(Mux(among(ar_addr, isa.REGISTERS),
                                                      Resp.OKAY, Resp.DECERR))]
                m.next = "respond"
            with m.State("respond"):
                with m.If(self.s_axil_rready):
                    m.d.sync += self.s_axil_rvalid.eq(0)
                    m.next = "idle"
        return m
