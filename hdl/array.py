"""The hybrid array: encoder, spike lanes, columns, integer lanes and IF bank, wired together."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.column_bank import ColumnBank
from hdl.encoder import Encoder
from hdl.event_queue import EventQueue
from hdl.if_bank import IfBank
from hdl.integer_unit import IntegerUnit
from hdl.lane import LANE_LATENCY, SpikeLane
from hdl.payloads import (
    act_layout,
    fire_layout,
    out_layout,
    run_layout,
    thr_layout,
    wgt_layout,
)
from hdl.salient_queue import SalientQueue
from hdl.sequencer import Sequencer
from spinteger.config import Config


class HybridArray(wiring.Component):
    """R spike lanes x C columns with integer lanes beside them: one matrix-vector product.

    Load weight rows (`wgt`) and thresholds (`thr`), then send tokens (`act`); for each token
    and column tile the output brings spikes in time order and salient integers, or raw V,
    ended by an END word. Weights stay until overwritten; a weight row waits while the integer
    lanes read. Writing rows or thresholds that a running token uses is the sender's mistake.

    Cycles per token and tile, once the pipeline is full: the largest of
      - the sum over time steps with events of max(events of the fullest lane, time steps since
        the step before), the spike lanes' time;
      - the highest level + the longest salient list (at least 1), the time of V's adder;
      - C + 1, the IF bank's;
      - and once per token, not tile, ceil(K/R) + 1, the encoder's.
    A lone first tile takes 9 + ceil(log2 R) + C cycles more, from last code in to END, raw.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "wgt": In(stream.Signature(wgt_layout(cfg))),    #: weight rows to store
            "thr": In(stream.Signature(thr_layout(cfg))),    #: thresholds to store
            "act": In(stream.Signature(act_layout(cfg))),    #: tokens: R codes per word
            "run": In(run_layout(cfg)),       #: how to run a token; sampled with its last word
            "out": Out(stream.Signature(out_layout(cfg))),   #: output words
            "overflow": Out(1),               #: a token was longer than K; sticky until reset
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        en = Signal()                          # spike pipeline: every stage, or none, moves

        m.submodules.encoder = encoder = Encoder(cfg)
        wiring.connect(m, wiring.flipped(self.act), encoder.act)
        m.d.comb += [encoder.run.eq(self.run), self.overflow.eq(encoder.overflow)]
        m.submodules.sequencer = sequencer = Sequencer(cfg)
        wiring.connect(m, encoder.token, sequencer.token)
        m.d.comb += [sequencer.en.eq(en), encoder.spikes_done.eq(sequencer.done)]

        # Spike lanes: event queue, then weight bank.
        queues, lanes = [], []
        for number in range(cfg.rows):
            m.submodules[f"event_queue_{number}"] = queue = EventQueue(cfg)
            m.submodules[f"lane_{number}"] = lane = SpikeLane(cfg)
            push = encoder.push[number]
            m.d.comb += [
                queue.push.eq(push.valid), queue.push_level.eq(push.level),
                queue.push_neg.eq(push.neg), queue.push_row.eq(encoder.push_row),
                queue.push_buf.eq(encoder.push_buf), queue.forget.eq(sequencer.done),
                queue.en.eq(en), queue.load.eq(sequencer.load),
                queue.load_buf.eq(sequencer.load_buf), queue.load_level.eq(sequencer.load_level),
                lane.en.eq(en), lane.valid.eq(queue.valid), lane.row.eq(queue.row),
                lane.neg.eq(queue.neg), lane.base.eq(sequencer.base),
            ]
            queues.append(queue)
            lanes.append(lane)
        m.d.comb += sequencer.lanes_last.eq(Cat(queue.last for queue in queues).all())

        # Step control travels beside the events, from a step's last pop to its weight rows.
        step = sequencer.step
        control = (sequencer.snap, step.tile_end, step.dt, step.fire)
        for stage in range(1 + LANE_LATENCY):
            here = (Signal(name=f"snap_{stage}"), Signal(name=f"tile_end_{stage}"),
                    Signal(cfg.level_bits, name=f"dt_{stage}"),
                    Signal(fire_layout(cfg), name=f"fire_{stage}"))
            with m.If(en):
                m.d.sync += [reg.eq(source) for reg, source in zip(here, control, strict=True)]
            control = here

        m.submodules.column_bank = columns = ColumnBank(cfg)
        integer_unit = self._integer_lanes(m, encoder, lanes)
        wiring.connect(m, integer_unit.prod, columns.prod)
        m.d.comb += [en.eq(columns.en), columns.neg.eq(Cat(lane.wgt_neg for lane in lanes))]
        m.d.comb += [columns.wgt[number].eq(lane.wgt) for number, lane in enumerate(lanes)]
        m.d.comb += [port.eq(value) for port, value in zip(
            (columns.snap, columns.tile_end, columns.dt, columns.fire), control, strict=True)]

        m.submodules.if_bank = if_bank = IfBank(cfg)
        wiring.connect(m, columns.psum, if_bank.psum)
        wiring.connect(m, wiring.flipped(self.thr), if_bank.thr)
        wiring.connect(m, if_bank.out, wiring.flipped(self.out))
        return m

    def _integer_lanes(self, m, encoder, lanes):
        """The integer unit with its lists, and the banks' second ports, shared with loading."""
        cfg = self.cfg
        m.submodules.integer_unit = unit = IntegerUnit(cfg)
        wiring.connect(m, encoder.salients, unit.token)
        for group in range(cfg.int_lanes):
            m.submodules[f"salient_queue_{group}"] = queue = SalientQueue(cfg)
            m.d.comb += [
                queue.push.eq(encoder.push_salient[group].valid),
                queue.push_data.eq(encoder.push_salient[group].entry),
                queue.push_buf.eq(encoder.push_buf), queue.forget.eq(encoder.forget_salients),
                queue.count_buf.eq(encoder.count_buf), encoder.count[group].eq(queue.count),
                queue.en.eq(unit.index_en), queue.buf.eq(unit.token.payload.buf),
                queue.index.eq(unit.index), unit.entry[group].eq(queue.entry),
            ]
        wgt = self.wgt.payload
        m.d.comb += self.wgt.ready.eq(unit.read == 0)
        for number, lane in enumerate(lanes):
            write = Signal(name=f"write_{number}")
            m.d.comb += [
                write.eq(self.wgt.valid & self.wgt.ready & (wgt.lane == number)),
                lane.write.eq(write), lane.write_row.eq(wgt.row),
                lane.read.eq(unit.read[number]),
                unit.rows[number].eq(lane.read_row),
                lane.addr.eq(unit.addr[number // cfg.group]),
            ]
            with m.If(write):
                m.d.comb += lane.addr.eq(wgt.addr)
        return unit
