"""IF bank: runs of all kinds in any order, to the host, to a buffer, to both, or kept."""

import random
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

import golden
from hdl.accumulate import drain_latency
from hdl.gather import can_chain
from hdl.if_bank import IfBank, fire_latency
from hdl.payloads import OutKind, code_layout
from hdl.tile_queue import tiles_inside
from spinteger.config import Config
from tests.hdl.drains import DRAINS, Loaded, Run, expect, random_runs, send_runs
from tests.hdl.streams import Bench, put, simulate
from tests.hdl.traffic import SMALL, Tile, code_word, fired, level_codes, read_tiles

CONFIGS = DRAINS | {
    "staircase": SMALL.with_(fire="staircase", exp_max=0),
    "staircase_1_column": SMALL.with_(fire="staircase", cols=1, exp_max=0, scale_bits=0),
    "staircase_5_columns": SMALL.with_(fire="staircase", cols=5, exp_max=0, window=15,
                                       acc_depth=0),
    "8_columns": SMALL.with_(cols=8),
    "wide_rows": SMALL.with_(rows=16, list_depth=512),         # G = 8, C = 4
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


@dataclass
class Ended:
    """What was seen until a run ended, and how it ended."""

    out: list = field(default_factory=list)
    act: list = field(default_factory=list)
    dropped: int = 0
    overflow: int = 0
    cycle: int = 0


def simulate_runs(cfg: Config, loaded: Loaded, runs: list[Run], stall: float = 0.0,
                  seed: int = 36) -> tuple[list[Ended], list[int], list[tuple]]:
    """What came of each run; cycles in which tiles were taken; (word, cycle) pairs of `out`."""
    bench = Bench(IfBank(cfg))
    dut, ended, taken, stamped = bench.dut, [Ended()], [], []

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    async def send(ctx):
        await put(ctx, dut.thr, loaded.words(cfg), rng(0), stall)
        await send_runs(ctx, dut, cfg, runs, lambda: len(ended) - 1, rng(1), stall)
        while len(ended) <= len(runs):
            await ctx.tick()
        assert ctx.get(dut.idle)
        for _ in range(5):
            await ctx.tick()
        assert ctx.get(dut.idle)

    def take(port, n: int):
        async def process(ctx):
            stalls = rng(n)
            while len(ended) <= len(runs):
                ctx.set(port.ready, stalls is None or stalls.random() >= stall)
                await ctx.tick()
        return process

    async def log(ctx):
        streams = (dut.psum, dut.out, dut.act)
        bits = [bit for port in streams for bit in (port.valid, port.ready)]
        ends = (dut.run_done, dut.run_dropped, dut.run_overflow, dut.idle)
        async for _, _, psum, psum_ok, out, out_ok, act, act_ok, *rest in ctx.tick().sample(
                *bits, *ends, dut.out.payload, dut.act.payload, bench.cycle):
            done, dropped, overflow, idle, out_word, act_word, cycle = rest
            assert not (idle and (out or act or psum or done))
            assert done or not (dropped or overflow)
            if psum and psum_ok:
                taken.append(cycle)
            if out and out_ok:
                ended[-1].out.append(out_word)
                stamped.append((out_word, cycle))
            if act and act_ok:
                ended[-1].act.append(act_word)
            if done:
                ended[-1].dropped, ended[-1].overflow, ended[-1].cycle = dropped, overflow, cycle
                ended.append(Ended())

    simulate(bench, send, take(dut.out, 2), take(dut.act, 3), watch=[dut.out, dut.act],
             processes=[log])
    assert ended.pop() == Ended(), "words after the last run"
    return ended, taken, stamped


def levels_of(cfg: Config, run: Run, theta: Tensor) -> Tensor:
    """Signed levels [tokens, tiles, C]. The most negative sum, which has no magnitude, is 0."""
    sums = torch.where(run.sums == -1 << cfg.acc_bits - 1, 0, run.sums)
    first, tiles = run.settings["index"], run.v.shape[1]
    options = {name: run.settings.get(name, 0)
               for name in ("unsigned", "spikes_only", "silence")}
    return torch.stack([fired(cfg, sums[:, tile], theta[first + tile], **options)
                        for tile in range(tiles)], 1)


def check(cfg: Config, loaded: Loaded, runs: list[Run], ended: list[Ended]) -> None:
    """Every word, within its run."""
    row: list[tuple[int, int]] = []          # codes of an act row that is not full
    for number, (run, got) in enumerate(zip(runs, ended, strict=True)):
        tokens, tiles, cols = run.v.shape
        s, want_tiles, want_rows = run.settings, [], []
        levels = levels_of(cfg, run, loaded.theta)
        for token in range(tokens if s["acc_last"] else 0):
            for tile in range(tiles):
                last = tile == tiles - 1
                codes = level_codes(cfg, levels[token, tile])
                if s["raw"]:
                    raw = dict(enumerate(run.sums[token, tile].tolist()))
                    want_tiles.append(Tile(raw=raw, last=last))
                else:
                    want_tiles.append(Tile(codes=codes, last=last))
                if s["chain"]:
                    row += [codes.get(column, (0, 0)) for column in range(cols)]
                    row += [(0, 0)] * (-len(row) % cfg.groups if last and s["chain_last"] else 0)
                    while len(row) >= cfg.groups:
                        want_rows.append((row[:cfg.groups], False))
                        row = row[cfg.groups:]
                    if last and s["chain_last"]:
                        want_rows[-1] = (want_rows[-1][0], True)
        if run.dropped:
            want_tiles.append(Tile(last=True))
            row = [] if s["chain"] else row
        assert (got.dropped, got.overflow) == (run.dropped, bool(run.overflow.any())), number
        if s["host"]:
            assert read_tiles(cfg, got.out) == want_tiles, number
            ends = [word.run_end for word in got.out if word.kind == OutKind.END]
            assert ends == [0] * (len(ends) - 1) + [1], number
        else:
            assert got.out == [], number
        if s["chain"] and run.dropped:
            failed = got.act.pop()
            assert (failed.last, failed.fail, failed.buf) == (1, 1, s["chain_buf"]), number
        assert len(got.act) == len(want_rows), number
        for word, (codes, last) in zip(got.act, want_rows, strict=True):
            assert (word.last, word.fail, word.buf) == (last, 0, s["chain_buf"]), number
            for place, code in enumerate(codes):
                assert word.code[place] == code_layout(cfg).const(code_word(cfg, *code)), number


def with_chains(cfg: Config, runs: list[Run], seed: int) -> list[Run]:
    """Let some runs chain, beside the host or not; some tokens come from several runs."""
    rng = random.Random(seed)
    continued, buf = False, 0
    for run in runs:
        s = run.settings
        one = run.v.shape[0] + run.dropped <= 1
        if s["acc_last"] and not s["raw"] and can_chain(cfg) and (
                one or not continued) and rng.random() < 0.7:
            buf = buf if continued else rng.getrandbits(1)
            s |= {"chain": 1, "host": rng.random() < 0.4, "chain_buf": buf,
                  "chain_last": not one or rng.random() < 0.5}
            continued = not s["chain_last"] and not run.dropped
    return runs


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8], ids=["free", "stalled", "slow"])
@configs
def test_runs_of_all_kinds(cfg: Config, stall: float) -> None:
    loaded = Loaded.random(cfg, seed=37)
    runs = with_chains(cfg, random_runs(cfg, loaded, 40 if cfg.fire == "sar" else 12, 38, 0.15), 39)
    ended, *_ = simulate_runs(cfg, loaded, runs, stall)
    check(cfg, loaded, runs, ended)


