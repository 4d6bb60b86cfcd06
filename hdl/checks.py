"""Checks: why a command cannot be obeyed, the first reason in the order of the codes."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.buffer_state import can_chain, chain_layout, chain_limit
from hdl.descriptors import command_layout
from hdl.multiply import Multiplier
from hdl.select import pick
from hdl.sizes import COMPARE_CYCLES, differ_layout
from hdl.slot_state import slot_layout
from spinteger.config import Config
from spinteger.isa import Error

#: The last code that a command's own checks give.
_LAST = Error.CHAIN_ORDER
#: The last one before that of a product.
_WAIT = Error.BAD_SLOT
# Sizes are compared in time for the codes that ask for them.
assert Error.SLOT_MISMATCH >= 5 and Error.BUF_MISMATCH >= 7 and Error.ACC_MISMATCH >= COMPARE_CYCLES


def above(value: Value, limit: int) -> Value:
    """value > limit. Without a carry chain, if the limit or the number after it is a power of two.
    """
    bits = limit.bit_length()
    if limit & (limit + 1) == 0:
        return value[bits:].any()
    if limit & (limit - 1) == 0:
        return value[bits:].any() | (value[bits - 1] & value[:bits - 1].any())
    return value > limit


class Checks(wiring.Component):
    """Asks for one code per cycle whether the command deserves it; the first one is the answer.

    `busy` is up from the cycle after `start`: for a cycle per code up to the one that is given
    (CHAIN_ORDER if none is) and one more; and, from BAD_SIZE on, for as many more as a number of
    tiles has bits past three. Command and state must hold from `start` on.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "start": In(1),                       #: the command is here
            "command": In(command_layout()),      #: the packet's
            "reserved": In(1),                    #: a bit that means nothing is set
            "slot": In(slot_layout()),            #: what its slot holds
            "loaded": In(2),                      #: the buffers hold tokens
            "chain": In(chain_layout(cfg)),       #: the chain that is open
            "sums_kept": In(1),                   #: there are sums to add to
            "differ": In(differ_layout()),        #: sizes that are not as they should be
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
        m.d.sync += multiplier.a.eq(Mux(op.load_wgt, command.rows, command.tokens))
        m.d.comb += [multiplier.start.eq(self.start), multiplier.b.eq(command.tiles)]
        reasons = [(Error.BAD_OPCODE, ~op.as_value().any()),
                   (Error.BAD_RESERVED, self.reserved),
                   *self._sizes(m, multiplier.product), (Error.BAD_FLAGS, self._flags(m)),
                   *self._state(), *self._sums(multiplier.product),
                   (Error.CHAIN_ORDER, self._chain())]
        fails = [Signal(name=f"fails_{code.name.lower()}") for code in list(Error)[:_LAST + 1]]
        for code, reason in reasons:
            m.d.sync += fails[code].eq(reason)

        code = Signal(range(_LAST + 1))
        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), code.eq(0), self.error.eq(Error.NONE)]
        with m.Elif(self.busy):
            with m.If((code != _WAIT) | ~multiplier.busy):
                m.d.sync += code.eq(code + 1)
            with m.If(pick(fails, code)):
                m.d.sync += [self.busy.eq(0), self.error.eq(code)]
            with m.Elif(code == _LAST):
                m.d.sync += self.busy.eq(0)
        return m

    def _sizes(self, m, product):
        """What the machine has or can hold; of weights, `product` is rows * tiles."""
        cfg, command, op = self.cfg, self.command, self.command.op
        rows, tiles, tokens, chained = Signal(), Signal(), Signal(), Signal()
        loads_slot = op.load_wgt | op.load_thr | op.load_scale
        total = Signal(range(chain_limit(cfg) + cfg.tiles + 1))
        m.d.sync += [
            total.eq(Mux(command.chain_first, 0, self.chain.tiles)
                     + command.tiles[:cfg.tiles.bit_length()]),
            chained.eq(command.chain & above(total, chain_limit(cfg))),
            rows.eq((command.rows == 0) | above(command.rows, cfg.rows_k)),
            tiles.eq((command.tiles == 0) | above(command.tiles, cfg.tiles)),
            tokens.eq((command.tokens == 0) | above(command.tokens, cfg.tokens)),
        ]
        return [
            (Error.BAD_SLOT, (loads_slot | op.run) & above(command.slot, cfg.slots - 1)),
            (Error.BAD_SIZE,
             ((op.load_wgt | op.load_act | op.run) & rows) | ((loads_slot | op.run) & tiles)
             | ((op.load_act | op.run) & tokens)
             | (op.load_wgt & above(product, cfg.slot_rows))
             | (op.run & chained)),
        ]

    def _flags(self, m):
        """Flags that contradict each other, or ask for what is not built."""
        cfg, run = self.cfg, self.command
        out = run.host | run.chain
        split, silence = Signal(), Signal()
        m.d.sync += [split.eq(above(run.tokens, 1)), silence.eq(above(run.silence, cfg.window))]
        bad = (
            (run.acc_last != out) | (run.raw & run.chain) | silence
            # The chain can only stop between tokens if there is one.
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

    def _state(self):
        """What slot and buffer must hold."""
        run, op, slot, differ = self.command, self.command.op, self.slot, self.differ
        needs = op.load_thr | op.load_scale | op.run
        return [
            (Error.SLOT_EMPTY, needs & ~slot.wgt),
            (Error.SLOT_MISMATCH, (needs & differ.slot_tiles) | (op.run & differ.slot_rows)),
            (Error.NO_THRESHOLDS, op.run & run.acc_last & ~run.raw & ~slot.thr),
            (Error.NO_SCALES, op.run & run.scale & ~slot.scale),
            (Error.BUF_EMPTY, op.run & ~Mux(run.buf, self.loaded[1], self.loaded[0])),
            (Error.BUF_MISMATCH, op.run & differ.buf),
        ]

    def _sums(self, product):
        """The sums to add to, and room to keep them; `product` is tokens * tiles."""
        cfg, run = self.cfg, self.command
        if not cfg.acc_depth:
            return []
        return [
            (Error.ACC_MISMATCH, run.op.run & ~run.acc_first & (~self.sums_kept
                                                                | self.differ.sums)),
            (Error.ACC_FULL,
             run.op.run & ~(run.acc_first & run.acc_last)
             & above(product, cfg.acc_depth // cfg.cols)),
        ]

    def _chain(self):
        """One chain at a time, and nothing else into the encoder before its token is complete."""
        run, chain = self.command, self.chain
        goes_on = chain.open & (chain.buf == run.chain_buf)
        return ((run.op.load_act & chain.open)
                | (run.op.run & run.chain & Mux(run.chain_first, chain.open, ~goes_on)))
