"""Firing by staircase: every V at small widths, ties at large ones, order and cycles."""

import itertools
import random

import pytest
import torch
from torch import Tensor

from hdl.fire_staircase import StaircaseFire
from hdl.payloads import OutKind
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import (
    SMALL,
    expected_tiles,
    fired,
    near_ties,
    neuron_words,
    read_tiles,
)

NO_SETTINGS = {"unsigned": 0, "spikes_only": 0, "silence": 0}
#: One tile: v [C], theta [C], its run's settings and perhaps `last`.
TileIn = tuple[Tensor, Tensor, dict[str, int]]


def run(cfg: Config, tiles: list[TileIn], stall: float = 0.0, seed: int = 34) -> tuple:
    """Check the words of all tiles; returns cycles neurons were taken in, (word, cycle) pairs."""
    bench = Bench(StaircaseFire(cfg))
    dut, taken, received, ended = bench.dut, [], [], [0]

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    async def send(ctx):
        held: list[dict[str, int]] = [{}, {}]
        stalls = rng(0)
        for number, (v, theta, options) in enumerate(tiles):
            while number - 1 > ended[0]:                       # two settings in flight
                await ctx.tick()
            settings = {name: value for name, value in options.items() if name != "last"}
            held[number % 2] = NO_SETTINGS | settings
            ctx.set(dut.settings, [held[0] or NO_SETTINGS, held[1] or NO_SETTINGS])
            taken.extend(await put(
                ctx, dut.neuron, neuron_words(cfg, v, theta, options.get("last", 1),
                                              number % 3 == 0, number % 2),
                stalls, stall, bench.cycle))

    def over(words: list) -> bool:
        ended[0] += len(words) > 0 and words[-1].kind == OutKind.END
        return ended[0] == len(tiles)

    async def receive(ctx):
        received.extend(await get(
            ctx, dut.out, over, rng(1), stall, bench.cycle))

    async def watch_run(ctx):
        async for _, _, valid, run in ctx.tick().sample(dut.out.valid, dut.run):
            assert not valid or run == ended[0] % 2

    simulate(bench, send, receive, watch=[dut.out], processes=[watch_run])
    ends = [word.run_end for word, _ in received if word.kind == OutKind.END]
    assert ends == [number % 3 == 0 for number in range(len(tiles))]
    got = read_tiles(cfg, [word for word, _ in received])
    for number, (tile, (v, theta, options)) in enumerate(zip(got, tiles, strict=True)):
        want, = expected_tiles(cfg, v[None], theta, **options)
        want.last = bool(options.get("last", 1))
        assert tile == want, f"tile {number}"
    return taken, received


def small(window: int, sal_bits: int, exp_max: int, frac_bits: int) -> Config:
    return Config(rows=1, cols=32, homes=1, int_lanes=1, k=1, slots=1, depth=1, tiles=1,
                  wgt_bits=2, acc_depth=0, scale_bits=0, window=window, sal_bits=sal_bits,
                  exp_max=exp_max, frac_bits=frac_bits, theta_bits=8,
                  fire="staircase")


@pytest.mark.parametrize("frac_bits", [0, 3])
@pytest.mark.parametrize("window, sal_bits, exp_max", [
    (7, 4, 1), (7, 4, 0), (3, 4, 1), (15, 5, 0)], ids=["M14_L7", "M7_L7", "M14_L3", "M15_L15"])
