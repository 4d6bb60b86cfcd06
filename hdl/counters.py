"""Counters: charges every cycle to one cause, counts what the array does, and latches it all."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import activity_layout
from spinteger import isa
from spinteger.config import Config

#: Most rows that one beat of a sparse load skips: those of its whole bit map.
SKIPPED_MAX = 32
INDEX_BITS = (len(isa.COUNTERS) - 1).bit_length()
#: Cycles between two visits to a counter.
ROUND = len(isa.COUNTERS)


def step_max(cfg: Config) -> dict[str, int]:
    """The most that each counter grows by in one cycle."""
    return {name: 1 for name in isa.COUNTERS} | {
        "spikes": cfg.rows, "salients": cfg.int_lanes, "silent": cfg.groups,
        "spiking": cfg.groups, "salient_inputs": cfg.groups, "rows_loaded": cfg.wgt_beat_rows,
        "rows_skipped": SKIPPED_MAX}


def _pick(values: list[Signal], index: Value) -> Value:
    """One of several values; a shifter is a smaller multiplexer than an `Array`."""
    width = max(map(len, values))
    return Cat(Cat(value, Const(0, width - len(value))) for value in values
               ).word_select(index, width)


class Counters(wiring.Component):
    """The counters of `isa.COUNTERS`, with a copy of all of them as of the last `latch`.

    Each cycle has exactly one cause, so the causes always add up to `cycles`. What happens in a
    cycle is counted in the next; `latch` copies what was counted by then, `clear` forgets all up
    to its own cycle. Both act at once, on all counters.

    A counter is a few bits that count, and a word of memory that they are added to every `ROUND`
    cycles. Each counter has two words: after a latch, the sum goes to the one that does not hold
    the copy.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "activity": In(activity_layout(cfg)),    #: what the array does
            "loading_weights": In(1),                #: weights, thresholds or scales come in
            "loading_acts": In(1),                   #: tokens come in
            "encoding": In(2),                       #: tokens of buffer 0/1 are being encoded
            "rows_loaded": In(range(cfg.wgt_beat_rows + 1)),    #: weight rows loaded
            "rows_skipped": In(range(SKIPPED_MAX + 1)),    #: rows left out by sparse loading
            "clear": In(1),                          #: all counters to zero
            "latch": In(1),                          #: copy all counters
            "index": In(INDEX_BITS),                 #: counter to read, by its place in the table
            "value": Out(isa.COUNTER_BITS),          #: its copy, one cycle later
        })

    def elaborate(self, platform):
        m = Module()
        cfg, activity = self.cfg, self.activity

        # The cause of this cycle. R idle lanes make one cycle of waiting for the longest lane.
        causes = {name: Signal(name=f"cause_{name}") for name, _ in isa.CAUSES}
        idle = Signal(range(max(2, cfg.rows)))   # idle lanes not charged yet
        idle_now = Signal(range(2 * cfg.rows))
        left = Signal.like(idle)
        whole = Signal()
        m.d.comb += [idle_now.eq(idle + (cfg.rows - activity.events)),
                     whole.eq(idle_now >= cfg.rows),
                     left.eq(Mux(whole, idle_now - cfg.rows, idle_now))]
        with m.If(self.clear):
            m.d.sync += idle.eq(0)
        with m.Elif(activity.play):
            m.d.sync += idle.eq(left)

        with m.If(activity.play):
            m.d.comb += [causes["longest_lane"].eq(whole), causes["events"].eq(~whole)]
        with m.Elif(activity.ramp):
            m.d.comb += causes["ramp"].eq(1)
        with m.Elif(activity.integer):
            m.d.comb += causes["integer"].eq(1)
        with m.Elif(activity.await_acts):
            m.d.comb += causes["acts"].eq(1)
        with m.Elif(activity.firing | activity.draining):
            m.d.comb += [causes["output"].eq(activity.blocked),
                         causes["firing"].eq(~activity.blocked)]
        with m.Elif(self.loading_weights):
            m.d.comb += causes["weights"].eq(1)
        with m.Elif(self.loading_acts | self.encoding.any()):
            m.d.comb += causes["acts"].eq(1)
        with m.Elif(activity.blocked):
            m.d.comb += causes["output"].eq(1)
        with m.Else():
            m.d.comb += causes["idle"].eq(1)

        # What each counter grows by, registered.
        grows = {"cycles": 1, **causes,
                 "spikes": Mux(activity.play, activity.events, 0),
                 "salients": activity.salients, "silent": activity.silent,
                 "spiking": activity.spiking, "salient_inputs": activity.salient_inputs,
                 "rows_loaded": self.rows_loaded, "rows_skipped": self.rows_skipped,
                 "tokens": activity.token, "tiles": activity.tile}
        count = len(isa.COUNTERS)
        most = [step_max(cfg)[name] for name in isa.COUNTERS]
        steps = [Signal(range(most[n] + 1), name=f"step_{name}")
                 for n, name in enumerate(isa.COUNTERS)]
        for name, step in zip(isa.COUNTERS, steps, strict=True):
            m.d.sync += step.eq(Mux(self.clear, 0, grows[name]))

        # In turn, one per cycle: add what was counted since the last time to memory. The word of
        # the next one is read meanwhile.
        turn = Signal(range(count))
        after = Signal.like(turn)
        m.d.comb += after.eq(Mux(turn == count - 1, 0, turn + 1))
        m.d.sync += turn.eq(after)
        lows = [Signal(range(most[n] * ROUND + 1), name=f"low_{name}")
                for n, name in enumerate(isa.COUNTERS)]
        for n, (low, step) in enumerate(zip(lows, steps, strict=True)):
            with m.If(self.clear):
                m.d.sync += low.eq(0)
            with m.Elif(turn == n):
                m.d.sync += low.eq(step)
            with m.Else():
                m.d.sync += low.eq(low + step)

        # The words of memory. `held` says which one of a counter's two belongs to the copy,
        # `moved` that its sum has gone to the other since; `zero`: what the word says is void.
        m.submodules.words = words = Memory(shape=isa.COUNTER_BITS, depth=2 << INDEX_BITS, init=[])
        add_read = words.read_port()
        copy_read = words.read_port()
        write = words.write_port()
        held = Signal(count)
        moved = Signal(count)
        zero = Signal(count, init=-1)
        copy_zero = Signal(count, init=-1)
        mine = Signal(count)                     # the counter whose turn it is
        m.d.comb += mine.eq(Cat(turn == n for n in range(count)))
        now = held ^ moved
        m.d.comb += [
            add_read.addr.eq(Cat(after, now.bit_select(after, 1))), write.en.eq(1),
            write.addr.eq(Cat(turn, ~Mux(self.latch, now, held).bit_select(turn, 1))),
            write.data.eq(Mux(zero.bit_select(turn, 1), 0, add_read.data) + _pick(lows, turn)),
        ]
        m.d.sync += [moved.eq(moved | mine), zero.eq(zero & ~mine)]
        with m.If(self.latch):
            m.d.sync += [held.eq(now), moved.eq(mine), copy_zero.eq(zero)]
        with m.If(self.clear):
            m.d.sync += zero.eq(-1)

        # The copy: a word, and what had yet to be added to it.
        copies = [Signal.like(low, name=f"copy_{name}")
                  for name, low in zip(isa.COUNTERS, lows, strict=True)]
        with m.If(self.latch):
            m.d.sync += [copy.eq(low) for copy, low in zip(copies, lows, strict=True)]
        shown = Signal.like(self.index)
        m.d.sync += shown.eq(self.index)
        m.d.comb += [
            copy_read.addr.eq(Cat(self.index, held.bit_select(self.index, 1))),
            self.value.eq(Mux(copy_zero.bit_select(shown, 1), 0, copy_read.data)
                          + _pick(copies, shown)),
        ]
        return m
