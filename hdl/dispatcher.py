"""Dispatcher: carries out packets one after the other, once what they need is free."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.buffer_state import BufferState
from hdl.checks import Checks, sums_layout
from hdl.descriptors import Decoder, command_layout
from hdl.load_layout import load_layout
from hdl.multiply import times
from hdl.output import TAG_BITS
from hdl.packets import NUMBER_BITS, failure_layout, head_layout
from hdl.payloads import run_layout
from hdl.registers import error_layout
from hdl.run_log import RunLog
from hdl.slot_state import SlotState
from spinteger.config import Config
from spinteger.isa import Error


class Dispatcher(wiring.Component):
    """Checks a packet, waits until its slot and buffer are free, then starts it.

    Runs are handed on, and go on while later packets load; a load holds up what comes after it,
    and a fence waits for all that came before. A packet that fails is swallowed to its last
    beat and reported; so are runs that end badly, and buffers that overflow. An error never
    gets lost: each source waits for its turn.

    Takes 3 cycles from a descriptor to its start, and one per bit of a number of tiles.
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
        cfg = self.cfg
        m.submodules.decoder = decoder = Decoder()
        m.submodules.checks = checks = Checks(cfg)
        m.submodules.slots = slots = SlotState(cfg)
        m.submodules.buffer_state = buffers = BufferState(cfg)
        m.submodules.log = log = RunLog(cfg)
        command = Signal(command_layout())
        reserved = Signal()
        number = Signal(NUMBER_BITS)
        sums = Signal(sums_layout(cfg))
        op = command.op
        loads_slot = op.load_wgt | op.load_thr | op.load_scale
        loads = loads_slot | op.load_act
        begin = Signal()                 # the packet takes effect
        good = Signal()                  # its load was successful
        m.d.comb += [
            decoder.descriptor.eq(self.head.payload.descriptor),
            checks.command.eq(command), checks.reserved.eq(reserved), checks.slot.eq(slots.entry),
            checks.buffers.eq(buffers.buffers), checks.chain.eq(buffers.open_chain),
            checks.sums.eq(sums),
            slots.slot.eq(command.slot), slots.size.rows.eq(command.rows),
            slots.size.tiles.eq(command.tiles), slots.wgt.eq(op.load_wgt),
            slots.thr.eq(op.load_thr), slots.scale.eq(op.load_scale),
            slots.start.eq(begin & loads_slot), slots.good.eq(good & loads_slot),
            buffers.buf.eq(Mux(op.run, command.chain_buf, command.buf)),
            buffers.load.eq(begin & op.load_act), buffers.good.eq(good & op.load_act),
            buffers.chain.eq(begin & op.run & command.chain), buffers.first.eq(command.chain_first),
            buffers.last.eq(command.chain_last), buffers.rows.eq(command.rows),
            buffers.tokens.eq(command.tokens), buffers.tiles.eq(command.tiles),
            buffers.number.eq(number), buffers.full.eq(self.full),
            log.accept.eq(begin & op.run), log.use.number.eq(number),
            log.use.slot.eq(command.slot), log.run_done.eq(self.run_done),
            log.use.bufs.eq(Cat(~command.buf, command.buf) | Mux(
                command.chain, Cat(~command.chain_buf, command.chain_buf), 0)),
            log.run_dropped.eq(self.run_dropped), log.run_overflow.eq(self.run_overflow),
        ]
        with m.If(begin & op.run & ~command.acc_last):
            m.d.sync += [sums.valid.eq(1), sums.tokens.eq(command.tokens),
                         sums.tiles.eq(command.tiles)]
        with m.Elif(begin & op.run & ~command.acc_first):
            m.d.sync += sums.valid.eq(0)

        # Hazards. A token that waits for its chain's next run is being encoded, too.
        opens = op.load_act | (op.run & command.chain & command.chain_first)
        opened = Mux(buffers.buf, 0b10, 0b01)
        half = Mux(buffers.open_chain.open, Mux(buffers.open_chain.buf, 0b10, 0b01), 0)
        encoding = Signal(2)
        free = Signal()
        m.d.comb += encoding.eq(self.encoding & ~half)
        m.d.comb += free.eq(
            ~(loads_slot & log.slots.bit_select(command.slot, 1))
            & ~(opens & ((log.bufs | self.encoding | buffers.pending) & opened).any())
            & ~(op.run & ~log.room)
            & ~(op.fence & ((log.count != 0) | encoding.any()
                            | buffers.pending.any() | buffers.error.valid)))

        code = Signal(8)                 # why the packet failed
        report = Signal()
        taken = Signal()
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.head.ready.eq(1)
                with m.If(self.head.valid):
                    m.d.sync += [command.eq(decoder.command), reserved.eq(decoder.reserved),
                                 number.eq(self.head.payload.number),
                                 self.empty.eq(self.head.payload.last),
                                 code.eq(self.head.payload.error)]
                    m.next = "DECODE"
            with m.State("DECODE"):
                m.d.comb += checks.start.eq(1)
                m.next = "CHECK"
                with m.If(code != Error.NONE):
                    m.next = "FAIL"
            with m.State("CHECK"):
                with m.If(~checks.busy):
                    m.d.sync += code.eq(checks.error)
                    with m.If((checks.error == Error.NONE) & ~loads & ~self.empty):
                        m.d.sync += code.eq(Error.TLAST_LATE)
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(code != Error.NONE):
                    m.next = "FAIL"
                with m.Elif(free):
                    m.d.comb += [self.run.valid.eq(op.run), self.fence.valid.eq(op.fence),
                                 self.start.eq(loads),
                                 begin.eq((self.run.valid & self.run.ready)
                                          | (self.fence.valid & self.fence.ready) | loads),
                                 self.open.eq(Mux(begin & opens, opened, 0))]
                    with m.If(loads):
                        m.next = "LOAD"
                    with m.Elif(begin):
                        m.next = "IDLE"
            with m.State("LOAD"):
                m.d.comb += good.eq(self.loaded & (self.load_error == Error.NONE))
                with m.If(good):
                    m.next = "IDLE"
                with m.Elif(self.loaded):
                    m.d.sync += code.eq(self.load_error)
                    m.next = "FAIL"
            with m.State("FAIL"):        # reported, and swallowed
                m.d.comb += [report.eq(code != Error.NONE), self.drop.eq(1)]
                with m.If(taken):
                    m.d.sync += code.eq(Error.NONE)
                with m.If(~report & ~self.body):
                    m.next = "IDLE"
        going = (fsm.ongoing("WAIT") & (code == Error.NONE)) | fsm.ongoing("LOAD")
        m.d.comb += [
            self.waiting.eq(log.count + ~fsm.ongoing("IDLE")),
            self.busy.eq((self.waiting != 0) | encoding.any()),
            self.loading_weights.eq(going & loads_slot), self.loading_acts.eq(going & op.load_act),
        ]
        self._start(m, command)

        # Errors, one per cycle; the packet's own waits longest.
        failed = Signal(failure_layout())
        m.d.comb += [
            failed.code.eq(code), failed.number.eq(number), log.error.ready.eq(1),
            buffers.error.ready.eq(~log.error.valid),
            taken.eq(report & ~log.error.valid & ~buffers.error.valid),
            self.error.valid.eq(log.error.valid | buffers.error.valid | report),
            self.error.code.eq(failed.code), self.error.number.eq(failed.number),
        ]
        with m.If(buffers.error.valid):
            m.d.comb += failed.eq(buffers.error.payload)
        with m.If(log.error.valid):
            m.d.comb += failed.eq(log.error.payload)
        return m

    def _start(self, m, command):
        """The command in the words of loader, array and output."""
        cfg, op, load, run = self.cfg, command.op, self.load, self.run.payload
        base = Signal(cfg.addr_bits)
        index = Signal(load.index.shape())
        m.d.comb += [
            base.eq(times(command.slot, cfg.slot_rows)), index.eq(times(command.slot, cfg.tiles)),
            load.op.wgt.eq(op.load_wgt), load.op.thr.eq(op.load_thr),
            load.op.scale.eq(op.load_scale), load.op.act.eq(op.load_act),
            load.base.eq(base), load.index.eq(index), load.rows.eq(command.rows),
            load.tile_last.eq(command.tiles - 1), load.sparse.eq(command.sparse),
            load.buf.eq(command.buf), load.token_last.eq(command.tokens - 1),
            run.buf.eq(command.buf), run.token_last.eq(command.tokens - 1), run.base.eq(base),
            run.stride.eq(command.rows), run.tile_last.eq(command.tiles - 1),
            run.fire.index.eq(index), self.fence.payload.eq(command.tag),
        ]
        m.d.comb += [run.fire[name].eq(command[name]) for name, _ in run.fire.shape()
                     if name != "index"]