def test_every_v(window: int, sal_bits: int, exp_max: int, frac_bits: int) -> None:
    """All V x some theta x all run options and silence levels; a tile holds 32 values of V."""
    cfg = small(window, sal_bits, exp_max, frac_bits)
    top = min(63, (1 << cfg.v_bits - 1) - 1)
    v = torch.arange(-top, top + 1)
    v = torch.nn.functional.pad(v, (0, -len(v) % cfg.cols)).reshape(-1, cfg.cols)
    tiles: list[TileIn] = []
    for theta, unsigned, spikes_only in itertools.product((1, 3, 8, 29, 255), (0, 1), (0, 1)):
        for silence in {0, 1, window // 2, window} if theta == 3 else {0}:
            tiles += [(part, torch.full_like(part, theta), {
                "unsigned": unsigned, "spikes_only": spikes_only, "silence": silence})
                for part in v]
    run(cfg, tiles)


@pytest.mark.parametrize("stall", [0.0, 0.3], ids=["free", "stalled"])
@pytest.mark.parametrize("cfg", [
    SMALL.with_(fire="staircase", exp_max=1),
    SMALL.with_(fire="staircase", window=15, exp_max=0, frac_bits=16, theta_bits=32),
    SMALL.with_(fire="staircase", cols=1, exp_max=0),
    SMALL.with_(fire="staircase", cols=5, exp_max=2, signed=False)],
    ids=["small", "window_15", "1_column", "5_columns"])
def test_ties_extremes_and_all_options(cfg: Config, stall: float) -> None:
    gen, top_v = torch.Generator().manual_seed(35), (1 << cfg.acc_bits - 1) - 1
    levels = torch.tensor([1, cfg.window, cfg.window + 1, cfg.sal_max, cfg.level_max])
    tiles: list[TileIn] = []
    for low in (1, 5 << cfg.frac_bits, (1 << cfg.theta_bits) - 4):
        theta = torch.randint(low, min(3 * low + 2, 1 << cfg.theta_bits), (cfg.cols,),
                              generator=gen)
        rows = torch.cat([near_ties(cfg, theta, levels)[torch.randperm(15, generator=gen)[:5]],
                          torch.randint(-top_v, top_v + 1, (2, cfg.cols), generator=gen),
                          torch.tensor([[0], [-top_v]]).expand(2, cfg.cols)])
        tiles += [(v, theta, {"unsigned": n // 2 % 2, "spikes_only": n % 2,
                              "silence": n % (cfg.window + 1), "last": n // 3 % 2})
                  for n, v in enumerate(rows)]
    run(cfg, tiles, stall)


def cycles(cfg: Config, v: list[int], **options: int) -> int:
    """Cycles from the tile's last neuron to its END."""
    theta = torch.full((cfg.cols,), 1 << cfg.frac_bits)     # level = |V|
    taken, received = run(cfg, [(torch.tensor(v), theta, options)])
    assert taken == list(range(taken[0], taken[0] + cfg.cols))
    return received[-1][1] - taken[-1]


@pytest.mark.parametrize("v, options, steps, words", [
    ([0, 0, 0, 0], {}, 127, 0),                         # nothing fires: all M steps
    ([0, 0, 0, 0], {"spikes_only": 1}, 7, 0),           # ... or L
    ([0, 0, 0, 0], {"spikes_only": 1, "silence": 3}, 4, 0),
    ([5, -5, 0, 1], {"spikes_only": 1}, 7, 0),          # SPIKE words ride on their steps
    ([7, 7, 7, -7], {"spikes_only": 1}, 1, 0),          # all fired: over
    ([-1, -2, -3, -4], {"unsigned": 1}, 0, 0),          # nothing may fire
    ([127, 127, -127, 127], {}, 0, 4),                  # salients, one word each
    ([100, 120, 3, -100], {}, 125, 3),
], ids=["silent", "silent_L", "silence_3", "spikes", "all_fired", "negative", "salient", "mixed"])
def test_cycles_are_steps_plus_salient_words(v: list[int], options: dict[str, int], steps: int,
                                             words: int) -> None:
    cfg = SMALL.with_(fire="staircase", exp_max=0)
    assert cycles(cfg, v, **options) == steps + words + 1


def test_neurons_leave_in_order_of_level() -> None:
    """Salients too: the largest level first, equal levels by column."""
    cfg = SMALL.with_(fire="staircase", exp_max=1, cols=8)
    v = torch.tensor([9, -200, 254, 9, -9, 3, 40, 7])
    theta = torch.full((8,), 1 << cfg.frac_bits)
    _, received = run(cfg, [(v, theta, {})])
    columns = [word.column for word, _ in received if word.kind == OutKind.SALIENT]
    levels = fired(cfg, v, theta).abs().tolist()
    assert columns == sorted(columns, key=lambda n: (-levels[n], n)) == [2, 1, 6, 0, 3, 4]
