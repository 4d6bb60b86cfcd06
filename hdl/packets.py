"""Packets: cuts the data input's beats into descriptors and payloads."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.skid import Skid
from spinteger.config import Config
from spinteger.isa import DESCRIPTOR_BITS, Error

#: Bits of a packet's number in an error.
NUMBER_BITS = 24


def input_layout(cfg: Config) -> data.StructLayout:
    """One beat of the data input: `keep` says which bytes are there, `last` ends the packet."""
    return data.StructLayout({"data": cfg.bus_bits, "keep": cfg.bus_bits // 8, "last": 1})


def output_layout(cfg: Config) -> data.StructLayout:
    """One beat of the data output."""
    return data.StructLayout({"data": cfg.bus_bits, "last": 1})


def head_layout() -> data.StructLayout:
    """A packet's descriptor, or (`error` not 0) why it has none; `last`: nothing follows it."""
    return data.StructLayout({"descriptor": DESCRIPTOR_BITS, "error": 8, "number": NUMBER_BITS,
                              "last": 1})


def beat_layout(cfg: Config) -> data.StructLayout:
    """One beat of a payload; `bad` if bytes are missing."""
    return data.StructLayout({"data": cfg.bus_bits, "bad": 1, "last": 1})


def failure_layout() -> data.StructLayout:
    """An error that waits to be reported: its code, and its packet's number."""
    return data.StructLayout({"code": 8, "number": NUMBER_BITS})


class PacketReader(wiring.Component):
    """Offers each packet's descriptor, then its payload beats as they come, one per cycle.

    All bytes of a beat must be there; of a packet's last beat the upper ones may be missing, and
    read as zero. A descriptor cut short or with missing bytes is offered as its error
    (TLAST_EARLY, BAD_KEEP). While `drop` is up, payload beats are swallowed. The next packet is
    read as soon as this one's last beat was taken.

    Latency: a descriptor is offered 1 cycle after its last beat, a payload beat in its cycle.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "input": In(stream.Signature(input_layout(cfg))),    #: beats of packets
            "head": Out(stream.Signature(head_layout())),        #: the next packet's start
            "beats": Out(stream.Signature(beat_layout(cfg))),    #: its payload, once that is taken
            "drop": In(1),        #: swallow the payload instead
            "body": Out(1),       #: there are payload beats to come before the next packet
            "packets": Out(32),   #: packets that were taken since reset
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.skid = skid = Skid(input_layout(cfg))
        wiring.connect(m, wiring.flipped(self.input), skid.input)
        beat = skid.output.payload
        taken = Signal()
        bad = Signal()
        clean = Signal(cfg.bus_bits)
        m.d.comb += [
            taken.eq(skid.output.valid & skid.output.ready),
            bad.eq(Mux(beat.last, (beat.keep[1:] & ~beat.keep[:-1]).any(), ~beat.keep.all())),
            clean.eq(Cat(beat.data.word_select(byte, 8) & beat.keep[byte].replicate(8)
                         for byte in range(cfg.bus_bits // 8))),
        ]

        # The descriptor: gathered, then offered until it is taken.
        head, offered = self.head.payload, self.head.valid
        beats = max(1, DESCRIPTOR_BITS // cfg.bus_bits)
        count = Signal(range(beats))
        gather = Signal()
        m.d.comb += gather.eq(~offered & ~self.body)
        with m.If(gather & taken):
            complete = count == beats - 1
            m.d.sync += [
                head.descriptor.eq(Cat(head.descriptor, clean)[-DESCRIPTOR_BITS:] if beats > 1
                                   else clean),
                head.last.eq(beat.last), count.eq(count + 1),
            ]
            with m.If(bad & (head.error == Error.NONE)):
                m.d.sync += head.error.eq(Error.BAD_KEEP)
            with m.Elif(beat.last & ~complete & (head.error == Error.NONE)):
                m.d.sync += head.error.eq(Error.TLAST_EARLY)
            with m.If(beat.last | complete):
                m.d.sync += [offered.eq(1), count.eq(0)]
        with m.If(offered & self.head.ready):
            m.d.sync += [offered.eq(0), self.body.eq(~head.last), head.error.eq(Error.NONE),
                         self.packets.eq(self.packets + 1)]
        m.d.comb += head.number.eq(self.packets[:NUMBER_BITS])

        # The payload.
        m.d.comb += [
            self.beats.valid.eq(skid.output.valid & self.body & ~self.drop),
            self.beats.payload.data.eq(clean), self.beats.payload.bad.eq(bad),
            self.beats.payload.last.eq(beat.last),
            skid.output.ready.eq(Mux(self.body, self.drop | self.beats.ready, gather)),
        ]
        with m.If(self.body & taken & beat.last):
            m.d.sync += self.body.eq(0)
        return m
