"""WishboneMachine: the machine behind one Wishbone port, registers and data streams alike."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.registers import among
from spinteger import isa
from spinteger.config import Config

#: Bits of a transfer, and of a piece of a beat.
WORD_BITS = 32


class WishboneMachine(wiring.Component):
    """Wishbone B4 in classic mode: every transfer takes 3 cycles, then comes `ack` or `err`.

    The registers are at their addresses, the data streams behind `isa.WISHBONE_REGISTERS`, in
    pieces of 32 bits. Nothing ever waits: without room, or without output, a transfer ends in
    `err` and does nothing, so ask `data_status` first. The other reasons for `err` are an address
    without a register, a direction that a register lacks, and byte selects that are not all ones.
    Of an address, the low two bits do not matter.

    Beats: a beat is sent by its last piece, or by `data_in_last`, and the next one has room once
    it was taken.
    """

    def __init__(self, cfg: Config, machine: wiring.Component | None = None):
        """`machine`: what to wrap, if not a `Machine`; it has the same ports."""
        if machine is None:
            from hdl.machine import Machine  # benches wrap something smaller

            machine = Machine(cfg)
        self.cfg, self.machine = cfg, machine
        super().__init__({
            "wb_cyc_i": In(1),           #: a cycle is going on
            "wb_stb_i": In(1),           #: ... and a transfer in it
            "wb_we_i": In(1),            #: write
            "wb_adr_i": In(isa.REGISTER_ADDR_BITS),    #: register, byte address
            "wb_dat_i": In(WORD_BITS),   #: what to write
            "wb_sel_i": In(WORD_BITS // 8),    #: all ones
            "wb_dat_o": Out(WORD_BITS),  #: what was read
            "wb_ack_o": Out(1),          #: done
            "wb_err_o": Out(1),          #: refused, nothing was done
            "irq": Out(1),               #: interrupt, until cleared
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.machine = machine = self.machine
        pieces = self.cfg.bus_bits // WORD_BITS

        def at(*names: str):
            return among(self.wb_adr_i, [register for register in isa.WISHBONE_REGISTERS
                                         if register.name in names])

        # A transfer begins; it ends two cycles later.
        start = Signal()
        busy = Signal()
        read = Signal()
        write = Signal()
        m.d.comb += [
            start.eq(self.wb_cyc_i & self.wb_stb_i & ~busy & ~self.wb_ack_o & ~self.wb_err_o),
            read.eq(start & ~self.wb_we_i & self.wb_sel_i.all()),
            write.eq(start & self.wb_we_i & self.wb_sel_i.all()),
            machine.reg_addr.eq(self.wb_adr_i), machine.reg_wdata.eq(self.wb_dat_i),
            machine.reg_write.eq(write & among(self.wb_adr_i, isa.REGISTERS, "w")),
            self.irq.eq(machine.irq),
        ]

        # Data input: gather the pieces of a beat, then offer it.
        beat = machine.input.payload
        count = Signal(range(max(2, pieces)))    # pieces so far
        gathered = Signal(self.cfg.bus_bits)
        there = Signal(pieces)
        last = Signal()
        full = Signal()
        push = Signal()
        m.d.comb += [
            push.eq(write & at("data_in", "data_in_last") & ~full),
            machine.input.valid.eq(full), beat.data.eq(gathered), beat.last.eq(last),
            beat.keep.eq(Cat(one.replicate(WORD_BITS // 8) for one in there)),
        ]
        with m.If(machine.input.ready):
            m.d.sync += full.eq(0)
        with m.If(push):
            m.d.sync += [count.eq(count + 1), last.eq(at("data_in_last"))]
            with m.If(count == 0):
                m.d.sync += [gathered.eq(self.wb_dat_i), there.eq(1)]
            with m.Else():
                m.d.sync += [gathered.word_select(count, WORD_BITS).eq(self.wb_dat_i),
                             there.bit_select(count, 1).eq(1)]
            with m.If((count == pieces - 1) | at("data_in_last")):
                m.d.sync += [count.eq(0), full.eq(1)]

        # Data output: a beat is taken with its last piece.
        result = machine.output.payload
        place = Signal(range(max(2, pieces)))    # piece to be read next
        pop = Signal()
        ends = Signal()
        m.d.comb += [
            pop.eq(read & at("data_out") & machine.output.valid),
            ends.eq(place == pieces - 1), machine.output.ready.eq(pop & ends),
        ]
        with m.If(pop):
            m.d.sync += place.eq(Mux(ends, 0, place + 1))

        # The end of the transfer.
        done = Signal()
        is_register = Signal()
        own = Signal(WORD_BITS)
        m.d.comb += done.eq(machine.reg_write | push | pop
                            | (read & (among(self.wb_adr_i, isa.REGISTERS) | at("data_status"))))
        good = Signal()
        m.d.sync += [
            busy.eq(start), good.eq(done),
            self.wb_ack_o.eq(busy & good), self.wb_err_o.eq(busy & ~good),
        ]
        with m.If(start):
            m.d.sync += [is_register.eq(among(self.wb_adr_i, isa.REGISTERS)), own.eq(Mux(
                at("data_status"),
                Cat(~full, machine.output.valid, machine.output.valid & result.last & ends),
                result.data.word_select(place, WORD_BITS)))]
        m.d.comb += self.wb_dat_o.eq(Mux(is_register, machine.reg_rdata, own))
        return m
