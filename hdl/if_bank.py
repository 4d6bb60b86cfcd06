"""IF bank: drains a tile's finished sums and fires them, to the host or as the next inputs."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.accumulate import Accumulate
from hdl.emitter import Emitter
from hdl.fire_sar import SarFire, sar_latency
from hdl.payloads import (
    act_layout,
    entry_layout,
    fired_layout,
    out_layout,
    psum_layout,
    settings_layout,
    sum_layout,
    thr_layout,
)
from hdl.recode import Recode, recode_latency
from hdl.select import setting
from hdl.stages import Stages
from hdl.staircase_emitter import StaircaseEmitter
from hdl.tile_queue import TileQueue
from spinteger.config import Config


def fire_latency(cfg: Config) -> int:
    """Cycles from a column's sum to where it waits to leave, if it is not raw."""
    return sar_latency(cfg) + recode_latency(cfg) if cfg.fire == "sar" else 0


class IfBank(wiring.Component):
    """Integrate-and-fire neurons of all columns, with the thresholds and scales of all tiles.

    Takes V column by column (`Accumulate`). With `sar`, every column goes through a pipeline that
    fires it (`SarFire`, `Recode`) and waits in a queue until it is sent on (`Emitter`); nothing
    before that queue ever stalls. Raw sums pass the firing pipeline by, and wait until it is
    empty. With `staircase`, sums wait in the queue and fire behind it (`StaircaseEmitter`). Words
    go to the host, codes to the chained buffer, or both. Tiles are never mixed, runs end in order.

    Takes a tile in C cycles, one more if it is raw, for END. Latency to the first word:
    `drain_latency`, `fire_latency` unless raw, 3 for the queue, and 1.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "psum": In(stream.Signature(psum_layout(cfg))),    #: a tile's V, all columns
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of the runs in flight
            "thr": In(stream.Signature(thr_layout(cfg))),      #: thresholds and scales to store
            "out": Out(stream.Signature(out_layout(cfg))),     #: words to the host
            "act": Out(stream.Signature(act_layout(cfg))),     #: codes to the encoder
            "run_done": Out(1),       #: the oldest run is complete: all it sends is taken
            "run_dropped": Out(1),    #: ... it was abandoned
            "run_overflow": Out(1),   #: ... a sum wrapped
            "idle": Out(1),           #: nothing is inside, and no tile waits
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        sar = cfg.fire == "sar"
        m.submodules.accumulate = accumulate = Accumulate(cfg)
        m.submodules.queue = queue = TileQueue(cfg, entry_layout(cfg) if sar else sum_layout(cfg))
        m.submodules.emitter = emitter = (Emitter if sar else StaircaseEmitter)(cfg)
        wiring.connect(m, wiring.flipped(self.psum), accumulate.psum)
        wiring.connect(m, wiring.flipped(self.thr), accumulate.thr)
        m.d.comb += [
            accumulate.settings.eq(self.settings),
            queue.done.eq(emitter.done), queue.enter.eq(accumulate.enter),
            queue.enter_tile.eq(accumulate.tile),
        ]
        if sar:
            self._fire(m, accumulate, queue)
        else:
            here = accumulate.sum
            m.d.comb += [
                accumulate.room.eq(queue.room), queue.push_entry.eq(here),
                queue.push.eq(accumulate.sum_valid & setting(self.settings, here.run, "acc_last")),
            ]

        wiring.connect(m, queue.tile, emitter.tile)
        wiring.connect(m, queue.entry, emitter.entry)
        wiring.connect(m, emitter.out, wiring.flipped(self.out))
        wiring.connect(m, emitter.act, wiring.flipped(self.act))
        m.d.comb += [
            emitter.settings.eq(self.settings), emitter.stored.eq(accumulate.stored),
            self.run_done.eq(emitter.run_done),
            self.run_dropped.eq(emitter.run_dropped),
            self.idle.eq(~self.psum.valid & queue.empty & emitter.empty),
        ]
        if cfg.scale_bits or cfg.acc_depth:
            wrapped = Signal(2)             # a sum of run 0, 1 did
            m.d.sync += wrapped.eq(wrapped | accumulate.wrapped)
            m.d.comb += self.run_overflow.eq(self.run_done & wrapped.bit_select(emitter.run, 1))
            with m.If(self.run_done):
                m.d.sync += wrapped.bit_select(emitter.run, 1).eq(0)
        return m

    def _fire(self, m, accumulate, queue):
        """The firing pipeline, and around it."""
        cfg, stages = self.cfg, Stages(m)
        latency, fired = fire_latency(cfg), Signal(fired_layout(cfg))
        m.submodules.fire = fire = SarFire(cfg)
        m.submodules.recode = recode = Recode(cfg, pipelined=True)
        here = accumulate.sum
        raw = setting(self.settings, here.run, "raw")
        sums = accumulate.sum_valid & setting(self.settings, here.run, "acc_last")
        valid = stages.later("fired_valid", fire.fired_valid, recode_latency(cfg), reset=True)
        salient = stages.later("salient", fire.fired.salient, recode_latency(cfg))
        spike = Mux(fire.fired.salient, 0, fire.fired.level[:cfg.level_bits])
        m.d.comb += [
            fire.settings.eq(self.settings), fire.sum.eq(here), fire.valid.eq(sums & ~raw),
            recode.level.eq(fire.fired.level), recode.neg.eq(fire.fired.neg),
            fired.code.q.eq(recode.q),
            fired.level.eq(stages.later("level", spike, recode_latency(cfg))),
            fired.neg.eq(stages.later("neg", fire.fired.neg & ~fire.fired.salient,
                                      recode_latency(cfg))),
            queue.push.eq(valid | (sums & raw)),
            queue.push_entry.salient.eq(salient),
            queue.push_entry.data.eq(Mux(valid, Value.cast(fired), here.v)),
        ]
        if cfg.exp_bits:
            m.d.comb += fired.code.e.eq(recode.e)

        # A raw tile enters when all columns before it are out of the firing pipeline.
        inside = Signal(range(latency + 1))
        none = Signal(init=1)                   # it is 0
        passes = setting(self.settings, self.psum.payload.fire.run, "raw")
        with m.If(accumulate.column & ~passes):
            m.d.sync += [inside.eq(latency), none.eq(0)]
        with m.Elif(~none):
            m.d.sync += [inside.eq(inside - 1), none.eq(inside == 1)]
        m.d.comb += accumulate.room.eq(queue.room & (~passes | none))
