"""Emitter: salients at once, spikes in time order, END; words and cycles. (test_if_bank has the
rest: raw, kept, dropped and chained.)"""

import random

import pytest
import torch
from torch import Tensor

import golden
from hdl.emitter import Emitter
from hdl.payloads import OutKind, fired_layout
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import SMALL, Tile, code_word, level_codes, read_tiles

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


def entries(cfg: Config, levels: Tensor) -> list[dict]:
    """Tiles [tiles, C] as columns that wait."""
    q, e = golden.recode(levels, cfg)
    words = []
    for level, *code in zip(levels.flatten().tolist(), q.flatten().tolist(), e.flatten().tolist(),
                            strict=True):
        salient = abs(level) > cfg.window
        fired = fired_layout(cfg).const({
            "code": code_word(cfg, *code), "level": 0 if salient else abs(level),
            "neg": level < 0 and not salient})
        words.append({"data": fired.as_value().value, "salient": salient})
    return words


def run(cfg: Config, levels: Tensor, stall: float = 0.0, seed: int = 33) -> list[tuple]:
    """Output words with their cycles. Every third tile ends a token, every sixth a run."""
    bench, received, ended, done = Bench(Emitter(cfg)), [], [0], []
    dut, tiles = bench.dut, levels.shape[0]
    infos = [{"last": number % 3 == 2, "end": number % 6 == 5, "run": number % 2, "drop": 0}
             for number in range(tiles)]

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    async def send_tiles(ctx):
        ctx.set(dut.settings, [{"host": 1, "acc_last": 1}] * 2)
        await put(ctx, dut.tile, infos)

    async def send(ctx):
        await put(ctx, dut.entry, entries(cfg, levels), rng(0), stall)

    def over(words: list) -> bool:
        ended[0] += len(words) > 0 and words[-1].kind == OutKind.END
        return ended[0] == tiles

    async def receive(ctx):
        received.extend(await get(ctx, dut.out, over, rng(1), stall, bench.cycle))
        for _ in range(3):
            await ctx.tick()
        assert ctx.get(dut.empty)

    async def watch_runs(ctx):
        async for _, _, over, run in ctx.tick().sample(dut.run_done, dut.run):
            if over:
                done.append(run)

    simulate(bench, send_tiles, send, receive, watch=[dut.out], processes=[watch_runs])
    ends = [word.run_end for word, _ in received if word.kind == OutKind.END]
    assert ends == [number % 6 == 5 for number in range(tiles)]
    assert done == [1] * sum(ends)
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
def test_one_column_and_one_word_per_cycle(cfg: Config) -> None:
    """A tile takes C cycles, or its spikes' words plus two (plus one if it has none)."""
    for level, words in ((0, 2), (cfg.window, 4)):
        received = run(cfg, torch.full((8, cfg.cols), level))
        ends = [cycle for word, cycle in received if word.kind == OutKind.END]
        assert {b - a for a, b in zip(ends, ends[1:], strict=False)} == {max(cfg.cols, words)}
    if cfg.cols <= cfg.window:
        received = run(cfg, torch.stack([1 + torch.arange(cfg.cols)] * 8))
        ends = [cycle for word, cycle in received if word.kind == OutKind.END]
        assert {b - a for a, b in zip(ends, ends[1:], strict=False)} == {cfg.cols + 3}


@configs
def test_salients_leave_at_once_and_in_order_of_arrival(cfg: Config) -> None:
    """One per cycle, in the cycle after the one in which they are taken."""
    if cfg.level_max == cfg.window:
        return      # levels above L do not exist
    received = run(cfg, torch.full((2, cfg.cols), -cfg.level_max))
    columns = [(word.column, cycle) for word, cycle in received if word.kind == OutKind.SALIENT]
    first = columns[0][1]
    assert columns[:cfg.cols] == [(n, first + n) for n in range(cfg.cols)]
    assert first == 2       # the tile is taken, the column is, its word is there
