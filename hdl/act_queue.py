"""Act queue: rows of codes that wait for the encoder, so that the bus can bring something else."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.payloads import act_layout
from spinteger.config import Config


class ActQueue(wiring.Component):
    """A queue of `act_queue` rows between the loader and the encoder.

    The encoder takes several cycles for what the bus brings in one. Without a queue the bus, and
    with it the RUN behind the tokens and the weights of the next layer, would wait for it.

    Takes a row per cycle and gives one every second, as fast as the encoder. Latency 3 cycles.
    `holds` names a buffer until some cycles after its last row left.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "load": In(stream.Signature(act_layout(cfg))),    #: from the loader
            "act": Out(stream.Signature(act_layout(cfg))),    #: to the encoder
            "holds": Out(2),              #: rows of buffer 0, 1 are inside, or just were
        })

    def elaborate(self, platform):
        m = Module()
        load, act = self.load, self.act
        m.submodules.queue = queue = SyncFIFOBuffered(width=load.payload.shape().size,
                                                      depth=self.cfg.act_queue)
        m.d.comb += [
            queue.w_data.eq(load.payload), queue.w_en.eq(load.valid), load.ready.eq(queue.w_rdy),
            queue.r_en.eq(~act.valid),
        ]
        # A register: the memory answers late in a cycle. It is filled only when it is empty.
        with m.If(act.valid & act.ready):
            m.d.sync += act.valid.eq(0)
        with m.If(queue.r_en):
            m.d.sync += [act.valid.eq(queue.r_rdy), Value.cast(act.payload).eq(queue.r_data)]

        # A buffer is not filled again before its rows have left, so what is inside belongs to
        # the first row's buffer, then to the last one's.
        newest = Signal()
        some = Signal()
        m.d.comb += some.eq(act.valid | (queue.level != 0))
        for buf in range(2):
            with m.If(load.valid & load.ready & (load.payload.buf == buf)):
                m.d.sync += [newest.eq(buf), self.holds[buf].eq(1)]
            with m.Elif(~some | (act.valid & (act.payload.buf != buf) & (newest != buf))):
                m.d.sync += self.holds[buf].eq(0)
        return m
