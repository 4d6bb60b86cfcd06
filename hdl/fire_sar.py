"""Firing by successive approximation: a pipeline that settles one level bit per stage."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.addsub import AddSub
from hdl.payloads import level_layout, neuron_layout, settings_layout
from hdl.select import setting
from spinteger.config import Config


class SarFire(wiring.Component):
    """level = #{m in 1..M: 2^(f+1) |V| >= (2m-1) theta}, most significant bit first.

    Comparing with the threshold of level c is the sign of d = 2^(f+1)|V| + theta - 2 c theta.
    The first stage tries the middle level; each next one moves c half as far, up when the
    neuron fired and down when not, so a stage is one add-subtract and no threshold is ever
    multiplied. Levels past M come out as all ones and are clamped, to L when the run wants
    spikes only.

    Latency bits of M + 3 cycles (19 with E = 9), one neuron per cycle.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "neuron": In(stream.Signature(neuron_layout(cfg))),    #: |V| and threshold
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of runs 0 and 1
            "fired": Out(stream.Signature(level_layout(cfg))),     #: its level
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        bits = cfg.out_level_bits
        en = Signal()
        m.d.comb += [en.eq(~self.fired.valid | self.fired.ready), self.neuron.ready.eq(en)]

        # Two's complement room for 2^(f+1)|V| + theta above zero and 2^bits theta below.
        d_bits = max(cfg.acc_bits - 1 + cfg.frac_bits + 1, cfg.theta_bits + bits) + 2
        here, valid = self.neuron.payload, self.neuron.valid
        d = Signal(signed(d_bits), name="d_in")
        m.d.comb += d.eq(here.mag << (cfg.frac_bits + 1))
        info_layout = data.StructLayout({"theta": cfg.theta_bits, "neg": 1, "last": 1, "end": 1,
                                         "run": 1})
        info = Signal(info_layout, name="info_in")
        m.d.comb += [info[name].eq(here[name]) for name, _ in info_layout]
        level = []
        for stage in range(bits + 2):
            d_next = Signal(signed(d_bits), name=f"d_{stage}")
            info_next = Signal(info_layout, name=f"info_{stage}")
            valid_next = Signal(name=f"valid_{stage}")
            level_next = [Signal(name=f"level_{stage}_{n}") for n in range(max(0, stage - 1))]
            if stage == 0:
                with m.If(en):
                    m.d.sync += d_next.eq(d + info.theta)
            else:
                # Stage 1 tries 2^(bits-1); from then on the last trial's sign is a level bit.
                shift = bits if stage == 1 else bits - stage + 1
                up = 1 if stage == 1 else ~d[-1]
                if stage < bits + 1:
                    m.submodules[f"move_{stage}"] = move = AddSub(
                        signed(d_bits - shift), unsigned(cfg.theta_bits), d_bits - shift)
                    m.d.comb += [move.a.eq(d[shift:].as_signed()), move.b.eq(info.theta),
                                 move.sub.eq(up)]
                    with m.If(en):
                        m.d.sync += d_next.eq(Cat(d[:shift], move.y).as_signed())
                if stage > 1:
                    with m.If(en):
                        m.d.sync += Cat(level_next).eq(Cat(up, *level))
            with m.If(en):
                m.d.sync += [info_next.eq(info), valid_next.eq(valid)]
            d, info, valid, level = d_next, info_next, valid_next, level_next

        self._clamp(m, en, info, valid, Cat(level))
        return m

    def _clamp(self, m, en, info, valid, level):
        """At most M, nothing up to the silence level, nothing negative if unsigned."""
        cfg = self.cfg
        limit = Mux(setting(self.settings, info.run, "spikes_only"), cfg.window, cfg.level_max)
        silence = setting(self.settings, info.run, "silence")
        unsigned = setting(self.settings, info.run, "unsigned")
        clamped = Signal(cfg.out_level_bits)
        m.d.comb += clamped.eq(Mux(level > limit, limit, level))
        out = self.fired.payload
        with m.If(en):
            m.d.sync += [
                self.fired.valid.eq(valid), out.neg.eq(info.neg), out.last.eq(info.last),
                out.end.eq(info.end), out.run.eq(info.run), out.level.eq(clamped),
            ]
            with m.If((clamped <= silence) | (unsigned & info.neg)):
                m.d.sync += out.level.eq(0)
