"""The accumulator at the foot of a column, with the correction of a tile in the same adder."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value

from bench.rivals.chain import Chain


def accumulate(m: Module, total: Value, fix: Value, *, add: Value, last: Value,
               out: Signal) -> None:
    """Add up a tile: `total` where `add`; `fix` instead where `last`, which finishes `out`.

    One carry chain: what is added is chosen in its LUTs. `out` is there one cycle later.
    """
    running = Signal.like(out)
    m.submodules.add = adder = Chain("mux", running.shape(), fix.shape(), len(running),
                                     total.shape())
    m.d.comb += [adder.a.eq(running), adder.b.eq(fix), adder.c.eq(total), adder.d.eq(last)]
    with m.If(add):
        m.d.sync += running.eq(adder.y)
    with m.If(last):
        m.d.sync += [out.eq(adder.y), running.eq(0)]
