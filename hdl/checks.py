"""Checks: whether a packet can be carried out, and the first reason why not."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.buffer_state import buffer_layout, can_chain, chain_layout, chain_limit
from hdl.descriptors import command_layout
from hdl.multiply import Multiplier
from hdl.select import pick
from hdl.slot_state import slot_layout
from spinteger.config import Config
from spinteger.isa import Error


def sums_layout(cfg: Config) -> data.StructLayout:
    """The sums that are kept between passes, if any: their tokens and tiles."""
    return data.StructLayout({"valid": 1, "tokens": range(cfg.tokens + 1),
                              "tiles": range(cfg.tiles + 1)})


class Checks(wiring.Component):
    """Applies all checks of a descriptor in the order of `isa.Error`; the first that fails counts.

    `error` is valid from the end of `busy`, which takes one cycle per bit of a number of tiles
    from `start`; command and state must hold meanwhile.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "start": In(1),                       #: the command is here
            "command": In(command_layout()),      #: the packet's
            "reserved": In(1),                    #: a bit that means nothing is set
            "slot": In(slot_layout(cfg)),         #: what its slot holds
            "buffers": In(data.ArrayLayout(buffer_layout(cfg), 2)),    #: what the buffers hold
            "chain": In(chain_layout(cfg)),       #: the chain that is open
            "sums": In(sums_layout(cfg)),         #: the sums that are kept
            "busy": Out(1),                       #: `error` is not ready
            "error": Out(8),                      #: why not; NONE if all is well
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        command, op = self.command, self.command.op
        # One product: rows * tiles of weights to load, or tokens * tiles of a run.
        m.submodules.multiplier = multiplier = Multiplier(
            max(cfg.rows_k, cfg.tokens).bit_length(), cfg.tiles.bit_length())
        m.d.comb += [
            multiplier.start.eq(self.start), self.busy.eq(multiplier.busy),
            multiplier.a.eq(Mux(op.load_wgt, command.rows, command.tokens)),
            multiplier.b.eq(command.tiles),
        ]
        failed = [(Error.BAD_OPCODE, ~op.as_value().any()),
                  (Error.BAD_RESERVED, self.reserved),
                  *self._sizes(multiplier.product), (Error.BAD_FLAGS, self._flags()),
                  *self._slot(), *self._buffer(m), *self._sums(multiplier.product),
                  (Error.CHAIN_ORDER, self._chain())]
        assert [code for code, _ in failed] == sorted(code for code, _ in failed)
        for code, fails in reversed(failed):      # the last assignment, the first check, wins
            with m.If(fails):
                m.d.comb += self.error.eq(code)
        return m

    def _sizes(self, product):
        """What the machine has or can hold; of weights, `product` is rows * tiles."""
        cfg, command, op = self.cfg, self.command, self.command.op
        rows = (command.rows == 0) | (command.rows > cfg.rows_k)
        tiles = (command.tiles == 0) | (command.tiles > cfg.tiles)
        tokens = (command.tokens == 0) | (command.tokens > cfg.tokens)
        loads_slot = op.load_wgt | op.load_thr | op.load_scale
        chained = Mux(command.chain_first, 0, self.chain.tiles) + command.tiles
        return [
            (Error.BAD_SLOT, (loads_slot | op.run) & (command.slot >= cfg.slots)),
            (Error.BAD_SIZE,
             ((op.load_wgt | op.load_act | op.run) & rows) | ((loads_slot | op.run) & tiles)
             | ((op.load_act | op.run) & tokens)
             | (op.load_wgt & (product > cfg.slot_rows))
             | (op.run & command.chain & (chained > chain_limit(cfg)))),
        ]

    def _flags(self):
        """Flags that contradict each other, or ask for what is not built."""
        cfg, run = self.cfg, self.command
        out = run.host | run.chain
        split = run.tokens > 1      # the chain can only stop between tokens if there is one
        bad = (
            (run.acc_last != out) | (run.raw & run.chain) | (run.silence > cfg.window)
            | (run.chain & ((run.chain_buf == run.buf)
                            | (split & ~(run.chain_first & run.chain_last))))
            | (~run.chain & (run.chain_buf | run.chain_first | run.chain_last))
        )
        if not cfg.acc_depth:
            bad = bad | ~run.acc_first | ~run.acc_last
        if not can_chain(cfg):
            bad = bad | run.chain
        if not cfg.scale_bits:
            bad = bad | run.scale
        bad = run.op.run & bad
        return bad if cfg.scale_bits else bad | run.op.load_scale

    def _slot(self):
        """What the slot must hold."""
        run, op, slot = self.command, self.command.op, self.slot
        return [
            (Error.SLOT_EMPTY, (op.load_thr | op.load_scale | op.run) & ~slot.wgt),
            (Error.SLOT_MISMATCH,
             ((op.load_thr | op.load_scale | op.run) & (run.tiles != slot.size.tiles))
             | (op.run & (run.rows != slot.size.rows))),
            (Error.NO_THRESHOLDS, op.run & run.acc_last & ~run.raw & ~slot.thr),
            (Error.NO_SCALES, op.run & run.scale & ~slot.scale),
        ]

    def _buffer(self, m):
        """What the buffer must hold."""
        run = self.command
        buffer = Signal(buffer_layout(self.cfg))
        m.d.comb += buffer.eq(pick([self.buffers[0].as_value(), self.buffers[1].as_value()],
                                   run.buf))
        return [
            (Error.BUF_EMPTY, run.op.run & ~buffer.loaded),
            (Error.BUF_MISMATCH, run.op.run & ((run.rows != buffer.rows)
                                               | (run.tokens != buffer.tokens))),
        ]

    def _sums(self, product):
        """The sums to add to, and room to keep them; `product` is tokens * tiles."""
        cfg, run, sums = self.cfg, self.command, self.sums
        if not cfg.acc_depth:
            return []
        return [
            (Error.ACC_MISMATCH,
             run.op.run & ~run.acc_first & (~sums.valid | (run.tokens != sums.tokens)
                                            | (run.tiles != sums.tiles))),
            (Error.ACC_FULL,
             run.op.run & ~(run.acc_first & run.acc_last) & (product > cfg.acc_depth // cfg.cols)),
        ]

    def _chain(self):
        """One chain at a time, and nothing else into the encoder before its token is complete."""
        run, chain = self.command, self.chain
        goes_on = chain.open & (chain.buf == run.chain_buf)
        return ((run.op.load_act & chain.open)
                | (run.op.run & run.chain & Mux(run.chain_first, chain.open, ~goes_on)))
