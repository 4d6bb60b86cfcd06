"""One column: adder tree, running sum S, its snapshot, and the sum V (one output neuron)."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.add_select import AddSelect
from hdl.addsub import AddSub
from hdl.ramp import control_layout
from hdl.tree import AdderTree, node_count
from spinteger.config import Config


class Column(wiring.Component):
    """Ramp integration of one output (numerics.md, Integration; SpikeQuant's IF membrane).

        S += sum of this cycle's +-w        one add per event, in the shared tree
        V += S, dt times per time step      dt = steps until the next one that has events
        V += sum of w * q * 2^e             products from the integer lanes

    The step's final S is copied to `hold`, so V's adds run under the next step's events.
    At the tile's end V moves to `v` and S, V restart from zero, without a lost cycle.
    Latency leaf to S: tree depth + 1. Controls are shared by the columns (`ramp.py`) and come a
    cycle ahead, since every column registers its own copy.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        members = {
            "next": In(control_layout()),     #: what to do in the next cycle; V closes with an add
            "wgt": In(data.ArrayLayout(signed(cfg.wgt_bits), cfg.rows)),  #: codes, 0 if idle
            "prod": In(signed(cfg.prod_bits)),    #: integer lanes' product sum
            "prod_en": In(1),                 #: register it: it is the operand from now on
            "v": Out(signed(cfg.v_bits)),     #: the finished sum of the last closed tile
        }
        if cfg.signed:
            members["root_neg"] = In(1)       #: sign of the next sum at the root
            if node_count(cfg):
                members["sub"] = In(node_count(cfg))    #: subtract next, per tree node
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        # The first cycle clears S and V, whose registers need no reset then.
        now = Signal(control_layout(), init={"en": 1, "clear": 1, "close": 1})
        m.d.sync += now.eq(self.next)

        m.submodules.tree = tree = AdderTree(cfg)
        m.d.comb += [tree.en.eq(now.en), tree.wgt.eq(self.wgt)]
        running = Signal(signed(cfg.s_bits), reset_less=True)     # S
        running_next = Signal.like(running)
        hold = Signal.like(running)
        if cfg.signed:
            root_neg = Signal(reset_less=True)
            m.submodules.add_s = add_s = AddSub(running.shape(), tree.sum.shape(), cfg.s_bits)
            m.d.comb += [add_s.a.eq(running), add_s.b.eq(tree.sum), add_s.sub.eq(root_neg),
                         running_next.eq(add_s.y)]
            with m.If(now.en):
                m.d.sync += root_neg.eq(self.root_neg)
            if node_count(cfg):
                sub = Signal(node_count(cfg), reset_less=True)
                with m.If(now.en):
                    m.d.sync += sub.eq(self.sub)
                m.d.comb += tree.sub.eq(sub)
        else:
            m.d.comb += running_next.eq(running + tree.sum)
        with m.If(now.en):
            m.d.sync += running.eq(running_next)
        with m.If(now.take):
            m.d.sync += hold.eq(running_next)
        with m.If(now.clear):                # outermost: the registers' own reset, no logic
            m.d.sync += running.eq(0)

        prod = Signal(signed(cfg.prod_bits), reset_less=True)
        with m.If(self.prod_en):
            m.d.sync += prod.eq(self.prod)
        total = Signal(signed(cfg.v_bits), reset_less=True)       # V
        m.submodules.add_v = add_v = AddSelect(total.shape(), hold.shape(), prod.shape(),
                                               cfg.v_bits)
        m.d.comb += [add_v.a.eq(total), add_v.b.eq(hold), add_v.c.eq(prod),
                     add_v.sel.eq(now.add_hold)]
        with m.If(now.add):
            m.d.sync += total.eq(add_v.y)
        done = Signal.like(total)
        m.d.comb += self.v.eq(done)
        with m.If(now.close):
            m.d.sync += [done.eq(add_v.y), total.eq(0)]
        return m
