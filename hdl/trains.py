"""Trains: the spike trains of both activation buffers, written once, replayed for every tile."""

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import coded_layout, token_layout, train_layout
from spinteger.config import Config


class Trains(wiring.Component):
    """Train memory with a table of its tokens; tokens follow one another without gaps.

    A token counts as ready once its last word is in. One that does not fit, or came to be
    dropped (`fail`), makes the buffer bad: it and all later tokens are left out until `open`.
    Read latency one enabled cycle, for words and for table entries.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "open": In(2),                       #: start buffer 0, 1 anew
            "word": In(train_layout(cfg)),       #: recorder: a word
            "word_valid": In(1),                 #: ... now
            "token": In(coded_layout(cfg)),      #: ... of this token
            "recorded": Out(1),                  #: a token became ready
            "ready": Out(data.ArrayLayout(cfg.token_bits + 1, 2)),    #: tokens ready per buffer
            "bad": Out(2),                       #: no more tokens will be
            "full": Out(2),                      #: ... because one did not fit
            "en": In(1),                         #: player: read
            "buf": In(1),                        #: ... from this buffer
            "addr": In(cfg.train_bits),          #: ... this word
            "played": Out(train_layout(cfg)),    #: the word, one cycle later
            "ask": In(data.ArrayLayout(data.StructLayout(    #: table readers: of trains, of lists
                {"en": 1, "buf": 1, "token": cfg.token_bits}), 2)),
            "entry": Out(data.ArrayLayout(token_layout(cfg), 2)),     #: ... their part of the
                                                 #: entry, one cycle later; the rest is 0
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        words = self._words(m)
        token = self.token
        keep = Signal()

        # Record: `start` is where the token began, `used` the words of it so far.
        starts = Array(Signal(cfg.train_bits + 1, name=f"start_{buf}") for buf in range(2))
        used = Signal(cfg.train_bits)
        start = Signal(cfg.train_bits + 1)
        place = Signal(cfg.train_bits + 1)
        fits = Signal()
        spoilt = Signal()                # a word of this token did not fit
        bad = Signal()
        m.d.comb += [
            start.eq(starts[token.buf]), place.eq(start + used), fits.eq(place < cfg.train_depth),
            bad.eq(self.bad.bit_select(token.buf, 1)),
            keep.eq(self.word_valid & self.word.end & fits & ~spoilt & ~bad & ~token.fail
                    & ~token.full),
            self.recorded.eq(keep),
        ]
        with m.If(self.word_valid):
            m.d.sync += [used.eq(used + 1), spoilt.eq(spoilt | ~fits)]
            with m.If(self.word.end):
                m.d.sync += [used.eq(0), spoilt.eq(0)]
        for buf in range(2):
            with m.If(self.word_valid & self.word.end & (token.buf == buf)):
                with m.If(keep):
                    m.d.sync += [starts[buf].eq(place + 1), self.ready[buf].eq(self.ready[buf] + 1)]
                with m.Elif(~self.bad[buf]):
                    m.d.sync += [self.bad[buf].eq(1), self.full[buf].eq(~token.fail)]
            with m.If(self.open[buf]):
                m.d.sync += [starts[buf].eq(0), self.ready[buf].eq(0), self.bad[buf].eq(0),
                             self.full[buf].eq(0)]

        for first, slice_ in words:
            write = slice_.write_port()
            m.d.comb += [write.en.eq(self.word_valid & fits & ~bad),
                         write.data.eq(self.word.as_value()[first:first + len(write.data)]),
                         write.addr.eq(Cat(place[:cfg.train_bits], token.buf))]

        # Replay.
        for first, slice_ in words:
            read = slice_.read_port()
            m.d.comb += [read.en.eq(self.en), read.addr.eq(Cat(self.addr, self.buf)),
                         self.played.as_value()[first:first + len(read.data)].eq(read.data)]

        # The table: each reader has the half that it needs, in a memory of its own.
        parts = ({"start": start, "left": used, "shift": token.shift},
                 {"list_start": token.list_start, "count": token.count})
        for number, part in enumerate(parts):
            layout = data.StructLayout({name: token_layout(cfg)[name].shape for name in part})
            table = Memory(shape=layout, init=[], depth=2 << cfg.token_bits)
            m.submodules[f"table_{number}"] = table
            write, look, ask = table.write_port(), table.read_port(), self.ask[number]
            m.d.comb += [
                write.en.eq(keep),
                write.addr.eq(Cat(self.ready[token.buf][:cfg.token_bits], token.buf)),
                *(write.data[name].eq(value) for name, value in part.items()),
                look.en.eq(ask.en), look.addr.eq(Cat(ask.token, ask.buf)),
                *(self.entry[number][name].eq(look.data[name]) for name in part),
            ]
        return m

    def _words(self, m):
        """The train memory as (first bit, memory) slices, none wider than one block RAM of this
        depth: else synthesis stacks two and puts a multiplexer behind every bit."""
        depth, width = 2 << self.cfg.train_bits, self.word.shape().size
        bits = max(1, (1 << 14) // depth)
        bits += bits // 8                # from 8 bits on, a block RAM has one more for every 8
        slices = []
        for first in range(0, width, bits):
            memory = Memory(shape=min(bits, width - first), init=[], depth=depth)
            m.submodules[f"words_{first}"] = memory
            slices.append((first, memory))
        return slices
