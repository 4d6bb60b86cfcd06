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
    and whether these events complete a step. One leaf per cycle while `en` is up; latency leaf
    to S is tree depth + 1. Products arrive on their own stream. V of all columns leave together.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "en": Out(1),                  #: the leaf is taken; low holds every stage before it
            "wgt": In(data.ArrayLayout(row_layout(cfg), cfg.rows)),    #: codes of each lane
            "neg": In(cfg.rows),           #: sign of each lane's event
            "snap": In(1),                 #: these events complete a step
            "dt": In(cfg.level_bits),      #: ... that counts for so many time steps
            "tile_end": In(1),             #: ... and is the tile's last
            "fire": In(fire_layout(cfg)),  #: how the tile fires
            "prod": In(stream.Signature(prod_layout(cfg))),    #: integer lanes' product sums
            "psum": Out(stream.Signature(psum_layout(cfg))),   #: finished sums
            #: why `en` is low: S of the step before, products, the IF bank
            "waits": Out(data.StructLayout({"ramp": 1, "integer": 1, "firing": 1})),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.ramp = ramp = RampControl(cfg)
        m.submodules.signs = signs = SignTree(cfg)
        m.d.comb += [self.en.eq(~ramp.stall), signs.en.eq(self.en), signs.neg.eq(self.neg)]

        # Step control travels beside the sums, from the leaves to the adder of S.
        snap, tile_end, dt, fire = self.snap, self.tile_end, self.dt, self.fire
        for stage in range(tree_depth(cfg)):
            here = [Signal(name=f"snap_{stage}"), Signal(name=f"tile_end_{stage}"),
                    Signal(cfg.level_bits, name=f"dt_{stage}"),
                    Signal(fire_layout(cfg), name=f"fire_{stage}")]
            with m.If(self.en):
                m.d.sync += [reg.eq(source) for reg, source
                             in zip(here, (snap, tile_end, dt, fire), strict=True)]
            snap, tile_end, dt, fire = here
        prod, psum = self.prod, self.psum
        m.d.comb += [
            ramp.snap.eq(snap), ramp.dt.eq(dt), ramp.tile_end.eq(tile_end),
            ramp.prod_valid.eq(prod.valid), ramp.prod_last.eq(prod.payload.last),
            prod.ready.eq(ramp.prod_ready), ramp.v_free.eq(~psum.valid),
            self.waits.ramp.eq(ramp.waits_ramp), self.waits.integer.eq(ramp.waits_prod),
            self.waits.firing.eq(ramp.waits_fire),
        ]

        for number in range(cfg.cols):
            m.submodules[f"column_{number}"] = column = Column(cfg)
            m.d.comb += [column.wgt[lane].eq(self.wgt[lane][number]) for lane in range(cfg.rows)]
            m.d.comb += [
                column.en.eq(self.en), column.snap.eq(snap), column.clear.eq(snap & tile_end),
                column.prod.eq(prod.payload.prod[number]),
                column.add_hold.eq(ramp.add_hold), column.add_prod.eq(ramp.add_prod),
                column.close.eq(ramp.close), psum.payload.v[number].eq(column.v),
            ]
            if cfg.signed:
                m.d.comb += column.root_neg.eq(signs.root)
                if node_count(cfg):
                    m.d.comb += column.sub.eq(signs.sub)

        # V leaves the columns when the ramp closes the tile; `fire` was latched with its tail.
        tail_fire = Signal(fire_layout(cfg))
        with m.If(ramp.close):
            m.d.sync += [psum.valid.eq(1), psum.payload.fire.eq(tail_fire)]
        with m.Elif(psum.ready):
            m.d.sync += psum.valid.eq(0)
        with m.If(self.en & snap & tile_end):
            m.d.sync += tail_fire.eq(fire)
        return m
