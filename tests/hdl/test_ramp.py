"""Ramp control: bookkeeping of every add, product and close under random traffic.

The reference counts what V received since the last close, so a V that leaves early, late, with a
part missing or with a part of the next tile is seen at once.
"""

import random
from dataclasses import dataclass, field

import pytest

from hdl.ramp import RampControl
from hdl.tree import tree_depth
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL


@dataclass
class TileTraffic:
    """One tile: dt of each snapshot, the number of product words."""

    dts: list[int]
    prods: int


@dataclass
class Rates:
    """Probability, per cycle, that the next snapshot or product appears, and that V has room."""

    snap: float = 1.0
    prod: float = 1.0
    free: float = 1.0


@dataclass
class Trace:
    """Cycles in which things happened, in order."""

    taken: list[int] = field(default_factory=list)     # snapshots
    closed: list[int] = field(default_factory=list)    # tiles


def random_tile(rng: random.Random, window: int) -> TileTraffic:
    """Levels that occur -> the dt from each to the next lower one; often a silent tile."""
    share = rng.choice([0, 0.2, 0.6, 1])
    levels = [level for level in range(window, 0, -1) if rng.random() < share]
    dts = [here - there for here, there in zip(levels, [*levels, 0][1:], strict=True)]
    return TileTraffic(dts or [0], rng.choice([1, 1, 2, 3, 12]))


def run(cfg: Config, tiles: list[TileTraffic], rates: Rates, seed: int = 0) -> Trace:
    """Drive the traffic, check every cycle against the contract, return when things happened."""
    dut, rng, trace = RampControl(cfg), random.Random(seed), Trace()
    snaps = [(tile, dt, n == len(t.dts) - 1) for tile, t in enumerate(tiles)
             for n, dt in enumerate(t.dts)]
    prods = [(tile, n == t.prods - 1) for tile, t in enumerate(tiles) for n in range(t.prods)]
    parts: list[list[tuple]] = [[] for _ in tiles]      # what each tile's V must receive
    for n, (tile, dt, _) in enumerate(snaps):
        parts[tile] += [("S", n)] * dt
    for n, (tile, _) in enumerate(prods):
        parts[tile].append(("P", n))

    async def bench(ctx):
        held = -1                  # index of the snapshot in `hold`
        left = 0                   # its adds still to do
        in_v: list[tuple] = []     # what the open tile's V has received
        next_snap = next_prod = tile = cycle = 0
        snap_here = prod_here = False
        at_s: int | None = None    # the snapshot at the adder of S
        at_v: int | None = None    # the product at the adder of V
        v_full = full_before = False
        now = dict.fromkeys(("en", "take", "clear", "add", "add_hold", "close"), 0) | {"en": 1}
        for _ in range(tree_depth(cfg)):      # what a reset leaves in the tree does not stay in S
            assert ctx.get(dut.next).clear
            await ctx.tick()
        while tile < len(tiles):
            snap_here = next_snap < len(snaps) and (snap_here or rng.random() < rates.snap)
            prod_here = next_prod < len(prods) and (prod_here or rng.random() < rates.prod)
            ready = rng.random() < rates.free
            ctx.set(dut.snap, snap_here)
            ctx.set(dut.dt, snaps[next_snap][1] if snap_here else rng.getrandbits(1))
            ctx.set(dut.tile_end, snaps[next_snap][2] if snap_here else rng.getrandbits(1))
            ctx.set(dut.prod_valid, prod_here)
            ctx.set(dut.prod_last, prods[next_prod][1] if prod_here else rng.getrandbits(1))
            ctx.set(dut.v_ready, ready)
            assert ctx.get(dut.en) == now["en"]
            assert ctx.get(dut.v_valid) == v_full

            left_before, full_earlier, full_before = left, full_before, v_full
            # What happens in this cycle was decided in the one before.
            tail_held = held >= 0 and snaps[held][0] == tile and snaps[held][2]
            due = sorted(parts[tile])
            add = ("S", held) if now["add_hold"] else ("P", -1 if at_v is None else at_v)
            product_here = at_v is not None and prods[at_v][0] == tile
            completes = tail_held and sorted([*in_v, add]) == due
            silent = tail_held and in_v == due      # its last add is of a zero S
            if now["add"]:
                if now["add_hold"]:
                    assert left > 0 or silent, "an add of S too many"
                    if not silent:
                        in_v.append(add)
                        left -= 1
                else:
                    assert at_v is not None and left == 0, "a product that is not there"
                    assert product_here, "a product of the next tile"
                    in_v.append(add)
                    at_v = None
                assert not ((completes or silent) and v_full), "V moves to a place that is taken"
            else:
                waits_for_place = v_full and (completes or silent)
                assert waits_for_place or not (left or product_here or silent), (
                    "an idle cycle with something to add")
            assert now["close"] == (now["add"] and (completes or silent))
            assert now["take"] == (now["en"] and at_s is not None)
            assert now["clear"] == (now["take"] and snaps[at_s][2])
            if at_s is not None:
                # It waits while an earlier one is being added, and until its own tile is open.
                open_tile = snaps[at_s][0] == tile + (now["close"] and now["add_hold"])
                assert now["en"] == (open_tile and left == 0)
            waits = ctx.get(dut.waits)
            assert waits.ramp + waits.integer + waits.firing == (not now["en"])
            if not now["en"]:
                assert waits.ramp == (left_before > 1)
                assert waits.firing == (not waits.ramp and (
                    full_before or bool(now["close"] and full_earlier)))
            if now["close"]:
                trace.closed.append(cycle)
                in_v, tile = [], tile + 1
                v_full = True
            elif ready:
                v_full = False
            if now["take"]:
                held, left = at_s, snaps[at_s][1]
                trace.taken.append(cycle)
            if now["en"]:
                at_s = None
                if snap_here:
                    at_s, next_snap, snap_here = next_snap, next_snap + 1, False
            if ctx.get(dut.prod_ready) and prod_here:
                assert at_v is None, "a product overwritten"
                at_v, next_prod, prod_here = next_prod, next_prod + 1, False
            now = {name: ctx.get(dut.next[name]) for name in now}
            await ctx.tick()
            cycle += 1

    simulate(Bench(dut), bench)
    return trace


