"""Dispatcher: carries out packets one after the other, once what they need is free."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.buffer_state import BufferState
from hdl.checks import Checks
from hdl.descriptors import Decoder
from hdl.load_layout import load_layout
from hdl.multiply import times
from hdl.output import TAG_BITS
from hdl.packets import NUMBER_BITS, head_layout
from hdl.payloads import index_bits, run_layout
from hdl.registers import error_layout
from hdl.run_log import RUNS, RunLog
from hdl.sizes import Sizes
from hdl.slot_state import SlotState
from spinteger.config import Config
from spinteger.isa import Error

_CODE_BITS = max(Error).bit_length()


class Dispatcher(wiring.Component):
    """Checks a packet, waits until its slot and buffer are free, then starts it.

    Runs are handed on, and go on while later packets load; a load holds up what comes after it,
    and a fence waits for all that came before. A packet that fails is swallowed to its last
    beat and reported; so are runs that end badly, and buffers that overflow. An error never
    gets lost: each source waits for its turn.

    A descriptor starts 20 cycles after it was offered at the earliest, and one more per bit of a
    number of tiles past three. A load or run that leaves sizes to check later packets against
    holds them up for 8 cycles after its start.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "head": In(stream.Signature(head_layout())),     #: from the packet reader
            "body": In(1),                                   #: ... there are beats to come
            "drop": Out(1),                                  #: ... which are not wanted
            "load": Out(load_layout(cfg)),                   #: to the loader: what to load
            "start": Out(1),                                 #: ... now
            "empty": Out(1),                                 #: ... from a packet without payload
            "loaded": In(1),                                 #: it has ended
            "load_error": In(8),                             #: ... so
            "fence": Out(stream.Signature(TAG_BITS)),        #: to the output: a fence's tag
            "run": Out(stream.Signature(run_layout(cfg))),   #: to the array: runs
            "open": Out(2),                                  #: ... forget buffer 0, 1
            "run_done": In(1),                               #: the oldest run is complete
            "run_dropped": In(1),                            #: ... it was abandoned
            "run_overflow": In(1),                           #: ... a sum overflowed
            "encoding": In(2),                               #: tokens of buffer 0, 1 are encoded
            "full": In(2),                                   #: buffer 0, 1 overflowed
            "error": Out(error_layout()),                #: an error
            "waiting": Out(8),                               #: packets taken and not finished
            "busy": Out(1),                                  #: there are any, or tokens to encode
            "loading_weights": Out(1),                       #: weights, thresholds, scales wait
            "loading_acts": Out(1),                          #: tokens wait, or load
        })

    def elaborate(self, platform):
        m = Module()
        cfg, head = self.cfg, self.head.payload
        m.submodules.decoder = decoder = Decoder()
        m.submodules.checks = checks = Checks(cfg)
        m.submodules.sizes = sizes = Sizes(cfg)
        m.submodules.slots = slots = SlotState(cfg)
        m.submodules.buffer_state = buffers = BufferState(cfg)
        m.submodules.log = log = RunLog(cfg)
        command, op = decoder.command, decoder.command.op
        sums_kept = Signal()
        loads_slot = op.load_wgt | op.load_thr | op.load_scale
        loads = loads_slot | op.load_act
        buf = Signal()                   # the buffer that a load or run fills
        begin = Signal()                 # the packet takes effect: nothing holds it up
        good = Signal()                  # its load was successful
        stored = Signal()                # ... or what it leaves is written down
        keep = Cat(op.load_wgt, op.load_act | (op.run & command.chain), op.run & ~command.acc_last)
        m.d.comb += [
            decoder.descriptor.eq(head.descriptor), decoder.above.eq(head.above),
            self.empty.eq(head.last), buf.eq(Mux(op.run, command.chain_buf, command.buf)),
            checks.command.eq(command), checks.reserved.eq(decoder.reserved),
            checks.slot.eq(slots.entry), checks.loaded.eq(buffers.loaded),
            checks.chain.eq(buffers.open_chain), checks.sums_kept.eq(sums_kept),
            checks.differ.eq(sizes.differ), sizes.start.eq(checks.start),
            sizes.keep.eq(keep), sizes.slot.eq(command.slot), sizes.buf.eq(command.buf),
            sizes.fill.eq(buf), sizes.rows.eq(command.rows), sizes.tiles.eq(command.tiles),
            sizes.tokens.eq(command.tokens), sizes.chains.eq(op.run),
            slots.slot.eq(command.slot), slots.wgt.eq(op.load_wgt), slots.thr.eq(op.load_thr),
            slots.scale.eq(op.load_scale), slots.start.eq(begin & loads_slot),
            slots.good.eq(good & loads_slot),
            buffers.buf.eq(buf), buffers.load.eq(begin & op.load_act),
            buffers.good.eq(good & op.load_act), buffers.last.eq(command.chain_last),
            buffers.chain.eq(stored & op.run & command.chain),
            buffers.tiles.eq(command.tiles), buffers.full.eq(self.full),
            log.accept.eq(begin & op.run), log.use.slot.eq(command.slot),
            log.use.bufs.eq(Cat(~command.buf, command.buf) | Mux(
                command.chain, Cat(~command.chain_buf, command.chain_buf), 0)),
            log.run_done.eq(self.run_done), log.run_dropped.eq(self.run_dropped),
            log.run_overflow.eq(self.run_overflow),
        ]
        with m.If(begin & op.run & ~command.acc_last):
            m.d.sync += sums_kept.eq(1)
        with m.Elif(begin & op.run & ~command.acc_first):
            m.d.sync += sums_kept.eq(0)

        # Hazards. A token that waits for its chain's next run is being encoded, too.
        opens = op.load_act | (op.run & command.chain & command.chain_first)
        opened = Mux(buf, 0b10, 0b01)
        # Half a token keeps others out of the encoder, so none may wait that its chain needs.
        splits = command.chain & command.chain_first & ~command.chain_last
        half = Mux(buffers.open_chain.open, Mux(buffers.open_chain.buf, 0b10, 0b01), 0)
        encoding = Signal(2)
        waits = Signal()
        m.d.comb += encoding.eq(self.encoding & ~half)
        free = Signal(4)                 # what holds the packet up no more, two cycles ago ...
        # ... nothing does, and nothing can have changed that.
        m.d.sync += [
            free.eq(Cat(~(loads_slot & log.slots.bit_select(command.slot, 1)),
                        ~(opens & ((log.bufs | self.encoding | buffers.pending) & opened).any())
                        & ~(op.run & splits & encoding.any()),
                        ~(op.run & ~log.room),
                        ~(op.fence & (log.some | encoding.any() | buffers.pending.any())))
                    & waits.replicate(4)),
            begin.eq(free.all() & waits & ~begin),
        ]

        code = Signal(_CODE_BITS)        # why the packet failed
        taken = Signal()
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += code.eq(head.error)
                with m.If(self.head.valid):
                    m.next = "START"
            with m.State("START"):
                m.d.comb += checks.start.eq(1)
                m.next = "CHECK"
                with m.If(code != Error.NONE):
                    m.next = "FAIL"
            with m.State("CHECK"):
                with m.If(~checks.busy):
                    m.next = "WAIT"
                    with m.If(checks.error != Error.NONE):
                        m.d.sync += code.eq(checks.error)
                        m.next = "FAIL"
                    with m.Elif(~loads & ~self.empty):
                        m.d.sync += code.eq(Error.TLAST_LATE)
                        m.next = "FAIL"
            with m.State("WAIT"):
                m.d.comb += waits.eq(1)
                with m.If(begin):
                    m.next = "OFFER"
                    with m.If(loads):
                        m.next = "LOAD"
            with m.State("OFFER"):
                m.d.comb += [self.run.valid.eq(op.run), self.fence.valid.eq(op.fence)]
                with m.If((op.run & self.run.ready) | (op.fence & self.fence.ready)):
                    m.next = "STORE"
            with m.State("LOAD"):
                m.d.comb += good.eq(self.loaded & (self.load_error == Error.NONE))
                m.d.sync += code.eq(self.load_error)
                with m.If(good):
                    m.next = "STORE"
                with m.Elif(self.loaded):
                    m.next = "FAIL"
            with m.State("STORE"):
                with m.If(~sizes.busy):
                    m.d.comb += stored.eq(1)
                    m.next = "NEXT"
            with m.State("FAIL"):        # reported, and swallowed
                with m.If(taken):
                    m.d.sync += code.eq(Error.NONE)
                with m.If((code == Error.NONE) & ~self.body & ~sizes.busy):
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.comb += self.head.ready.eq(1)
                m.next = "IDLE"
        m.d.comb += [
            self.start.eq(begin & loads),
            self.open.eq(Mux(begin & opens, opened, 0)), sizes.store.eq(begin & keep.any()),
        ]
        m.d.sync += [self.drop.eq(fsm.ongoing("FAIL")),
                     sizes.chained.eq(buffers.chained), self.waiting.eq(log.count + (
                         ~fsm.ongoing("IDLE") & ~(fsm.ongoing("OFFER") & op.run)))]
        going = waits | fsm.ongoing("LOAD")
        m.d.comb += [
            self.busy.eq(log.some | ~fsm.ongoing("IDLE") | encoding.any()),
            self.loading_weights.eq(going & loads_slot), self.loading_acts.eq(going & op.load_act),
        ]
        self._start(m, command)

        # Errors, one per cycle; the packet's own waits longest. Their packets' numbers are in one
        # memory: this one's, those of the runs, and of the packets that began to fill buffers.
        m.submodules.numbers = numbers = Memory(shape=NUMBER_BITS, depth=2 * RUNS, init=[])
        write, read = numbers.write_port(), numbers.read_port(domain="comb")
        own = Const(RUNS + 2, len(write.addr))
        fills = Signal()                 # a run has begun to fill a buffer
        m.d.sync += fills.eq(begin & op.run & opens)
        m.d.comb += [
            write.data.eq(head.number), write.en.eq(fsm.ongoing("START") | fills
                                                         | (begin & (op.run | op.load_act))),
            write.addr.eq(Mux(fsm.ongoing("START"), own, Mux(op.run & begin, log.place,
                                                             Cat(buf, Const(RUNS >> 1))))),
            taken.eq(fsm.ongoing("FAIL") & (code != Error.NONE) & ~log.error.valid
                     & ~buffers.pending.any()),
            buffers.reported.eq(buffers.pending.any() & ~log.error.valid),
            log.error.ready.eq(1), self.error.number.eq(read.data),
            self.error.valid.eq(log.error.valid | buffers.reported | taken),
        ]
        with m.If(log.error.valid):
            m.d.comb += [read.addr.eq(log.error_place), self.error.code.eq(log.error.payload)]
        with m.Elif(buffers.reported):
            m.d.comb += [read.addr.eq(Cat(buffers.which, Const(RUNS >> 1))),
                         self.error.code.eq(Error.TRAIN_FULL)]
        with m.Else():
            m.d.comb += [read.addr.eq(own), self.error.code.eq(code)]
        return m

    def _start(self, m, command):
        """The command in the words of loader, array and output."""
        cfg, op, load, run = self.cfg, command.op, self.load, self.run.payload
        base = Signal(cfg.addr_bits)
        index = Signal(index_bits(cfg))
        m.d.comb += [
            base.eq(times(command.slot, cfg.slot_rows)), index.eq(times(command.slot, cfg.tiles)),
            load.op.wgt.eq(op.load_wgt), load.op.thr.eq(op.load_thr),
            load.op.scale.eq(op.load_scale), load.op.act.eq(op.load_act),
            load.slot.eq(command.slot), load.rows.eq(command.rows),
            load.tiles.eq(command.tiles), load.sparse.eq(command.sparse),
            load.buf.eq(command.buf), load.tokens.eq(command.tokens),
            run.buf.eq(command.buf), run.token_last.eq(command.tokens - 1), run.base.eq(base),
            run.stride.eq(command.rows), run.tile_last.eq(command.tiles - 1),
            run.fire.index.eq(index), self.fence.payload.eq(command.tag),
        ]
        m.d.comb += [run.fire[name].eq(command[name]) for name, _ in run.fire.shape()
                     if name != "index"]
