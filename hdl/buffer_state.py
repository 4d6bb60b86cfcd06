"""Buffer state: what each activation buffer holds, and the chain of runs that fills one."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.multiply import times
from spinteger.config import Config


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
    reported once (TRAIN_FULL). Until it is, `pending` is up, and the buffer must not be opened,
    or the blame would go to the packet that fills it next.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "loaded": Out(2),           #: the buffer's tokens were delivered completely
            "open_chain": Out(chain_layout(cfg)),    #: the chain
            "chained": Out(range(cfg.rows_k + 1)),   #: rows that it has with the `tiles` of a run
            "buf": In(1),               #: a buffer
            "load": In(1),              #: loading it begins
            "good": In(1),              #: it was loaded
            "chain": In(1),             #: a run that fills it is accepted
            "last": In(1),              #: ... the chain's last one
            "tiles": In(range(cfg.tiles + 1)),      #: with `chain`: the run's
            "full": In(2),              #: the array's buffer 0, 1 overflowed
            "pending": Out(2),          #: ... which is still to be reported
            "which": Out(1),            #: the buffer to report
            "reported": In(1),          #: ... it was
        })

    def elaborate(self, platform):
        m = Module()
        cfg, chain = self.cfg, self.open_chain
        total = Signal(range(chain_limit(cfg) + cfg.tiles + 1))    # the chain with this run
        m.d.comb += [total.eq(chain.tiles + self.tiles),    # 0 if none is open
                     self.chained.eq(_rows(cfg, total))]
        with m.If(self.chain):
            m.d.sync += [chain.open.eq(~self.last), chain.buf.eq(self.buf),
                         chain.tiles.eq(total)]
            with m.If(self.last):
                m.d.sync += chain.tiles.eq(0)
        for buf in range(2):
            with m.If((self.load | self.good | self.chain) & (self.buf == buf)):
                m.d.sync += self.loaded[buf].eq(self.good | (self.chain & self.last))

        known = Signal(2)               # this `full` was reported
        m.d.comb += [self.pending.eq(self.full & ~known), self.which.eq(~self.pending[0])]
        for buf in range(2):
            m.d.sync += known[buf].eq(self.full[buf] & (
                known[buf] | (self.reported & (self.which == buf))))
        return m


def _rows(cfg: Config, tiles):
    """Rows of inputs that the columns of so many tiles fill, the last one with zeros."""
    if cfg.cols % cfg.groups == 0:
        return times(tiles, cfg.cols // cfg.groups)
    return (times(tiles, cfg.cols) + cfg.groups - 1) >> (cfg.groups - 1).bit_length()
