"""ColumnBank: leaves and products in, V of all columns out, with the tile's own labels."""

import random

import pytest
import torch

from golden.codes import Codes
from golden.integrate import integer_lanes, ramp
from hdl.column_bank import ColumnBank
from hdl.tree import tree_depth
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate

BASE = Config(rows=4, cols=3, homes=2, int_lanes=2, k=12, depth=32, tiles=4, exp_max=1,
              frac_bits=4, theta_bits=12)
CONFIGS = {"4x3": BASE, "unsigned": BASE.with_(window=15, signed=False),
           "1x2": BASE.with_(rows=1, cols=2, homes=1, int_lanes=1),
           "5x1": BASE.with_(rows=5, cols=1, homes=1, int_lanes=5),
           "two_tree_stages": BASE.with_(rows=5, homes=1, int_lanes=5, tree_step=2)}


def leaves(cfg: Config, q: list[int], w: list[list[int]]) -> list[dict]:
    """The leaf words of one tile: levels downwards, at most one event per lane and word."""
    levels = sorted({abs(x) for x in q if 0 < abs(x) <= cfg.window}, reverse=True)
    words = []
    for level, below in zip(levels, [*levels[1:], 0], strict=False):
        queues = [[k for k in range(lane, len(q), cfg.rows) if abs(q[k]) == level]
                  for lane in range(cfg.rows)]
        for step in range(max(map(len, queues))):
            now = [queue[step] if step < len(queue) else None for queue in queues]
            words.append({
                "wgt": [[0] * cfg.cols if k is None else w[k] for k in now],
                "neg": sum((k is not None and q[k] < 0) << lane for lane, k in enumerate(now)),
                "snap": 0, "dt": level - below, "tile_end": 0})
        words[-1]["snap"] = 1
    if not words:
        words = [{"wgt": [[0] * cfg.cols] * cfg.rows, "neg": 0, "snap": 1, "dt": 0,
                  "tile_end": 0}]
    words[-1]["tile_end"] = 1
    return words


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["free", "stalled"])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=list(CONFIGS))
def test_sums_equal_the_golden_ramp(cfg: Config, stall: float) -> None:
    rng = random.Random(f"{cfg}{stall}")
    dut = ColumnBank(cfg)
    low = -1 if cfg.signed else 0
    tiles = []
    for number in range(24):
        q = [rng.choice([0, rng.randint(low * cfg.window, cfg.window), rng.randint(
            low * cfg.sal_max, cfg.sal_max)]) if number else 0 for _ in range(cfg.k)]
        tiles.append((q, [[rng.randint(-8, 7) for _ in range(cfg.cols)] for _ in q]))
    want = []
    for q, w in tiles:
        codes = Codes(torch.tensor(q), torch.zeros(len(q), dtype=torch.int64))
        want.append(ramp(codes, torch.tensor(w), cfg)[0].tolist())

    fires = [{"run": rng.getrandbits(1), "tile": rng.randrange(cfg.tiles),
              "shift": rng.randrange(1 << cfg.shift_bits), "last": rng.getrandbits(1),
              "end": rng.getrandbits(1), "drop": rng.getrandbits(1)} for _ in tiles]

    async def send_leaves(ctx):
        for number, (q, w) in enumerate(tiles):
            for word in leaves(cfg, q, w):
                ctx.set(dut.snap, 0)
                while rng.random() < stall:      # a bubble: zero rows, no step
                    await ctx.tick().until(dut.en)
                    for lane in range(cfg.rows):
                        ctx.set(dut.wgt[lane], [0] * cfg.cols)
                ctx.set(dut.neg, word["neg"])
                ctx.set(dut.dt, word["dt"])
                ctx.set(dut.tile_end, word["tile_end"])
                ctx.set(dut.fire, fires[number] if word["tile_end"] else
                        {name: rng.getrandbits(1) for name in fires[number]})
                ctx.set(dut.snap, word["snap"])
                await ctx.tick().until(dut.en)
                for lane in range(cfg.rows):     # the codes follow
                    ctx.set(dut.wgt[lane], word["wgt"][lane])
        ctx.set(dut.snap, 0)

    async def send_products(ctx):
        words = []
        for q, w in tiles:
            rows = []
            for k in (k for k, x in enumerate(q) if abs(x) > cfg.window):
                one = [0] * len(q)
                one[k] = q[k]
                codes = Codes(torch.tensor(one), torch.zeros(len(q), dtype=torch.int64))
                rows.append(integer_lanes(codes, torch.tensor(w), cfg).tolist())
            rows = rows or [[0] * cfg.cols]
            words += [{"prod": row, "last": row is rows[-1]} for row in rows]
        await put(ctx, dut.prod, words, rng, stall)

    got = []

    async def receive(ctx):
        words = await get(ctx, dut.psum, lambda words: len(words) == len(tiles), rng, stall)
        got.extend(words)

    async def watch_waits(ctx):
        async for _, _, en, waits in ctx.tick().sample(dut.en, dut.waits):
            assert waits.ramp + waits.integer + waits.firing == (not en), "one reason to wait"

    simulate(dut, send_leaves, send_products, receive, processes=[watch_waits], watch=[dut.psum])
    assert [[word.v[c] for c in range(cfg.cols)] for word in got] == want
    assert [{name: word.fire[name] for name in fires[0]} for word in got] == fires


def test_a_leaf_a_cycle_and_v_after_its_adds() -> None:
    """Three words, two adds of S and one product: neither waits for the other. V is there tree
    depth + 2 cycles after the signs of a tile's last leaf, and one for the add of its last S."""
    cfg = BASE
    dut, tiles = ColumnBank(cfg), 6
    bench = Bench(dut)
    words = leaves(cfg, [7] * 2 * cfg.rows + [6] * cfg.rows, [[1] * cfg.cols] * cfg.k)
    words[-1]["dt"] = 1            # as if level 0 came next
    taken: list[int] = []
    closed: list[int] = []

    async def send_leaves(ctx):
        for word in words * tiles:
            for name in ("neg", "snap", "dt", "tile_end"):
                ctx.set(getattr(dut, name), word[name])
            assert ctx.get(dut.en)
            taken.extend(await ctx.tick().sample(bench.cycle).until(dut.en))
            for lane in range(cfg.rows):
                ctx.set(dut.wgt[lane], word["wgt"][lane])
        ctx.set(dut.snap, 0)

    async def send_products(ctx):
        await put(ctx, dut.prod, [{"prod": [0] * cfg.cols, "last": 1}] * tiles)

    async def receive(ctx):
        stamped = await get(ctx, dut.psum, lambda words: len(words) == tiles, cycle=bench.cycle)
        closed.extend(cycle for _, cycle in stamped)

    simulate(bench, send_leaves, send_products, receive)
    assert taken == list(range(taken[0], taken[0] + len(taken)))
    lasts = taken[len(words) - 1::len(words)]
    assert [v - last for v, last in zip(closed, lasts, strict=True)] == [
        tree_depth(cfg) + 2 + 1] * tiles
