"""Re-coding a fired level into a salient integer q * 2^e."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spinteger.config import Config


class Recode(wiring.Component):
    """e = the fewest bits to drop so that q = (level + 2^(e-1)) >> e fits, q <= 127.

    Keeping the top 7 bits of the level drops the fewest; the first dropped bit rounds; and
    when that carries 127 to 128, 64 * 2^(e+1) is what the rule gives. Combinational.
    Source: numerics.md, Firing.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "level": In(cfg.out_level_bits),     #: fired level, at most 127 * 2^E
            "neg": In(1),                        #: its sign
            "q": Out(cfg.sal_bits),              #: signed integer, two's complement
            "e": Out(max(1, cfg.exp_bits)),      #: exponent
        })

    def elaborate(self, platform):
        m = Module()
        bits = self.cfg.sal_bits - 1
        top = Signal(bits)
        half = Signal()
        drop = Signal.like(self.e)
        m.d.comb += top.eq(self.level)
        for e in range(1, self.cfg.exp_max + 1):      # the highest set bit, last, wins
            with m.If(self.level[bits + e - 1]):
                m.d.comb += [top.eq(self.level[e:]), half.eq(self.level[e - 1]), drop.eq(e)]
        q = Signal(bits)
        m.d.comb += [q.eq(top + half), self.e.eq(drop)]
        with m.If(top.all() & half):
            m.d.comb += [q.eq(1 << (bits - 1)), self.e.eq(drop + 1)]
        with m.If(self.neg):
            m.d.comb += self.q.eq(-q)
        with m.Else():
            m.d.comb += self.q.eq(q)
        return m
