"""Front end: from beats on the data input to the array's streams, and from its words to beats."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.dispatcher import Dispatcher
from hdl.load_layout import map_step, placed
from hdl.loader import Loader
from hdl.output import Output
from hdl.packets import NUMBER_BITS, PacketReader, input_layout, output_layout
from hdl.payloads import act_layout, out_layout, run_layout, thr_layout, wgt_layout
from hdl.registers import error_layout, fence_layout
from hdl.stage import Stage
from spinteger.config import Config

#: Runs that wait for the array.
RUN_QUEUE = 4


class Frontend(wiring.Component):
    """Carries out packets in order; nothing that comes makes it hang.

    Loads take one beat per cycle. Back-pressure anywhere makes it wait. The array may have
    two runs in flight, and `RUN_QUEUE` more wait here while later packets load.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "input": In(stream.Signature(input_layout(cfg))),      #: packets
            "output": Out(stream.Signature(output_layout(cfg))),   #: results
            "wgt": Out(stream.Signature(wgt_layout(cfg))),     #: to the array: weight rows
            "wgt_held": In(1),                                 #: ... which wait on their way
            "thr": Out(stream.Signature(thr_layout(cfg))),     #: ... thresholds and scales
            "act": Out(stream.Signature(act_layout(cfg))),     #: ... whole tokens
            "run": Out(stream.Signature(run_layout(cfg))),     #: ... runs, checked
            "open": Out(2),                                    #: ... forget buffer 0, 1
            "words": In(stream.Signature(out_layout(cfg))),    #: from the array: its output
            "run_done": In(1),                #: ... the oldest run is complete
            "run_dropped": In(1),             #: ... it was abandoned
            "run_overflow": In(1),            #: ... one of its sums overflowed
            #: ... tokens of buffer 0, 1 are being encoded; up the cycle after their first word
            "encoding": In(2),
            "full": In(2),                    #: ... buffer 0, 1 overflowed, until it is opened
            "error": Out(error_layout()),   #: an error
            "fence": Out(fence_layout()),    #: a fence's word has left
            "packets": Out(NUMBER_BITS),      #: packets taken since reset
            "waiting": Out(8),                #: ... and not finished
            "busy": Out(1),                   #: there are any, or encoding, or words to send
            "loading_weights": Out(1),        #: weights, thresholds or scales load, or wait to
            "loading_acts": Out(1),           #: tokens load, or wait to
            "rows_loaded": Out(range(cfg.wgt_beat_rows + 1)),    #: weight rows that came
            "rows_skipped": Out(range(map_step(cfg) + 1)),    #: ... that a sparse load left out
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        m.submodules.reader = reader = PacketReader(cfg)
        m.submodules.dispatcher = dispatcher = Dispatcher(cfg)
        m.submodules.loader = loader = Loader(cfg)
        m.submodules.output = output = Output(cfg)

        # Runs queue up without what follows from their slot.
        slot = Signal(cfg.slot_bits)
        asked, run = Cat(dispatcher.load.slot, _kept(dispatcher.run.payload)), self.run.payload
        m.submodules.run_queue = runs = SyncFIFOBuffered(width=len(asked), depth=RUN_QUEUE)
        m.d.comb += [
            runs.w_data.eq(asked), runs.w_en.eq(dispatcher.run.valid),
            dispatcher.run.ready.eq(runs.w_rdy), Cat(slot, _kept(run)).eq(runs.r_data),
            run.base.eq(placed(cfg.slot_rows, slot, Const(0, cfg.addr_bits))),
            run.fire.index.eq(placed(cfg.tiles, slot, Const(0, len(run.fire.index)))),
            self.run.valid.eq(runs.r_rdy), runs.r_en.eq(self.run.ready),
        ]

        wiring.connect(m, wiring.flipped(self.input), reader.input)
        wiring.connect(m, reader.head, dispatcher.head)
        wiring.connect(m, reader.beats, loader.beats)
        for name in ("wgt", "thr", "act"):
            wiring.connect(m, getattr(loader, name), wiring.flipped(getattr(self, name)))
        wiring.connect(m, dispatcher.fence, output.fence)
        # What takes the output looks through to the IF bank no further than this.
        m.submodules.stage = stage = Stage(out_layout(cfg))
        wiring.connect(m, wiring.flipped(self.words), stage.input)
        wiring.connect(m, stage.output, output.words)
        wiring.connect(m, output.output, wiring.flipped(self.output))
        m.d.comb += [
            dispatcher.body.eq(reader.body), reader.drop.eq(dispatcher.drop),
            loader.load.eq(dispatcher.load), loader.start.eq(dispatcher.start),
            loader.empty.eq(dispatcher.empty), loader.wgt_held.eq(self.wgt_held),
            self.open.eq(dispatcher.open), dispatcher.run_done.eq(self.run_done),
            dispatcher.run_dropped.eq(self.run_dropped),
            dispatcher.run_overflow.eq(self.run_overflow),
            dispatcher.encoding.eq(self.encoding), dispatcher.full.eq(self.full),
            self.error.eq(dispatcher.error), self.fence.eq(output.passed),
            self.packets.eq(reader.packets), self.waiting.eq(dispatcher.waiting),
            self.loading_weights.eq(dispatcher.loading_weights),
            self.loading_acts.eq(dispatcher.loading_acts),
            self.rows_loaded.eq(loader.rows_loaded), self.rows_skipped.eq(loader.rows_skipped),
        ]
        m.d.sync += [dispatcher.loaded.eq(loader.done), dispatcher.load_error.eq(loader.error),
                     self.busy.eq(dispatcher.busy | output.busy | stage.output.valid)]
        return m


def _kept(run):
    """A run but for its place in the memories."""
    return Cat(*(run[name] for name, _ in run.shape() if name not in ("base", "fire")),
               *(run.fire[name] for name, _ in run.fire.shape() if name != "index"))
