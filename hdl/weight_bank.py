"""Weight bank: all spike lanes with their banks, and the way weight rows get into them."""

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.lane import SpikeLane
from hdl.payloads import event_layout, row_layout, wgt_layout
from hdl.select import pick
from hdl.stage import Stage
from hdl.write_buffer import WriteBuffer
from spinteger.config import Config


class WeightBank(wiring.Component):
    """R spike lanes: an event in, its weight row out, `LANE_LATENCY` (4) enabled cycles later.

    A row to store goes to all its home lanes at once; several rows of a beat belong to
    different groups, so to different lanes. Each lane stores its copy when the integer lane
    leaves the bank's second port alone (`WriteBuffer`); a beat waits only for buffers that are
    still full. It does so in a register of its own, where its lanes are known: banks lie all
    over an FPGA, and the way to them and back takes a cycle.
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
            "read_en_next": In(1),                           #: integer pipeline's, likewise
            "read": In(data.ArrayLayout(cfg.group, cfg.int_lanes)),     #: integer lanes: read
            "addr": In(data.ArrayLayout(cfg.addr_bits, cfg.int_lanes)), #: ... at this row
            "rows": Out(data.ArrayLayout(row_layout(cfg),
                                         cfg.int_lanes * cfg.group)),   #: ... or zeros, later
            "held": Out(1),                                  #: a row waits for a buffer
            "unstored": Out(cfg.rows),                       #: lanes whose buffer holds a row
            "stored": Out(cfg.rows),                         #: ... that reaches the bank now
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        beat = self.wgt.payload
        beat_bits = (cfg.wgt_beat_rows - 1).bit_length()
        m.submodules.stage = stage = Stage(data.StructLayout({
            "row": beat.row.shape(), "addr": cfg.addr_bits, "pattern": cfg.pattern_bits,
            "lanes": cfg.rows}))
        wgt, lanes = stage.output.payload, stage.input.payload.lanes
        waits = Signal(cfg.rows)
        m.d.comb += [
            stage.input.valid.eq(self.wgt.valid), self.wgt.ready.eq(stage.input.ready),
            *(stage.input.payload[name].eq(beat[name]) for name in ("row", "addr", "pattern")),
            stage.output.ready.eq(waits == 0), self.held.eq(stage.output.valid),
        ]
        for number in range(cfg.rows):
            m.submodules[f"lane_{number}"] = lane = SpikeLane(cfg)
            m.submodules[f"write_buffer_{number}"] = buffer = WriteBuffer(cfg)
            read_en = Signal(init=1, name=f"read_en_{number}")    # a copy for this lane
            m.d.sync += read_en.eq(self.read_en_next)
            event = self.event[number]
            m.d.comb += [
                lane.en_next.eq(self.en_next), lane.valid.eq(event.valid), lane.row.eq(event.row),
                lane.neg.eq(event.neg), lane.base.eq(self.base),
                self.codes[number].eq(lane.wgt), self.neg[number].eq(lane.wgt_neg),
            ]

            # The one group that lives here in this row's pattern, and is its row in the beat?
            group = self._group(number, beat.pattern)
            m.d.comb += [
                lanes[number].eq((group[beat_bits:] == beat.group[beat_bits:])
                                 & pick(list(beat.mask), group)),
                waits[number].eq(wgt.lanes[number] & ~buffer.free),
                buffer.put.eq(stage.output.valid & stage.output.ready & wgt.lanes[number]),
                buffer.put_row.eq(pick([wgt.row[n].as_value() for n in range(cfg.wgt_beat_rows)],
                                       self._group(number, wgt.pattern))),
                buffer.put_addr.eq(wgt.addr),
                lane.write.eq(buffer.store), lane.write_row.eq(buffer.row),
                lane.addr.eq(buffer.addr), lane.read_en.eq(read_en),
                self.unstored[number].eq(buffer.full), self.stored[number].eq(buffer.store),
            ]
            server = number // cfg.group
            if server < cfg.int_lanes:
                # An integer lane that is held up asks for its row all the while, but reads it
                # only in the cycle that it goes on. Until then, the port is free.
                m.d.comb += [lane.read.eq(self.read[server][number % cfg.group]),
                             buffer.asked.eq(lane.read),
                             buffer.taken.eq(lane.read & read_en),
                             self.rows[number].eq(lane.read_row)]
                with m.If(buffer.taken):
                    m.d.comb += lane.addr.eq(self.addr[server])
        return m

    def _group(self, number, pattern):
        """The group that lives in this lane in rows of this pattern."""
        cfg = self.cfg
        home, position = divmod(number, cfg.groups)
        if cfg.homes == 1:
            return Const(position, cfg.group_bits)
        return pick([Const(position ^ cfg.home_position(each, home), cfg.group_bits)
                     for each in range(cfg.patterns)], pattern)
