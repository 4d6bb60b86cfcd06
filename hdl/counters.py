"""Counters: charges every cycle to one cause, counts what the array does, and copies it all."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.cycle_causes import CYCLES_LATE, CycleCauses
from hdl.load_layout import map_step
from hdl.payloads import activity_layout
from spinteger import isa
from spinteger.config import Config

#: Words of 32 bits of all counters; one is brought up to date in each cycle of a round.
ROUND = 2 * len(isa.COUNTERS)
ADDR_BITS = (ROUND - 1).bit_length()
#: Most cycles from `latch` to the end of the copy, or from `clear` until the first can be made.
LATCH_MAX = 3 * ROUND + 8
#: Cycles from reading a word to writing its sum.
_DEPTH = 4


def step_max(cfg: Config) -> dict[str, int]:
    """The most that each counter grows by in one cycle."""
    return {name: 1 for name in isa.COUNTERS} | {
        "spikes": cfg.rows, "salients": cfg.int_lanes, "silent": cfg.groups,
        "spiking": cfg.groups, "salient_inputs": cfg.groups, "rows_loaded": cfg.wgt_beat_rows,
        "rows_skipped": map_step(cfg)}


class Counters(wiring.Component):
    """The counters of `isa.COUNTERS`, and a copy of them that is made when `latch` asks for it.

    A counter is a few bits that count, and two words of memory that follow them: each word is
    visited once in `ROUND` cycles and grows by what its bits have moved on since. So nothing is
    ever moved out of the way: a copy is one round whose sums are written to a second memory, too.

    `copying` goes down when the copy is complete, at most `LATCH_MAX` cycles after `latch`. All
    that was before `latch` is in it, and some of what came while it was made; but `cycles` is
    the sum of the causes as they were copied. `clear` forgets all up to its own cycle at once,
    except for a copy: one in the making is void.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.memory = Memory(shape=32, depth=1 << ADDR_BITS, init=[])
        super().__init__({
            "activity": In(activity_layout(cfg)),    #: what the array does
            "loading_weights": In(1),                #: weights, thresholds or scales come in
            "loading_acts": In(1),                   #: tokens come in
            "encoding": In(2),                       #: tokens of buffer 0/1 are being encoded
            "rows_loaded": In(range(cfg.wgt_beat_rows + 1)),    #: weight rows loaded
            "rows_skipped": In(range(map_step(cfg) + 1)),     #: rows left out by sparse loading
            "clear": In(1),                          #: all counters to zero
            "latch": In(1),                          #: copy all counters
            "copying": Out(1),                       #: ... which is not complete yet
            "addr": In(ADDR_BITS),                   #: word of the copy: counter, high half
            "value": Out(32),                        #: ... two cycles later; 0 past the last one
        })

    def elaborate(self, platform):
        m = Module()
        cfg, activity = self.cfg, self.activity
        counters = {name: n for n, name in enumerate(isa.COUNTERS)}
        m.submodules.causes = causes = CycleCauses(cfg)
        m.d.comb += [
            causes.activity.eq(activity), causes.loading_weights.eq(self.loading_weights),
            causes.loading_acts.eq(self.loading_acts), causes.encoding.eq(self.encoding),
            causes.clear.eq(self.clear),
        ]

        # A word per cycle: it is read, and written `_DEPTH` cycles later.
        scan = Signal(ADDR_BITS)
        m.d.sync += scan.eq(Mux(scan == ROUND - 1, 0, scan + 1))
        at = [scan]                      # ... the word that each stage has
        for stage in range(1, _DEPTH + 1):
            at.append(Signal(ADDR_BITS, name=f"at_{stage}"))
            m.d.sync += at[stage].eq(at[stage - 1])

        # For a round after `clear` what memory says is void, and at first what the causes say.
        age = Signal(range(ROUND + _DEPTH))
        void = Signal()
        m.d.comb += [void.eq(age != ROUND + 2), causes.wipe.eq(age < CYCLES_LATE),
                     causes.wipe_index.eq(age)]
        with m.If(self.clear):
            m.d.sync += age.eq(0)
        with m.Elif(void):
            m.d.sync += age.eq(age + 1)

        # What counts: bits enough for what comes between two visits, and before the first one.
        grows = {"spikes": activity.events, "salients": activity.salients,
                 "silent": activity.silent, "spiking": activity.spiking,
                 "salient_inputs": activity.salient_inputs, "rows_loaded": self.rows_loaded,
                 "rows_skipped": self.rows_skipped, "tokens": activity.token,
                 "tiles": activity.tile}
        bits = {name: (most * (ROUND + CYCLES_LATE)).bit_length()
                for name, most in step_max(cfg).items()}
        lows = {"cycles": Signal(bits["cycles"], name="low_cycles")}
        for name, source in grows.items():
            step = Signal.like(source, name=f"step_{name}")
            low = lows[name] = Signal(bits[name], name=f"low_{name}")
            m.d.sync += [step.eq(source), low.eq(low + step)]
            gone = self.clear | ~activity.play if name == "spikes" else self.clear
            with m.If(gone):
                m.d.sync += step.eq(0)
            with m.If(self.clear):
                m.d.sync += low.eq(0)

        # Those of the counter at stage 2, and then how far they are from what memory has of them.
        turn = at[2][1:]
        width = max(bits.values())
        shown = Signal(width)
        moved = Signal(width)
        read_word = Signal(32)           # at stage 2
        old_word = Signal(32)
        word = Signal(32)                # at stage 4
        m.d.comb += causes.index.eq(turn)
        m.d.sync += [shown.eq(causes.count), old_word.eq(read_word)]
        with m.Switch(turn):
            for name, low in lows.items():
                with m.Case(counters[name]):
                    m.d.sync += shown.eq(low)
        with m.If(causes.wipe):
            m.d.sync += shown.eq(0)
        with m.If(void):
            m.d.sync += old_word.eq(0)
        low_half = ~at[3][0]
        real = Cat(low_half & at[3][1:].matches(*(counters[name] for name in isa.COUNTERS
                                                  if bits[name] > bit)) for bit in range(width))
        m.d.sync += [moved.eq((shown - old_word[:width])[:width] & real), word.eq(old_word)]

        # `cycles` is the sum of the causes as they were visited.
        is_cause = Signal()
        m.d.sync += is_cause.eq(low_half & at[3][1:].matches(
            *(counters[name] for name, _ in isa.CAUSES)))
        with m.If(causes.wipe):
            m.d.sync += lows["cycles"].eq(0)
        with m.Elif(is_cause):
            m.d.sync += lows["cycles"].eq(lows["cycles"] + moved[:bits["cycles"]])

        # The sum; the high half takes the carry of the low one.
        carry = Signal()
        total = Signal(33)
        m.d.comb += total.eq(word + Cat(moved[0] | carry, moved[1:]))
        m.d.sync += carry.eq(total[32])

        # A copy is the first whole round after one that began after `latch`.
        asked = Signal()
        soon = Signal()
        now = Signal()
        m.d.comb += self.copying.eq(asked | soon | now)
        with m.If(at[_DEPTH] == 1):      # `cycles` is the last, since the causes are its sum
            m.d.sync += [asked.eq(0), soon.eq(asked), now.eq(soon)]
        with m.If(self.latch):
            m.d.sync += asked.eq(1)

        m.submodules.words = words = self.memory
        m.submodules.copies = copies = Memory(shape=32, depth=1 << ADDR_BITS, init=[])
        read, write = words.read_port(), words.write_port()
        copy_read, copy_write = copies.read_port(), copies.write_port()
        m.d.comb += [
            read.addr.eq(scan),
            write.en.eq(1), write.addr.eq(at[_DEPTH]), write.data.eq(total),
            copy_write.en.eq(now), copy_write.addr.eq(at[_DEPTH]), copy_write.data.eq(total),
            copy_read.addr.eq(self.addr),
        ]
        m.d.sync += [read_word.eq(read.data), self.value.eq(copy_read.data)]
        return m
