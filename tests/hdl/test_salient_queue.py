"""Salient list: order of arrival, both buffers, counts, full lists."""

import random

import pytest

from hdl.salient_queue import SalientQueue
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL

CONFIGS = {
    "group_4": SMALL,
    "group_2": SMALL.with_(int_lanes=2),
    "group_1": SMALL.with_(int_lanes=4),
    "power_of_two": SMALL.with_(k=32),
    "one_entry": SMALL.with_(rows=1, k=1),
    "plain_int8": SMALL.with_(exp_max=0),
}


def random_entry(cfg: Config, rng: random.Random) -> dict[str, int]:
    entry = {"q": rng.randint(-128, 127), "row": rng.randrange(cfg.rows_k)}
    if cfg.exp_bits:
        entry["e"] = rng.randint(0, cfg.exp_max)
    if cfg.group > 1:
        entry["lane"] = rng.randrange(cfg.group)
    return entry


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_pushes_reads_and_forgets(cfg: Config) -> None:
    """Both buffers in parallel, up to full; every read against a list of what was pushed."""
    rng, dut = random.Random(9), SalientQueue(cfg)
    lists: list[list[dict[str, int]]] = [[], []]

    async def bench(ctx):
        entry, full = None, [0, 0]
        for _ in range(12 * cfg.salient_depth + 60):
            push, buf = rng.random() < 0.7, rng.getrandbits(1)
            push = push and len(lists[buf]) < cfg.salient_depth
            ctx.set(dut.push, push)
            ctx.set(dut.push_buf, buf)
            data = random_entry(cfg, rng)
            ctx.set(dut.push_data, data)
            forget = 0
            for number in range(2):     # never the one pushed to
                if (not push or buf != number) and rng.random() < (
                        0.3 if len(lists[number]) == cfg.salient_depth else 0.01):
                    forget |= 1 << number
            ctx.set(dut.forget, forget)
            for number in range(2):
                ctx.set(dut.count_buf, number)
                assert ctx.get(dut.count) == len(lists[number])
            read_buf = rng.getrandbits(1)
            read = bool(lists[read_buf]) and rng.random() < 0.6
            ctx.set(dut.en, read)
            ctx.set(dut.buf, read_buf)
            if read:
                index = rng.randrange(len(lists[read_buf]))
                ctx.set(dut.index, index)
                entry = lists[read_buf][index]
            await ctx.tick()
            if entry is not None:       # also without another read: the entry is held
                got = ctx.get(dut.entry)
                assert {name: got[name] for name in entry} == entry
            if push:
                lists[buf].append(data)
                full[buf] += len(lists[buf]) == cfg.salient_depth
            for number in range(2):
                if forget >> number & 1:
                    lists[number].clear()
        assert min(full) > 0, "the test never filled a list"

    simulate(Bench(dut), bench)
