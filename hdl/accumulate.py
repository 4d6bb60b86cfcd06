"""Accumulate: drains a tile's sums, scales them and adds the sums of earlier passes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import (
    index_bits,
    psum_layout,
    scale_layout,
    settings_layout,
    sum_layout,
    thr_layout,
    tile_layout,
)
from hdl.scale import SCALE_LATENCY, Scale
from hdl.select import setting
from hdl.stages import Stages
from spinteger.config import Config

#: Cycles in which a memory is read and its word registered.
_READ = 2
#: A kept sum is read so many cycles before it is written: so many columns must lie between.
KEEP_DISTANCE = 5


def drain_latency(cfg: Config) -> int:
    """Cycles from a column's V to its sum."""
    scaled = 3 + SCALE_LATENCY if cfg.scale_bits else 2
    return max(scaled, _READ + 1) + 1 if cfg.acc_depth else scaled


class Accumulate(wiring.Component):
    """V of all columns in; one column's sum per cycle out, with its threshold.

        a = ((V * mul << shift) << token's shift) + kept        (golden/accumulate.py)

    One scaler and one adder serve all columns. A tile enters when there is `room` for all of its
    columns; from then on nothing stops it. A run that does not complete the sums (`acc_last` = 0)
    has them written to memory; the next one adds to them, place by place from its first column
    on. A dropped tile has no columns: it only enters.

    One column per cycle. Latency `drain_latency`: 8 cycles with scales and kept sums, 7 with
    scales, 4 with kept sums, 2 with neither.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "psum": In(stream.Signature(psum_layout(cfg))),    #: a tile's V, all columns
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of runs 0 and 1
            "thr": In(stream.Signature(thr_layout(cfg))),      #: thresholds and scales to store
            "room": In(1),                          #: the tile that waits may enter
            "enter": Out(1),                        #: it does
            "tile": Out(tile_layout(cfg)),          #: ... which is this
            "column": Out(1),                       #: one of its columns is drained
            "sum": Out(sum_layout(cfg)),            #: a column's sum
            "sum_valid": Out(1),                    #: ... is there
            "wrapped": Out(2),                      #: a sum of run 0, 1 did, 2 cycles before
            "stored": Out(1),                       #: 2 cycles ago, the last sum of a kept run was
        })

    def elaborate(self, platform):
        m = Module()
        cfg, stages = self.cfg, Stages(m)
        latency = drain_latency(cfg)
        total, place, ends = self._drain(m, stages)     # two stages
        run = self.psum.payload.fire.run
        runs = stages.trail("run", run, latency)        # of the column in each stage
        valids = stages.trail("valid", self.column, latency, reset=True)
        over = Value.cast(0)
        stage = 2
        if cfg.scale_bits:
            total, over = self._scale(m, stages, total, place, runs)
            stage += 1 + SCALE_LATENCY
        if cfg.acc_depth:
            wait = latency - 1 - stage
            total = stages.later("early", total, wait, on=valids[stage:])
            total, over = self._add_kept(m, stages, total, over, valids, runs, ends)

        theta = self._memory(m, "thresholds", cfg.theta_bits, ~self.thr.payload.is_scale,
                             stages.later("theta_place", place, latency - _READ, on=valids),
                             valids[latency - _READ])
        out = self.sum
        m.d.comb += [self.thr.ready.eq(1), self.sum_valid.eq(valids[-1]), out.run.eq(runs[-1]),
                     out.v.eq(total), out.lowest.eq(total[-1] & ~total[:-1].any()),
                     out.theta.eq(stages.later("theta", theta, on=valids[latency - 1:]))]
        m.d.comb += self.stored.eq(stages.later(
            "stored", ends & ~setting(self.settings, run, "acc_last"), latency + 2, reset=True))
        if cfg.scale_bits or cfg.acc_depth:
            over = over | stages.later("lowest", out.lowest)
            wraps = stages.later("valid_over", valids[-1], reset=True) & over
            m.d.sync += self.wrapped.eq(Mux(
                wraps, Mux(stages.later("run_over", runs[-1]), 0b10, 0b01), 0))
        return m

    def _drain(self, m, stages):
        """Take a column per cycle: its V two cycles later, its place in the memories; and whether
        the run's last one, or its drop, is at the mouth."""
        cfg = self.cfg
        psum, fire = self.psum.payload, self.psum.payload.fire
        column = Signal(cfg.col_bits)
        others = Signal(cfg.cols, init=(1 << cfg.cols) - 2)     # all but the column
        first, step, ends = Signal(), Signal(), Signal()
        dropped = Signal()                              # a dropped tile enters
        hold = Signal(range(KEEP_DISTANCE))             # the next tile may read what is not stored
        admitted = self.room & (hold == 0)
        m.d.comb += [
            first.eq(~others[0]),
            step.eq(self.psum.valid & Mux(fire.drop, dropped, ~first | admitted)),
            self.enter.eq(step & first), self.column.eq(step & ~fire.drop),
            # The columns wait for this: it must not depend on who is admitted.
            self.psum.ready.eq(dropped | (step if cfg.cols == 1 else
                                          self.psum.valid & ~first & ~others[-1])),
            self.tile.run.eq(fire.run), self.tile.last.eq(fire.last | fire.drop),
            self.tile.end.eq(fire.end | fire.drop), self.tile.drop.eq(fire.drop),
            ends.eq(self.psum.ready & self.tile.end),
        ]
        m.d.sync += dropped.eq(self.psum.valid & fire.drop & admitted & ~dropped)
        with m.If(self.column):
            m.d.sync += [others.eq(others.rotate_left(1)),
                         column.eq(Mux(others[-1], column + 1, 0))]
        if cfg.acc_depth and cfg.cols < KEEP_DISTANCE:
            with m.If(ends & ~setting(self.settings, fire.run, "acc_last")):
                m.d.sync += hold.eq(KEEP_DISTANCE - cfg.cols)
            with m.Elif(hold != 0):
                m.d.sync += hold.eq(hold - 1)
        # A multiplexer of registers' own resets and OR: half the LUTs.
        picked = [stages.gated(f"picked_{n}", psum.v[n], ~others[n], moves=self.column)
                  for n in range(cfg.cols)]
        chosen = picked[0]
        for other in picked[1:]:
            chosen = chosen | other
        index = setting(self.settings, fire.run, "index") + fire.tile
        return (stages.later("v", chosen), Cat(column, index[:index_bits(cfg)]), ends)

    def _scale(self, m, stages, v, place, runs):
        """(V * mul) << shift, in acc_bits, and a cycle later whether that fits."""
        cfg = self.cfg
        m.submodules.scale = scale = Scale(cfg)
        word = stages.later("scale_word", self._memory(
            m, "scales", scale_layout(cfg), self.thr.payload.is_scale, place, self.column))
        word = data.View(scale_layout(cfg), word)
        scaled = setting(self.settings, runs[2], "scale")
        token = stages.later("token_shift", self.psum.payload.fire.shift, 3)
        m.d.comb += [
            scale.v.eq(stages.later("scale_v", v)),
            scale.mul.eq(stages.gated("scale_mul", word.mul, scaled, otherwise=1)),
            scale.shift.eq(stages.later(
                "shift", stages.gated("scale_shift", word.shift, scaled) + token)),
        ]
        return scale.value, scale.over

    def _add_kept(self, m, stages, value, over, valids, runs, ends):
        """Read, add, write: the sum, and a cycle later whether anything on the way was too big."""
        cfg = self.cfg
        m.submodules.kept = memory = Memory(shape=signed(cfg.acc_bits), depth=cfg.acc_depth,
                                            init=[])
        read, write = memory.read_port(), memory.write_port()
        reads = len(valids) - 1 - KEEP_DISTANCE + 1     # the stage that reads
        position = Signal(range(cfg.acc_depth))
        m.d.comb += [read.addr.eq(position), read.en.eq(valids[reads])]
        with m.If(valids[reads]):
            m.d.sync += position.eq(position + 1)
        with m.If(stages.later("ends", ends, reads, reset=True)):
            m.d.sync += position.eq(0)
        adds = valids[reads + _READ:]
        kept = stages.later("kept_word", read.data, on=valids[reads + 1:])
        first = setting(self.settings, runs[reads + _READ], "acc_first")
        total = Signal(signed(cfg.acc_bits + 1))
        m.d.comb += total.eq(value + stages.gated("addend", kept, ~first, moves=adds[0]))
        total = stages.later("sum", total, on=adds[1:])

        keep = ~setting(self.settings, runs[-1], "acc_last")
        m.d.comb += [
            write.addr.eq(stages.later("position", position, KEEP_DISTANCE - 1,
                                       on=valids[reads:])),
            write.data.eq(total[:-1]), write.en.eq(valids[-1] & keep),
        ]
        if cfg.scale_bits:
            over = stages.later("over", over)
        return total[:-1], over | stages.later("over_sum", total[-1] ^ total[-2])

    def _memory(self, m, name, shape, is_mine, place, en):
        """A memory with a word per column, tile and slot; what it holds at `place`, later, if
        `en`."""
        cfg = self.cfg
        depth = cfg.slots * cfg.tiles << cfg.col_bits
        m.submodules[name] = memory = Memory(shape=shape, depth=depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        thr = self.thr.payload
        m.d.comb += [read.addr.eq(place), read.en.eq(en), write.addr.eq(Cat(thr.column, thr.index)),
                     write.en.eq(self.thr.valid & is_mine), Value.cast(write.data).eq(thr.value)]
        return Value.cast(read.data)