def test_the_runs_above_are_of_all_kinds() -> None:
    """The random choice would not miss a kind: each of these occurs."""
    cfg = SMALL
    loaded = Loaded.random(cfg, seed=37)
    runs = with_chains(cfg, random_runs(cfg, loaded, 40, 38, 0.15), 39)
    kinds = {(run.dropped, bool(run.settings["raw"]), bool(run.settings["acc_last"]),
              bool(run.settings["chain"]), bool(run.settings["host"])) for run in runs}
    assert len(kinds) >= 9 and any(bool(run.overflow.any()) for run in runs)
    assert {bool(run.settings["chain_last"]) for run in runs if run.settings["chain"]} == {0, 1}


# -- what random runs seldom do ----------------------------------------------------------------

def plain_run(cfg: Config, v: Tensor, **settings: int) -> Run:
    """V [tokens, tiles, C] to the host, unless `settings` say otherwise."""
    return Run(v, {"index": 0, "raw": 0, "unsigned": 0, "spikes_only": 0, "silence": 0, "scale": 0,
                   "acc_first": 1, "acc_last": 1, "host": 1, "chain": 0, "chain_buf": 0,
                   "chain_last": 0} | settings, [0] * v.shape[0])


def levels_are_v(cfg: Config) -> Loaded:
    """With theta = 1, level = |V|."""
    shape = cfg.slots * cfg.tiles, cfg.cols
    one = torch.ones(shape, dtype=torch.int64)
    return Loaded(one << cfg.frac_bits, one * min(1, (1 << cfg.scale_bits) - 1), one * 0)


