"""Act arbiter: whole tokens, the chain's first, none lost, mixed up or changed while it waits."""

import random

import pytest

from hdl.act_arbiter import ActArbiter
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import SMALL, act_words, random_codes

CONFIGS = {"small": SMALL, "1_lane": SMALL.with_(rows=1, homes=1, int_lanes=1)}


def tokens_of(cfg: Config, buf: int, count: int, seed: int) -> list[list[dict]]:
    """Tokens of one to many rows for this buffer."""
    rng, tokens = random.Random(seed), []
    for number in range(count):
        k = rng.choice((1, cfg.groups, rng.randint(1, cfg.k)))
        codes = random_codes(cfg, 1, k, seed=seed + number)
        tokens.append(act_words(cfg, codes, buf, rng.randrange(16), number == count - 1))
    return tokens


def packed(dut: ActArbiter, words) -> list[int]:
    layout = dut.act.payload.shape()
    return [layout.const(word).as_value().value if isinstance(word, dict) else word.as_bits()
            for word in words]


@pytest.mark.parametrize("load, chain, take", [
    (0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.2, 0.9, 0.3), (0.9, 0.1, 0.3), (0.3, 0.3, 0.8)])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_whole_tokens_of_both(cfg: Config, load: float, chain: float, take: float) -> None:
    dut = ActArbiter(cfg)
    sent = {0: tokens_of(cfg, 0, 12, 1), 1: tokens_of(cfg, 1, 12, 2)}
    total = sum(len(token) for tokens in sent.values() for token in tokens)
    got: list = []

    def send(port, tokens, stall, seed):
        async def bench(ctx):
            await put(ctx, port, [word for token in tokens for word in token],
                      random.Random(seed), stall)
        return bench

    async def receive(ctx):
        got.extend(await get(ctx, dut.act, lambda words: len(words) == total,
                             random.Random(5), take))

    simulate(Bench(dut), send(dut.load, sent[0], load, 3), send(dut.chain, sent[1], chain, 4),
             receive, watch=[dut.act])
    tokens: list[list] = [[]]
    for word in got:
        tokens[-1].append(word)
        if word.last:
            tokens.append([])
    assert tokens.pop() == []
    for buf in range(2):
        mine = [packed(dut, token) for token in tokens if token[0].buf == buf]
        assert mine == [packed(dut, token) for token in sent[buf]], "a token was cut or changed"


def test_the_chain_goes_first_and_nothing_costs_a_cycle() -> None:
    """Both wait all the time: all of the chain's tokens, then the load's, a word a cycle; a
    token that has begun is not interrupted."""
    cfg, dut = SMALL, ActArbiter(SMALL)
    bench = Bench(dut)
    loads, chains = tokens_of(cfg, 0, 4, 6), tokens_of(cfg, 1, 3, 7)
    got: list = []

    async def load(ctx):
        await put(ctx, dut.load, [word for token in loads for word in token])

    async def chain(ctx):
        await ctx.tick()        # the load's first token has begun
        await put(ctx, dut.chain, [word for token in chains for word in token])

    async def receive(ctx):
        total = sum(map(len, loads + chains))
        got.extend(await get(ctx, dut.act, lambda words: len(words) == total, cycle=bench.cycle))

    simulate(bench, load, chain, receive, watch=[dut.act])
    order = [word.buf for word, _ in got if word.last]
    assert order == [0, 1, 1, 1, 0, 0, 0]
    cycles = [cycle for _, cycle in got]
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))
