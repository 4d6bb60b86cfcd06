"""The hybrid array: encoder, trains, spike lanes, columns, integer lanes and IF bank, wired up."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.act_arbiter import ActArbiter
from hdl.act_queue import ActQueue
from hdl.column_bank import ColumnBank
from hdl.encoder import Encoder
from hdl.event_queue import EventQueue
from hdl.if_bank import IfBank
from hdl.integer_unit import IntegerUnit
from hdl.lane import LANE_LATENCY
from hdl.payloads import (
    act_layout,
    activity_layout,
    fire_layout,
    out_layout,
    run_layout,
    thr_layout,
    wgt_layout,
)
from hdl.player import Player
from hdl.recorder import Recorder
from hdl.salient_list import SalientList
from hdl.trains import Trains
from hdl.walk import Walk
from hdl.weight_bank import WeightBank
from spinteger.config import Config


class HybridArray(wiring.Component):
    """R spike lanes x C columns with integer lanes beside them: matrix-vector products.

    Tokens are encoded once into one of two activation buffers. A run takes all tokens of a
    buffer through all tiles of a weight slot; results leave as output words, or as codes
    into the other buffer. Runs are executed in order, two in flight. Loading what a run in
    flight uses is the sender's mistake (the dispatcher never does).

    Cycles per token and tile, once the pipeline is full: the largest of
      - the token's train words (with extra ones where a time step is longer than its events);
      - the highest level + the longest salient list (at least 1), the time of V's adder;
      - C + 1, the IF bank's, and 3, the walk's.
    Encoding takes row_cycles * ceil(K/G) + L + 1 cycles per token, beside all that.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "wgt": In(stream.Signature(wgt_layout(cfg))),    #: weight rows to store
            "wgt_held": Out(1),               #: ... which are not in their lanes yet
            "thr": In(stream.Signature(thr_layout(cfg))),    #: thresholds and scales to store
            "act": In(stream.Signature(act_layout(cfg))),    #: tokens: a row of G codes per word
            "open": In(2),                    #: forget buffer 0, 1: it is filled anew
            "run": In(stream.Signature(run_layout(cfg))),    #: runs, checked
            "out": Out(stream.Signature(out_layout(cfg))),   #: output words
            "run_done": Out(1),               #: the oldest run is complete
            "run_dropped": Out(1),            #: ... it was abandoned, its buffer having failed
            "run_overflow": Out(1),           #: ... one of its sums overflowed
            "encoding": Out(2),               #: a token of buffer 0, 1 is being encoded
            "bad": Out(2),                    #: buffer gets no more tokens until `open`
            "full": Out(2),                   #: ... because one did not fit
            "activity": Out(activity_layout(cfg)),    #: for the counters
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.if_bank = if_bank = IfBank(cfg)
        m.submodules.trains = trains = Trains(cfg)
        lists = []
        for number in range(cfg.int_lanes):
            m.submodules[f"salient_list_{number}"] = salient_list = SalientList(cfg)
            lists.append(salient_list)
        encoder = self._encode(m, if_bank, trains, lists)
        m.submodules.weight_bank = banks = WeightBank(cfg)
        spike_walk, integer_walk, alive = self._runs(m, if_bank, trains, banks)

        # Spikes: train word -> weight rows -> columns.
        m.submodules.player = player = Player(cfg)
        m.submodules.column_bank = columns = ColumnBank(cfg)
        en = columns.en                        # every stage of the spike pipeline, or none, moves
        wiring.connect(m, spike_walk.visit, player.visit)
        wiring.connect(m, wiring.flipped(self.wgt), banks.wgt)
        m.d.comb += [
            player.en.eq(en), player.buf.eq(spike_walk.run.payload.buf),
            trains.en.eq(player.read), trains.buf.eq(player.read_buf),
            trains.addr.eq(player.addr), player.word.eq(trains.played),
            banks.en_next.eq(columns.en_next), banks.event.eq(player.event),
            banks.base.eq(player.base),
            columns.neg.eq(banks.neg), columns.wgt.eq(banks.codes),
        ]
        control = (player.snap, player.tile_end, player.dt, player.fire)
        for stage in range(LANE_LATENCY - 1):  # step control travels beside the signs
            here = (Signal(name=f"snap_{stage}"), Signal(name=f"tile_end_{stage}"),
                    Signal(cfg.level_bits, name=f"dt_{stage}"),
                    Signal(fire_layout(cfg), name=f"fire_{stage}"))
            with m.If(en):
                m.d.sync += [reg.eq(source) for reg, source in zip(here, control, strict=True)]
            control = here
        m.d.comb += [port.eq(value) for port, value in zip(
            (columns.snap, columns.tile_end, columns.dt, columns.fire), control, strict=True)]

        # Salient integers: list entry -> weight row -> products.
        m.submodules.integer_unit = unit = IntegerUnit(cfg)
        wiring.connect(m, integer_walk.visit, unit.visit)
        wiring.connect(m, unit.prod, columns.prod)
        m.d.comb += [unit.prod_ready_next.eq(columns.prod_ready_next),
                     self.wgt_held.eq(banks.held),
                     unit.buf.eq(integer_walk.run.payload.buf),
                     banks.read_en_next.eq(unit.en_next), banks.read.eq(unit.read),
                     banks.addr.eq(unit.addr), unit.rows.eq(banks.rows)]
        for number, salient_list in enumerate(lists):
            m.d.comb += [salient_list.en.eq(unit.en), salient_list.read.eq(unit.place_read),
                         salient_list.place.eq(unit.place),
                         salient_list.buf.eq(unit.place_buf),
                         unit.entry[number].eq(salient_list.entry)]

        wiring.connect(m, columns.psum, if_bank.psum)
        wiring.connect(m, wiring.flipped(self.thr), if_bank.thr)
        wiring.connect(m, if_bank.out, wiring.flipped(self.out))

        # Activity, two cycles late: time to count the events.
        activity = Signal(activity_layout(cfg))
        event_bits = [player.event[lane].valid & activity.play for lane in range(cfg.rows)]
        m.d.comb += [
            activity.play.eq(en & player.valid),
            activity.ramp.eq(columns.waits.ramp), activity.integer.eq(columns.waits.integer),
            activity.firing.eq(columns.waits.firing),
            activity.await_acts.eq(en & ~player.valid & spike_walk.waits),
            activity.draining.eq(en & ~player.valid & ~spike_walk.waits & alive.any()),
            activity.blocked.eq(self.out.valid & ~self.out.ready),
            activity.salients.eq(unit.entries),
            activity.silent.eq(encoder.silent), activity.spiking.eq(encoder.spiking),
            activity.salient_inputs.eq(encoder.salient), activity.token.eq(trains.recorded),
            activity.tile.eq(columns.psum.valid & columns.psum.ready
                             & ~columns.psum.payload.fire.drop),
        ]
        counts = []                     # of a few lanes each
        for first in range(0, cfg.rows, 4):
            few = event_bits[first:first + 4]
            counts.append(Signal(range(len(few) + 1), name=f"events_{first}"))
            m.d.sync += counts[-1].eq(sum(few[1:], few[0]))
        m.d.sync += self.activity.events.eq(sum(counts[1:], counts[0]))
        for name, _ in activity_layout(cfg):
            if name != "events":
                before = Signal.like(activity[name], name=f"before_{name}")
                m.d.sync += [before.eq(activity[name]), self.activity[name].eq(before)]
        return m

    def _encode(self, m, if_bank, trains, lists):
        """Tokens, loaded or chained, into trains and salient lists."""
        cfg = self.cfg
        m.submodules.act_queue = queue = ActQueue(cfg)
        m.submodules.act_arbiter = arbiter = ActArbiter(cfg)
        m.submodules.encoder = encoder = Encoder(cfg)
        m.submodules.recorder = recorder = Recorder(cfg)
        wiring.connect(m, wiring.flipped(self.act), queue.load)
        wiring.connect(m, queue.act, arbiter.load)
        wiring.connect(m, if_bank.act, arbiter.chain)
        wiring.connect(m, arbiter.act, encoder.act)
        wiring.connect(m, encoder.coded, recorder.coded)
        for number in range(cfg.rows):
            m.submodules[f"event_queue_{number}"] = events = EventQueue(cfg)
            m.d.comb += [
                events.push.eq(encoder.push[number]), events.push_buf.eq(encoder.push_queue),
                events.push_level.eq(encoder.offer[number].level),
                events.push_neg.eq(encoder.offer[number].neg),
                events.push_row.eq(encoder.push_row), encoder.fill[number].eq(events.fill),
                events.move.eq(encoder.move), events.load.eq(recorder.load),
                events.load_buf.eq(recorder.load_queue),
                events.load_level.eq(recorder.load_level),
                recorder.last[number].eq(events.last), recorder.valid[number].eq(events.valid),
                recorder.row[number].eq(events.row), recorder.neg[number].eq(events.neg),
            ]
        for number, salient_list in enumerate(lists):
            m.d.comb += [
                salient_list.write.eq(encoder.list[number]),
                salient_list.write_buf.eq(encoder.list_buf),
                salient_list.write_place.eq(encoder.list_place),
                salient_list.write_entry.eq(encoder.list_entry),
            ]
        m.d.comb += [
            encoder.open.eq(self.open), trains.open.eq(self.open),
            trains.word.eq(recorder.word), trains.word_valid.eq(recorder.word_valid),
            trains.token.eq(recorder.token), self.bad.eq(trains.bad), self.full.eq(trains.full),
            self.encoding.eq(queue.holds | encoder.encoding | trains.recording | Mux(
                recorder.word_valid, Cat(~recorder.token.buf, recorder.token.buf), 0)),
        ]
        return encoder

    def _runs(self, m, if_bank, trains, banks):
        """The two runs in flight; each walker and the IF bank work through them in order.

        A run is taken only when every weight row that came before it has reached its bank.
        """
        cfg = self.cfg
        runs = [Signal(run_layout(cfg), name=f"run_{slot}") for slot in range(2)]
        alive = Signal(2)                 # accepted and not complete
        newest = Signal()
        accept = Signal()
        seen = Signal()                   # `unstored` is what came before the run
        unstored = Signal(cfg.rows)
        m.d.comb += [self.run.ready.eq(seen & (unstored == 0) & ~alive.bit_select(newest, 1)),
                     accept.eq(self.run.valid & self.run.ready)]
        m.d.sync += [seen.eq(self.run.valid & ~accept),
                     unstored.eq(Mux(seen, unstored, banks.unstored) & ~banks.stored)]
        with m.If(accept):
            m.d.sync += newest.eq(~newest)
        walks = []
        for number, name in enumerate(("spike_walk", "integer_walk")):
            m.submodules[name] = walk = Walk(cfg)
            todo = Signal(2, name=f"{name}_todo")
            slot = Signal(name=f"{name}_slot")
            m.d.comb += [
                walk.run.valid.eq(todo.bit_select(slot, 1)), walk.slot.eq(slot),
                walk.run.payload.eq(Mux(slot, runs[1].as_value(), runs[0].as_value())),
                walk.ready.eq(trains.ready), walk.bad.eq(trains.bad),
                trains.ask[number].eq(walk.ask), walk.entry.eq(trains.entry[number]),
            ]
            with m.If(walk.run.valid & walk.run.ready):
                m.d.sync += [todo.bit_select(slot, 1).eq(0), slot.eq(~slot)]
            with m.If(accept):
                m.d.sync += todo.bit_select(newest, 1).eq(1)
            walks.append(walk)
        oldest = Signal()
        m.d.comb += [self.run_done.eq(if_bank.run_done), self.run_dropped.eq(if_bank.run_dropped),
                     self.run_overflow.eq(if_bank.run_overflow)]
        with m.If(if_bank.run_done):
            m.d.sync += [oldest.eq(~oldest), alive.bit_select(oldest, 1).eq(0)]
        for slot in range(2):
            m.d.comb += if_bank.settings[slot].eq(runs[slot].fire)
            with m.If(accept & (newest == slot)):
                m.d.sync += [runs[slot].eq(self.run.payload), alive[slot].eq(1)]
        return *walks, alive