@configs
def test_a_run_without_words_ends_after_the_one_before(cfg: Config) -> None:
    """Kept and dropped runs right behind a run that is still firing."""
    loaded = levels_are_v(cfg)
    v = torch.full((1, 1, cfg.cols), 100)
    keep = {"acc_last": 0, "host": 0} if cfg.acc_depth else {}
    runs = [plain_run(cfg, v), plain_run(cfg, v, **keep), plain_run(cfg, v),
            plain_run(cfg, v[:0], **keep), plain_run(cfg, v), plain_run(cfg, v[:0]),
            plain_run(cfg, v, raw=1), plain_run(cfg, v, **keep)]
    runs[3].dropped = runs[5].dropped = True
    expect(cfg, runs, loaded)
    ended, *_ = simulate_runs(cfg, loaded, runs)
    check(cfg, loaded, runs, ended)


def test_overflow_of_one_run_is_not_told_of_the_next() -> None:
    cfg = DRAINS["small"]
    loaded = levels_are_v(cfg)
    loaded.shift[0] = 31
    big = torch.full((2, 1, cfg.cols), 100)
    runs = [plain_run(cfg, big, scale=n % 3 == 1, raw=n % 2) for n in range(9)]
    expect(cfg, runs, loaded)
    ended, *_ = simulate_runs(cfg, loaded, runs)
    assert [one.overflow for one in ended] == [n % 3 == 1 for n in range(9)]
    check(cfg, loaded, runs, ended)


@configs
def test_thresholds_can_be_replaced_between_runs(cfg: Config) -> None:
    bench, loads = Bench(IfBank(cfg)), [Loaded.random(cfg, seed) for seed in (40, 41, 40)]
    dut, got = bench.dut, []

    async def drive(ctx):
        ctx.set(dut.out.ready, 1)
        for loaded in loads:
            await put(ctx, dut.thr, loaded.words(cfg))
            run, = random_runs(cfg, loaded, 1, seed=42, drops=0, acc_first=1, acc_last=1, raw=0)[:1]
            done = len(got)
            await send_runs(ctx, dut, cfg, [run], lambda: 0, None, 0)
            while len(got) == done or not got[-1].run_end:
                await ctx.tick()
            tiles = read_tiles(cfg, got[done:])
            levels = levels_of(cfg, run, loaded.theta).reshape(-1, cfg.cols)
            assert [tile.codes for tile in tiles] == [level_codes(cfg, one) for one in levels]

    async def log(ctx):
        async for _, _, valid, word in ctx.tick().sample(dut.out.valid, dut.out.payload):
            if valid:
                got.append(word)

    simulate(bench, drive, processes=[log])


def test_nothing_is_chained_where_it_cannot_be() -> None:
    cfg = DRAINS["3x5"]
    assert not can_chain(cfg) and golden.recode(torch.tensor(1), cfg).q == 1
    ended, *_ = simulate_runs(cfg, levels_are_v(cfg), [plain_run(
        cfg, torch.full((1, 1, 5), 9), chain=1)])
    assert ended[0].act == []


# -- time --------------------------------------------------------------------------------------

SHORT = SMALL.with_(acc_depth=0, scale_bits=0)
QUEUE = 4       # from a column pushed to its word offered


@pytest.mark.parametrize("cols", [1, 4, 5])
def test_raw_tiles_take_a_cycle_per_column_and_one_for_end(cols: int) -> None:
    cfg = SHORT.with_(cols=cols)
    _, taken, stamped = simulate_runs(cfg, levels_are_v(cfg), [plain_run(
        cfg, torch.full((5, 1, cols), 5), raw=1)])
    cycles = [cycle for _, cycle in stamped]
    assert cycles == list(range(cycles[0], cycles[0] + 5 * (cols + 1)))
    assert cycles[0] == taken[0] - (cols - 1) + drain_latency(cfg) + QUEUE


