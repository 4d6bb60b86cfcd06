"""Player: replays a token's spike train for each column tile."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import event_layout, fire_layout, train_layout, visit_layout
from spinteger.config import Config

#: Enabled cycles from a visit to its first word.
PLAY_LATENCY = 3


class Player(wiring.Component):
    """One train word per enabled cycle, tiles and tokens without a gap between them.

    Latency `PLAY_LATENCY` (3) enabled cycles from a visit to its first word. An abandoned run's
    visit (`drop`) becomes one word without events that completes a tile.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "visit": In(stream.Signature(visit_layout(cfg))),    #: a tile of a token
            "buf": In(1),                       #: buffer of the visit
            "en": In(1),                        #: pipeline enable
            "read": Out(1),                     #: train memory: read
            "read_buf": Out(1),                 #: ... from this buffer
            "addr": Out(cfg.train_bits),        #: ... this word
            "word": In(train_layout(cfg)),      #: the word, one enabled cycle later
            "valid": Out(1),                    #: a word is at the output
            "event": Out(data.ArrayLayout(event_layout(cfg), cfg.rows)),  #: its events
            "base": Out(cfg.addr_bits),         #: the tile's first bank row
            "snap": Out(1),                     #: the events complete a step
            "dt": Out(cfg.level_bits),          #: ... of so many time steps
            "tile_end": Out(1),                 #: ... and the tile
            "fire": Out(fire_layout(cfg)),      #: how the tile leaves
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        visit = self.visit.payload
        busy = Signal()
        left = Signal(cfg.train_bits)       # words after the one at `addr`
        reading = Signal(data.StructLayout({"base": cfg.addr_bits, "fire": fire_layout(cfg)}))
        fetched = Signal(reading.shape())   # of the word at the memory's output
        here = Signal()                     # ... there is one
        played = Signal(reading.shape())    # of the word at the output
        word = Signal(train_layout(cfg))    # ... a register of its own, which the memory takes in
        m.d.comb += [
            self.visit.ready.eq(self.en & (~busy | (left == 0))),
            self.read.eq(self.en & busy),
        ]
        with m.If(self.en):
            m.d.sync += [here.eq(busy), fetched.eq(reading), word.eq(self.word),
                         self.valid.eq(here), played.eq(fetched),
                         self.addr.eq(self.addr + 1), left.eq(left - 1)]
            with m.If(~busy | (left == 0)):
                m.d.sync += [
                    busy.eq(self.visit.valid), self.addr.eq(visit.token.start),
                    left.eq(visit.token.left), self.read_buf.eq(self.buf),
                    reading.base.eq(visit.base), reading.fire.eq(visit.fire)]

        drop = played.fire.drop
        m.d.comb += [
            self.base.eq(played.base), self.fire.eq(played.fire),
            self.snap.eq(self.valid & (word.snap | drop)),
            self.tile_end.eq(word.end | drop), self.dt.eq(Mux(drop, 0, word.dt)),
        ]
        for lane in range(cfg.rows):
            m.d.comb += [
                self.event[lane].eq(word.event[lane]),
                self.event[lane].valid.eq(self.valid & word.event[lane].valid & ~drop)]
        return m
