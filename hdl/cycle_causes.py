"""Cycle causes: charges every cycle to one cause, and counts each cause a few bits far."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import activity_layout
from spinteger import isa
from spinteger.config import Config

#: Cycles from an activity to its count: a cycle's cause waits this long.
CYCLES_LATE = 19
#: A count wraps: it must be looked at before it has come round.
COUNT_BITS = 6
INDEX_BITS = (len(isa.COUNTERS) - 1).bit_length()


class CycleCauses(wiring.Component):
    """One count per cause, in a memory of 16 places: every cycle adds one at its cause.

    R idle lanes make one cycle of waiting for the longest lane. Counts come `CYCLES_LATE` cycles
    after the activity: so long must `wipe` be up after `clear`, which gives it the time to clear
    all counts one by one.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "activity": In(activity_layout(cfg)),    #: what the array does
            "loading_weights": In(1),                #: weights, thresholds or scales come in
            "loading_acts": In(1),                   #: tokens come in
            "encoding": In(2),                       #: tokens of buffer 0/1 are being encoded
            "clear": In(1),                          #: forget what was
            "wipe": In(1),                           #: after `clear`: clear a count
            "wipe_index": In(4),                     #: ... this one, all 16 in turn
            "index": In(INDEX_BITS),                 #: a cause, by its place in `isa.COUNTERS`
            "count": Out(COUNT_BITS),                #: its count, in the same cycle
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        place = {name: isa.COUNTERS.index(name) for name, _ in isa.CAUSES}
        now = Signal(activity_layout(cfg))
        weights = Signal()
        acts = Signal()
        m.d.sync += [now.eq(self.activity), weights.eq(self.loading_weights),
                     acts.eq(self.loading_acts | self.encoding.any())]

        # Idle lanes that are not charged yet.
        idle = Signal(range(max(2, cfg.rows)))
        more = Signal(range(2 * cfg.rows))
        whole = Signal()
        m.d.comb += [more.eq(idle + (cfg.rows - now.events)), whole.eq(more >= cfg.rows)]
        with m.If(self.clear):
            m.d.sync += [idle.eq(0), now.eq(0)]
        with m.Elif(now.play):
            m.d.sync += idle.eq(Mux(whole, more - cfg.rows, more))

        cause = Signal(4)
        stopped = Mux(now.blocked, place["output"], place["firing"])
        with m.If(now.play):
            m.d.sync += cause.eq(Mux(whole, place["longest_lane"], place["events"]))
        with m.Elif(now.ramp):
            m.d.sync += cause.eq(place["ramp"])
        with m.Elif(now.integer):
            m.d.sync += cause.eq(place["integer"])
        with m.Elif(now.await_acts):
            m.d.sync += cause.eq(place["acts"])
        with m.Elif(now.firing | now.draining):
            m.d.sync += cause.eq(stopped)
        with m.Elif(weights):
            m.d.sync += cause.eq(place["weights"])
        with m.Elif(acts):
            m.d.sync += cause.eq(place["acts"])
        with m.Elif(now.blocked):
            m.d.sync += cause.eq(place["output"])
        with m.Else():
            m.d.sync += cause.eq(place["idle"])

        # The cause waits 16 cycles in a ring, then adds one to its count.
        m.submodules.ring = ring = Memory(shape=4, depth=16, init=[])
        put, get = ring.write_port(), ring.read_port(domain="comb")
        turn = Signal(4)
        late = Signal(4)
        m.d.comb += [put.en.eq(1), put.addr.eq(turn), put.data.eq(cause), get.addr.eq(turn)]
        m.d.sync += [turn.eq(turn + 1), late.eq(get.data)]

        m.submodules.counts = counts = Memory(shape=COUNT_BITS, depth=16, init=[])
        write = counts.write_port()
        own, shown = counts.read_port(domain="comb"), counts.read_port(domain="comb")
        m.d.comb += [
            own.addr.eq(late), write.en.eq(1),
            write.addr.eq(Mux(self.wipe, self.wipe_index, late)),
            write.data.eq(Mux(self.wipe, 0, own.data + 1)),
            shown.addr.eq(self.index), self.count.eq(shown.data),
        ]
        return m
