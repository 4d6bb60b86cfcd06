"""IF bank: raw and fired tiles in any mixture, both firing orders, thresholds of all tiles."""

import random

import pytest
import torch
from torch import Tensor

from hdl.if_bank import IfBank
from hdl.payloads import OutKind
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import (
    SMALL,
    Tile,
    expected_tiles,
    near_ties,
    random_theta,
    read_tiles,
    thr_words,
)

SAR_LATENCY = SMALL.out_level_bits + 3
CONFIGS = {
    "sar": SMALL,
    "sar_1_column": SMALL.with_(cols=1),
    "sar_5_columns": SMALL.with_(cols=5, exp_max=0),
    "sar_window_15": SMALL.with_(window=15, signed=False),
    "staircase": SMALL.with_(fire="staircase", exp_max=0),
    "staircase_1_column": SMALL.with_(fire="staircase", cols=1, exp_max=0),
    "staircase_5_columns": SMALL.with_(fire="staircase", cols=5, exp_max=0, window=15),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)

#: One tile: v [C] and its `fire` fields.
TileIn = tuple[Tensor, dict[str, int]]


def psum_word(tile: TileIn) -> dict:
    return {"v": tile[0].tolist(), "fire": tile[1]}


def wanted(cfg: Config, tile: TileIn, theta: Tensor) -> Tile:
    """theta: all thresholds, [tiles, C]."""
    v, fire = tile
    want, = expected_tiles(cfg, v[None], theta[fire["tile"]], **fire)
    want.last = bool(fire["last"])
    return want


def random_tiles(cfg: Config, theta: Tensor, count: int, seed: int) -> list[TileIn]:
    """V around thresholds and anywhere, raw and fired in runs of random length."""
    gen, rng = torch.Generator().manual_seed(seed), random.Random(seed)
    top = (1 << cfg.v_bits - 2) - 1
    levels = torch.tensor([1, 2, cfg.window, cfg.window + 1, cfg.level_max])
    raw, tiles = 0, []
    for _ in range(count):
        tile = rng.randrange(cfg.tiles)
        ties = near_ties(cfg, theta[tile], levels)
        v = rng.choice([ties[rng.randrange(len(ties))],
                        torch.randint(-top, top + 1, (cfg.cols,), generator=gen),
                        torch.zeros(cfg.cols, dtype=torch.int64),
                        torch.full((cfg.cols,), rng.choice([-top, top]))])
        raw ^= rng.random() < 0.4
        tiles.append((v, {"tile": tile, "last": rng.getrandbits(1), "raw": raw,
                          "unsigned": rng.random() < 0.2, "spikes_only": rng.random() < 0.4,
                          "silence": rng.choice([0, 0, 0, 1, cfg.window - 1])}))
    return tiles


def run(cfg: Config, theta: Tensor, tiles: list[TileIn], stall: float = 0.0,
        seed: int = 36) -> tuple[list, list[int]]:
    """Load theta, send the tiles; returns (word, cycle) pairs and cycles the tiles were taken."""
    bench = Bench(IfBank(cfg))
    dut, received, taken = bench.dut, [], []

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    async def send(ctx):
        await put(ctx, dut.thr, thr_words(cfg, theta.flatten()), rng(0), stall)
        taken.extend(await put(ctx, dut.psum, map(psum_word, tiles), rng(1), stall, bench.cycle))

    async def receive(ctx):
        received.extend(await get(
            ctx, dut.out, lambda ws: len(ws) and ws[-1].kind == OutKind.END
            and sum(w.kind == OutKind.END for w in ws) == len(tiles), rng(2), stall, bench.cycle))

    simulate(bench, send, receive, watch=[dut.out])
    return received, taken


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8], ids=["free", "stalled", "slow"])
@configs
def test_tiles_are_complete_in_order_and_unmixed(cfg: Config, stall: float) -> None:
    theta = random_theta(cfg, cfg.tiles * cfg.cols, seed=37).reshape(cfg.tiles, cfg.cols)
    tiles = random_tiles(cfg, theta, 60 if cfg.fire == "sar" else 25, seed=38)
    received, _ = run(cfg, theta, tiles, stall)
    got = read_tiles(cfg, [word for word, _ in received])
    assert got == [wanted(cfg, tile, theta) for tile in tiles]


@configs
def test_thresholds_can_be_replaced_between_tiles(cfg: Config) -> None:
    bench, n = Bench(IfBank(cfg)), cfg.tiles * cfg.cols
    dut = bench.dut
    thetas = [random_theta(cfg, n, seed).reshape(cfg.tiles, cfg.cols) for seed in (39, 40)]
    tiles = [(near_ties(cfg, thetas[0][1], torch.tensor([3]))[n],
              {"tile": 1, "last": 1, "raw": 0, "spikes_only": 1}) for n in range(3)]

    async def drive(ctx):
        for theta in (*thetas, thetas[0]):
            await put(ctx, dut.thr, thr_words(cfg, theta.flatten()))
            for tile in tiles:
                await put(ctx, dut.psum, [psum_word(tile)])
                words = await get(ctx, dut.out, lambda ws: len(ws) and ws[-1].kind == OutKind.END)
                assert read_tiles(cfg, words) == [wanted(cfg, tile, theta)]

    simulate(bench, drive)


# -- time --------------------------------------------------------------------------------------

def tile_of(cfg: Config, level: int, **options: int) -> TileIn:
    """With theta = 1, level = |V|."""
    return (torch.full((cfg.cols,), level),
            {"tile": 0, "last": 1, "raw": 0, "spikes_only": 0, "silence": 0} | options)


def ones(cfg: Config) -> Tensor:
    return torch.full((cfg.tiles, cfg.cols), 1 << cfg.frac_bits)


@pytest.mark.parametrize("cols", [1, 4, 5])
def test_raw_tiles_take_a_cycle_per_column_and_one_for_end(cols: int) -> None:
    cfg = SMALL.with_(cols=cols)
    received, taken = run(cfg, ones(cfg), [tile_of(cfg, 5, raw=1)] * 5)
    cycles = [cycle for _, cycle in received]
    assert cycles == list(range(cycles[0], cycles[0] + 5 * (cols + 1)))
    assert cycles[0] == taken[0] - (cols - 1) + 1       # V offered, then a cycle later word 0


@pytest.mark.parametrize("cols", [1, 4, 5])
def test_fired_tiles_take_a_cycle_per_column_and_one(cols: int) -> None:
    """The emitter's hand-over is the one; words hide behind the next tile's columns."""
    cfg = SMALL.with_(cols=cols)
    received, _ = run(cfg, ones(cfg), [tile_of(cfg, 0)] * 30)
    ends = [cycle for _, cycle in received]
    assert [b - a for a, b in zip(ends, ends[1:], strict=False)] == [cols + 1] * 29


def test_sar_latency() -> None:
    """From V offered to a salient word: 2 cycles plus the firing pipeline's."""
    cfg = SMALL
    received, taken = run(cfg, ones(cfg), [tile_of(cfg, 100)])
    assert received[0][0].kind == OutKind.SALIENT
    assert received[0][1] - (taken[0] - (cfg.cols - 1)) == 2 + SAR_LATENCY


def test_spike_latency_of_the_sar_order() -> None:
    """A spike also waits for the tile's last column and the emitter's hand-over."""
    cfg = SMALL
    received, taken = run(cfg, ones(cfg), [tile_of(cfg, 3)])
    assert received[0][0].kind == OutKind.SPIKE
    assert received[0][1] - taken[0] == 2 + SAR_LATENCY + 2
