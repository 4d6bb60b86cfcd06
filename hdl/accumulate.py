"""Accumulate: drains a tile's sums, scales them and adds the sums of earlier passes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import (
    SCALE_SHIFT_BITS,
    index_bits,
    psum_layout,
    scale_layout,
    settings_layout,
    sum_layout,
    thr_layout,
)
from hdl.select import pick, setting
from spinteger.config import Config

#: A kept sum is read this many columns before it is written, at the earliest.
KEEP_DISTANCE = 4


class Accumulate(wiring.Component):
    """V of all columns in; one column's sum per cycle out, with its threshold.

        a = ((V * mul << shift) << token's shift) + kept        (golden/accumulate.py)

    One multiplier, one shifter and one adder serve all columns, with registers between. A run
    that does not complete the sums (`acc_last` = 0) has them written to memory as they are taken;
    the next one adds to them, place by place from its first column on.

    One column per cycle. Latency 1 cycle with neither scales nor kept sums, 4 with scales,
    3 with kept sums, 5 with both.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "psum": In(stream.Signature(psum_layout(cfg))),    #: a tile's V, all columns
            "settings": In(data.ArrayLayout(settings_layout(cfg), 2)),    #: of runs 0 and 1
            "thr": In(stream.Signature(thr_layout(cfg))),      #: thresholds and scales to store
            "sum": Out(stream.Signature(sum_layout(cfg))),     #: a column's sum
            "empty": Out(1),                                   #: no column is inside
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        en = Signal()                   # every stage moves, or none
        hold = Signal()                 # the next tile may read sums not written yet
        m.d.comb += en.eq(~self.sum.valid | self.sum.ready)

        pipe, value = self._drain(m, en, hold)
        over = Value.cast(0)
        if cfg.scale_bits:
            value, over = self._scale(m, pipe, value)
        if cfg.acc_depth:
            if not cfg.scale_bits:      # a cycle to read the kept sum, one to register it
                value, = pipe.advance("read", value)
                value, = pipe.advance("operand", value)
            value, over = self._add_kept(m, pipe, value, over, hold)

        # Thresholds are read on the way into the last stage.
        theta = self._memory(m, "thresholds", cfg.theta_bits, self.thr.valid
                             & ~self.thr.payload.is_scale, pipe, self.thr.payload.value)
        value, over = pipe.advance("sum", Value.cast(value)[:cfg.acc_bits], over)
        valid, tag = pipe.stages[-1]
        out = self.sum.payload
        m.d.comb += [self.thr.ready.eq(1), self.sum.valid.eq(valid), out.v.eq(value),
                     out.theta.eq(theta), out.column.eq(tag.place),
                     self.empty.eq(~Cat(valid for valid, _ in pipe.stages[1:]).any())]
        m.d.comb += [out[name].eq(tag[name]) for name in ("tile_end", "last", "end", "drop", "run")]
        if cfg.scale_bits or cfg.acc_depth:
            m.d.comb += out.overflow.eq((over | lowest(value)) & ~tag.drop)
        return m

    def _drain(self, m, en, hold):
        """The pipeline, and V of the column at its mouth."""
        cfg = self.cfg
        psum, fire = self.psum.payload, self.psum.payload.fire
        column = Signal(cfg.col_bits)
        tag = Signal(data.StructLayout({
            "place": cfg.col_bits + index_bits(cfg),    # column, then tile: where theta is
            "tile_end": 1, "last": 1, "drop": 1, "run": 1,
            "end": 1,                                   # the run's last column
            "shift": cfg.shift_bits}), name="drain_tag")
        step = Signal()
        m.d.comb += [
            step.eq(self.psum.valid & ~hold),
            tag.place.eq(Cat(column, (setting(self.settings, fire.run, "index")
                                      + fire.tile)[:index_bits(cfg)])),
            tag.tile_end.eq((column == cfg.cols - 1) | fire.drop),
            tag.last.eq(fire.last | fire.drop), tag.drop.eq(fire.drop), tag.run.eq(fire.run),
            tag.end.eq(fire.drop | (fire.end & tag.tile_end)),
            self.psum.ready.eq(step & en & tag.tile_end),
        ]
        if cfg.shift_bits:
            m.d.comb += tag.shift.eq(fire.shift)
        with m.If(step & en):
            m.d.sync += column.eq(Mux(tag.tile_end, 0, column + 1))
        return Pipe(m, en, step, tag), pick([psum.v[n] for n in range(cfg.cols)], column)

    def _scale(self, m, pipe, v):
        """(V * mul) << shift, in acc_bits, and whether it fits. Three stages."""
        cfg = self.cfg
        scale = self._memory(m, "scales", scale_layout(cfg), self.thr.valid
                             & self.thr.payload.is_scale, pipe, self.thr.payload.value)
        v, = pipe.advance("picked", v)
        tag = pipe.stages[-1][1]
        scaled = setting(self.settings, tag.run, "scale")
        shift = Mux(scaled, scale.shift, 0) + tag.shift
        v, mul, shift = pipe.advance("operand", v, Mux(scaled, scale.mul, 1), shift)
        product, shift = pipe.advance("product", v * mul, shift)
        # At every step, what is shifted out must be copies of the sign.
        bits = cfg.acc_bits
        wide = Signal(signed(max(bits + 1, len(product))))
        m.d.comb += wide.eq(product)
        value, over = wide[:bits], mixed(wide[bits - 1:])
        for bit in range(SCALE_SHIFT_BITS):
            step = 1 << bit
            over = over | (shift[bit] & mixed(value[bits - 1 - step:]))
            value = Mux(shift[bit], value.shift_left(step)[:bits], value)
        far = shift[SCALE_SHIFT_BITS]           # 32 or more
        return Mux(far, 0, value).as_signed(), over | (far & value.any())

    def _add_kept(self, m, pipe, value, over, hold):
        """Read, add, write. One stage: the memory is read two stages before the adder."""
        cfg = self.cfg
        m.submodules.kept = memory = Memory(shape=signed(cfg.acc_bits), depth=cfg.acc_depth,
                                            init=[])
        read, write = memory.read_port(), memory.write_port()
        if cfg.scale_bits:
            value, over = pipe.advance("shifted", value, over)
            over = over | lowest(value)
        valid, tag = pipe.stages[-3]
        position = Signal(range(cfg.acc_depth))
        m.d.comb += [read.addr.eq(position), read.en.eq(pipe.en)]
        with m.If(pipe.en & valid):
            m.d.sync += position.eq(Mux(tag.end, 0, position + 1))
        place = position
        for stage in range(3):
            place = pipe.register(f"position_{stage}", place)
        first = setting(self.settings, pipe.stages[-2][1].run, "acc_first")
        kept = pipe.register("addend", Mux(first, 0, read.data))
        total = Signal(signed(cfg.acc_bits + 1))
        m.d.comb += total.eq(value + kept)

        out = self.sum.payload
        keep = Signal()
        m.d.comb += [
            keep.eq(self.sum.valid & self.sum.ready
                    & ~setting(self.settings, out.run, "acc_last")),
            write.addr.eq(place), write.data.eq(out.v), write.en.eq(keep & ~out.drop),
        ]
        if cfg.cols < KEEP_DISTANCE:
            _, tag = pipe.stages[0]
            taken = self.psum.valid & self.psum.ready & tag.end
            with m.If(taken & ~setting(self.settings, tag.run, "acc_last")):
                m.d.sync += hold.eq(1)
            with m.If(keep & out.end):
                m.d.sync += hold.eq(0)
        return total, over | (total[-1] ^ total[-2])

    def _memory(self, m, name, shape, write_en, pipe, value):
        """A memory with a word per column, tile and slot; what it holds for the newest stage,
        one stage later."""
        cfg = self.cfg
        depth = cfg.slots * cfg.tiles << cfg.col_bits
        m.submodules[name] = memory = Memory(shape=shape, depth=depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        thr = self.thr.payload
        m.d.comb += [read.addr.eq(pipe.stages[-1][1].place), read.en.eq(pipe.en),
                     write.addr.eq(Cat(thr.column, thr.index)), write.en.eq(write_en),
                     Value.cast(write.data).eq(value)]
        return read.data


class Pipe:
    """Stages that all move while `en` is up: (valid, tag) of each, the drain's own first."""

    def __init__(self, m, en, valid, tag):
        self.m, self.en = m, en
        self.stages = [(valid, tag)]

    def register(self, name, value):
        """`value`, one stage later."""
        reg = Signal(value.shape(), name=name)
        with self.m.If(self.en):
            self.m.d.sync += reg.eq(value)
        return reg

    def advance(self, name, *values):
        """Add a stage; the values, registered in it."""
        valid, tag = self.stages[-1]
        valid_next = Signal(name=f"{name}_valid")
        tag_next = Signal(tag.shape(), name=f"{name}_tag")
        with self.m.If(self.en):
            self.m.d.sync += [valid_next.eq(valid), tag_next.eq(tag)]
        self.stages.append((valid_next, tag_next))
        return tuple(self.register(f"{name}_{index}", value)
                     for index, value in enumerate(values))


def mixed(bits):
    """Whether some are 1 and some 0."""
    return bits.any() & ~bits.all()


def lowest(value):
    """Whether a value is the most negative one, whose magnitude does not fit."""
    return value[-1] & ~value[:-1].any()
