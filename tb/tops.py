"""Bench tops: a block with just enough around it to stand on its own streams.

Only wiring; everything that computes is the RTL under test. Ports keep the block's own names.
"""

from amaranth.hdl import Module, Mux, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.array import HybridArray
from hdl.bus_axi import AxiMachine
from hdl.bus_wishbone import WishboneMachine
from hdl.column_bank import ColumnBank
from hdl.encoder import Encoder
from hdl.event_queue import EventQueue
from hdl.if_bank import IfBank
from hdl.integer_unit import IntegerUnit
from hdl.lane import SpikeLane
from hdl.machine import Machine
from hdl.payloads import (
    act_layout,
    fire_layout,
    prod_layout,
    psum_layout,
    row_layout,
    salient_layout,
    token_layout,
    train_layout,
    visit_layout,
    wgt_layout,
)
from hdl.recorder import Recorder
from hdl.salient_list import SalientList
from hdl.serial_top import SerialTop
from hdl.trains import Trains
from hdl.weight_bank import WeightBank
from spinteger.config import Config
from tb.loopback import AxiTop, WishboneTop


class EncoderTop(wiring.Component):
    """Encoder with event queues, recorder, train memory and salient lists; the bench reads them."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "act": In(stream.Signature(act_layout(cfg))),
            "open": In(2),
            "encoding": Out(2),
            "busy": Out(1),
            "ready": Out(data.ArrayLayout(cfg.token_bits + 1, 2)),
            "bad": Out(2),
            "full": Out(2),
            "read_buf": In(1),                  #: for all that is read
            "token": In(cfg.token_bits),
            "entry": Out(token_layout(cfg)),
            "addr": In(cfg.train_bits),
            "word": Out(train_layout(cfg)),
            "place": In(cfg.list_bits),
            "salients": Out(data.ArrayLayout(salient_layout(cfg), cfg.int_lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.encoder = encoder = Encoder(cfg)
        m.submodules.recorder = recorder = Recorder(cfg)
        m.submodules.trains = trains = Trains(cfg)
        wiring.connect(m, wiring.flipped(self.act), encoder.act)
        wiring.connect(m, encoder.coded, recorder.coded)
        for lane in range(cfg.rows):
            m.submodules[f"event_queue_{lane}"] = queue = EventQueue(cfg)
            m.d.comb += [
                queue.push.eq(encoder.push[lane]), queue.push_buf.eq(encoder.push_queue),
                queue.push_level.eq(encoder.offer[lane].level),
                queue.push_neg.eq(encoder.offer[lane].neg), queue.push_row.eq(encoder.push_row),
                encoder.fill[lane].eq(queue.fill), queue.move.eq(encoder.move),
                queue.load.eq(recorder.load), queue.load_buf.eq(recorder.load_queue),
                queue.load_level.eq(recorder.load_level), recorder.last[lane].eq(queue.last),
                recorder.valid[lane].eq(queue.valid), recorder.row[lane].eq(queue.row),
                recorder.neg[lane].eq(queue.neg),
            ]
        for number in range(cfg.int_lanes):
            m.submodules[f"salient_list_{number}"] = listed = SalientList(cfg)
            m.d.comb += [
                listed.write.eq(encoder.list[number]), listed.write_buf.eq(encoder.list_buf),
                listed.write_place.eq(encoder.list_place),
                listed.write_entry.eq(encoder.list_entry),
                listed.en.eq(1), listed.read.eq(1), listed.buf.eq(self.read_buf),
                listed.place.eq(self.place),
                self.salients[number].eq(listed.entry),
            ]
        m.d.comb += [
            encoder.open.eq(self.open), trains.open.eq(self.open),
            trains.word.eq(recorder.word), trains.word_valid.eq(recorder.word_valid),
            trains.token.eq(recorder.token), self.busy.eq(recorder.busy),
            self.encoding.eq(encoder.encoding), self.ready.eq(trains.ready),
            self.bad.eq(trains.bad), self.full.eq(trains.full),
            trains.en.eq(1), trains.buf.eq(self.read_buf), trains.addr.eq(self.addr),
            self.word.eq(trains.played),
            self.entry.eq(trains.entry[0].as_value() | trains.entry[1].as_value()),
        ]
        for ask in trains.ask:
            m.d.comb += [ask.en.eq(1), ask.buf.eq(self.read_buf), ask.token.eq(self.token)]
        return m


class ColumnTop(wiring.Component):
    """The column bank, fed by a stream of leaves.

    A `leaf` word is one cycle's events as they leave the lanes: codes, signs, and whether they
    complete a step. The finished V of all columns leave as a stream, with the labels of their
    tile's last leaf.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        leaf = data.StructLayout({
            "wgt": data.ArrayLayout(row_layout(cfg), cfg.rows), "neg": cfg.rows,
            "snap": 1, "dt": cfg.level_bits, "tile_end": 1, "fire": fire_layout(cfg)})
        self.leaf_layout = leaf
        super().__init__({
            "leaf": In(stream.Signature(leaf)),
            "prod": In(stream.Signature(prod_layout(cfg))),
            "psum": Out(stream.Signature(psum_layout(cfg))),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        leaf, valid = self.leaf.payload, self.leaf.valid
        m.submodules.columns = columns = ColumnBank(cfg)
        wiring.connect(m, wiring.flipped(self.prod), columns.prod)
        wiring.connect(m, columns.psum, wiring.flipped(self.psum))
        m.d.comb += [
            self.leaf.ready.eq(columns.en), columns.neg.eq(leaf.neg), columns.dt.eq(leaf.dt),
            columns.snap.eq(valid & leaf.snap), columns.tile_end.eq(leaf.tile_end),
            columns.fire.eq(leaf.fire),
        ]
        with m.If(columns.en):             # the codes follow signs and step, as in the lanes
            m.d.sync += [columns.wgt[lane].eq(Mux(valid, leaf.wgt[lane].as_value(), 0))
                         for lane in range(cfg.rows)]
        return m


class ReadyAhead(wiring.Component):
    """Takes a stream whose source is told a cycle ahead whether a word is taken; a few words
    deep, a word per cycle."""

    def __init__(self, shape):
        super().__init__({
            "input": In(stream.Signature(shape)),
            "ready_next": Out(1),
            "output": Out(stream.Signature(shape)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = SyncFIFOBuffered(
            width=Value.cast(self.input.payload).shape().width, depth=5)
        m.d.sync += self.input.ready.eq(self.ready_next)
        m.d.comb += [
            self.ready_next.eq(queue.level < 3),          # one is on its way, perhaps two
            queue.w_data.eq(self.input.payload), queue.w_en.eq(self.input.valid & self.input.ready),
            Value.cast(self.output.payload).eq(queue.r_data),
            self.output.valid.eq(queue.r_rdy), queue.r_en.eq(self.output.ready),
        ]
        return m


class IntegerTop(wiring.Component):
    """Integer unit with its salient lists and the lanes' banks; the bench writes the lists."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.visit_layout = data.StructLayout({"visit": visit_layout(cfg), "buf": 1})
        super().__init__({
            "visit": In(stream.Signature(self.visit_layout)),
            "prod": Out(stream.Signature(prod_layout(cfg))),
            "wgt": In(stream.Signature(wgt_layout(cfg))),
            "write": In(cfg.int_lanes),
            "write_buf": In(1),
            "write_place": In(cfg.list_bits),
            "write_entry": In(data.ArrayLayout(salient_layout(cfg), cfg.int_lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.integer_unit = unit = IntegerUnit(cfg)
        m.submodules.weight_bank = banks = WeightBank(cfg)
        m.submodules.ahead = ahead = ReadyAhead(self.prod.payload.shape())
        wiring.connect(m, unit.prod, ahead.input)
        wiring.connect(m, ahead.output, wiring.flipped(self.prod))
        wiring.connect(m, wiring.flipped(self.wgt), banks.wgt)
        m.d.comb += [
            unit.visit.valid.eq(self.visit.valid), self.visit.ready.eq(unit.visit.ready),
            unit.visit.payload.eq(self.visit.payload.visit), unit.buf.eq(self.visit.payload.buf),
            unit.prod_ready_next.eq(ahead.ready_next),
            banks.read_en_next.eq(unit.en_next), banks.read.eq(unit.read),
            banks.addr.eq(unit.addr), unit.rows.eq(banks.rows),
        ]
        for number in range(cfg.int_lanes):
            m.submodules[f"salient_list_{number}"] = listed = SalientList(cfg)
            m.d.comb += [
                listed.write.eq(self.write[number]), listed.write_buf.eq(self.write_buf),
                listed.write_place.eq(self.write_place),
                listed.write_entry.eq(self.write_entry[number]),
                listed.en.eq(unit.en), listed.read.eq(unit.place_read),
                listed.buf.eq(unit.place_buf),
                listed.place.eq(unit.place), unit.entry[number].eq(listed.entry),
            ]
        return m


#: Clock cycles per bit of the bench's serial line: as few as the receiver works with.
SERIAL_DIVISOR = 8


class SerialBenchTop(SerialTop):
    """The machine behind a UART that is fast for its clock, so that simulations are short."""

    def __init__(self, cfg: Config):
        super().__init__(cfg, clk_hz=SERIAL_DIVISOR, baud=1)


#: Bench name -> the component it drives.
TOPS: dict[str, type[wiring.Component]] = {
    "encoder": EncoderTop, "lane": SpikeLane, "column": ColumnTop, "integer_lane": IntegerTop,
    "if_bank": IfBank, "array": HybridArray,
    "axi": AxiTop, "wishbone": WishboneTop, "machine": Machine,
    "axi_machine": AxiMachine, "wishbone_machine": WishboneMachine,
    "serial_machine": SerialBenchTop,
}
