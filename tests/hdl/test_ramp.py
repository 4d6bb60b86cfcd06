"""Ramp control: bookkeeping of every add, product and close under random traffic.

The reference counts what V received since the last close, so a V that leaves early, late, with a
part missing or with a part of the next tile is seen at once.
"""

import random
from dataclasses import dataclass, field

import pytest

from hdl.ramp import RampControl
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
        while tile < len(tiles):
            snap_here = next_snap < len(snaps) and (snap_here or rng.random() < rates.snap)
            prod_here = next_prod < len(prods) and (prod_here or rng.random() < rates.prod)
            v_free = rng.random() < rates.free
            ctx.set(dut.snap, snap_here)
            if snap_here:
                ctx.set(dut.dt, snaps[next_snap][1])
                ctx.set(dut.tile_end, snaps[next_snap][2])
            ctx.set(dut.prod_valid, prod_here)
            ctx.set(dut.prod_last, prod_here and prods[next_prod][1])
            ctx.set(dut.v_free, v_free)

            # Adds of S: exactly dt, straight after the snapshot, never beside a product.
            assert ctx.get(dut.add_hold) == (left > 0)
            if left:
                in_v.append(("S", held))
                left -= 1
            add_prod = ctx.get(dut.add_prod)
            assert not (add_prod and ctx.get(dut.add_hold))
            assert add_prod == (ctx.get(dut.prod_ready) and prod_here)
            if add_prod:
                assert prods[next_prod][0] == tile, "a product of the next tile"
                in_v.append(("P", next_prod))
                next_prod += 1
                prod_here = False
            elif prod_here and prods[next_prod][0] == tile:
                assert ctx.get(dut.add_hold), "an idle cycle with a product waiting"

            # V leaves when complete and only then.
            tail_held = held >= 0 and snaps[held][0] == tile and snaps[held][2]
            complete = tail_held and sorted(in_v) == sorted(parts[tile])
            close = ctx.get(dut.close)
            assert close == (complete and v_free)
            if close:
                trace.closed.append(cycle)
                in_v, tile = [], tile + 1

            # A snapshot waits for the adds of the one before and for its tile to open, and says so.
            stall = ctx.get(dut.stall)
            waits = {name: ctx.get(getattr(dut, f"waits_{name}"))
                     for name in ("ramp", "fire", "prod")}
            reason = "ramp" if left > 0 else "prod" if v_free else "fire"
            assert waits == {name: stall and name == reason for name in waits}
            if snap_here:
                assert stall == (left > 0 or snaps[next_snap][0] != tile)
                if not stall:
                    held, left = next_snap, snaps[next_snap][1]
                    trace.taken.append(cycle)
                    next_snap += 1
                    snap_here = False
            else:
                assert not stall
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
    ([0], 1, 1),            # silent tile: only the zero product word
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
