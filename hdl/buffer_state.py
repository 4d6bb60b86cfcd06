"""Buffer state: what each activation buffer holds, and the chain of runs that fills one."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.multiply import times
from hdl.packets import NUMBER_BITS, failure_layout
from spinteger.config import Config
from spinteger.isa import Error


def buffer_layout(cfg: Config) -> data.StructLayout:
    """What is in a buffer, if its tokens were delivered completely."""
    return data.StructLayout({"loaded": 1, "rows": range(cfg.rows_k + 1),
                              "tokens": range(cfg.tokens + 1)})


def chain_limit(cfg: Config) -> int:
    """Most tiles whose columns fit a token as inputs."""
    return cfg.rows_k * cfg.groups // cfg.cols


def chain_layout(cfg: Config) -> data.StructLayout:
    """A chain that later runs are to continue: its buffer, and the tiles it has got so far."""
    return data.StructLayout({"open": 1, "buf": 1, "tiles": range(chain_limit(cfg) + 1)})


def can_chain(cfg: Config) -> bool:
    """Whether columns can become rows of inputs: a row per so many columns, or the reverse."""
    return cfg.cols % cfg.groups == 0 or cfg.groups & (cfg.groups - 1) == 0


class BufferState(wiring.Component):
    """Keeps both buffers' state. A buffer is empty from the start of its filling to its good end.

    One strobe at a time of `load`, `good` and `chain`. A buffer that turns out too full is
    reported (TRAIN_FULL) with the number of the packet that began to fill it. Until that number
    is in `error`, `pending` is up, and the buffer must not be opened.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "buffers": Out(data.ArrayLayout(buffer_layout(cfg), 2)),    #: both buffers
            "open_chain": Out(chain_layout(cfg)),    #: the chain
            "buf": In(1),               #: a buffer
            "load": In(1),              #: loading it begins
            "good": In(1),              #: it was loaded
            "chain": In(1),             #: a run that fills it is accepted
            "first": In(1),             #: ... the chain's first one
            "last": In(1),              #: ... and its last one
            "rows": In(range(cfg.rows_k + 1)),      #: with `load`: what comes
            "tokens": In(range(cfg.tokens + 1)),    #: with `load` or `chain`
            "tiles": In(range(cfg.tiles + 1)),      #: with `chain`: the run's
            "number": In(NUMBER_BITS),  #: the packet's number
            "full": In(2),              #: the array's buffer 0, 1 overflowed
            "pending": Out(2),          #: ... which is still to be reported
            "error": Out(stream.Signature(failure_layout())),    #: TRAIN_FULL
        })

    def elaborate(self, platform):
        m = Module()
        cfg, chain = self.cfg, self.open_chain
        total = Signal(range(chain_limit(cfg) + cfg.tiles + 1))    # the chain with this run
        m.d.comb += total.eq(chain.tiles + self.tiles)    # 0 if none is open
        with m.If(self.chain):
            m.d.sync += [chain.open.eq(~self.last), chain.buf.eq(self.buf),
                         chain.tiles.eq(Mux(self.last, 0, total))]

        for buf in range(2):
            buffer = self.buffers[buf]
            with m.If(self.buf == buf):
                with m.If(self.load):
                    m.d.sync += [buffer.loaded.eq(0), buffer.rows.eq(self.rows),
                                 buffer.tokens.eq(self.tokens)]
                with m.If(self.good):
                    m.d.sync += buffer.loaded.eq(1)
                with m.If(self.chain):
                    m.d.sync += [buffer.loaded.eq(self.last), buffer.tokens.eq(self.tokens),
                                 buffer.rows.eq(_rows(cfg, total))]

        # Overflow: the packet that began to fill the buffer is to blame.
        filler = [Signal(NUMBER_BITS, name=f"filler_{buf}") for buf in range(2)]
        known = Signal(2)               # this `full` was seen
        m.d.comb += self.pending.eq(self.full & ~known)
        m.d.sync += known.eq(self.full & known)
        with m.If(self.error.ready):
            m.d.sync += self.error.valid.eq(0)
        with m.If(~self.error.valid & self.pending.any()):
            m.d.sync += [self.error.valid.eq(1), self.error.payload.code.eq(Error.TRAIN_FULL),
                         self.error.payload.number.eq(Mux(self.pending[0], *filler)),
                         known.eq(self.full & (known | Cat(1, ~self.pending[0])))]
        for buf in range(2):
            with m.If((self.load | (self.chain & self.first)) & (self.buf == buf)):
                m.d.sync += filler[buf].eq(self.number)
        return m


def _rows(cfg: Config, tiles):
    """Rows of inputs that the columns of so many tiles fill, the last one with zeros."""
    if cfg.cols % cfg.groups == 0:
        return times(tiles, cfg.cols // cfg.groups)
    return (times(tiles, cfg.cols) + cfg.groups - 1) >> (cfg.groups - 1).bit_length()
