"""Firing by successive approximation: a pipeline that settles one level bit per stage."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.addsub import AddSub
from hdl.payloads import level_layout, settings_layout, sum_layout
from hdl.select import setting
from hdl.stages import Stages
from spinteger.config import Config


def sar_latency(cfg: Config) -> int:
    """Cycles from a sum to its level."""
    return cfg.out_level_bits + 5


class SarFire(wiring.Component):
    """level = #{m in 1..M: 2^(f+1) |V| >= (2m-1) theta}, most significant bit first.

    Comparing with the threshold of level c is the sign of d = 2^(f+1)|V| + theta - 2 c theta.
    The first stage makes |V| and adds theta in one carry chain; the second tries the middle level
    and looks beyond the largest; each next one moves c half as far, up when the neuron fired and
    down when not. So a stage is one add-subtract and no threshold is ever multiplied. |d| halves
    with c: all add-subtracts are one bit wider than theta, and what they shift in are theta's own
    low bits.

    Levels past 2^bits - 1 come out as that; M is `Recode`'s business, but L this one's when the
    run wants spikes only. The sum without a magnitude, -2^(bits-1), counts as 0.

    Latency `sar_latency`: bits of M + 5 (21 with E = 9). One neuron per cycle, no stall.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "sum": In(sum_layout(cfg)),         #: V and threshold
            "valid": In(1),                     #: ... are there
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of runs 0 and 1
            "fired": Out(level_layout(cfg)),    #: its level
            "fired_valid": Out(1),              #: ... is there
        })

    def elaborate(self, platform):
        m = Module()
        cfg, stages = self.cfg, Stages(m)
        bits, low = cfg.out_level_bits, cfg.frac_bits + 1
        latency = sar_latency(cfg)
        on = stages.trail("valid", self.valid, latency, reset=True)     # of each stage
        m.d.comb += self.fired_valid.eq(on[-1])
        neg = stages.trail("neg", self.sum.v[-1], latency)
        run = stages.trail("run", self.sum.run, latency)

        # d of level 0: theta's low bits, and |V| + the rest of it.
        theta = stages.later("theta_in", self.sum.theta, on=on)
        v = stages.gated("v_in", self.sum.v, ~self.sum.lowest, moves=on[0])
        high = theta[low:]
        m.submodules.start = start = AddSub(
            unsigned(max(1, len(high))), signed(cfg.acc_bits),
            max(cfg.acc_bits + 1, len(high) + 2))
        m.d.comb += [start.a.eq(high), start.b.eq(v), start.sub.eq(v[-1])]
        d = Cat(theta[:low], stages.later("d_start", start.y, on=on[1:]))
        theta = stages.later("theta_start", theta, on=on[1:])
        d = Cat(theta[:low], d[low:])           # the same bits: one register

        # The first trial: 2^(bits-1). A one above theta makes the top bit of each difference, the
        # sign, say `fires`. Where even 2^bits is reached, zero is tried on a theta of zero from
        # here on: every level fires.
        width = cfg.theta_bits + 1
        inside = d[bits + 1:] < theta
        trial = Signal(width)
        m.d.comb += trial.eq(d[bits:] - Cat(theta, 1))
        trial = stages.gated("trial", trial, inside, otherwise=1 << width - 1, moves=on[2])
        rest = stages.gated("rest", d[low:bits], inside, moves=on[2]) if bits > low else None
        theta = stages.gated("theta", theta, inside, moves=on[2])

        level = []
        for stage in range(1, bits):
            # The low bits of d that have not been shifted in: theta's, and further up d's.
            bit = bits - stage
            shifted_in = theta[bit] if bit < low else rest[bit - low]
            m.submodules[f"move_{stage}"] = move = AddSub(
                unsigned(width), unsigned(width), width)
            m.d.comb += [move.a.eq(Cat(shifted_in, trial)), move.b.eq(Cat(theta, 1)),
                         move.sub.eq(trial[-1])]
            level = [trial[-1], *level]
            here = on[stage + 2:]
            trial = stages.later(f"trial_{stage}", move.y, on=here)
            if bits > low:
                rest = stages.later(f"rest_{stage}", rest, on=here)
            theta = stages.later(f"theta_{stage}", theta, on=here)
            level = list(stages.later(f"level_{stage}", Cat(level), on=here))
        level = stages.later("level", Cat(trial[-1], *level))

        # Above L, and no salient outputs: L. Up to the silence level, or negative if unsigned: 0.
        salient = level[cfg.level_bits:].any()
        only = setting(self.settings, run[-3], "spikes_only")
        level = stages.gated("limited", level, ~(salient & only), otherwise=cfg.window)
        salient = stages.later("salient", salient & ~only)
        silence = setting(self.settings, run[-2], "silence")
        unsigned_ = setting(self.settings, run[-2], "unsigned")
        quiet = Mux(salient, 0, level[:cfg.level_bits] <= silence) | (unsigned_ & neg[-2])
        m.d.comb += [
            self.fired.level.eq(stages.gated("fired_level", level, ~quiet)),
            self.fired.salient.eq(stages.later("fired_salient", salient & ~quiet)),
            self.fired.neg.eq(neg[-1]),
        ]
        return m
