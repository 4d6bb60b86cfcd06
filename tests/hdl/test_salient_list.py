"""Salient list: what is stored is read, in both buffers, while others are being stored."""

import random

import pytest

from hdl.salient_list import SalientList
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL

BASE = SMALL.with_(list_depth=64)
CONFIGS = {
    "group_2": BASE,
    "group_4": BASE.with_(rows=8, k=64),
    "group_1": BASE.with_(homes=4),
    "1_home": BASE.with_(homes=1, int_lanes=4),
    "odd_depth": BASE.with_(list_depth=41),
    "one_entry": BASE.with_(rows=1, homes=1, int_lanes=1, k=1, list_depth=1),
    "plain_int8": BASE.with_(exp_max=0),
}


def random_entry(cfg: Config, rng: random.Random) -> dict[str, int]:
    entry = {"q": rng.randint(-128, 127), "row": rng.randrange(cfg.rows_k)}
    if cfg.exp_bits:
        entry["e"] = rng.randint(0, cfg.exp_max)
    if cfg.group > 1:
        entry["lane"] = rng.randrange(cfg.group)
    return entry


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_stores_and_reads(cfg: Config) -> None:
    """Every place of both buffers, each in its own turn; an entry stays until the next one that
    was read moves on, two enabled cycles after it was asked for."""
    rng, dut = random.Random(9), SalientList(cfg)
    stored: dict[tuple[int, int], dict[str, int]] = {}

    async def bench(ctx):
        want, fetched = None, None
        fresh = [(buf, place) for buf in range(2) for place in range(cfg.list_depth)]
        rng.shuffle(fresh)
        for _ in range(10 * cfg.list_depth + 60):
            write = rng.random() < 0.5
            target = fresh.pop() if fresh else (rng.getrandbits(1), rng.randrange(cfg.list_depth))
            entry = random_entry(cfg, rng)
            ctx.set(dut.write, write)
            for name, value in (("buf", target[0]), ("place", target[1]), ("entry", entry)):
                ctx.set(getattr(dut, f"write_{name}"), value)
            read = bool(stored) and rng.random() < 0.6
            # What is stored in this very cycle is read only later, as in the array.
            source = rng.choice([*stored]) if read else target
            read = read and not (write and source == target)
            en = rng.random() < 0.7
            ctx.set(dut.en, en)
            ctx.set(dut.read, read)
            ctx.set(dut.buf, source[0])
            ctx.set(dut.place, source[1])
            if en:
                want = fetched
            if en and read:
                fetched = stored[source]
            await ctx.tick()
            if write:
                stored[target] = entry
            if want is not None:
                got = ctx.get(dut.entry)
                assert {name: got[name] for name in want} == want
        assert len(stored) > cfg.list_depth, "the test left most places out"

    simulate(Bench(dut), bench)
