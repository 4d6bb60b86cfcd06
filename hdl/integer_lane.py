"""Integer lane: multiplies a salient input with its weight row. The only multipliers we have."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.lane import READ_LATENCY
from hdl.payloads import row_layout, salient_layout
from spinteger.config import Config

#: Enabled cycles from a salient entry at the lane's input to its products at the output.
INTEGER_LATENCY = READ_LATENCY + 3


class IntegerLane(wiring.Component):
    """w * q * 2^e for all columns at once, one salient input per cycle.

    The exponent is applied to q before the multipliers, so one shifter serves all columns.
    Latency `INTEGER_LATENCY` (6) enabled cycles: address and shift, bank (`READ_LATENCY`),
    the multipliers' input and output registers. Serves `group` banks through their second port:
    those that are not read put out zeros, so one OR selects, and no entry means zero products.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        x_bits = cfg.sal_bits + cfg.exp_max
        super().__init__({
            "en": In(1),                              #: pipeline enable
            "valid": In(1),                           #: an entry; else products are zero
            "entry": In(salient_layout(cfg)),         #: salient input {q, e, row, bank}
            "base": In(cfg.addr_bits),                #: first bank row of its tile
            "read": Out(cfg.group),                   #: read this bank now, if enabled
            "addr": Out(cfg.addr_bits),               #: ... at this address
            #: rows read, `READ_LATENCY` enabled cycles later; zeros from other banks
            "rows": In(data.ArrayLayout(row_layout(cfg), cfg.group)),
            "prod": Out(data.ArrayLayout(signed(cfg.wgt_bits + x_bits), cfg.cols)),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        x_shape = signed(cfg.sal_bits + cfg.exp_max)
        addr = Signal(cfg.addr_bits, reset_less=True)
        x = [Signal(x_shape, name=f"x_{stage}", reset_less=True)
             for stage in range(READ_LATENCY + 2)]
        row = Signal(row_layout(cfg), reset_less=True)
        prod = Signal(self.prod.shape(), reset_less=True)
        lane = self.entry.lane if cfg.group > 1 else 0
        rows = [self.rows[index].as_value() for index in range(cfg.group)]
        m.d.comb += [self.addr.eq(addr), self.prod.eq(prod)]

        # Most cycles have no entry, and stages without one are not clocked. Products are zero
        # then: the cycle after an entry clears what it left, and so do those after a reset.
        valid = Signal(len(x) + 1, init=-1)   # of x, of the products
        row_en, prod_en = Signal(), Signal()
        m.d.comb += [row_en.eq(self.en & valid[-3:-1].any()),
                     prod_en.eq(self.en & valid[-2:].any())]
        with m.If(self.en):
            m.d.sync += [valid.eq(Cat(self.valid, valid)),
                         *(self.read[index].eq(self.valid & (lane == index))
                           for index in range(cfg.group))]
        with m.If(self.en & self.valid):
            m.d.sync += [addr.eq(self.base + self.entry.row),
                         x[0].eq(self.entry.q << self.entry.e if cfg.exp_bits else self.entry.q)]
        for stage in range(1, len(x) - 1):
            with m.If(self.en & valid[stage - 1]):
                m.d.sync += x[stage].eq(x[stage - 1])
        with m.If(row_en):
            m.d.sync += [row.eq(reduce(or_, rows)), x[-1].eq(x[-2])]
        with m.If(prod_en):
            m.d.sync += [prod[col].eq(row[col] * x[-1]) for col in range(cfg.cols)]
        return m
