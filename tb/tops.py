"""Bench tops: a block with just enough around it to stand on its own streams.

Only wiring; everything that computes is the RTL under test. Ports keep the block's own names.
"""

from amaranth.hdl import Module, Mux, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.array import HybridArray
from hdl.column_bank import ColumnBank
from hdl.encoder import Encoder
from hdl.event_queue import EventQueue
from hdl.if_bank import IfBank
from hdl.integer_unit import IntegerUnit
from hdl.lane import SpikeLane
from hdl.machine import Machine
from hdl.payloads import (
    act_layout,
    prod_layout,
    row_layout,
    run_layout,
    salient_layout,
    salients_layout,
    token_layout,
    wgt_layout,
)
from hdl.salient_queue import SalientQueue
from spinteger.config import Config
from tb.loopback import AxiTop, WishboneTop


class EncoderTop(wiring.Component):
    """Encoder with all its event queues and salient lists; the bench pops them."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "act": In(stream.Signature(act_layout(cfg))),
            "run": In(run_layout(cfg)),
            "token": Out(stream.Signature(token_layout(cfg))),
            "salients": Out(stream.Signature(salients_layout(cfg))),
            "spikes_done": In(2),
            "overflow": Out(1),
            "en": In(1),
            "load": In(1),
            "load_buf": In(1),
            "load_level": In(cfg.level_bits),
            "last": Out(cfg.rows),
            "valid": Out(cfg.rows),
            "neg": Out(cfg.rows),
            "row": Out(data.ArrayLayout(cfg.row_bits, cfg.rows)),
            "index": In(max(1, (cfg.salient_depth - 1).bit_length())),
            "index_buf": In(1),
            "entry": Out(data.ArrayLayout(salient_layout(cfg), cfg.int_lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.encoder = encoder = Encoder(cfg)
        wiring.connect(m, wiring.flipped(self.act), encoder.act)
        wiring.connect(m, encoder.token, wiring.flipped(self.token))
        wiring.connect(m, encoder.salients, wiring.flipped(self.salients))
        m.d.comb += [encoder.run.eq(self.run), encoder.spikes_done.eq(self.spikes_done),
                     self.overflow.eq(encoder.overflow)]
        for lane in range(cfg.rows):
            m.submodules[f"event_queue_{lane}"] = queue = EventQueue(cfg)
            push = encoder.push[lane]
            m.d.comb += [
                queue.push.eq(push.valid), queue.push_level.eq(push.level),
                queue.push_neg.eq(push.neg), queue.push_row.eq(encoder.push_row),
                queue.push_buf.eq(encoder.push_buf), queue.forget.eq(self.spikes_done),
                queue.en.eq(self.en), queue.load.eq(self.load),
                queue.load_buf.eq(self.load_buf), queue.load_level.eq(self.load_level),
                self.last[lane].eq(queue.last), self.valid[lane].eq(queue.valid),
                self.neg[lane].eq(queue.neg), self.row[lane].eq(queue.row),
            ]
        for group in range(cfg.int_lanes):
            m.submodules[f"salient_queue_{group}"] = listed = SalientQueue(cfg)
            m.d.comb += [
                listed.push.eq(encoder.push_salient[group].valid),
                listed.push_data.eq(encoder.push_salient[group].entry),
                listed.push_buf.eq(encoder.push_buf), listed.forget.eq(encoder.forget_salients),
                listed.count_buf.eq(encoder.count_buf), encoder.count[group].eq(listed.count),
                listed.en.eq(1), listed.buf.eq(self.index_buf), listed.index.eq(self.index),
                self.entry[group].eq(listed.entry),
            ]
        return m


class ColumnTop(wiring.Component):
    """The column bank, fed by a stream of leaves.

    A `leaf` word is one cycle's events as they leave the lanes: codes, signs, and whether they
    complete a step. The finished V of all columns leave as a stream.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        leaf = data.StructLayout({
            "wgt": data.ArrayLayout(row_layout(cfg), cfg.rows), "neg": cfg.rows,
            "snap": 1, "dt": cfg.level_bits, "tile_end": 1})
        self.leaf_layout = leaf
        super().__init__({
            "leaf": In(stream.Signature(leaf)),
            "prod": In(stream.Signature(prod_layout(cfg))),
            "v": Out(stream.Signature(data.ArrayLayout(signed(cfg.v_bits), cfg.cols))),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        leaf, valid = self.leaf.payload, self.leaf.valid
        m.submodules.columns = columns = ColumnBank(cfg)
        wiring.connect(m, wiring.flipped(self.prod), columns.prod)
        m.d.comb += [
            self.leaf.ready.eq(columns.en), columns.neg.eq(leaf.neg), columns.dt.eq(leaf.dt),
            columns.snap.eq(valid & leaf.snap), columns.tile_end.eq(leaf.tile_end),
            self.v.valid.eq(columns.psum.valid), columns.psum.ready.eq(self.v.ready),
            self.v.payload.eq(columns.psum.payload.v),
        ]
        m.d.comb += [columns.wgt[lane].eq(Mux(valid, leaf.wgt[lane].as_value(), 0))
                     for lane in range(cfg.rows)]
        return m


class IntegerTop(wiring.Component):
    """Integer unit with its salient lists and the lanes' banks."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "token": In(stream.Signature(salients_layout(cfg))),
            "prod": Out(stream.Signature(prod_layout(cfg))),
            "wgt": In(stream.Signature(wgt_layout(cfg))),
            "push": In(cfg.int_lanes),
            "push_buf": In(1),
            "push_data": In(data.ArrayLayout(salient_layout(cfg), cfg.int_lanes)),
            "forget": In(2),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.integer_unit = unit = IntegerUnit(cfg)
        wiring.connect(m, wiring.flipped(self.token), unit.token)
        wiring.connect(m, unit.prod, wiring.flipped(self.prod))
        for group in range(cfg.int_lanes):
            m.submodules[f"salient_queue_{group}"] = queue = SalientQueue(cfg)
            m.d.comb += [
                queue.push.eq(self.push[group]), queue.push_buf.eq(self.push_buf),
                queue.push_data.eq(self.push_data[group]), queue.forget.eq(self.forget),
                queue.en.eq(unit.index_en), queue.buf.eq(unit.token.payload.buf),
                queue.index.eq(unit.index), unit.entry[group].eq(queue.entry),
            ]
        m.d.comb += self.wgt.ready.eq(unit.read == 0)
        for number in range(cfg.rows):
            m.submodules[f"lane_{number}"] = lane = SpikeLane(cfg)
            write = self.wgt.valid & self.wgt.ready & (self.wgt.payload.lane == number)
            m.d.comb += [
                lane.write.eq(write), lane.write_row.eq(self.wgt.payload.row),
                lane.read.eq(unit.read[number]), unit.rows[number].eq(lane.read_row),
                lane.addr.eq(unit.addr[number // cfg.group]),
            ]
            with m.If(write):
                m.d.comb += lane.addr.eq(self.wgt.payload.addr)
        return m


#: Bench name -> the component it drives.
TOPS: dict[str, type[wiring.Component]] = {
    "encoder": EncoderTop, "lane": SpikeLane, "column": ColumnTop, "integer_lane": IntegerTop,
    "if_bank": IfBank, "array": HybridArray, "layer": HybridArray,
    "axi": AxiTop, "wishbone": WishboneTop, "machine": Machine,
}