@pytest.mark.parametrize("window", [1, 7, 15])
@pytest.mark.parametrize("rates", [
    Rates(), Rates(snap=0.3), Rates(prod=0.2), Rates(free=0.2), Rates(0.5, 0.5, 0.5),
    Rates(0.15, 0.9, 0.9)],
    ids=["free", "slow_spikes", "slow_products", "slow_bank", "all_stall", "sparse"])
def test_random_traffic(rates: Rates, window: int) -> None:
    rng = random.Random(window)
    tiles = [random_tile(rng, window) for _ in range(80)]
    trace = run(SMALL.with_(window=window, sal_bits=8), tiles, rates, seed=window)
    assert len(trace.closed) == len(tiles)
    assert len(trace.taken) == sum(len(t.dts) for t in tiles)


@pytest.mark.parametrize("dts, prods, period", [
    ([7], 1, 8),            # one event, at the largest level: 7 adds of S, one product word
    ([1], 1, 2),            # ... at the smallest
    ([1] * 7, 1, 8),        # every level: the adds are the same 7
    ([0], 1, 2),            # silent tile: only the zero product word; S waits for the close
    ([0], 5, 5),
    ([3, 2], 4, 9),
])
def test_tiles_without_gaps(dts: list[int], prods: int, period: int) -> None:
    """V never rests: a tile whose words all wait costs its adds of S plus its products."""
    closed = run(SMALL, [TileTraffic(dts, prods) for _ in range(6)], Rates()).closed
    assert [b - a for a, b in zip(closed, closed[1:], strict=False)] == [period] * 5


def test_steps_do_not_wait_for_products() -> None:
    """Late products hold back only the close, not the window before it."""
    trace = run(SMALL, [TileTraffic([2, 2, 3], 1)], Rates(prod=0.02), seed=3)
    assert [t - trace.taken[0] for t in trace.taken] == [0, 2, 4]
    assert trace.closed[0] > trace.taken[-1] + 3
