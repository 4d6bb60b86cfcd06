"""Firing by successive approximation: every V at small widths, ties and extremes at full width."""

import itertools
import random

import pytest
import torch
from amaranth.hdl import Value
from torch import Tensor

from hdl.fire_sar import SarFire, level_layout
from hdl.payloads import neuron_layout
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate
from tests.hdl.traffic import fired, near_ties, neuron_words

OPTIONS = [dict(zip(("unsigned", "spikes_only"), bits, strict=True))
           for bits in itertools.product((0, 1), repeat=2)]


def latency(cfg: Config) -> int:
    """Docstring of SarFire: bits of M + 3."""
    return cfg.out_level_bits + 3


def tile_pairs(cfg: Config, v: Tensor, theta: Tensor, **run: int) -> list[tuple[int, int]]:
    """Neurons of one tile as (input word, expected output word), packed."""
    levels = fired(cfg, v, theta, **run).abs().tolist()
    pairs = []
    for word, level in zip(neuron_words(cfg, v, theta, **run), levels, strict=True):
        out = {name: word[name] for name in ("neg", "column", "end", "fire")} | {"level": level}
        pairs.append((neuron_layout(cfg).const(word).as_value().value,
                      level_layout(cfg).const(out).as_value().value))
    return pairs


def check(cfg: Config, pairs: list[tuple[int, int]], seed: int | None = None) -> None:
    """All results in order; with a seed, both streams stall at random.

    Without stalls neurons go in one per cycle and come out one per cycle, `latency` later.
    """
    dut = SarFire(cfg)
    port_in, port_out = Value.cast(dut.neuron.payload), Value.cast(dut.fired.payload)
    layout = level_layout(cfg)

    async def bench(ctx):
        rng = random.Random(seed)
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
    return Config(rows=1, cols=128, k=1, depth=1, tiles=1, wgt_bits=2, window=window,
                  sal_bits=sal_bits, exp_max=exp_max, frac_bits=frac_bits, theta_bits=8)


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
    v, pairs = every_v(cfg), []
    silences = sorted({0, 1, window // 2, window - 1} - {window})
    for theta, options in itertools.product((1, 3, 8, 29, 255), OPTIONS):
        for silence in silences if theta in (3, 29) else (0,):
            pairs += tile_pairs(cfg, v, torch.full_like(v, theta), silence=silence, **options)
    check(cfg, pairs)


@pytest.mark.parametrize("exp_max", [0, 1])
@pytest.mark.parametrize("spikes_only", [0, 1])
def test_silence_level_equal_to_the_window(spikes_only: int, exp_max: int) -> None:
    """z = L drops every level up to L; if L is the largest level, then everything."""
    cfg = small(7, 4, exp_max, 0)
    v = every_v(cfg)
    check(cfg, [pair for theta in (1, 3, 29) for pair in tile_pairs(
        cfg, v, torch.full_like(v, theta), silence=7, spikes_only=spikes_only)])


@pytest.mark.parametrize("stall", [False, True], ids=["free", "stalled"])
@pytest.mark.parametrize("cfg", [
    Config(), Config(exp_max=0, frac_bits=24, theta_bits=40), Config(window=15, exp_max=3),
    Config(rows=1, cols=1, k=17, frac_bits=0, theta_bits=9, exp_max=3)],
    ids=["default", "plain_int8", "window_15", "1x1"])
def test_ties_and_extremes_at_full_width(cfg: Config, stall: bool) -> None:
    gen = torch.Generator().manual_seed(30)
    n = cfg.cols
    top_v = (1 << cfg.v_bits - 2) - 1
    levels = torch.tensor([1, 2, cfg.window, cfg.window + 1, cfg.sal_max, cfg.sal_max + 1,
                           cfg.level_max, cfg.level_max + 1])
    pairs = []
    for token in range(3):
        low = [1, 1 << cfg.frac_bits, (1 << cfg.theta_bits) - 4][token]
        theta = torch.randint(low, min(3 * low + 2, 1 << cfg.theta_bits), (n,), generator=gen)
        rows = [near_ties(cfg, theta, levels),
                torch.randint(-top_v, top_v + 1, (2, n), generator=gen),
                torch.tensor([[0], [top_v], [-top_v]]).expand(3, n)]
        for index, v in enumerate(torch.cat(rows)):
            options = OPTIONS[index % 4] | {"silence": index % cfg.window, "last": index % 2,
                                            "tile": index % cfg.tiles}
            pairs += tile_pairs(cfg, v, theta, **options)
    check(cfg, pairs, seed=31 if stall else None)


def test_latency_of_the_default_is_19() -> None:
    assert latency(Config()) == 19
