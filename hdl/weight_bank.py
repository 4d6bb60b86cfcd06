"""Weight bank: all spike lanes with their banks, and the way weight rows get into them."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.lane import SpikeLane
from hdl.payloads import event_layout, row_layout, wgt_layout
from hdl.select import pick
from spinteger.config import Config


class WeightBank(wiring.Component):
    """R spike lanes: an event in, its weight row out, `LANE_LATENCY` (3) enabled cycles later.

    A row to store goes to all its home lanes at once; several rows of a beat belong to
    different groups, so to different lanes. Rows wait while an integer lane reads one of
    the banks they go to, since both use a bank's second port.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "wgt": In(stream.Signature(wgt_layout(cfg))),    #: rows to store
            "en": In(1),                                     #: pipeline enable
            "event": In(data.ArrayLayout(event_layout(cfg), cfg.rows)),    #: one per lane
            "base": In(cfg.addr_bits),                       #: the tile's first bank row
            "codes": Out(data.ArrayLayout(row_layout(cfg), cfg.rows)),     #: zeros if idle
            "neg": Out(cfg.rows),                            #: signs beside them
            "read": In(data.ArrayLayout(cfg.group, cfg.int_lanes)),     #: integer lanes: read
            "addr": In(data.ArrayLayout(cfg.addr_bits, cfg.int_lanes)), #: ... at this row
            "rows": Out(data.ArrayLayout(row_layout(cfg),
                                         cfg.int_lanes * cfg.group)),   #: ... one cycle later
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        wgt = self.wgt.payload
        clash = Signal(cfg.rows)
        m.d.comb += self.wgt.ready.eq(clash == 0)
        beat_bits = (cfg.wgt_beat_rows - 1).bit_length()
        for number in range(cfg.rows):
            m.submodules[f"lane_{number}"] = lane = SpikeLane(cfg)
            event = self.event[number]
            m.d.comb += [
                lane.en.eq(self.en), lane.valid.eq(event.valid), lane.row.eq(event.row),
                lane.neg.eq(event.neg), lane.base.eq(self.base),
                self.codes[number].eq(lane.wgt), self.neg[number].eq(lane.wgt_neg),
            ]

            # The one group that lives here in this row's pattern, and is its row in the beat?
            home, position = divmod(number, cfg.groups)
            group = Signal(cfg.group_bits, name=f"group_{number}")
            mine = Signal(name=f"mine_{number}")
            m.d.comb += [
                group.eq(pick([position ^ cfg.home_position(pattern, home)
                               for pattern in range(cfg.patterns)], wgt.pattern)
                         if cfg.homes > 1 else position),
                mine.eq((group[beat_bits:] == wgt.group[beat_bits:]) & pick(list(wgt.mask), group)),
                lane.write.eq(self.wgt.valid & self.wgt.ready & mine),
                lane.write_row.eq(pick([wgt.row[n].as_value() for n in range(cfg.wgt_beat_rows)],
                                       group)),
            ]
            server = number // cfg.group
            if server < cfg.int_lanes:
                m.d.comb += [
                    lane.read.eq(self.read[server][number % cfg.group]),
                    clash[number].eq(mine & lane.read),
                    self.rows[number].eq(lane.read_row),
                    lane.addr.eq(self.addr[server]),
                ]
            with m.If(lane.write):
                m.d.comb += lane.addr.eq(wgt.addr)
        return m
