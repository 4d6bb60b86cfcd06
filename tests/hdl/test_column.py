"""Column: against a register-by-register reference under random controls, and golden.ramp."""

import random

import pytest
import torch
from amaranth.hdl import Module

import golden
from hdl.column import Column
from hdl.tree import SignTree, node_count, tree_depth
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL, random_codes, random_wgt

CONFIGS = {
    "4_lanes": SMALL,
    "1_lane": SMALL.with_(rows=1, homes=1, int_lanes=1, k=9),
    "3_lanes": SMALL.with_(rows=3, homes=1, int_lanes=3),
    "8_lanes": SMALL.with_(rows=8, k=40),
    "tree_of_one_stage": SMALL.with_(rows=8, k=40, tree_step=3),
    "unsigned": SMALL.with_(signed=False, window=15),
    "plain_int8": SMALL.with_(exp_max=0, sal_bits=4),
}


class Rig:
    """A column with its sign tree; `cycle` drives one clock cycle.

    Controls and signs come a cycle ahead of the codes, so the codes are kept for one cycle:
    what `cycle` describes happens in the next one, and `v` shows it after that.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        m = Module()
        m.submodules.column = self.column = column = Column(cfg)
        m.submodules.signs = self.signs = signs = SignTree(cfg)
        if cfg.signed:
            m.d.comb += column.root_neg.eq(signs.root)
            if node_count(cfg):
                m.d.comb += column.sub.eq(signs.sub)
        self.bench = Bench(m)
        self.before = [0] * cfg.rows
        self.en = 1

    async def cycle(self, ctx, wgt=None, negs: int = 0, en: int = 1, snap: int = 0,
                    clear: int = 0, add_hold: int = 0, add_prod: int = 0, close: int = 0,
                    prod: int = 0) -> None:
        column = self.column
        ctx.set(column.next, {"en": en, "take": en & snap, "clear": en & clear,
                              "add": add_hold | add_prod, "add_hold": add_hold, "close": close})
        ctx.set(column.prod_en, 1)
        ctx.set(column.prod, prod)
        ctx.set(self.signs.en, self.en)
        ctx.set(self.signs.neg, negs)
        ctx.set(column.wgt, self.before)
        await ctx.tick()
        self.before, self.en = wgt or [0] * self.cfg.rows, en

    async def v(self, ctx) -> int:
        """V of the tile that the last cycle closed."""
        await self.cycle(ctx)
        return ctx.get(self.column.v)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_controls(cfg: Config) -> None:
    """S, hold, V and v cycle by cycle; the sums stay within a tile's worst case."""
    rng, rig = random.Random(3), Rig(cfg)

    async def bench(ctx):
        leaves = [0] * tree_depth(cfg)
        s = hold = total = spent = 0
        v = later = None
        wgt, negs, en = [0] * cfg.rows, 0, 1
        await rig.cycle(ctx)
        for _ in range(1200):
            if en:          # a leaf that is not taken stays
                wgt = [rng.choice([-8, -1, 0, 3, 7]) for _ in range(cfg.rows)]
                negs = rng.getrandbits(cfg.rows) if cfg.signed else 0
            en = rng.random() < 0.8
            snap = rng.random() < 0.3
            clear = snap and rng.random() < 0.3 or (spent + 2) * cfg.rows > cfg.groups * cfg.rows_k
            snap = snap or clear
            prod = rng.randint(-1 << cfg.prod_bits - 2, 1 << cfg.prod_bits - 2)
            close = rng.random() < 0.1 or abs(total) > (1 << cfg.v_bits - 2)
            add = rng.choice(["add_hold", "add_prod", *[None] * (not close)])
            await rig.cycle(ctx, wgt, negs, en, snap, clear, close=close, prod=prod,
                            **({add: 1} if add else {}))
            assert later is None or ctx.get(rig.column.v) == later
            step_sum = sum(-w if negs >> n & 1 else w for n, w in enumerate(wgt))
            total += {"add_hold": hold, "add_prod": prod, None: 0}[add]
            if en:
                leaves = [step_sum, *leaves]
                s += leaves.pop()
                spent += 1
                hold = s if snap else hold
                s, spent = (0, 0) if clear else (s, spent)
            if close:
                v, total = total, 0
            later = v

    simulate(rig.bench, bench)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_running_sum_and_v_follow_the_golden_ramp(cfg: Config) -> None:
    """Time step by time step: S is golden.ramp's trace, V the golden matrix product."""
    k = 3 * cfg.rows
    codes, w = random_codes(cfg, 3, k, seed=4, salient=0.2), random_wgt(cfg, k, 1, seed=5)
    want_v, trace = golden.ramp(codes, w, cfg)
    assert torch.equal(want_v, golden.matmul(codes, w))
    salients, rig = golden.integer_lanes(codes, w, cfg), Rig(cfg)

    async def run(ctx, token: int, probe: bool) -> int:
        """One token; if `probe`, V is closed after every step to show S."""
        spikes = golden.events.events(codes, cfg)[token]
        for t in range(cfg.window):
            for row in range(k // cfg.rows):
                mine = [(k_, sign) for step, k_, sign in spikes
                        if step == t and k_ // cfg.rows == row]
                wgt = [0] * cfg.rows
                for k_, _ in mine:
                    wgt[k_ % cfg.rows] = int(w[k_, 0])
                negs = sum(1 << k_ % cfg.rows for k_, sign in mine if sign < 0)
                await rig.cycle(ctx, wgt, negs)
            for _ in range(tree_depth(cfg)):
                await rig.cycle(ctx)
            end = t == cfg.window - 1
            await rig.cycle(ctx, snap=1, clear=end)
            await rig.cycle(ctx, add_hold=1, close=probe)
            if probe:
                assert await rig.v(ctx) == int(trace[token, t, 0])
        left = int(salients[token, 0])
        top = (1 << cfg.prod_bits - 1) - 1
        while left > top or left < -top:
            part = top if left > 0 else -top
            await rig.cycle(ctx, add_prod=1, prod=part)
            left -= part
        await rig.cycle(ctx, add_prod=1, prod=left, close=1)
        return await rig.v(ctx)

    async def bench(ctx):
        for token in range(3):
            await run(ctx, token, probe=True)
            assert await run(ctx, token, probe=False) == int(want_v[token, 0])

    simulate(rig.bench, bench)


@pytest.mark.parametrize("name, negs", [(name, negs) for name, cfg in CONFIGS.items()
                                         for negs in range(1 + cfg.signed)])
def test_worst_case_sums_fit(name: str, negs: int) -> None:
    """All weights -8: S of all inputs firing at once (with a sign), and V of all salient."""
    cfg = CONFIGS[name]
    rig, inputs = Rig(cfg), cfg.groups * cfg.rows_k
    lowest = -cfg.wgt_max
    peak = cfg.wgt_max << cfg.sal_bits - 1 + cfg.exp_max

    async def bench(ctx):
        for left in range(inputs, 0, -cfg.rows):            # as many lanes as inputs are left
            live = min(left, cfg.rows)
            await rig.cycle(ctx, [lowest] * live + [0] * (cfg.rows - live),
                            ((1 << cfg.rows) - 1) * negs)
        for _ in range(tree_depth(cfg)):
            await rig.cycle(ctx)
        await rig.cycle(ctx, snap=1, clear=1)
        for left in range(cfg.window, 0, -1):
            await rig.cycle(ctx, add_hold=1, close=left == 1)
        assert await rig.v(ctx) == lowest * inputs * cfg.window * (-1 if negs else 1)
        for sign in (1, -1):
            for left in range(inputs, 0, -cfg.int_lanes):   # ... as many integer lanes
                await rig.cycle(ctx, add_prod=1, prod=sign * peak * min(left, cfg.int_lanes),
                                close=left <= cfg.int_lanes)
            assert await rig.v(ctx) == sign * peak * inputs

    simulate(rig.bench, bench)


def test_latency_from_leaf_to_s_is_tree_depth_plus_one() -> None:
    """A code at the leaves is in S after tree_depth + 1 cycles: snapped at the root, then added."""
    cfg = SMALL.with_(rows=8, k=64)
    rig = Rig(cfg)

    async def bench(ctx):
        for late in range(tree_depth(cfg) + 1):     # snap `late` cycles after the leaf
            await rig.cycle(ctx, [5] + [0] * 7, snap=late == 0)
            for n in range(1, tree_depth(cfg) + 1):
                await rig.cycle(ctx, snap=late == n, clear=n == tree_depth(cfg))
            await rig.cycle(ctx, add_hold=1, close=1)
            assert await rig.v(ctx) == (5 if late == tree_depth(cfg) else 0)

    simulate(rig.bench, bench)
