"""Weight bank: all spike lanes with their banks, and the way weight rows get into them."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.lane import SpikeLane
from hdl.payloads import event_layout, row_layout, wgt_layout
from hdl.select import pick
from hdl.write_buffer import WriteBuffer
from spinteger.config import Config


class WeightBank(wiring.Component):
    """R spike lanes: an event in, its weight row out, `LANE_LATENCY` (4) enabled cycles later.

    A row to store goes to all its home lanes at once; several rows of a beat belong to
    different groups, so to different lanes. Each lane stores its copy when the integer lane
    leaves the bank's second port alone (`WriteBuffer`); a beat waits only for buffers that are
    still full.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "wgt": In(stream.Signature(wgt_layout(cfg))),    #: rows to store
            "en_next": In(1),                                #: pipeline enable of the next cycle
            "event": In(data.ArrayLayout(event_layout(cfg), cfg.rows)),    #: one per lane
            "base": In(cfg.addr_bits),                       #: the tile's first bank row
            "codes": Out(data.ArrayLayout(row_layout(cfg), cfg.rows)),     #: zeros if idle
            "neg": Out(cfg.rows),                            #: signs, one enabled cycle earlier
            "read_en": In(1),                                #: integer pipeline enable
            "read": In(data.ArrayLayout(cfg.group, cfg.int_lanes)),     #: integer lanes: read
            "addr": In(data.ArrayLayout(cfg.addr_bits, cfg.int_lanes)), #: ... at this row
            "rows": Out(data.ArrayLayout(row_layout(cfg),
                                         cfg.int_lanes * cfg.group)),   #: ... or zeros, later
            "unstored": Out(cfg.rows),                       #: lanes whose buffer holds a row
            "stored": Out(cfg.rows),                         #: ... that reaches the bank now
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        wgt = self.wgt.payload
        waits = Signal(cfg.rows)
        m.d.comb += self.wgt.ready.eq(waits == 0)
        beat_bits = (cfg.wgt_beat_rows - 1).bit_length()
        for number in range(cfg.rows):
            m.submodules[f"lane_{number}"] = lane = SpikeLane(cfg)
            m.submodules[f"write_buffer_{number}"] = buffer = WriteBuffer(cfg)
            event = self.event[number]
            m.d.comb += [
                lane.en_next.eq(self.en_next), lane.valid.eq(event.valid), lane.row.eq(event.row),
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
                waits[number].eq(mine & ~buffer.free),
                buffer.put.eq(self.wgt.valid & self.wgt.ready & mine),
                buffer.put_row.eq(pick([wgt.row[n].as_value() for n in range(cfg.wgt_beat_rows)],
                                       group)),
                buffer.put_addr.eq(wgt.addr),
                lane.write.eq(buffer.store), lane.write_row.eq(buffer.row),
                lane.addr.eq(buffer.addr), lane.read_en.eq(self.read_en),
                self.unstored[number].eq(buffer.full), self.stored[number].eq(buffer.store),
            ]
            server = number // cfg.group
            if server < cfg.int_lanes:
                # An integer lane that is held up asks for its row all the while, but reads it
                # only in the cycle that it goes on. Until then, the port is free.
                m.d.comb += [lane.read.eq(self.read[server][number % cfg.group]),
                             buffer.asked.eq(lane.read),
                             buffer.taken.eq(lane.read & self.read_en),
                             self.rows[number].eq(lane.read_row)]
                with m.If(buffer.taken):
                    m.d.comb += lane.addr.eq(self.addr[server])
        return m
