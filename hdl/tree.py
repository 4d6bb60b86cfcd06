"""Adder tree: the signed sum of the R weight codes that one cycle's events select."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hdl.addsub_row import AddSubRow
from spinteger.config import Config


def tree_levels(cfg: Config) -> int:
    """Adders one behind the other: ceil(log2 R)."""
    return ceil_log2(cfg.rows)


def tree_depth(cfg: Config) -> int:
    """Pipeline stages of the tree: `tree_step` levels each."""
    return -(-tree_levels(cfg) // cfg.tree_step)


def _ends_stage(cfg: Config, level: int) -> bool:
    """The sums of this level are registered."""
    return (level + 1) % cfg.tree_step == 0 or level == tree_levels(cfg) - 1


def node_count(cfg: Config) -> int:
    """Adders of the tree, hence bits of `sub`: R - 1."""
    return cfg.rows - 1


class AdderTree(wiring.Component):
    """sum +-w over R lanes, as (sign of lane 0) * (w0 +- (w1 ...)).

    A node computes left + right when its two signs agree and left - right when they differ,
    and passes the left sign on; `SignTree` works the signs out once for all columns. So a
    column spends nothing on negating codes: a subtracting carry chain is as small as an
    adding one. Only the root's sign is left to apply, in the column's adder of S.

    Latency `tree_depth(cfg)` cycles, one sum per enabled cycle: every `tree_step` levels there is
    a register. Nodes of level i are wgt_bits + i bits wide: [-2^(b-1), 2^(b-1)-1] +- itself
    always fits one bit more.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        members = {
            "en": In(1),                                                    #: pipeline enable
            "wgt": In(data.ArrayLayout(signed(cfg.wgt_bits), cfg.rows)),    #: codes, 0 if idle
            "sum": Out(signed(cfg.wgt_bits + tree_levels(cfg))),            #: sum, root sign off
        }
        if cfg.signed and node_count(cfg):
            members["sub"] = In(node_count(cfg))    #: subtract, per node, in order of levels
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        values = [self.wgt[lane] for lane in range(self.cfg.rows)]
        node = 0
        for level in range(tree_levels(self.cfg)):
            width = self.cfg.wgt_bits + level
            lefts, rights = values[:len(values) - 1:2], values[1::2]
            if self.cfg.signed:
                m.submodules[f"add_{level}"] = add = AddSubRow(width, len(rights))
                m.d.comb += add.sub.eq(self.sub[node:node + len(rights)])
                for number, (left, right) in enumerate(zip(lefts, rights, strict=True)):
                    m.d.comb += [add.a[number].eq(left), add.b[number].eq(right)]
                added = [add.y[number] for number in range(len(rights))]
            else:
                added = [left + right for left, right in zip(lefts, rights, strict=True)]
            node += len(rights)
            if len(values) % 2:    # the odd one out waits for its level
                added.append(values[-1])
            values = added
            if _ends_stage(self.cfg, level):
                values = []
                for number, value in enumerate(added):
                    total = Signal(signed(width + 1), name=f"sum_{level}_{number}", reset_less=True)
                    with m.If(self.en):
                        m.d.sync += total.eq(value)
                    values.append(total)
        m.d.comb += self.sum.eq(values[0])
        return m


class SignTree(wiring.Component):
    """The signs of all columns' adder trees, worked out once, a cycle ahead of the trees.

    Latency as `AdderTree`. `sub` bits belong to the stage that uses them one enabled cycle later:
    every column registers them, so that none drives more than one column.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        members = {
            "en": In(1),              #: pipeline enable
            "neg": In(cfg.rows),      #: signs of the events at the tree's leaves next
            "root": Out(1),           #: sign of the sum at the tree's root next
        }
        if node_count(cfg):
            members["sub"] = Out(node_count(cfg))    #: subtract, per node, in order of levels
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        signs = list(self.neg)
        subs = []
        for level in range(tree_levels(self.cfg)):
            subs += [a ^ b for a, b in zip(signs[::2], signs[1::2], strict=False)]
            signs = signs[::2]
            if _ends_stage(self.cfg, level):
                kept = Signal(len(signs), name=f"signs_{level + 1}", reset_less=True)
                with m.If(self.en):
                    m.d.sync += kept.eq(Cat(signs))
                signs = list(kept)
        if subs:
            m.d.comb += self.sub.eq(Cat(subs))
        m.d.comb += self.root.eq(signs[0])
        return m
