"""Sizes: what was stored, compared with every kind of command, back to back."""

import random

import pytest

from hdl.sizes import COMPARE_CYCLES, SIZES, Sizes
from spinteger.config import PRESETS, Config
from tests.hdl.streams import simulate

TINY = PRESETS["tiny"]
CONFIGS = {"2_slots": TINY, "1_slot": TINY.with_(slots=1),
           "5_slots": TINY.with_(slots=5, depth=160)}
SLOT, BUF, SUMS = 1, 2, 4


def some(cfg: Config, rng: random.Random) -> dict[str, int]:
    """A command's sizes, most of them alike."""
    return {"slot": rng.randrange(cfg.slots), "buf": rng.getrandbits(1),
            "fill": rng.getrandbits(1), "rows": rng.choice((1, 2, cfg.rows_k)),
            "tiles": rng.choice((1, cfg.tiles)), "tokens": rng.choice((1, cfg.tokens)),
            "chained": rng.choice((1, 2)), "chains": rng.getrandbits(1)}


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_store_and_compare(cfg: Config) -> None:
    dut, rng = Sizes(cfg), random.Random(1)

    async def bench(ctx):
        kept: dict = {}
        same = 0

        async def strobe(name: str, v: dict[str, int]) -> None:
            for port, value in v.items():
                ctx.set(getattr(dut, port), value)
            ctx.set(getattr(dut, name), 1)
            await ctx.tick()
            ctx.set(getattr(dut, name), 0)

        async def store(v: dict[str, int], keep: int) -> None:
            await strobe("store", v | {"keep": keep})
            for _ in range(SIZES + 1):
                assert ctx.get(dut.busy)
                await ctx.tick()
            assert not ctx.get(dut.busy)
            if keep & SLOT:
                kept["slot", v["slot"]] = v["rows"], v["tiles"]
            if keep & BUF:
                kept["buf", v["fill"]] = v["chained" if v["chains"] else "rows"], v["tokens"]
            if keep & SUMS:
                kept["sums"] = v["tokens"], v["tiles"]

        for slot in range(cfg.slots):
            for buf in range(2):
                await store(some(cfg, rng) | {"slot": slot, "fill": buf}, SLOT | BUF | SUMS)
        for _ in range(300):
            v = some(cfg, rng)
            if rng.random() < 0.4:
                await store(v, rng.randrange(8))
            elif rng.random() < 0.3:                 # a comparison that nobody waits for
                await strobe("start", v)
                await ctx.tick().repeat(rng.randint(1, SIZES))
            else:
                await strobe("start", v)
                await ctx.tick().repeat(COMPARE_CYCLES - 1)
                rows, tiles = kept["slot", v["slot"]]
                want = {"slot_rows": rows != v["rows"], "slot_tiles": tiles != v["tiles"],
                        "buf": kept["buf", v["buf"]] != (v["rows"], v["tokens"]),
                        "sums": kept["sums"] != (v["tokens"], v["tiles"])}
                got = ctx.get(dut.differ)
                assert {name: got[name] for name in want} == want
                same += not any(want.values())
        assert same

    simulate(dut, bench)
