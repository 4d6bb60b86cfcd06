"""Packets: cuts the data input's beats into descriptors and payloads."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spinteger.config import Config
from spinteger.isa import DESCRIPTOR_BITS, OPS, Error

#: Bits of a packet's number in an error.
NUMBER_BITS = 24
#: Bits of a descriptor, up to the last one that any operation uses.
USED_BITS = max(op.used.bit_length() for op in OPS)


def input_layout(cfg: Config) -> data.StructLayout:
    """One beat of the data input: `keep` says which bytes are there, `last` ends the packet."""
    return data.StructLayout({"data": cfg.bus_bits, "keep": cfg.bus_bits // 8, "last": 1})


def output_layout(cfg: Config) -> data.StructLayout:
    """One beat of the data output."""
    return data.StructLayout({"data": cfg.bus_bits, "last": 1})


def head_layout() -> data.StructLayout:
    """A packet's descriptor up to its last bit that ever means something, and whether there is any
    bit `above`; or (`error` not 0) why it has none. `last`: nothing follows it."""
    return data.StructLayout({"descriptor": USED_BITS, "above": 1, "error": 8,
                              "number": NUMBER_BITS, "last": 1})


def beat_layout(cfg: Config) -> data.StructLayout:
    """One beat of a payload; `bad` if bytes are missing."""
    return data.StructLayout({"data": cfg.bus_bits, "bad": 1, "last": 1})


class PacketReader(wiring.Component):
    """Offers each packet's descriptor, then its payload beats as they come, one per cycle.

    All bytes of a beat must be there; of a packet's last beat the upper ones may be missing, and
    read as zero. A descriptor cut short or with missing bytes is offered as its error
    (TLAST_EARLY, BAD_KEEP). The descriptor is offered until it is taken, which must be when the
    packet is done with, so after `body` has gone down; payload beats are offered meanwhile.
    While `drop` is up, they are swallowed, whether they are wanted or not.

    Latency: a payload beat is offered 1 cycle after it came, a descriptor 2 after its last beat.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "input": In(stream.Signature(input_layout(cfg))),    #: beats of packets
            "head": Out(stream.Signature(head_layout())),        #: the next packet's start
            "beats": Out(stream.Signature(beat_layout(cfg))),    #: its payload
            "drop": In(1),        #: swallow the payload
            "body": Out(1),       #: there are payload beats to come before the next packet
            "packets": Out(NUMBER_BITS),    #: packets that were taken since reset
        })

    def elaborate(self, platform):
        m = Module()
        cfg, source = self.cfg, self.input.payload
        beat = Signal(beat_layout(cfg))
        full = Signal()
        last = beat.last
        taken = Signal()

        # A beat; bytes that are missing are zeros, by their registers' own reset.
        m.d.comb += self.input.ready.eq(~full | taken)
        with m.If(self.input.ready):
            m.d.sync += [
                full.eq(self.input.valid), beat.last.eq(source.last), beat.data.eq(source.data),
                beat.bad.eq(Mux(source.last, (source.keep[1:] & ~source.keep[:-1]).any(),
                                ~source.keep.all())),
            ]
        missing = Signal(cfg.bus_bits // 8)
        m.d.comb += missing.eq(~source.keep & self.input.ready.replicate(len(missing)))
        for byte in range(len(missing)):
            with m.If(missing[byte]):
                m.d.sync += beat.data.word_select(byte, 8).eq(0)

        # The descriptor: gathered, then offered until it is taken.
        head, offered = self.head.payload, self.head.valid
        beats = max(1, DESCRIPTOR_BITS // cfg.bus_bits)
        count = Signal(range(beats))
        gather = Signal()
        complete = count == beats - 1
        m.d.comb += gather.eq(full & ~offered)
        for number in range(beats):
            low, high = number * cfg.bus_bits, min((number + 1) * cfg.bus_bits, DESCRIPTOR_BITS)
            mine = min(max(USED_BITS, low), high)
            with m.If(gather & (count == number)):
                if mine > low:
                    m.d.sync += head.descriptor[low:mine].eq(beat.data)
                m.d.sync += head.above.eq(head.above | beat.data[mine - low:high - low].any())
        with m.If(gather):
            m.d.sync += count.eq(count + 1)
            with m.If(head.error == Error.NONE):
                with m.If(beat.bad):
                    m.d.sync += head.error.eq(Error.BAD_KEEP)
                with m.Elif(beat.last & ~complete):
                    m.d.sync += head.error.eq(Error.TLAST_EARLY)
            with m.If(last | complete):
                m.d.sync += [offered.eq(1), head.last.eq(last), self.body.eq(~last)]
        with m.If(offered & self.head.ready):
            m.d.sync += [offered.eq(0), head.error.eq(Error.NONE), head.above.eq(0), count.eq(0),
                         self.packets.eq(self.packets + 1)]
        m.d.comb += head.number.eq(self.packets)

        # The payload. Its beats' `valid` is a register: `full` in the body of a packet.
        m.d.comb += [
            self.beats.payload.eq(beat),
            taken.eq(Mux(self.body, self.drop | self.beats.ready, ~offered)),
        ]
        with m.If(self.input.ready):
            m.d.sync += self.beats.valid.eq(self.input.valid & Mux(
                self.body, ~(full & last), gather & complete & ~last))
        with m.If(full & self.body & taken & last):
            m.d.sync += self.body.eq(0)
        return m
