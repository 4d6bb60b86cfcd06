"""Commands of the host: its ring's bytes as beats of the machine's input, and register accesses."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.link_format import RING_BITS, Kind
from hdl.packets import input_layout
from spinteger import isa
from spinteger.config import Config

#: A register's word address is in a command's low seven bits.
assert isa.REGISTER_ADDR_BITS <= 9


class LinkCommands(wiring.Component):
    """Executes commands in order, a byte every 4 cycles; each waits until the one before is done.

    A byte with bit 7 sets the address: its low bits are a register's, in words. Any other has its
    `Kind` in bits 1..0. Behind a READ nothing follows; bit 2 asks for the board's identity instead
    of a register. Behind the other kinds comes a count, less one: so many bytes to shift into a
    beat or, of a WRITE, a register's value (count 3). With bit 2 the packet ends with the last of
    these beats; beats must be complete then, with HOLES where bytes are missing.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "rd": Out(RING_BITS),          #: the ring is read here
            "byte": In(8),                 #: ... and has this, a few cycles later
            "commit": In(RING_BITS),       #: it ends here
            "beats": Out(stream.Signature(input_layout(cfg))),    #: the machine's input
            "reg_addr": Out(isa.REGISTER_ADDR_BITS),    #: the machine's registers
            "reg_write": Out(1),           #: ... write
            "reg_wdata": Out(32),          #: ... this
            "read": Out(1),                #: send the register's value, until `taken`
            "identity": Out(1),            #: ... or the identity
            "taken": In(1),                #: the value was taken
            "some": Out(1),                #: bytes wait to be executed
        })

    def elaborate(self, platform):
        m = Module()
        cfg, beat = self.cfg, self.beats.payload
        some = self.some
        phase = Signal(2)           # the last of four: the byte is there
        ready = Signal()
        m.d.sync += [some.eq(self.rd != self.commit), phase.eq(phase + 1)]
        m.d.comb += ready.eq(some & (phase == 3))

        kind = Signal(Kind)
        last = Signal()
        left = Signal(8)            # bytes after this one
        place = Signal(range(cfg.bus_bits // 8))    # ... which goes here in its beat
        word = Signal(isa.REGISTER_ADDR_BITS - 2)
        pop = Signal()
        shift = Signal()
        counted = Signal()          # the byte is a count
        m.d.comb += [self.reg_addr.eq(word << 2),
                     self.reg_wdata.eq(beat.data[-32:]), self.identity.eq(last)]
        m.d.sync += self.reg_write.eq(0)
        with m.If(pop):
            m.d.sync += self.rd.eq(self.rd + 1)
        with m.If(shift):
            m.d.sync += [beat.data.eq(Cat(beat.data[8:], self.byte)),
                         beat.keep.eq(Cat(beat.keep[1:], kind == Kind.BYTES)),
                         place.eq(place + 1)]
        with m.If(shift | counted):
            m.d.sync += left.eq(Mux(shift, left - 1, self.byte))
        with m.If(self.beats.ready):
            m.d.sync += self.beats.valid.eq(0)

        with m.FSM():
            with m.State("command"):
                m.d.comb += pop.eq(ready)
                with m.If(ready & self.byte[7]):
                    m.d.sync += word.eq(self.byte)
                with m.Elif(ready):
                    m.d.sync += [kind.eq(self.byte[:2]), last.eq(self.byte[2])]
                    m.next = "count"
                    with m.If(self.byte[:2] == Kind.READ):
                        m.next = "read"
            with m.State("count"):
                m.d.comb += [pop.eq(ready), counted.eq(ready)]
                with m.If(ready):
                    m.next = "bytes"
            with m.State("bytes"):
                m.d.comb += [shift.eq(~self.beats.valid & (ready | (kind == Kind.HOLES))),
                             pop.eq(shift & (kind != Kind.HOLES))]
                with m.If(shift):
                    m.d.sync += beat.last.eq(last & (left == 0))
                    with m.If(kind == Kind.WRITE):
                        m.d.sync += [self.reg_write.eq(left == 0), place.eq(0)]
                    with m.Elif(place == cfg.bus_bits // 8 - 1):
                        m.d.sync += self.beats.valid.eq(1)
                    with m.If(left == 0):
                        m.next = "command"
            with m.State("read"):
                m.d.comb += self.read.eq(1)
                with m.If(self.taken):
                    m.next = "command"
        return m
