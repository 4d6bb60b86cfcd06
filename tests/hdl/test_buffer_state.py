"""Buffer state: sizes of what chains fill, one overflow report per filling, the right number."""

import random

import pytest

from hdl.buffer_state import BufferState, can_chain, chain_limit
from spinteger.config import PRESETS, Config
from tests.hdl.streams import simulate

#: C a multiple of G; G a power of two; neither.
CONFIGS = {
    "4_columns_2_groups": PRESETS["tiny"],
    "3_columns_4_groups": PRESETS["tiny"].with_(cols=3, homes=1, int_lanes=1, list_depth=512),
    "6_columns_3_groups": PRESETS["tiny"].with_(rows=3, cols=6, homes=1, int_lanes=1,
                                                train_depth=512, list_depth=512),
}


def test_which_can_chain() -> None:
    assert all(can_chain(cfg) for cfg in CONFIGS.values())
    assert not can_chain(CONFIGS["6_columns_3_groups"].with_(cols=5))


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_chains_fill_rows(cfg: Config) -> None:
    """Any number of tiles, in one run or several."""
    dut, rng = BufferState(cfg), random.Random(1)

    async def bench(ctx):
        for total in range(1, chain_limit(cfg) + 1):
            parts, buf = [], rng.getrandbits(1)
            while sum(parts) < total:
                parts.append(min(total - sum(parts), rng.randint(1, cfg.tiles)))
            for at, tiles in enumerate(parts):
                last = at == len(parts) - 1
                ctx.set(dut.chain, 1)
                for name, value in (("buf", buf), ("last", last), ("tiles", tiles)):
                    ctx.set(getattr(dut, name), value)
                rows = ctx.get(dut.chained)
                await ctx.tick()
                ctx.set(dut.chain, 0)
                chain = ctx.get(dut.open_chain)
                assert chain.open == (not last) and (last or chain.buf == buf)
                assert chain.tiles == (0 if last else sum(parts[:at + 1]))
                assert ctx.get(dut.loaded) >> buf & 1 == last
            assert rows == -(-total * cfg.cols // cfg.groups) <= cfg.rows_k

    simulate(dut, bench)


def test_loaded() -> None:
    """From a load's good end to the next load's start, buffer by buffer."""
    dut, rng = BufferState(PRESETS["tiny"]), random.Random(3)

    async def bench(ctx):
        loaded = [0, 0]
        for _ in range(200):
            buf, strobe = rng.getrandbits(1), rng.choice(("load", "good", "chain", ""))
            last = rng.getrandbits(1)
            ctx.set(dut.buf, buf)
            ctx.set(dut.last, last)
            for name in ("load", "good", "chain"):
                ctx.set(getattr(dut, name), name == strobe)
            await ctx.tick()
            if strobe:
                loaded[buf] = int(strobe == "good" or (strobe == "chain" and last))
            assert ctx.get(dut.loaded) == loaded[0] | loaded[1] << 1

    simulate(dut, bench)


@pytest.mark.parametrize("ready", [0.2, 1.0])
def test_overflows_are_reported_once_each(ready: float) -> None:
    """Both buffers overflow, at any time, also in the same cycle; `pending` until it is said."""
    dut, rng, got, want = BufferState(PRESETS["tiny"]), random.Random(2), [], []

    async def bench(ctx):
        full, left = [False, False], [False, False]
        for cycle in range(600):
            for buf in range(2):
                if full[buf] and not left[buf] and rng.random() < 0.3:
                    full[buf] = False                    # it is opened
                elif not full[buf] and cycle < 590 and rng.random() < 0.1:
                    full[buf] = left[buf] = True
                    want.append(buf)
            ctx.set(dut.full, full[0] | full[1] << 1)
            assert ctx.get(dut.pending) == left[0] | left[1] << 1
            reported = any(left) and rng.random() < ready
            ctx.set(dut.reported, reported)
            if reported:
                which = ctx.get(dut.which)
                assert left[which]
                got.append(which)
                left[which] = False
            await ctx.tick()

    simulate(dut, bench)
    assert sorted(got) == sorted(want) and len(want) > 20
