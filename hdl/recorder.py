"""Recorder: pops a token's events in time order, once, and writes them down as its spike train."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import coded_layout, train_layout
from spinteger.config import Config


class Recorder(wiring.Component):
    """Walks the levels that occur, largest first (time t = L - level); the others are skipped.

    A step lasts as long as the lane with most events of its level; `dt` tells V how many time
    steps its S stands for: until the next level that occurs, or the end of the window. The first
    train word comes 3 cycles after the token, then one per cycle, with a cycle between levels: a
    token is recorded once and replayed for every column tile. A token without spikes is one word
    without events.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "coded": In(stream.Signature(coded_layout(cfg))),    #: complete tokens
            "load": Out(1),                      #: queues: start on a bucket
            "load_queue": Out(1),                #: ... of this half
            "load_level": Out(cfg.level_bits),   #: ... and this level
            "last": In(cfg.rows),                #: lane has no event after this cycle's
            "valid": In(cfg.rows),               #: lane's event, one cycle later
            "row": In(data.ArrayLayout(cfg.row_bits, cfg.rows)),    #: ... its weight row
            "neg": In(cfg.rows),                 #: ... its sign
            "word": Out(train_layout(cfg)),      #: the train, word by word
            "word_valid": Out(1),                #: ... now
            "token": Out(coded_layout(cfg)),     #: whose it is
            "busy": Out(1),                      #: a word may still come
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        token = self.coded.payload

        # The highest level left, and those after it: found out in the cycle before it begins, which
        # is the first of a token, or one in which events of the level before pop.
        started = Signal()
        known = Signal()                     # the token is not new
        rest = Signal(cfg.window)
        todo = Signal(cfg.window)
        after = Signal(cfg.window)
        level = Signal(cfg.level_bits)
        next_level = Signal(cfg.level_bits)
        m.d.comb += todo.eq(Mux(started, rest, token.levels))
        m.d.sync += [known.eq(self.coded.valid & ~self.coded.ready), level.eq(0), after.eq(todo)]
        for index in range(cfg.window):      # the last match, the highest level, wins
            with m.If(todo[index]):
                m.d.sync += [level.eq(index + 1), after.eq(todo & ((1 << index) - 1))]
        for index in range(cfg.window):
            with m.If(after[index]):
                m.d.comb += next_level.eq(index + 1)

        # Load it once the lanes have finished the one before. Without any there is nothing to load.
        popping = Signal()
        step = Signal(data.StructLayout({"dt": cfg.level_bits, "end": 1}))
        begin = Signal()
        lanes_last = Signal()
        snap = Signal()
        m.d.comb += [
            lanes_last.eq(self.last.all()), snap.eq(popping & lanes_last),
            begin.eq(self.coded.valid & known & ~popping & ~self.coded.ready),
            self.load.eq(begin & (level != 0)), self.load_queue.eq(token.queue),
            self.load_level.eq(level),
        ]
        m.d.sync += self.coded.ready.eq(snap & step.end)
        with m.If(begin):
            m.d.sync += [popping.eq(1), started.eq(1), rest.eq(after),
                         step.dt.eq(level - next_level), step.end.eq(after == 0)]
        with m.Elif(lanes_last):
            m.d.sync += [popping.eq(0), started.eq(started & ~step.end)]

        # The events come a cycle after their pop, and their control with them.
        control = Signal(data.StructLayout({"snap": 1, "dt": cfg.level_bits, "end": 1}))
        m.d.sync += [self.word_valid.eq(popping), control.snap.eq(snap), control.dt.eq(step.dt),
                     control.end.eq(snap & step.end), self.token.eq(token)]
        word = self.word
        m.d.comb += [word.snap.eq(control.snap), word.dt.eq(control.dt), word.end.eq(control.end),
                     self.busy.eq(self.coded.valid | self.word_valid)]
        for lane in range(cfg.rows):
            m.d.comb += [word.event[lane].valid.eq(self.valid[lane]),
                         word.event[lane].row.eq(self.row[lane]),
                         word.event[lane].neg.eq(self.neg[lane])]
        return m
