"""Firing by successive approximation: every V at small widths, ties and extremes at full width."""

import itertools
import random

import pytest
import torch
from amaranth.hdl import Value
from torch import Tensor

from hdl.fire_sar import SarFire, sar_latency
from hdl.payloads import level_layout, settings_layout, sum_layout
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import fired, near_ties

OPTIONS = [dict(zip(("unsigned", "spikes_only"), bits, strict=True))
           for bits in itertools.product((0, 1), repeat=2)]


#: One tile: v [C], theta [C], the run's settings.
TileIn = tuple[Tensor, Tensor, dict[str, int]]


def tile_pairs(cfg: Config, tile: TileIn, run: int) -> list[tuple[int, int]]:
    """Neurons of one tile as (input word, expected output word), packed."""
    v, theta, settings = tile
    levels = fired(cfg, v, theta, **settings).abs().tolist()
    pairs = []
    for value, threshold, level in zip(v.tolist(), theta.tolist(), levels, strict=True):
        word = {"v": value, "theta": threshold, "run": run,
                "lowest": value == -1 << cfg.acc_bits - 1}
        out = {"level": level, "neg": value < 0, "salient": level > cfg.window}
        pairs.append((sum_layout(cfg).const(word).as_value().value,
                      level_layout(cfg).const(out).as_value().value))
    return pairs


def batches(cfg: Config, tiles: list[TileIn]) -> list[tuple[list[dict], list[tuple[int, int]]]]:
    """Tiles of two settings at a time, those of runs 0 and 1, by turns."""
    by_settings: dict[tuple, list[TileIn]] = {}
    for tile in tiles:
        by_settings.setdefault(tuple(sorted(tile[2].items())), []).append(tile)
    groups = list(by_settings.values())
    out = []
    for first, second in itertools.zip_longest(groups[::2], groups[1::2], fillvalue=None):
        pairs = []
        for one, other in itertools.zip_longest(first, second or ()):
            pairs += tile_pairs(cfg, one, 0) if one else []
            pairs += tile_pairs(cfg, other, 1) if other else []
        out.append(([first[0][2], (second or first)[0][2]], pairs))
    return out


def check(cfg: Config, tiles: list[TileIn]) -> None:
    """All levels in order, `sar_latency` after their sums, one per cycle; past M as they may be.

    Now and then no sum is valid; what stands there instead must not matter.
    """
    dut = SarFire(cfg)
    names = [name for name, _ in settings_layout(cfg)]
    port_in, port_out = Value.cast(dut.sum), Value.cast(dut.fired)
    layout, latency = level_layout(cfg), sar_latency(cfg)
    rng = random.Random(1)

    async def bench(ctx):
        for settings, pairs in batches(cfg, tiles):
            ctx.set(dut.settings, [{name: one.get(name, 0) for name in names}
                                   for one in settings])
            given = []
            for pair in pairs:
                given += [None] * (rng.random() < 0.1) + [pair]
            for cycle in range(len(given) + latency):
                pair = given[cycle] if cycle < len(given) else None
                ctx.set(dut.valid, pair is not None)
                ctx.set(port_in, pair[0] if pair else rng.getrandbits(len(port_in)))
                pair = given[cycle - latency] if cycle >= latency else None
                assert ctx.get(dut.fired_valid) == (pair is not None)
                if pair is not None:
                    got = layout.from_bits(ctx.get(port_out))
                    want = layout.from_bits(pair[1])
                    level = got.level if want.level < cfg.level_max else min(
                        got.level, cfg.level_max)
                    assert (level, got.neg, got.salient) == (
                        want.level, want.neg, want.salient), f"neuron {cycle - latency}"
                await ctx.tick()

    simulate(Bench(dut), bench)


def small(window: int, sal_bits: int, exp_max: int, frac_bits: int) -> Config:
    return Config(rows=1, cols=128, homes=1, int_lanes=1, k=1, slots=1, depth=1, tiles=1,
                  wgt_bits=2, acc_depth=0, scale_bits=0, window=window, sal_bits=sal_bits,
                  exp_max=exp_max, frac_bits=frac_bits, theta_bits=8)


