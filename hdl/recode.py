"""Re-coding a fired level into a salient integer q * 2^e."""

from amaranth.hdl import Cat, Module, Mux, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.addsub import AddSub
from hdl.stages import Stages
from spinteger.config import Config


def _steps(cfg: Config) -> list[int]:
    """Powers of two that add up to any exponent 1..E, largest first."""
    return [1 << bit for bit in reversed(range(cfg.exp_bits))]


def recode_latency(cfg: Config) -> int:
    """Cycles from a level to its code, where `Recode` is a pipeline."""
    return len(_steps(cfg)) + 2


class Recode(wiring.Component):
    """e = the fewest bits to drop so that q = (level + 2^(e-1)) >> e fits, q <= 127.

    Keeping the top 7 bits of the level drops the fewest; the first dropped bit rounds; and
    when that carries 127 to 128, 64 * 2^(e+1) is what the rule gives. A level past M = 127 * 2^E
    counts as M. Bits are dropped 8, 4, 2, 1 at a time. (numerics.md, Firing.)

    Combinational; if `pipelined`, a level per cycle with latency `recode_latency`.
    """

    def __init__(self, cfg: Config, pipelined: bool = False):
        self.cfg, self._pipelined = cfg, pipelined
        super().__init__({
            "level": In(cfg.out_level_bits),     #: fired level
            "neg": In(1),                        #: its sign
            "q": Out(cfg.sal_bits),              #: signed integer, two's complement
            "e": Out(max(1, cfg.exp_bits)),      #: exponent
        })

    def elaborate(self, platform):
        m = Module()
        cfg, bits, stages = self.cfg, self.cfg.sal_bits - 1, Stages(m)

        def later(name, value):
            return stages.later(name, value) if self._pipelined else value

        kept = Cat(0, self.level)               # below the level, the first bit that was dropped
        neg, e = self.neg, Cat()
        for step in _steps(cfg):
            drop = kept[bits + step:].any()     # 7 bits, and `step` to drop, are not enough
            kept = Mux(drop, kept[step:], kept[:bits + step])
            kept, e = later(f"kept_{step}", kept), later(f"e_{step}", Cat(drop, e))
            neg = later(f"neg_{step}", neg)
        half, top = kept[0], kept[1:bits + 1]
        full = top.all()
        carry = full & half & (e != cfg.exp_max) if cfg.exp_max else 0
        top = later("top", Mux(carry, 1 << bits - 1, top))
        half, neg = later("half", half & ~full), later("neg_top", neg)
        e = later("e_top", (e + carry)[:len(self.e)])
        # q = +-(top + half): both take the sign, in one carry chain.
        m.submodules.round = add = AddSub(signed(cfg.sal_bits), unsigned(len(top)), cfg.sal_bits)
        m.d.comb += [
            add.a.eq(Cat(half, (half & neg).replicate(cfg.sal_bits - 1)).as_signed()),
            add.b.eq(top), add.sub.eq(neg),
            self.q.eq(later("q", add.y)), self.e.eq(later("e_out", e)),
        ]
        return m
