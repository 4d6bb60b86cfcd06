"""Integer lane: multiplies a salient input with its weight row. The only multipliers we have."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import row_layout, salient_layout
from hdl.select import pick
from spinteger.config import Config

#: Cycles from a salient entry at the lane's input to its products at the output.
INTEGER_LATENCY = 4


class IntegerLane(wiring.Component):
    """w * q * 2^e for all columns at once, one salient input per cycle.

    The exponent is applied to q before the multipliers, so one shifter serves all columns.
    Latency `INTEGER_LATENCY` (4) enabled cycles: address and shift, bank, select, multiply.
    Serves `group` banks through their second port.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        x_bits = cfg.sal_bits + cfg.exp_max
        super().__init__({
            "en": In(1),                              #: pipeline enable
            "valid": In(1),                           #: an entry; else products are zero
            "entry": In(salient_layout(cfg)),         #: salient input {q, e, row, bank}
            "base": In(cfg.addr_bits),                #: first bank row of its tile
            "read": Out(cfg.group),                   #: read this bank now
            "addr": Out(cfg.addr_bits),               #: ... at this address
            "rows": In(data.ArrayLayout(row_layout(cfg), cfg.group)),    #: one cycle later
            "prod": Out(data.ArrayLayout(signed(cfg.wgt_bits + x_bits), cfg.cols)),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        x_shape = signed(cfg.sal_bits + cfg.exp_max)
        x = [Signal(x_shape, name=f"x_{stage}") for stage in range(3)]
        bank = [Signal(range(max(2, cfg.group)), name=f"bank_{stage}") for stage in range(2)]
        valid = [Signal(name=f"valid_{stage}") for stage in range(3)]
        row = Signal(row_layout(cfg))

        with m.If(self.en):
            m.d.sync += [
                self.addr.eq(self.base + self.entry.row),
                x[0].eq(self.entry.q << self.entry.e if cfg.exp_bits else self.entry.q),
                bank[0].eq(self.entry.lane if cfg.group > 1 else 0),
                valid[0].eq(self.valid),
                x[1].eq(x[0]), bank[1].eq(bank[0]), valid[1].eq(valid[0]),
                x[2].eq(x[1]), valid[2].eq(valid[1]),
            ]
            rows = [self.rows[index].as_value() for index in range(cfg.group)]
            m.d.sync += row.eq(pick(rows, bank[1]))
            for col in range(cfg.cols):
                m.d.sync += self.prod[col].eq(row[col] * x[2])
        with m.If(self.en & ~valid[2]):
            m.d.sync += self.prod.eq(0)
        for index in range(cfg.group):
            m.d.comb += self.read[index].eq(self.en & valid[0] & (bank[0] == index))
        return m
