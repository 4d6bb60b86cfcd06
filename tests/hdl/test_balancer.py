"""Balancer: every spike to the emptiest of its home lanes, by `Config.home_lanes` alone."""

import itertools
import random

import pytest

from hdl.balancer import Balancer
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import SMALL

TINY = Config(rows=4, cols=1, homes=2, int_lanes=1, k=4, depth=8, tiles=1)
CONFIGS = {
    "4_lanes_2_homes": SMALL,
    "16_lanes_2_homes": SMALL.with_(rows=16),
    "16_lanes_4_homes": SMALL.with_(rows=16, homes=4, k=100),
    "8_homes": SMALL.with_(rows=8, homes=8),
    "16_homes": SMALL.with_(rows=16, homes=16, k=33),
    "3_lanes_1_home": SMALL.with_(rows=3, homes=1, int_lanes=1),
    "1_lane": SMALL.with_(rows=1, homes=1, int_lanes=1, k=9),
}


def placed(cfg: Config, row: int, spikes: list[int], fill: list[int]) -> dict[int, int]:
    """Lane -> group, for the groups that spike: the first of the emptiest home lanes."""
    lanes = {}
    for group in spikes:
        homes = cfg.home_lanes(row * cfg.groups + group)
        lanes[min(homes, key=lambda lane: fill[lane])] = group
    assert len(lanes) == len(spikes), "two spikes in one lane"
    return lanes


async def check(ctx, dut: Balancer, row: int, spikes: list[int], fill: list[int],
          words: list[dict[str, int]]) -> None:
    """One row with these `fill`s; `words` are all groups' spikes, valid or not. They are on
    offer from the next cycle on; what comes once they are stored makes no difference."""
    cfg = dut.cfg
    ctx.set(dut.valid, sum(1 << group for group in spikes))
    ctx.set(dut.spike, words)
    ctx.set(dut.pattern, row % cfg.patterns)
    if cfg.homes > 1:
        await ctx.tick()                         # look up
        ctx.set(dut.valid, 0)
        ctx.set(dut.fill, fill)
        assert ctx.get(dut.push) == 0
        await ctx.tick()                         # compare
        ctx.set(dut.fill, [value ^ 1 for value in fill])
        assert ctx.get(dut.push) == 0
    await ctx.tick()                             # store
    ctx.set(dut.valid, ~sum(1 << group for group in spikes) & (1 << cfg.groups) - 1)
    ctx.set(dut.spike, [{"level": word["level"] ^ 1, "neg": 1 - word["neg"]} for word in words])
    ctx.set(dut.pattern, (row + 1) % cfg.patterns)
    want = placed(cfg, row, spikes, fill)
    assert ctx.get(dut.push) == sum(1 << lane for lane in want), (row, spikes, fill)
    for group, word in enumerate(words):         # offered to all homes, so that they answer
        for lane in cfg.home_lanes(row * cfg.groups + group):
            offer = ctx.get(dut.offer[lane])
            assert (offer.level, offer.neg) == (word["level"], word["neg"])
    ctx.set(dut.valid, 0)


def random_words(cfg: Config, rng: random.Random) -> list[dict[str, int]]:
    return [{"level": rng.randint(0, cfg.window), "neg": rng.getrandbits(1)}
            for _ in range(cfg.groups)]


def test_every_fill_of_four_lanes() -> None:
    """Every pattern, every set of spikes, every fill that two bits hold."""
    cfg, dut, rng = TINY, Balancer(TINY), random.Random(1)
    assert cfg.count_bits == 1 and cfg.patterns == 2

    async def bench(ctx):
        words = random_words(cfg, rng)
        for row, fill in itertools.product(range(2), itertools.product(range(2), repeat=4)):
            for valid in range(4):
                spikes = [g for g in range(2) if valid >> g & 1]
                await check(ctx, dut, row, spikes, list(fill), words)

    simulate(Bench(dut), bench)


@pytest.mark.parametrize("homes", [2, 4])
def test_every_order_of_the_homes_fills(homes: int) -> None:
    """One group, all fills of its home lanes up to 3: ties of any two, three and four."""
    cfg = Config(rows=4, cols=1, homes=homes, int_lanes=1, k=4 * 3, depth=32, tiles=1)
    dut = Balancer(cfg)
    assert cfg.count_bits >= 2

    async def bench(ctx):
        words = [{"level": 1, "neg": 0}] * cfg.groups
        for row in range(cfg.patterns):
            lanes = cfg.home_lanes(row * cfg.groups)
            for fills in itertools.product(range(4), repeat=homes):
                fill = [0] * cfg.rows
                for lane, value in zip(lanes, fills, strict=True):
                    fill[lane] = value
                await check(ctx, dut, row, [0], fill, words)

    simulate(Bench(dut), bench)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_rows(cfg: Config) -> None:
    """Fills close together, so that ties are common, and far apart; all rows' patterns."""
    dut, rng, most = Balancer(cfg), random.Random(2), cfg.bucket_depth

    async def bench(ctx):
        for number in range(150):
            low = rng.randint(0, most)
            high = min(most, low + rng.choice((0, 1, 3, most)))
            fill = [rng.randint(low, high) for _ in range(cfg.rows)]
            spikes = [g for g in range(cfg.groups) if rng.random() < rng.choice((0.3, 0.8, 1))]
            await check(ctx, dut, number % cfg.rows_k, spikes, fill, random_words(cfg, rng))

    simulate(Bench(dut), bench)
