"""Column bank: all columns with the signs, the ramp control and the step control they share."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.column import Column
from hdl.payloads import fire_layout, prod_layout, psum_layout, row_layout
from hdl.ramp import RampControl
from hdl.tree import SignTree, node_count, tree_depth
from spinteger.config import Config


class ColumnBank(wiring.Component):
    """From one cycle's weight rows to finished sums V of all columns.

    A leaf is what the lanes put out in a cycle: a weight row each (zeros if idle), their signs,
    and whether these events complete a step. Signs and steps come one enabled cycle before the
    rows they belong to. One leaf per cycle while `en` is up; latency leaf to S is tree depth + 1.
    Products arrive on their own stream and are registered. V of all columns leave together.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "en": Out(1),                  #: the leaf is taken; low holds every stage before it
            "en_next": Out(1),             #: ... in the next cycle
            "wgt": In(data.ArrayLayout(row_layout(cfg), cfg.rows)),    #: codes of each lane
            "neg": In(cfg.rows),           #: sign of each lane's event in the next leaf
            "snap": In(1),                 #: the next leaf's events complete a step
            "dt": In(cfg.level_bits),      #: ... that counts for so many time steps
            "tile_end": In(1),             #: ... and is the tile's last
            "fire": In(fire_layout(cfg)),  #: how the tile fires
            "prod": In(stream.Signature(prod_layout(cfg))),    #: integer lanes' product sums
            "prod_ready_next": Out(1),     #: ... `ready` in the next cycle
            "psum": Out(stream.Signature(psum_layout(cfg))),   #: finished sums
            #: why `en` is low: S of the step before, products, the IF bank
            "waits": Out(data.StructLayout({"ramp": 1, "integer": 1, "firing": 1})),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.ramp = ramp = RampControl(cfg)
        m.submodules.signs = signs = SignTree(cfg)
        m.d.comb += [self.en.eq(ramp.en), self.en_next.eq(ramp.next.en),
                     signs.en.eq(ramp.en), signs.neg.eq(self.neg)]

        # Step control travels beside the sums, from the leaves to the adder of S.
        step = (self.snap, self.tile_end, self.dt)
        fire = self.fire
        for stage in range(tree_depth(cfg)):
            here = (Signal(name=f"snap_{stage}"), Signal(name=f"tile_end_{stage}"),
                    Signal(cfg.level_bits, name=f"dt_{stage}"))
            with m.If(ramp.en):
                m.d.sync += [reg.eq(source) for reg, source in zip(here, step, strict=True)]
            step = here
        for stage in range(tree_depth(cfg) + 1):
            here = Signal(fire_layout(cfg), name=f"fire_{stage}", reset_less=True)
            with m.If(ramp.en):
                m.d.sync += here.eq(fire)
            fire = here
        prod, psum = self.prod, self.psum
        m.d.comb += [
            ramp.snap.eq(step[0]), ramp.tile_end.eq(step[1]), ramp.dt.eq(step[2]),
            ramp.prod_valid.eq(prod.valid), ramp.prod_last.eq(prod.payload.last),
            prod.ready.eq(ramp.prod_ready), self.prod_ready_next.eq(ramp.prod_ready_next),
            psum.valid.eq(ramp.v_valid), ramp.v_ready.eq(psum.ready), self.waits.eq(ramp.waits),
        ]

        for number in range(cfg.cols):
            m.submodules[f"column_{number}"] = column = Column(cfg)
            m.d.comb += [column.wgt[lane].eq(self.wgt[lane][number]) for lane in range(cfg.rows)]
            m.d.comb += [
                column.next.eq(ramp.next), column.prod.eq(prod.payload.prod[number]),
                column.prod_en.eq(prod.valid & prod.ready), psum.payload.v[number].eq(column.v),
            ]
            if cfg.signed:
                m.d.comb += column.root_neg.eq(signs.root)
                if node_count(cfg):
                    m.d.comb += column.sub.eq(signs.sub)

        # `fire` is latched with the tile's last snapshot, and again when V leaves the columns.
        now_clear, now_close = Signal(), Signal()
        tail_fire = Signal(fire_layout(cfg), reset_less=True)
        m.d.sync += [now_clear.eq(ramp.next.clear), now_close.eq(ramp.next.close)]
        with m.If(now_close):
            m.d.sync += psum.payload.fire.eq(tail_fire)
        with m.If(now_clear):
            m.d.sync += tail_fire.eq(fire)
        return m
