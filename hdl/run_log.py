"""Run log: the runs that were accepted and are not complete, what they use, how they end."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spinteger.config import Config
from spinteger.isa import Error

#: Most runs that are accepted and not yet reported.
RUNS = 8


#: Bits of a run's place in the log.
PLACE_BITS = (RUNS - 1).bit_length()


def use_layout(cfg: Config) -> data.StructLayout:
    """What a run uses: its slot, the buffers it reads or fills (one bit each)."""
    return data.StructLayout({"slot": cfg.slot_bits, "bufs": 2})


class RunLog(wiring.Component):
    """Runs complete in order, so a slot or buffer is free once its latest user is complete.

    How a run ended is kept until it was reported: an abandoned run is BUF_EMPTY, a sum that
    overflowed V_OVERFLOW. A run may be complete 1 cycle after it was accepted at the earliest.
    What it used is free in the cycle after it is complete.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "accept": In(1),               #: a run is accepted
            "place": Out(PLACE_BITS),      #: ... and goes to this place
            "use": In(use_layout(cfg)),    #: ... and uses this
            "room": Out(1),                #: there is room for one
            "run_done": In(1),             #: the oldest run is complete
            "run_dropped": In(1),          #: ... it was abandoned
            "run_overflow": In(1),         #: ... a sum overflowed
            "slots": Out(cfg.slots),       #: slots in use
            "bufs": Out(2),                #: buffers in use
            "count": Out(range(RUNS + 1)), #: runs not yet complete and reported
            "some": Out(1),                #: ... there are any
            "error": Out(stream.Signature(8)),    #: how one ended, if not well
            "error_place": Out(PLACE_BITS),           #: ... the run in this place
        })

    def elaborate(self, platform):
        m = Module()
        accepted = Signal(PLACE_BITS + 1)  # runs so far; one bit more tells full from empty
        done = Signal(PLACE_BITS + 1)
        reported = Signal(PLACE_BITS + 1)
        m.d.comb += [self.count.eq((accepted - reported)[:PLACE_BITS + 1]),
                     self.room.eq(~self.count[-1]),
                     self.some.eq(accepted != reported), self.place.eq(accepted),
                     self.error_place.eq(reported)]
        with m.If(self.accept):
            m.d.sync += accepted.eq(accepted + 1)
        with m.If(self.run_done):
            m.d.sync += done.eq(done + 1)

        # Who uses what: its latest user's place, until that run is complete.
        users = [*((self.slots[slot], self.use.slot == slot) for slot in range(self.cfg.slots)),
                 *((self.bufs[buf], self.use.bufs[buf]) for buf in range(2))]
        for index, (used, uses) in enumerate(users):
            user = Signal(PLACE_BITS, name=f"user_{index}")
            with m.If(self.run_done & (user == done[:PLACE_BITS])):
                m.d.sync += used.eq(0)
            with m.If(self.accept & uses):
                m.d.sync += [used.eq(1), user.eq(self.place)]

        # How they ended, reported in order: one error after the other, or nothing.
        m.submodules.ends = ends = Memory(shape=2, depth=RUNS, init=[])
        write, read = ends.write_port(), ends.read_port(domain="comb")
        dropped, overflow = end = Signal(2)      # how the oldest one ended ...
        ended = Signal()                 # ... which it has
        again = Signal()                 # the first of two errors was reported
        leaves = Signal()
        m.d.comb += [
            write.en.eq(self.run_done), write.addr.eq(done),
            write.data.eq(Cat(self.run_dropped, self.run_overflow)), read.addr.eq(reported),
            self.error.valid.eq(ended & (dropped | overflow)),
            self.error.payload.eq(Mux(dropped & ~again, Error.BUF_EMPTY, Error.V_OVERFLOW)),
            leaves.eq(ended & (~self.error.valid | self.error.ready)),
        ]
        m.d.sync += [end.eq(read.data), ended.eq((reported != done) & ~leaves)]
        with m.If(leaves):
            m.d.sync += again.eq(dropped & overflow & ~again)
            with m.If(~(dropped & overflow) | again):
                m.d.sync += reported.eq(reported + 1)
        return m