@pytest.mark.parametrize("cols", [1, 4, 5])
@pytest.mark.parametrize("base", [SHORT, SMALL], ids=["short", "long"])
def test_fired_tiles_take_a_cycle_per_column(base: Config, cols: int) -> None:
    """Words hide behind the next tile's columns; a silent tile alone takes two cycles."""
    cfg = base.with_(cols=cols)
    _, _, stamped = simulate_runs(cfg, levels_are_v(cfg), [plain_run(
        cfg, torch.zeros(30, 1, cols, dtype=torch.int64))])
    ends = [cycle for _, cycle in stamped]
    assert [b - a for a, b in zip(ends, ends[1:], strict=False)] == [max(2, cols)] * 29


@pytest.mark.parametrize("cols", [2, 4, 8])
def test_chained_tiles_take_no_longer(cols: int) -> None:
    """Codes leave as the columns are collected; only the run's end waits for the last row."""
    cfg, took = SMALL.with_(cols=cols), []
    for to in ({"host": 1}, {"host": 0, "chain": 1, "chain_last": 1},
               {"host": 1, "chain": 1, "chain_last": 1}):
        ended, taken, _ = simulate_runs(cfg, levels_are_v(cfg), [plain_run(
            cfg, torch.full((30, 1, cols), 3), **to)])
        took.append(ended[0].cycle - taken[0])
    assert len(ended[0].act) == 30 * cols // cfg.groups
    # Of two columns, words to the host take two cycles a tile longer than the codes.
    assert took[2] == took[0] and took[1] == took[0] - (2 * 29 if cols == 2 else 0)


@pytest.mark.parametrize("cfg", [SHORT, SMALL], ids=["short", "long"])
def test_latency(cfg: Config) -> None:
    """From V offered to a salient word: the drain's, the firing pipeline's and the queue's. A spike
    also waits for the tile's last column, then is looked for."""
    for level, kind, more in ((100, OutKind.SALIENT, 0), (3, OutKind.SPIKE, cfg.cols - 1 + 2)):
        _, taken, stamped = simulate_runs(cfg, levels_are_v(cfg), [plain_run(
            cfg, torch.full((1, 1, cfg.cols), level))])
        assert stamped[0][0].kind == kind
        assert stamped[0][1] - (taken[0] - (cfg.cols - 1)) == (
            drain_latency(cfg) + fire_latency(cfg) + QUEUE + more)


def test_a_raw_tile_waits_for_the_firing_pipeline() -> None:
    """Then its columns follow at once; a fired one behind it does not wait."""
    cfg = SMALL
    v = torch.full((1, 1, cfg.cols), 100)
    _, taken, stamped = simulate_runs(cfg, levels_are_v(cfg), [
        plain_run(cfg, v), plain_run(cfg, v, raw=1)])
    assert taken[1] - taken[0] == fire_latency(cfg) + cfg.cols
    kinds = [word.kind for word, _ in stamped]
    assert kinds == [OutKind.SALIENT] * 4 + [OutKind.END] + [OutKind.RAW] * 4 + [OutKind.END]


def test_a_blocked_output_holds_tiles_back_only_when_the_queue_is_full() -> None:
    cfg = SMALL
    bench, taken = Bench(IfBank(cfg)), [0]
    loaded, run = levels_are_v(cfg), plain_run(cfg, torch.full((40, 1, cfg.cols), 3), raw=1)

    async def send(ctx):
        await put(ctx, bench.dut.thr, loaded.words(cfg))
        await send_runs(ctx, bench.dut, cfg, [run], lambda: 0, None, 0)

    async def receive(ctx):
        for _ in range(200 + len(loaded.words(cfg))):
            await ctx.tick()
        assert taken[0] == tiles_inside(cfg)
        ctx.set(bench.dut.out.ready, 1)
        await ctx.tick().until(bench.dut.run_done)

    async def log(ctx):
        async for _, _, valid, ready in ctx.tick().sample(bench.dut.psum.valid,
                                                          bench.dut.psum.ready):
            taken[0] += valid and ready

    simulate(bench, send, receive, processes=[log])
    assert taken[0] == 40