def every_v(cfg: Config) -> Tensor:
    """V of both signs as wide as V gets, at most 63."""
    top = min(63, (1 << cfg.v_bits - 1) - 1)
    return torch.arange(-top, top + 1)


@pytest.mark.parametrize("frac_bits", [0, 3])
@pytest.mark.parametrize("window, sal_bits, exp_max", [
    (7, 4, 1), (7, 4, 0), (3, 4, 1), (1, 4, 2), (15, 5, 0)],
    ids=["M14_L7", "M7_L7", "M14_L3", "M28_L1", "M15_L15"])
def test_every_v(window: int, sal_bits: int, exp_max: int, frac_bits: int) -> None:
    """All V x some theta x all run options, silence levels below the largest."""
    cfg = small(window, sal_bits, exp_max, frac_bits)
    v, tiles = every_v(cfg), []
    silences = sorted({0, 1, window // 2, window - 1} - {window})
    for theta, options in itertools.product((1, 3, 8, 29, 255), OPTIONS):
        for silence in silences if theta in (3, 29) else (0,):
            tiles.append((v, torch.full_like(v, theta), {"silence": silence, **options}))
    check(cfg, tiles)


@pytest.mark.parametrize("exp_max", [0, 1])
@pytest.mark.parametrize("spikes_only", [0, 1])
def test_silence_level_equal_to_the_window(spikes_only: int, exp_max: int) -> None:
    """z = L drops every level up to L; if L is the largest level, then everything."""
    cfg = small(7, 4, exp_max, 0)
    v = every_v(cfg)
    check(cfg, [(v, torch.full_like(v, theta), {"silence": 7, "spikes_only": spikes_only})
                for theta in (1, 3, 29)])


@pytest.mark.parametrize("cfg", [
    Config(), Config(exp_max=0, frac_bits=24, theta_bits=40), Config(window=15, exp_max=3),
    Config(rows=1, cols=1, homes=1, int_lanes=1, k=17, frac_bits=0, theta_bits=9, exp_max=3),
    Config(k=16, frac_bits=1, theta_bits=5, exp_max=12)],
    ids=["default", "plain_int8", "window_15", "1x1", "narrow_thresholds"])
def test_ties_and_extremes_at_full_width(cfg: Config) -> None:
    gen = torch.Generator().manual_seed(30)
    n = cfg.cols
    top_v = (1 << cfg.acc_bits - 1) - 1
    levels = torch.tensor([1, 2, cfg.window, cfg.window + 1, cfg.sal_max, cfg.sal_max + 1,
                           cfg.level_max, cfg.level_max + 1])
    tiles = []
    for token in range(3):
        low = [1, 1 << cfg.frac_bits, (1 << cfg.theta_bits) - 4][token]
        theta = torch.randint(low, min(3 * low + 2, 1 << cfg.theta_bits), (n,), generator=gen)
        rows = [near_ties(cfg, theta, levels),
                torch.randint(-top_v, top_v + 1, (2, n), generator=gen),
                torch.tensor([[0], [top_v], [-top_v]]).expand(3, n)]
        for index, v in enumerate(torch.cat(rows)):
            tiles.append((v, theta, OPTIONS[index % 4] | {"silence": index % cfg.window}))
    check(cfg, tiles)


def test_the_sum_without_a_magnitude_counts_as_0() -> None:
    cfg = Config()
    dut, levels = SarFire(cfg), []

    async def bench(ctx):
        ctx.set(dut.valid, 1)
        for theta in (0, 1, 1 << cfg.theta_bits - 1):      # theta = 0 always fires, at M or past it
            ctx.set(dut.sum, {"v": -1 << cfg.acc_bits - 1, "theta": theta, "run": 0, "lowest": 1})
            for _ in range(sar_latency(cfg)):
                await ctx.tick()
            levels.append(ctx.get(dut.fired.level))

    simulate(Bench(dut), bench)
    assert levels == [(1 << cfg.out_level_bits) - 1, 0, 0]


def test_latency_of_the_default_is_21() -> None:
    assert sar_latency(Config()) == 21
