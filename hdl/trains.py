"""Trains: the spike trains of both activation buffers, written once, replayed for every tile."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import coded_layout, token_layout, train_layout
from spinteger.config import Config


class Trains(wiring.Component):
    """Train memory with a table of its tokens; tokens follow one another without gaps.

    A token counts as ready once its last word is in. One that does not fit, or came to be
    dropped (`fail`), makes the buffer bad: it and all later tokens are left out until `open`.
    A word is stored, and a token told of, in the cycle after it came: in the first its place is
    worked out, and the event queues' memories answer. Read latency one enabled cycle, for words
    and for table entries.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "open": In(2),                       #: start buffer 0, 1 anew
            "word": In(train_layout(cfg)),       #: recorder: a word
            "word_valid": In(1),                 #: ... now
            "token": In(coded_layout(cfg)),      #: ... of this token
            "recording": Out(2),                 #: a word of buffer 0, 1 came a cycle ago
            "recorded": Out(1),                  #: a token becomes ready
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

        # Record: `start` is where the token began, `used` the words of it so far.
        starts = Array(Signal(cfg.train_bits + 1, name=f"start_{buf}") for buf in range(2))
        used = Signal(cfg.train_bits)
        start = Signal(cfg.train_bits + 1)
        place = Signal(cfg.train_bits + 1)
        fits = Signal()
        spoilt = Signal()                # a word of this token did not fit
        bad = Signal(2)                  # as the ports, a cycle before
        full = Signal(2)
        is_bad = Signal()
        keep = Signal()
        m.d.comb += [
            start.eq(starts[token.buf]), place.eq(start + used), fits.eq(place < cfg.train_depth),
            is_bad.eq(bad.bit_select(token.buf, 1)),
            keep.eq(self.word_valid & self.word.end & fits & ~spoilt & ~is_bad & ~token.fail
                    & ~token.full),
        ]
        with m.If(self.word_valid):
            m.d.sync += [used.eq(used + 1), spoilt.eq(spoilt | ~fits)]
            with m.If(self.word.end):
                m.d.sync += [used.eq(0), spoilt.eq(0)]
        m.d.sync += [self.bad.eq(bad), self.full.eq(full)]
        for buf in range(2):
            with m.If(self.word_valid & self.word.end & (token.buf == buf)):
                with m.If(keep):
                    m.d.sync += starts[buf].eq(place + 1)
                with m.Elif(~bad[buf]):
                    m.d.sync += [bad[buf].eq(1), full[buf].eq(~token.fail)]
            with m.If(self.open[buf]):
                m.d.sync += [starts[buf].eq(0), bad[buf].eq(0), full[buf].eq(0),
                             self.bad[buf].eq(0), self.full[buf].eq(0)]

        # Store: a cycle later.
        word = Signal(train_layout(cfg), reset_less=True)
        store, stored = Signal(), Signal(cfg.train_bits + 1, reset_less=True)
        told, label = Signal(), Signal(coded_layout(cfg), reset_less=True)
        label_start, label_left = Signal.like(start, reset_less=True), Signal.like(used)
        m.d.sync += [
            store.eq(self.word_valid & fits & ~is_bad), stored.eq(Cat(place[:-1], token.buf)),
            word.eq(self.word), told.eq(keep), label.eq(token),
            label_start.eq(start), label_left.eq(used),
            self.recording.eq(Mux(self.word_valid, Cat(~token.buf, token.buf), 0)),
        ]
        m.d.comb += self.recorded.eq(told)
        for buf in range(2):
            with m.If(told & (label.buf == buf)):
                m.d.sync += self.ready[buf].eq(self.ready[buf] + 1)
            with m.If(self.open[buf]):
                m.d.sync += self.ready[buf].eq(0)
        for first, slice_ in words:
            write = slice_.write_port()
            m.d.comb += [write.en.eq(store), write.addr.eq(stored),
                         write.data.eq(word.as_value()[first:first + len(write.data)])]

        # Replay.
        for first, slice_ in words:
            read = slice_.read_port()
            m.d.comb += [read.en.eq(self.en), read.addr.eq(Cat(self.addr, self.buf)),
                         self.played.as_value()[first:first + len(read.data)].eq(read.data)]

        # The table: each reader has the half that it needs, in a memory of its own.
        parts = ({"start": label_start, "left": label_left, "shift": label.shift},
                 {"list_start": label.list_start, "count": label.count})
        for number, part in enumerate(parts):
            layout = data.StructLayout({name: token_layout(cfg)[name].shape for name in part})
            table = Memory(shape=layout, init=[], depth=2 << cfg.token_bits)
            m.submodules[f"table_{number}"] = table
            write, look, ask = table.write_port(), table.read_port(), self.ask[number]
            m.d.comb += [
                write.en.eq(told),
                write.addr.eq(Cat(self.ready[label.buf][:cfg.token_bits], label.buf)),
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
