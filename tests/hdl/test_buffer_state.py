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
                for name, value in (("buf", buf), ("first", at == 0), ("last", last),
                                    ("tiles", tiles), ("tokens", 1 + total % cfg.tokens)):
                    ctx.set(getattr(dut, name), value)
                await ctx.tick()
                ctx.set(dut.chain, 0)
                chain, buffer = ctx.get(dut.open_chain), ctx.get(dut.buffers[buf])
                assert chain.open == (not last) and (last or chain.buf == buf)
                assert chain.tiles == (0 if last else sum(parts[:at + 1]))
                assert buffer.loaded == last
            assert (buffer.rows, buffer.tokens) == (-(-total * cfg.cols // cfg.groups),
                                                    1 + total % cfg.tokens)
            assert buffer.rows <= cfg.rows_k

    simulate(dut, bench)


@pytest.mark.parametrize("ready", [0.2, 1.0])
def test_overflows_are_reported_once_each(ready: float) -> None:
    """Both buffers are opened and overflow, at any time, also in the same cycle."""
    dut, rng, got, want = BufferState(PRESETS["tiny"]), random.Random(2), [], []

    async def bench(ctx):
        full, filler = [False, False], [None, None]
        for cycle in range(600):
            buf = rng.getrandbits(1)
            opens = not ctx.get(dut.pending) >> buf & 1 and rng.random() < 0.3
            ctx.set(dut.load, opens and cycle % 2)
            ctx.set(dut.chain, opens and not cycle % 2)
            ctx.set(dut.first, 1)
            ctx.set(dut.buf, buf)
            ctx.set(dut.number, cycle)
            ctx.set(dut.error.ready, rng.random() < ready)
            if ctx.get(dut.error.valid) and ctx.get(dut.error.ready):
                got.append(ctx.get(dut.error.payload.number))
            await ctx.tick()
            if opens:
                full[buf], filler[buf] = False, cycle
            for other in range(2):
                empty = filler[other] is not None and not full[other]
                if empty and filler[other] != cycle and rng.random() < 0.1:
                    full[other] = True
                    want.append(filler[other])
            ctx.set(dut.full, full[0] | full[1] << 1)
        ctx.set(dut.load, 0)
        ctx.set(dut.chain, 0)
        ctx.set(dut.error.ready, 1)
        for _ in range(4):
            if ctx.get(dut.error.valid):
                got.append(ctx.get(dut.error.payload.number))
            await ctx.tick()

    simulate(dut, bench, watch=[dut.error])
    assert sorted(got) == sorted(want) and len(want) > 20
