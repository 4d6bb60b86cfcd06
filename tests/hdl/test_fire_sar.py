"""Firing by successive approximation: every V at small widths, ties and extremes at full width."""

import itertools
import random

import pytest
import torch
from amaranth.hdl import Value
from torch import Tensor

from hdl.fire_sar import SarFire
from hdl.payloads import level_layout, neuron_layout, settings_layout
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import fired, near_ties, neuron_words

OPTIONS = [dict(zip(("unsigned", "spikes_only"), bits, strict=True))
           for bits in itertools.product((0, 1), repeat=2)]


def latency(cfg: Config) -> int:
    """Docstring of SarFire: bits of M + 3."""
    return cfg.out_level_bits + 3


#: One tile: v [C], theta [C], the run's settings.
TileIn = tuple[Tensor, Tensor, dict[str, int]]


def tile_pairs(cfg: Config, tile: TileIn, run: int) -> list[tuple[int, int]]:
    """Neurons of one tile as (input word, expected output word), packed."""
    v, theta, settings = tile
    levels = fired(cfg, v, theta, **settings).abs().tolist()
    pairs = []
    for number, (word, level) in enumerate(zip(
            neuron_words(cfg, v, theta, last=number_of(settings) % 2, run=run), levels,
            strict=True)):
        word["end"] = number == len(v) - 1
        out = {name: word[name] for name in ("neg", "last", "end", "run")} | {"level": level}
        pairs.append((neuron_layout(cfg).const(word).as_value().value,
                      level_layout(cfg).const(out).as_value().value))
    return pairs


def number_of(settings: dict[str, int]) -> int:
    """Any number that differs from one choice of settings to the next."""
    return sum(settings.values())


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


def check(cfg: Config, tiles: list[TileIn], seed: int | None = None) -> None:
    """All results in order; with a seed, both streams stall at random.

    Without stalls neurons go in one per cycle and come out one per cycle, `latency` later.
    """
    dut = SarFire(cfg)
    names = [name for name, _ in settings_layout(cfg)]
    port_in, port_out = Value.cast(dut.neuron.payload), Value.cast(dut.fired.payload)
    layout = level_layout(cfg)

    async def bench(ctx):
        rng = random.Random(seed)
        for settings, pairs in batches(cfg, tiles):
            ctx.set(dut.settings, [{name: one.get(name, 0) for name in names}
                                   for one in settings])
            await one_batch(ctx, pairs, rng)

    async def one_batch(ctx, pairs, rng):
        sent = got = cycle = 0
        here = False
        while got < len(pairs):
            here = sent < len(pairs) and (here or seed is None or rng.random() < 0.6)
            ctx.set(dut.neuron.valid, here)
            if here:
                ctx.set(port_in, pairs[sent][0])
            ready = seed is None or rng.random() < 0.6
            ctx.set(dut.fired.ready, ready)
            *_, taken, valid, payload = await ctx.tick().sample(
                dut.neuron.ready, dut.fired.valid, port_out)
            if here and taken:
                sent, here = sent + 1, False
            if seed is None:
                assert taken and valid == (cycle >= latency(cfg))
            if valid and ready:
                want = pairs[got][1]
                assert payload == want, (f"neuron {got}: level {layout.from_bits(payload).level}, "
                                         f"not {layout.from_bits(want).level}")
                got += 1
            cycle += 1

    simulate(Bench(dut), bench, watch=[dut.fired] if seed is not None else [])


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


@pytest.mark.parametrize("stall", [False, True], ids=["free", "stalled"])
@pytest.mark.parametrize("cfg", [
    Config(), Config(exp_max=0, frac_bits=24, theta_bits=40), Config(window=15, exp_max=3),
    Config(rows=1, cols=1, homes=1, int_lanes=1, k=17, frac_bits=0, theta_bits=9, exp_max=3)],
    ids=["default", "plain_int8", "window_15", "1x1"])
def test_ties_and_extremes_at_full_width(cfg: Config, stall: bool) -> None:
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
    check(cfg, tiles, seed=31 if stall else None)


def test_latency_of_the_default_is_19() -> None:
    assert latency(Config()) == 19
