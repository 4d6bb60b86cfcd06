"""Ramp control: when V takes S, when it takes a product, when a tile is complete."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.tree import tree_depth
from spinteger.config import Config


def control_layout() -> data.StructLayout:
    """What the columns do in one cycle."""
    return data.StructLayout({
        "en": 1,          # the spike pipeline moves
        "take": 1,        # ... and S is a step's last: copy it to hold
        "clear": 1,       # ... and a tile's: restart S
        "add": 1,         # V takes an operand
        "add_hold": 1,    # ... hold, else a product
        "close": 1})      # ... and is complete: move it out, restart V


class RampControl(wiring.Component):
    """The one control of all columns' V (numerics.md, Integration and Firing).

    Each step's final S arrives as a snapshot with dt, the number of time steps it stays
    valid, and is added to V dt times, one add a cycle; products fill the other cycles.
    **Silence threshold**: V leaves the array only when the window is over (the tile's last
    snapshot fully added) and the integer lanes are done (their `last` product added), so no
    neuron can fire on a partial sum. The add that completes V moves it out in the same cycle:
    it waits until the place V moves to is free.

    A snapshot waits (`en` down) while the one before is still being added, which happens only
    when a step has fewer events than the gap before it, and until the tile before closes (one
    cycle more if that was with a product: V adds the new tile's products meanwhile). A tile that
    cannot close because the IF bank has not taken the last one stalls everything behind it. Adds
    no latency; a tile takes V's adder its adds of S and products, and never less than two cycles.

    Everything is decided a cycle ahead, so that each column (and lane) can register its own copy
    of `next`: one signal that starts at logic and ends at all of them would set the clock.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "snap": In(1),                #: a step's final S is one stage before the adder of S
            "dt": In(cfg.level_bits),     #: ... time steps it counts for; 0 if the tile is silent
            "tile_end": In(1),            #: ... it is the tile's last
            "prod_valid": In(1),          #: a product is offered
            "prod_last": In(1),           #: ... the tile's last
            "prod_ready": Out(1, init=1),  #: ... the columns register it, to be added
            "prod_ready_next": Out(1),    #: ... in the next cycle they would
            "next": Out(control_layout()),    #: what the columns do in the next cycle
            "en": Out(1, init=1),         #: the spike pipeline moves in this one
            "v_valid": Out(1),            #: the place V moves to holds a tile's sums
            "v_ready": In(1),             #: ... they are taken
            "waits": Out(data.StructLayout({    #: why `en` is down:
                "ramp": 1,                # an earlier snapshot's adds,
                "integer": 1,             # the tile's products,
                "firing": 1})),           # or the place V moves to
        })

    def elaborate(self, platform):
        m = Module()
        after = self.next
        now = Signal(control_layout())
        m.d.sync += now.eq(after)
        m.d.sync += self.en.eq(after.en)

        # The word at the adder of S.
        snap, dt, tile_end = Signal(), Signal.like(self.dt), Signal()
        with m.If(self.en):
            m.d.sync += [snap.eq(self.snap), dt.eq(self.dt), tile_end.eq(self.tile_end)]

        # The product at the adder of V.
        last = Signal()
        prod_next, last_next = Signal(), Signal()
        added, added_hold = Signal(), Signal()       # V takes a product, or hold
        m.d.comb += [
            prod_next.eq(~self.prod_ready | self.prod_valid),
            last_next.eq(Mux(self.prod_ready, self.prod_last, last)),
        ]
        m.d.sync += last.eq(last_next)

        # What is true in the next cycle.
        left, left_next = Signal.like(self.dt), Signal.like(self.dt)    # adds of `hold` to do
        tail, tail_next = Signal(), Signal()         # `hold` is the tile's last snapshot
        done, done_next = Signal(), Signal()         # the tile's last product is in V
        full_next = Signal()                         # the place V moves to is taken
        silent, brief = Signal(), Signal()           # dt is 0; ... or 1
        with m.If(self.en):
            m.d.sync += [silent.eq(self.dt == 0), brief.eq(self.dt <= 1)]
        m.d.comb += [
            done_next.eq((done | (added & last)) & ~now.close),
            tail_next.eq(Mux(now.take, tile_end, tail & ~now.close)),
            full_next.eq(now.close | (self.v_valid & ~self.v_ready)),
            left_next.eq(Mux(now.take, dt, left - added_hold)),
        ]
        with m.If(now.take & silent):     # it closes with an add, too: of its S, which is zero
            m.d.comb += left_next.eq(done_next)
        m.d.sync += [left.eq(left_next), tail.eq(tail_next), done.eq(done_next),
                     self.v_valid.eq(full_next)]
        # The same of `left_next` again, from registers of their own: fewer levels of logic.
        is_0, is_1, to_1, to_2 = Signal(init=1), Signal(), Signal(init=1), Signal(init=1)
        none, few = Signal(), Signal()               # no add of `hold` is left; ... or one
        m.d.sync += [is_0.eq(left_next == 0), is_1.eq(left_next == 1),
                     to_1.eq(left_next <= 1), to_2.eq(left_next <= 2)]
        m.d.comb += [
            none.eq(Mux(now.take, silent & ~done_next, Mux(added_hold, is_1, is_0))),
            few.eq(Mux(now.take, brief, Mux(added_hold, to_2, to_1))),
        ]

        # A reset leaves the tree's registers as they are: what is in them must not stay in S.
        depth = tree_depth(self.cfg)
        flush = Signal(range(depth + 1), init=depth)
        flushing = Signal(init=depth > 0)
        with m.If(self.en & flushing):
            m.d.sync += [flush.eq(flush - 1), flushing.eq(flush != 1)]

        # What to do then. The add that completes V waits for the place it moves to.
        snap_next = Mux(self.en, self.snap, snap)
        end_next = Mux(self.en, self.tile_end, tile_end)
        wait = tail_next & full_next
        free = tail_next & ~full_next
        hold_last = ~none & few & done_next
        add_hold = ~none & ~(few & done_next & wait)
        product = none & ~done_next & prod_next
        add_product = product & ~(last_next & wait)
        closes = free & hold_last         # else the next tile's S waits until it has closed
        can_take = few & (~tail_next | closes)
        stalls = snap_next & ~can_take
        m.d.comb += self.prod_ready_next.eq(~prod_next | add_product)
        blocked = full_next | (after.close & self.v_valid)      # ... or was, until now
        m.d.comb += [
            after.add_hold.eq(~none), after.add.eq(add_hold | add_product),
            after.close.eq(closes | (free & product & last_next)),
            after.en.eq(~stalls), after.take.eq(snap_next & can_take),
            after.clear.eq((snap_next & can_take & end_next) | flushing),
        ]
        m.d.sync += [
            self.prod_ready.eq(self.prod_ready_next),
            added.eq(add_product), added_hold.eq(add_hold),
            self.waits.ramp.eq(stalls & ~few),
            self.waits.firing.eq(stalls & few & blocked),
            self.waits.integer.eq(stalls & few & ~blocked),
        ]
        return m
