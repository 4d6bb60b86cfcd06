"""Run log: the runs that were accepted and are not complete, what they use, how they end."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.packets import NUMBER_BITS, failure_layout
from spinteger.config import Config
from spinteger.isa import Error

#: Most runs that are accepted and not yet reported.
RUNS = 8


def use_layout(cfg: Config) -> data.StructLayout:
    """A run: its packet's number, its slot, the buffers it reads or fills (one bit each)."""
    return data.StructLayout({"number": NUMBER_BITS, "slot": cfg.slot_bits, "bufs": 2})


class RunLog(wiring.Component):
    """Runs complete in order, so a slot or buffer is free once its latest user is complete.

    How a run ended is kept until it was reported: an abandoned run is BUF_EMPTY, a sum that
    overflowed V_OVERFLOW, with its packet's number. A run may be complete 1 cycle after it was
    accepted at the earliest. What it used is free in the cycle after it is complete.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "accept": In(1),               #: a run is accepted
            "use": In(use_layout(cfg)),    #: ... which is this
            "room": Out(1),                #: there is room for one
            "run_done": In(1),             #: the oldest run is complete
            "run_dropped": In(1),          #: ... it was abandoned
            "run_overflow": In(1),         #: ... a sum overflowed
            "slots": Out(cfg.slots),       #: slots in use
            "bufs": Out(2),                #: buffers in use
            "count": Out(range(RUNS + 1)), #: runs not yet complete and reported
            "error": Out(stream.Signature(failure_layout())),    #: how they ended, if not well
        })

    def elaborate(self, platform):
        m = Module()
        places = RUNS.bit_length() - 1
        accepted = Signal(places + 1)      # runs so far; one bit more tells full from empty
        done = Signal(places + 1)
        reported = Signal(places + 1)
        m.d.comb += [self.count.eq((accepted - reported)[:places + 1]),
                     self.room.eq(self.count != RUNS)]

        # Who uses what: its latest user's place, until that run is complete.
        users = [*((self.slots[slot], self.use.slot == slot) for slot in range(self.cfg.slots)),
                 *((self.bufs[buf], self.use.bufs[buf]) for buf in range(2))]
        for index, (used, uses) in enumerate(users):
            user = Signal(places, name=f"user_{index}")
            with m.If(self.run_done & (user == done[:places])):
                m.d.sync += used.eq(0)
            with m.If(self.accept & uses):
                m.d.sync += [used.eq(1), user.eq(accepted[:places])]

        # How they end. A number is read again until its run is complete: one that was read
        # while it was written is not used.
        m.submodules.numbers = numbers = Memory(shape=NUMBER_BITS, depth=RUNS, init=[])
        write, read = numbers.write_port(), numbers.read_port()
        dropped = Signal(RUNS)
        overflow = Signal(RUNS)
        following = Signal(places + 1)
        m.d.comb += [
            write.addr.eq(accepted[:places]), write.data.eq(self.use.number),
            write.en.eq(self.accept), read.addr.eq(following[:places]),
        ]
        with m.If(self.accept):
            m.d.sync += accepted.eq(accepted + 1)
        with m.If(self.run_done):
            m.d.sync += [done.eq(done + 1),
                         dropped.bit_select(done[:places], 1).eq(self.run_dropped),
                         overflow.bit_select(done[:places], 1).eq(self.run_overflow)]

        # Report the oldest: one error after the other, or nothing.
        was_dropped = dropped.bit_select(reported[:places], 1)
        overflowed = overflow.bit_select(reported[:places], 1)
        ended = Signal()
        m.d.comb += [
            ended.eq(reported != done),
            self.error.valid.eq(ended & (was_dropped | overflowed)),
            self.error.payload.code.eq(Mux(was_dropped, Error.BUF_EMPTY, Error.V_OVERFLOW)),
            self.error.payload.number.eq(read.data),
            following.eq(reported + (ended & (~self.error.valid | self.error.ready)
                                     & ~(was_dropped & overflowed))),
        ]
        m.d.sync += reported.eq(following)
        with m.If(self.error.valid & self.error.ready):
            m.d.sync += dropped.bit_select(reported[:places], 1).eq(0)
        return m
