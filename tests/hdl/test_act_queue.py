"""Act queue: rows in order, none lost, and `holds` names every buffer that has rows inside."""

import random

import pytest

from hdl.act_queue import ActQueue
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.test_act_arbiter import packed, tokens_of
from tests.hdl.traffic import SMALL

CONFIGS = {"small": SMALL, "1_lane": SMALL.with_(rows=1, homes=1, int_lanes=1),
           "short": SMALL.with_(k=4, tokens=1)}


@pytest.mark.parametrize("load, take", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.8), (0.8, 0.1)])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_rows_in_order(cfg: Config, load: float, take: float) -> None:
    dut = ActQueue(cfg)
    sent = [word for buf in range(2) for token in tokens_of(cfg, buf, 6, 1 + buf)
            for word in token]
    got: list = []
    inside: list[int] = []                    # buffers of the rows in the queue

    async def send(ctx):
        await put(ctx, dut.load, sent, random.Random(3), load)

    async def receive(ctx):
        got.extend(await get(ctx, dut.act, lambda words: len(words) == len(sent),
                             random.Random(5), take))

    async def watch(ctx):
        since = 0                             # cycles since a row came or left
        sampled = [dut.holds, dut.load.valid & dut.load.ready, dut.load.payload.buf,
                   dut.act.valid & dut.act.ready]
        async for _, _, holds, came, buf, went in ctx.tick().sample(*sampled):
            real = sum(1 << buf for buf in set(inside))
            assert holds & real == real, f"holds {holds:02b}, inside {inside}"
            assert holds & ~real == 0 or since < 4, f"holds {holds:02b}, inside {inside}, settled"
            since = 0 if went or came else since + 1
            inside.extend([buf] if came else [])
            del inside[:went]

    simulate(Bench(dut), send, receive, processes=[watch], watch=[dut.act])
    assert packed(dut, got) == packed(dut, sent) and not inside


def test_takes_as_many_rows_as_it_says() -> None:
    cfg, dut = SMALL, ActQueue(SMALL)
    words = [word for token in tokens_of(cfg, 0, 40, 7) for word in token]
    words = (words * cfg.act_queue)[:cfg.act_queue]

    async def send(ctx):
        for word in words:
            ctx.set(dut.load.payload, word)
            ctx.set(dut.load.valid, 1)
            assert ctx.get(dut.load.ready)
            await ctx.tick()

    simulate(Bench(dut), send)
