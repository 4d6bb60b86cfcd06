"""One column: adder tree, running sum S, its snapshot, and the sum V (one output neuron)."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.addsub import AddSub
from hdl.tree import AdderTree, node_count
from spinteger.config import Config


class Column(wiring.Component):
    """Ramp integration of one output (numerics.md, Integration; SpikeQuant's IF membrane).

        S += sum of this cycle's +-w        one add per event, in the shared tree
        V += S, dt times per time step      dt = steps until the next one that has events
        V += sum of w * q * 2^e             products from the integer lanes

    The step's final S is copied to `hold`, so V's adds run under the next step's events.
    At the tile's end V moves to `v` and S, V restart from zero, without a lost cycle.
    Latency leaf to S: tree depth + 1. All controls are shared by the columns (`ramp.py`).
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        members = {
            "en": In(1),                                                  #: spike pipeline enable
            "wgt": In(data.ArrayLayout(signed(cfg.wgt_bits), cfg.rows)),  #: codes, 0 if idle
            "snap": In(1),                    #: the sum now at the root completes a step
            "clear": In(1),                   #: ... and the tile: restart S
            "prod": In(signed(cfg.prod_bits)),    #: integer lanes' product sum
            "add_hold": In(1),                #: V += hold
            "add_prod": In(1),                #: V += prod
            "close": In(1),                   #: move V (with this cycle's add) to `v`, restart V
            "v": Out(signed(cfg.v_bits)),     #: the finished sum of the last closed tile
        }
        if cfg.signed:
            members["root_neg"] = In(1)       #: sign of the sum now at the root
            if node_count(cfg):
                members["sub"] = In(node_count(cfg))    #: subtract, per tree node
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.tree = tree = AdderTree(cfg)
        m.d.comb += [tree.en.eq(self.en), tree.wgt.eq(self.wgt)]
        if cfg.signed and node_count(cfg):
            m.d.comb += tree.sub.eq(self.sub)

        running = Signal(signed(cfg.s_bits))     # S
        running_next = Signal.like(running)
        hold = Signal.like(running)
        if cfg.signed:
            m.submodules.add_s = add = AddSub(running.shape(), tree.sum.shape(), cfg.s_bits)
            m.d.comb += [add.a.eq(running), add.b.eq(tree.sum), add.sub.eq(self.root_neg),
                         running_next.eq(add.y)]
        else:
            m.d.comb += running_next.eq(running + tree.sum)
        with m.If(self.en):
            m.d.sync += running.eq(running_next)
            with m.If(self.snap):
                m.d.sync += hold.eq(running_next)
        with m.If(self.en & self.clear):     # outermost: the registers' own reset, no logic
            m.d.sync += running.eq(0)

        total = Signal(signed(cfg.v_bits))       # V
        total_next = Signal.like(total)
        operand = Signal(signed(max(cfg.s_bits, cfg.prod_bits)))
        m.d.comb += [
            operand.eq(Mux(self.add_hold, hold, Mux(self.add_prod, self.prod, 0))),
            total_next.eq(total + operand),
        ]
        m.d.sync += total.eq(total_next)
        with m.If(self.close):
            m.d.sync += [self.v.eq(total_next), total.eq(0)]
        return m
