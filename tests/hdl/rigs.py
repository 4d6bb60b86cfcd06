"""Rigs: blocks wired up with their neighbours, as in the array, for tests of their own."""

from amaranth.hdl import Module

from hdl.encoder import Encoder
from hdl.event_queue import EventQueue
from hdl.recorder import Recorder
from hdl.trains import Trains
from spinteger.config import Config


def add_queues(m: Module, cfg: Config, encoder: Encoder) -> list[EventQueue]:
    """One event queue per lane, filled by the encoder; the caller wires up how they are popped."""
    queues = []
    for lane in range(cfg.rows):
        m.submodules[f"queue_{lane}"] = queue = EventQueue(cfg)
        m.d.comb += [
            queue.push.eq(encoder.push[lane]), queue.push_buf.eq(encoder.push_queue),
            queue.push_level.eq(encoder.offer[lane].level),
            queue.push_neg.eq(encoder.offer[lane].neg), queue.push_row.eq(encoder.push_row),
            encoder.fill[lane].eq(queue.fill), queue.move.eq(encoder.move),
        ]
        queues.append(queue)
    return queues


class EncoderRig:
    """Encoder and event queues, which nobody pops."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.module = m = Module()
        m.submodules.encoder = self.encoder = encoder = Encoder(cfg)
        add_queues(m, cfg, encoder)


class EncodeRig:
    """Encoder, event queues, recorder and train memory: codes in, trains and lists out."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.module = m = Module()
        m.submodules.encoder = self.encoder = encoder = Encoder(cfg)
        m.submodules.recorder = self.recorder = recorder = Recorder(cfg)
        m.submodules.trains = self.trains = trains = Trains(cfg)
        for lane, queue in enumerate(add_queues(m, cfg, encoder)):
            m.d.comb += [
                queue.load.eq(recorder.load),
                queue.load_buf.eq(recorder.load_queue), queue.load_level.eq(recorder.load_level),
                recorder.last[lane].eq(queue.last), recorder.valid[lane].eq(queue.valid),
                recorder.row[lane].eq(queue.row), recorder.neg[lane].eq(queue.neg),
            ]
        m.d.comb += [
            recorder.coded.valid.eq(encoder.coded.valid),
            encoder.coded.ready.eq(recorder.coded.ready),
            recorder.coded.payload.eq(encoder.coded.payload),
            trains.word.eq(recorder.word), trains.word_valid.eq(recorder.word_valid),
            trains.token.eq(recorder.token),
        ]
