"""Tile queue: columns and tiles in order, places kept for all of a tile's columns."""

import random

import pytest

from hdl.tile_queue import TileQueue, entry_bits, tiles_inside
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL


@pytest.mark.parametrize("cols", [1, 2, 3, 16, 200])
@pytest.mark.parametrize("pace", [1.0, 0.4], ids=["fast", "slow"])
def test_order_and_room(cols: int, pace: float) -> None:
    """Tiles enter when there is room, their columns come 7 cycles later, leave at any pace."""
    cfg = SMALL.with_(cols=cols, acc_depth=256)
    count, rng = 60, random.Random(80)
    dut, now = TileQueue(cfg, 12), [0]
    columns, got, tiles, inside = [], [], [], []

    async def enter(ctx):
        due: list[tuple[int, int]] = []         # cycle, column
        sent, busy = 0, 0
        while len(got) < count * cols or len(tiles) < count:
            now[0] += 1
            starts = sent < count and now[0] >= busy and ctx.get(dut.room)
            ctx.set(dut.enter, starts)
            if starts:
                ctx.set(dut.enter_tile, {"run": sent & 1, "last": sent >> 1 & 1})
                due += [(now[0] + 7 + n, rng.getrandbits(12)) for n in range(cols)]
                sent, busy = sent + 1, now[0] + cols
            push = bool(due) and due[0][0] == now[0]
            ctx.set(dut.push, push)
            if push:
                columns.append(due.pop(0)[1])
                ctx.set(dut.push_entry, columns[-1])
            inside.append(sent - len(tiles))
            await ctx.tick()

    async def leave(ctx):
        while len(got) < count * cols or len(tiles) < count:
            ctx.set(dut.entry.ready, rng.random() < pace)
            ready = len(got) >= (len(tiles) + 1) * cols
            ctx.set(dut.tile.ready, ready)
            ctx.set(dut.done, ready and ctx.get(dut.tile.valid))
            _, _, valid, ok, entry, tile, shown = await ctx.tick().sample(
                dut.entry.valid, dut.entry.ready, dut.entry.payload, dut.tile.valid,
                dut.tile.payload)
            if valid and ok:
                got.append(entry)
            if tile and ready:
                assert (shown.run, shown.last) == (len(tiles) & 1, len(tiles) >> 1 & 1)
                tiles.append(shown)
        ctx.set(dut.done, 0)
        ctx.set(dut.tile.ready, 0)
        await ctx.tick()
        assert ctx.get(dut.empty)

    simulate(Bench(dut), enter, leave, deadline=200_000)
    assert got == columns
    assert max(inside) <= tiles_inside(cfg) + (2 if cols < 3 else 0) + 1
    assert tiles_inside(cfg) * cols < 1 << entry_bits(cfg)
