"""Emitter: salients at once, spikes in time order, END; words and cycles."""

import random

import pytest
import torch
from torch import Tensor

from hdl.emitter import Emitter
from hdl.payloads import OutKind
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import SMALL, Tile, level_codes, read_tiles

CONFIGS = {
    "4_columns": SMALL,
    "1_column": SMALL.with_(cols=1),
    "5_columns": SMALL.with_(cols=5),
    "window_15": SMALL.with_(window=15),
    "window_1": SMALL.with_(window=1),
    "plain_int8": SMALL.with_(exp_max=0),
    "spikes_only_hardware": SMALL.with_(sal_bits=4, exp_max=0),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


def hard_levels(cfg: Config) -> Tensor:
    """Signed levels [tiles, C]: uniform tiles, then steps up and down, then random mixtures."""
    top = max(cfg.level_max, cfg.window)
    gen, columns = torch.Generator().manual_seed(32), torch.arange(cfg.cols)
    uniform = [0, top, -top, cfg.window, -cfg.window, 1, 0, 0, min(top, cfg.window + 1), -1]
    tiles = [torch.full((cfg.cols,), level) for level in uniform]
    tiles += [1 + columns % cfg.window, cfg.window - columns % cfg.window]
    for _ in range(40):
        small = torch.randint(-cfg.window, cfg.window + 1, (cfg.cols,), generator=gen)
        big = torch.randint(-top, top + 1, (cfg.cols,), generator=gen)
        tiles.append(torch.where(torch.rand(cfg.cols, generator=gen) < 0.3, big, small))
    return torch.stack(tiles)


def level_words(levels: Tensor) -> list[dict]:
    """Tiles [tiles, C] as `fired` words; every third tile ends a token, every sixth a run."""
    return [{"level": abs(level), "neg": level < 0, "last": number % 3 == 2,
             "end": number % 6 == 5 and column == len(tile) - 1, "run": number % 2}
            for number, tile in enumerate(levels.tolist()) for column, level in enumerate(tile)]


def run(cfg: Config, levels: Tensor, stall: float = 0.0, seed: int = 33) -> list[tuple]:
    """Output words with their cycles."""
    bench, received, ended = Bench(Emitter(cfg)), [], [0]
    dut, tiles = bench.dut, levels.shape[0]

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    async def send(ctx):
        await put(ctx, dut.fired, level_words(levels), rng(0), stall)

    def over(words: list) -> bool:
        ended[0] += len(words) > 0 and words[-1].kind == OutKind.END
        return ended[0] == tiles

    async def receive(ctx):
        received.extend(await get(ctx, dut.out, over, rng(1), stall, bench.cycle))

    async def watch_run(ctx):
        async for _, _, valid, run in ctx.tick().sample(dut.out.valid, dut.run):
            assert not valid or run == ended[0] % 2

    simulate(bench, send, receive, watch=[dut.out], processes=[watch_run])
    ends = [word.run_end for word, _ in received if word.kind == OutKind.END]
    assert ends == [number % 6 == 5 for number in range(tiles)]
    return received


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8], ids=["free", "stalled", "slow"])
@configs
def test_words_of_every_tile(cfg: Config, stall: float) -> None:
    levels = hard_levels(cfg)
    words = [word for word, _ in run(cfg, levels, stall)]
    assert read_tiles(cfg, words) == [
        Tile(codes=level_codes(cfg, tile), last=number % 3 == 2)
        for number, tile in enumerate(levels)]
    live = [cfg.window - word.step for word in words if word.kind == OutKind.SPIKE]
    want = [level for tile in levels.tolist() for level in
            sorted({abs(x) for x in tile if 0 < abs(x) <= cfg.window}, reverse=True)]
    assert live == want             # one word per step that has any, none empty


@configs
def test_one_neuron_and_one_word_per_cycle(cfg: Config) -> None:
    """A tile takes C cycles and one to hand over, or its words plus one, whichever is longer."""
    for level, words in ((0, 1), (cfg.window, 2)):
        received = run(cfg, torch.full((8, cfg.cols), level))
        ends = [cycle for word, cycle in received if word.kind == OutKind.END]
        assert [b - a for a, b in zip(ends, ends[1:], strict=False)] == [
            1 + max(cfg.cols, words)] * 7
    if cfg.cols <= cfg.window:
        received = run(cfg, torch.stack([1 + torch.arange(cfg.cols)] * 8))
        ends = [cycle for word, cycle in received if word.kind == OutKind.END]
        assert {b - a for a, b in zip(ends, ends[1:], strict=False)} == {cfg.cols + 2}


@configs
def test_salients_leave_at_once_and_in_order_of_arrival(cfg: Config) -> None:
    """One per cycle, in the cycle in which they are taken."""
    if cfg.level_max == cfg.window:
        return      # levels above L do not exist
    received = run(cfg, torch.full((2, cfg.cols), -cfg.level_max))
    columns = [(word.column, cycle) for word, cycle in received if word.kind == OutKind.SALIENT]
    first = columns[0][1]
    assert first == 0
    assert columns[:cfg.cols] == [(n, first + n) for n in range(cfg.cols)]
