"""Sizes: what slots, buffers and kept sums hold, compared with a command one by one."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.select import pick
from spinteger.config import Config

#: Sizes of a command: its slot's rows and tiles, its buffer's rows and tokens, its sums' tokens
#: and tiles.
SIZES = 6
#: Cycles from `start` until all have been compared.
COMPARE_CYCLES = SIZES + 3


def differ_layout() -> data.StructLayout:
    """Which sizes of a command are not those of what it needs."""
    return data.StructLayout({"slot_rows": 1, "slot_tiles": 1, "buf": 1, "sums": 1})


class Sizes(wiring.Component):
    """One small memory for all sizes, and one comparator.

    `differ` is complete `COMPARE_CYCLES` after `start`. A `store` takes `SIZES` cycles after its
    own, `busy` is up meanwhile. The command must hold, and what it says be within the machine's
    limits: of larger sizes low bits are compared.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "start": In(1),                         #: compare
            "store": In(1),                         #: keep the sizes of ...
            "keep": In(3),                          #: ... slot, buffer, sums: those that are set
            "slot": In(cfg.slot_bits),              #: the command's slot
            "buf": In(1),                           #: ... its buffer, to compare
            "fill": In(1),                          #: ... to store
            "rows": In(range(cfg.rows_k + 1)),      #: ... its rows
            "chains": In(1),                        #: it is a run, so that its buffer will have
            "chained": In(range(cfg.rows_k + 1)),   #: ... so many rows
            "tiles": In(range(cfg.tiles + 1)),      #: ... its tiles
            "tokens": In(range(cfg.tokens + 1)),    #: ... its tokens
            "busy": Out(1),                         #: sizes are being stored
            "differ": Out(differ_layout()),         #: what is not the same
        })

    def elaborate(self, platform):
        m = Module()
        # `at` goes through the sizes; the first of a pair at even places.
        at = Signal(range(8), init=SIZES)
        storing = Signal()
        m.d.comb += self.busy.eq(storing)
        with m.If(at != SIZES):
            m.d.sync += at.eq(at + 1)
        with m.Else():
            m.d.sync += storing.eq(0)
        with m.If(self.start | self.store):
            m.d.sync += [at.eq(0), storing.eq(self.store)]

        rows = Mux(storing & at[1] & self.chains, self.chained, self.rows)
        values = [rows, self.tiles, rows, self.tokens, self.tokens, self.tiles]
        value = Signal(max(len(value) for value in values))
        slot, buf, fill = Signal.like(self.slot), Signal(), Signal()
        m.d.sync += [slot.eq(self.slot), buf.eq(self.buf), fill.eq(self.fill)]
        whose = Mux(at[1], Mux(storing, fill, buf), slot)
        addr = Cat(at, whose & ~at[2].replicate(len(whose)))
        m.d.comb += value.eq(pick(values, at))
        m.submodules.memory = memory = Memory(shape=len(value), depth=1 << len(addr), init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(addr), write.data.eq(value), read.addr.eq(addr),
            write.en.eq(storing & pick(list(self.keep), at[1:])),
        ]

        # One cycle to read, one to compare.
        kept, asked, was = Signal.like(value), Signal.like(value), Signal(3, init=SIZES)
        m.d.sync += [kept.eq(read.data), asked.eq(value), was.eq(at)]
        with m.If(kept != asked):
            with m.Switch(was):
                for place, name in enumerate(("slot_rows", "slot_tiles", "buf", "buf", "sums",
                                              "sums")):
                    with m.Case(place):
                        m.d.sync += self.differ[name].eq(1)
        with m.If(self.start):
            m.d.sync += [self.differ.eq(0), was.eq(SIZES)]
        return m
