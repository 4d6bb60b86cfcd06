"""Act queue: rows of codes that wait for the encoder, so that the bus can bring something else."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.payloads import act_layout
from spinteger.config import Config


class ActQueue(wiring.Component):
    """A queue of `act_queue` rows between the loader and the encoder.

    The encoder takes several cycles for what the bus brings in one. Without a queue the bus, and
    with it the RUN behind the tokens and the weights of the next layer, would wait for it.

    Latency 2 cycles, one row per cycle. `holds` is exact once its rows have been in for two
    cycles, and may name both buffers before.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "load": In(stream.Signature(act_layout(cfg))),    #: from the loader
            "act": Out(stream.Signature(act_layout(cfg))),    #: to the encoder
            "holds": Out(2),                                  #: rows of buffer 0, 1 are inside
        })

    def elaborate(self, platform):
        m = Module()
        load, act = self.load, self.act
        m.submodules.queue = queue = SyncFIFOBuffered(width=load.payload.shape().size,
                                                      depth=self.cfg.act_queue)
        m.d.comb += [
            queue.w_data.eq(load.payload), queue.w_en.eq(load.valid), load.ready.eq(queue.w_rdy),
            act.payload.eq(queue.r_data), act.valid.eq(queue.r_rdy), queue.r_en.eq(act.ready),
        ]
        # A buffer is not filled again before its rows have left, so what is inside belongs to
        # the first row's buffer, then to the last one's.
        newest = Signal()
        with m.If(load.valid & load.ready):
            m.d.sync += newest.eq(load.payload.buf)
        m.d.comb += self.holds.eq(Mux(queue.level == 0, 0, Mux(
            act.valid, _one_hot(act.payload.buf) | _one_hot(newest), 0b11)))
        return m


def _one_hot(buf):
    return Cat(~buf, buf)
