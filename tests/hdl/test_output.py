"""Output: words and fences as beats, in order, with `last` where a run or a fence ends."""

import random

import pytest

from hdl.output import Output
from hdl.payloads import OutKind, out_layout
from spinteger.config import Config
from tests.hdl.front_model import CONFIGS
from tests.hdl.streams import Bench, get, put, simulate


def expect(cfg: Config, word) -> list[tuple[int, int]]:
    size = out_layout(cfg).size
    data = [word.as_bits() >> at & (1 << cfg.bus_bits) - 1 for at in range(0, size, cfg.bus_bits)]
    end = word.kind == OutKind.END and word.run_end
    return [(part, int(end and at == len(data) - 1)) for at, part in enumerate(data)]


def random_word(cfg: Config, rng: random.Random, end: bool = False):
    word = out_layout(cfg).from_bits(rng.getrandbits(out_layout(cfg).size))
    if not end:
        return word
    return out_layout(cfg).const({"data": word.data, "kind": OutKind.END, "run_end": 1, "last": 1})


def fence_word(cfg: Config, tag: int):
    return out_layout(cfg).const({"data": tag % (1 << out_layout(cfg)["data"].width),
                                  "kind": OutKind.END, "last": 1, "run_end": 1})


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("cfg", [*CONFIGS.values(), Config(cols=64, bus_bits=32)],
                         ids=[*CONFIGS, "wide"])
def test_words_and_fences(cfg: Config, stall: float) -> None:
    """Words of one run, a fence, words of the next, and so on; fences are offered late or not."""
    rng = random.Random(4)
    groups = [([random_word(cfg, rng) for _ in range(rng.randrange(6))]
               + [random_word(cfg, rng, end=True)], rng.getrandbits(32)) for _ in range(12)]
    dut, got, passed, taken = Output(cfg), [], [], []
    want = [beat for words, tag in groups for word in [*words, fence_word(cfg, tag)]
            for beat in expect(cfg, word)]

    async def send(ctx):
        for words, tag in groups:
            await put(ctx, dut.words, words, rng, stall)
            await put(ctx, dut.fence, [tag], rng, stall)

    async def receive(ctx):
        got.extend(await get(ctx, dut.output, lambda beats: len(beats) == len(want), rng, stall))
        await ctx.tick()
        assert not ctx.get(dut.busy)

    async def see(ctx):
        async for _, _, fence, valid, ready, last in ctx.tick().sample(
                dut.passed, dut.output.valid, dut.output.ready, dut.output.payload.last):
            taken.append(bool(valid and ready))
            if fence.valid:
                passed.append(fence.tag)
                assert valid and ready and last

    simulate(Bench(dut), send, receive, watch=[dut.output], processes=[see])
    assert [(beat.data, beat.last) for beat in got] == want
    assert passed == [tag for _, tag in groups]


def test_one_beat_per_cycle_and_words_before_a_fence() -> None:
    cfg = Config()
    dut = Output(cfg)
    bench = Bench(dut)
    words, got = [random_word(cfg, random.Random(n)) for n in range(30)], []

    async def send(ctx):
        ctx.set(dut.fence.payload, 7)
        ctx.set(dut.fence.valid, 1)
        await put(ctx, dut.words, words)

    async def receive(ctx):
        got.extend(await get(ctx, dut.output, lambda beats: len(beats) == 30, cycle=bench.cycle))

    simulate(bench, send, receive)
    assert [beat.data for beat, _ in got] == [word.as_bits() for word in words]
    assert got[-1][1] - got[0][1] == 29
