"""The whole array against the golden model: results first, then cycles."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import golden
from golden import Codes
from hdl.array import HybridArray
from hdl.payloads import OutKind
from hdl.tree import tree_depth
from spinteger.config import Config
from tests.hdl.streams import Bench, get, put, simulate
from tests.hdl.traffic import (
    SMALL,
    Tile,
    act_words,
    expected_tiles,
    hard_codes,
    join,
    random_codes,
    random_theta,
    random_wgt,
    read_tiles,
    run_word,
    thr_words,
    wgt_words,
)

CONFIGS = {
    "4x4": SMALL,
    "1x1": SMALL.with_(rows=1, cols=1, k=17),
    "3x5": SMALL.with_(rows=3, cols=5),
    "5x2": SMALL.with_(rows=5, cols=2),
    "2_integer_lanes": SMALL.with_(int_lanes=2),
    "integer_lane_per_bank": SMALL.with_(int_lanes=4),
    "window_15_unsigned": SMALL.with_(window=15, signed=False),
    "window_15_signed": SMALL.with_(window=15, sal_bits=6),
    "plain_int8": SMALL.with_(exp_max=0),
    "int4_only": SMALL.with_(exp_max=0, sal_bits=4),
    "2_bit_weights": SMALL.with_(wgt_bits=2, exp_max=5),
    "staircase": SMALL.with_(fire="staircase", exp_max=0),
    "staircase_3x5": SMALL.with_(fire="staircase", rows=3, cols=5, exp_max=1, sal_bits=5),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
RAW = {"raw": 1}


class Job:
    """An array with weights w [K, N] and thresholds for it. N is filled up to whole tiles."""

    def __init__(self, cfg: Config, w: Tensor, theta: Tensor | None = None):
        self.cfg = cfg
        n = -(-w.shape[1] // cfg.cols) * cfg.cols
        self.w = torch.nn.functional.pad(w, (0, n - w.shape[1]))
        self.theta = random_theta(cfg, n, seed=41) if theta is None else theta
        self.dut = HybridArray(cfg)
        self.bench = Bench(self.dut)

    async def load(self, ctx, rng: random.Random | None = None):
        await put(ctx, self.dut.wgt, wgt_words(self.cfg, self.w), rng)
        await put(ctx, self.dut.thr, thr_words(self.cfg, self.theta), rng)

    def runs(self, options: list[dict[str, int]]) -> list[dict[str, int]]:
        return [run_word(self.cfg, self.w.shape[0], self.w.shape[1], **o) for o in options]

    async def send(self, ctx, codes: Codes, options: list[dict[str, int]],
                   rng: random.Random | None = None, stall: float = 0.3) -> list[int]:
        """Send tokens, each with its run options; returns the cycles their words were taken in."""
        runs, taken = self.runs(options), []
        for word in act_words(self.cfg, codes):
            ctx.set(self.dut.run, runs[0])
            taken += await put(ctx, self.dut.act, [word], rng, stall, self.bench.cycle)
            if word["last"]:
                runs.pop(0)
        return taken

    async def receive(self, ctx, tokens: int, rng: random.Random | None = None,
                      stall: float = 0.3) -> list[tuple]:
        """All words of so many tokens, with their cycles."""
        ends = tokens * (self.w.shape[1] // self.cfg.cols)
        count = 0

        def done(words: list) -> bool:
            nonlocal count
            count += bool(words) and words[-1].kind == OutKind.END
            return count == ends

        return await get(ctx, self.dut.out, done, rng, stall, self.bench.cycle)

    def want(self, codes: Codes, options: list[dict[str, int]]) -> list[Tile]:
        return wanted(self.cfg, codes, self.w, self.theta, options)


def wanted(cfg: Config, codes: Codes, w: Tensor, theta: Tensor,
           options: list[dict[str, int]]) -> list[Tile]:
    """The golden tiles of tokens, each with its run options."""
    v = golden.matmul(codes, w)
    return [tile for token, option in enumerate(options)
            for tile in expected_tiles(cfg, v[token:token + 1], theta, **option)]


def token(codes: Codes, number: int) -> Codes:
    """One of several tokens."""
    return Codes(codes.q[number:number + 1], codes.e[number:number + 1])


def random_options(cfg: Config, tokens: int, seed: int) -> list[dict[str, int]]:
    """Raw and fired tokens in any order, with all run options."""
    rng = random.Random(seed)
    return [rng.choice([RAW, {}, {"spikes_only": 1}, {"unsigned": 1},
                        {"silence": rng.randrange(cfg.window)},
                        {"spikes_only": 1, "unsigned": 1, "silence": 1 % cfg.window}])
            for _ in range(tokens)]


def check(cfg: Config, codes: Codes, w: Tensor, options: list[dict[str, int]],
          stall: float = 0.0, seed: int = 42, theta: Tensor | None = None) -> None:
    """Tokens in, tiles out, compared with the golden model; both ends stall at random."""
    job = Job(cfg, w, theta)
    words: list = []

    def rng(n: int) -> random.Random | None:
        return random.Random(seed + n) if stall else None

    async def drive(ctx):
        await job.load(ctx, rng(0))
        await job.send(ctx, codes, options, rng(1), stall)

    async def receive(ctx):
        words.extend(await job.receive(ctx, codes.q.shape[0], rng(2), stall))
        assert ctx.get(job.dut.overflow) == 0

    simulate(job.bench, drive, receive, watch=[job.dut.out])
    got = read_tiles(cfg, [word for word, _ in words])
    for number, pair in enumerate(zip(got, job.want(codes, options), strict=True)):
        assert pair[0] == pair[1], f"tile {number}"


# -- results -----------------------------------------------------------------------------------

@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["free", "stalled"])
@configs
def test_tokens(cfg: Config, stall: float) -> None:
    """Back to back: silent, all at one level, all salient, one lane, one event, random; 3 tiles."""
    k = cfg.k
    codes = join(hard_codes(cfg, k), random_codes(cfg, 4, k, seed=43, salient=0.1))
    order = torch.randperm(codes.q.shape[0], generator=torch.Generator().manual_seed(44))
    codes = Codes(codes.q[order], codes.e[order])
    check(cfg, codes, random_wgt(cfg, k, 2 * cfg.cols + 1, seed=45),
          random_options(cfg, codes.q.shape[0], seed=46), stall)


def test_default_shape_and_widths() -> None:
    """16x16 with E = 9, 16 fraction bits and 32-bit thresholds, K cut to 50; two tiles."""
    cfg = Config(k=50, depth=8, tiles=2)
    codes = join(random_codes(cfg, 3, 50, seed=77), token(hard_codes(cfg, 50), 10))
    check(cfg, codes, random_wgt(cfg, 50, 20, seed=78), [{}, RAW, {}, {}], stall=0.2)


@pytest.mark.parametrize("k", [1, 3, 4, 5, 16, 39])
def test_any_k(k: int) -> None:
    """K below, at and above the number of lanes, no multiple of it; a single output."""
    cfg = SMALL.with_(k=40)
    codes = join(random_codes(cfg, 4, k, seed=k, salient=0.2), hard_codes(cfg, k))
    check(cfg, codes, random_wgt(cfg, k, 1, seed=47),
          random_options(cfg, codes.q.shape[0], seed=48), stall=0.2)


@pytest.mark.parametrize("cfg", [
    SMALL, SMALL.with_(k=16, exp_max=9), SMALL.with_(window=15, exp_max=0, sal_bits=5),
    SMALL.with_(int_lanes=4, k=8), SMALL.with_(rows=1, cols=1, k=1, exp_max=0),
    SMALL.with_(window=15, signed=False)],
    ids=["small", "exp_9", "window_15", "4_integer_lanes", "1_input", "unsigned"])
def test_worst_case_widths(cfg: Config) -> None:
    """-8 everywhere with the largest codes, -128 too: the S and V that all widths are sized for."""
    k = cfg.rows * cfg.rows_k
    cfg = cfg.with_(k=k)
    low = -1 << cfg.sal_bits - 1 if cfg.signed else cfg.sal_max
    q = torch.tensor([low, cfg.sal_max, cfg.window, -cfg.window if cfg.signed else cfg.window])
    codes = Codes(q[:, None].repeat(1, k), torch.tensor([[cfg.exp_max], [cfg.exp_max], [0], [0]])
                  .repeat(1, k))
    w = torch.full((k, cfg.cols), -cfg.wgt_max)
    v = golden.matmul(codes, w)
    if cfg.signed:      # one bit more than |V| needs, no more
        assert int(v.max()).bit_length() + 1 == cfg.v_bits
    check(cfg, codes, w, [RAW] * 4)
    check(cfg, codes, w, [{}] * 4, theta=torch.full((cfg.cols,), 1))
    check(cfg, codes, w, [{}] * 4, theta=torch.full((cfg.cols,), (1 << cfg.theta_bits) - 1))


def test_weights_of_another_tile_load_while_a_token_runs() -> None:
    """A weight row waits for the integer lanes' reads, and disturbs no running token."""
    cfg, passes = SMALL, 5
    w = [random_wgt(cfg, cfg.k, cfg.cols, seed) for seed in range(49, 49 + passes)]
    codes = random_codes(cfg, passes, cfg.k, seed=54, salient=0.5)
    job = Job(cfg, w[0])
    waited = []

    async def drive(ctx):
        rng = random.Random(55)
        await job.load(ctx)
        for number in range(passes):
            await job.send(ctx, token(codes, number), [RAW])
            # Only tile 0 runs; meanwhile the next weights go elsewhere, as fast as they are taken.
            spare = wgt_words(cfg, w[(number + 1) % passes], first_row=cfg.rows_k * (1 + number))
            taken = await put(ctx, job.dut.wgt, spare, cycle=job.bench.cycle)
            waited.append(taken[-1] - taken[0] + 1 - len(taken))
            words = await job.receive(ctx, 1)
            assert read_tiles(cfg, [word for word, _ in words]) == wanted(
                cfg, token(codes, number), w[number], job.theta, [RAW])
            if number < passes - 1:
                await put(ctx, job.dut.wgt, wgt_words(cfg, w[number + 1]), rng)

    simulate(job.bench, drive)
    assert min(waited) > 0, "loading never met a read of the integer lanes"


def test_two_tiles_by_stride_after_loading_in_any_order() -> None:
    cfg = SMALL
    w = random_wgt(cfg, cfg.k, 3 * cfg.cols, seed=56)
    job = Job(cfg, w)
    codes = random_codes(cfg, 2, cfg.k, seed=57)

    async def drive(ctx):
        words = wgt_words(cfg, job.w)
        random.Random(58).shuffle(words)
        await put(ctx, job.dut.wgt, words)
        await job.send(ctx, codes, [RAW, RAW])

    async def receive(ctx):
        words = await job.receive(ctx, 2)
        assert read_tiles(cfg, [word for word, _ in words]) == job.want(codes, [RAW, RAW])

    simulate(job.bench, drive, receive)


@pytest.mark.parametrize("when", [3, 17, 30, 41, 58, 77, 120])
@pytest.mark.parametrize("cfg", [SMALL, CONFIGS["staircase"]], ids=["sar", "staircase"])
def test_reset_in_mid_run(cfg: Config, when: int) -> None:
    """Whatever was under way is forgotten; weights and thresholds are kept."""
    w = random_wgt(cfg, cfg.k, 2 * cfg.cols, seed=59)
    job, rng = Job(cfg, w), random.Random(60)
    first = join(hard_codes(cfg, cfg.k), random_codes(cfg, 4, cfg.k, seed=61, salient=0.3))
    second = random_codes(cfg, 3, cfg.k, seed=62)
    options = random_options(cfg, 20, seed=63)

    started = False

    async def drive(ctx):
        nonlocal started
        await job.load(ctx)
        words, runs = act_words(cfg, first), job.runs(options)
        for _ in range(when):
            ctx.set(job.dut.run, runs[0])
            ctx.set(job.dut.act.payload, words[0])
            ctx.set(job.dut.act.valid, 1)
            ctx.set(job.dut.out.ready, rng.getrandbits(1))
            *_, taken = await ctx.tick().sample(job.dut.act.ready)
            if taken:
                words.pop(0)
        ctx.set(job.dut.act.valid, 0)
        ctx.set(job.dut.out.ready, 0)
        ctx.set(job.bench.rst, 1)
        for _ in range(1 + when % 2):
            await ctx.tick()
        ctx.set(job.bench.rst, 0)
        assert not ctx.get(job.dut.out.valid)
        started = True
        await job.send(ctx, second, options)

    async def receive(ctx):
        while not started:
            await ctx.tick()
        words = await job.receive(ctx, 3)
        assert read_tiles(cfg, [word for word, _ in words]) == job.want(second, options[:3])

    simulate(job.bench, drive, receive, watch=[job.dut.out])


def test_overflow_drops_the_excess_and_stays_flagged_until_reset() -> None:
    """A token longer than K counts up to K; the tokens around it are right."""
    cfg = SMALL
    w = random_wgt(cfg, cfg.rows * cfg.rows_k, cfg.cols, seed=64)
    job = Job(cfg, w)
    before, after = (random_codes(cfg, 1, w.shape[0], seed, salient=0.3) for seed in (65, 66))
    long = random_codes(cfg, 1, w.shape[0] * 3 + 4, seed=67, salient=0.3)
    kept = Codes(*(part[:, :w.shape[0]] for part in long))

    async def drive(ctx):
        await job.load(ctx)
        for codes, flag in ((before, 0), (long, 1), (after, 1)):
            await job.send(ctx, codes, [RAW])
            await ctx.tick().repeat(3)
            assert ctx.get(job.dut.overflow) == flag
        await ctx.tick().repeat(150)
        ctx.set(job.bench.rst, 1)
        await ctx.tick()
        assert ctx.get(job.dut.overflow) == 0

    async def receive(ctx):
        words = await job.receive(ctx, 3)
        tokens = join(before, kept, after)
        assert read_tiles(cfg, [word for word, _ in words]) == job.want(tokens, [RAW] * 3)

    simulate(job.bench, drive, receive)


# -- cycles --------------------------------------------------------------------------------------

def steps(cfg: Config, codes: Codes) -> list[tuple[int, int]]:
    """(events of the fullest lane, dt) of one token's steps that have events."""
    fullest = golden.level_counts(codes, cfg, cfg.rows)[0].max(dim=0).values.tolist()
    levels = [level for level in range(cfg.window, 0, -1) if fullest[level]]
    return [(fullest[here], here - there)
            for here, there in zip(levels, [*levels, 0][1:], strict=True)] or [(1, 0)]


def window_cycles(cfg: Config, codes: Codes) -> int:
    """A tile's steps: each takes its fullest lane, or the adds of S for the gap before it."""
    parts = steps(cfg, codes)
    gaps = [max(1, parts[-1][1]), *(dt for _, dt in parts)]
    return sum(max(events, gap) for (events, _), gap in zip(parts, gaps, strict=False))


def period(cfg: Config, codes: Codes) -> int:
    """Cycles from tile to tile: steps, or adds of V, or output columns, whichever takes longest."""
    top = sum(dt for _, dt in steps(cfg, codes))
    salients = golden.salient_list(codes, cfg)[0]
    words = max([1, *(sum(k % cfg.rows // cfg.group == lane for k, _, _ in salients)
                      for lane in range(cfg.int_lanes))])
    return max(window_cycles(cfg, codes), top + words, cfg.cols + 1)


def timed(cfg: Config, tokens: list[Codes], tiles: int,
          options: dict[str, int]) -> list[tuple[int, list[int]]]:
    """Per batch of tokens: the cycle its last word was taken in, and the cycles of its ENDs.

    The output is always ready, the array empty before each batch, all tiles alike.
    """
    k = tokens[0].q.shape[1]
    job = Job(cfg, random_wgt(cfg, k, cfg.cols, seed=68).repeat(1, tiles),
              random_theta(cfg, cfg.cols, seed=41).repeat(tiles))
    received: list[list[tuple]] = []
    starts: list[int] = []

    async def drive(ctx):
        await job.load(ctx)
        for number, codes in enumerate(tokens):
            taken = await job.send(ctx, codes, [options] * codes.q.shape[0])
            starts.append(taken[-1])
            while len(received) <= number:
                await ctx.tick()

    async def receive(ctx):
        for codes in tokens:
            received.append(await job.receive(ctx, codes.q.shape[0]))

    simulate(job.bench, drive, receive)
    for codes, words in zip(tokens, received, strict=True):
        assert read_tiles(cfg, [word for word, _ in words]) == job.want(
            codes, [options] * codes.q.shape[0])
    return [(start, [cycle for word, cycle in words if word.kind == OutKind.END])
            for start, words in zip(starts, received, strict=True)]


def latencies(cfg: Config, tokens: list[Codes]) -> list[int]:
    """From each token's last word to the END of its only tile, raw."""
    return [ends[0] - start for start, ends in timed(cfg, tokens, 1, RAW)]


def fill(cfg: Config) -> int:
    """Pipeline fill: encoder 2, plan 1, queue and lane 4, tree, ramp 1, IF bank 2; C raw words."""
    return 9 + tree_depth(cfg) + cfg.cols


def one_token(q: list[int]) -> Codes:
    return Codes(torch.tensor([q]), torch.zeros(1, len(q), dtype=torch.int64))


@pytest.mark.parametrize("cfg", [SMALL, CONFIGS["1x1"], CONFIGS["3x5"],
                                 CONFIGS["window_15_signed"]],
                         ids=["4x4", "1x1", "3x5", "window_15"])
def test_latency_is_steps_plus_the_last_adds_plus_a_constant(cfg: Config) -> None:
    """Silent, single-event, dense and lopsided tokens: the fullest lane of each step counts."""
    hard = hard_codes(cfg, cfg.k)
    tokens = [token(hard, n) for n in range(9)]      # those without salients
    tokens += [random_codes(cfg, 1, cfg.k, seed, 0.0, silent)
               for seed, silent in ((69, 0.1), (70, 0.5), (71, 0.9))]
    want = []
    for codes in tokens:
        parts = steps(cfg, codes)
        want.append(fill(cfg) + parts[0][0] + max(1, parts[-1][1])
                    + sum(max(events, gap) for (events, _), (_, gap)
                          in zip(parts[1:], parts, strict=False)))
    assert latencies(cfg, tokens) == want


def test_silent_inputs_cost_no_cycle() -> None:
    """The same live inputs alone or among silent ones, wherever these are."""
    live = [7, -3, 2, 5]
    alone, = latencies(SMALL, [one_token(live)])
    among = [one_token(live + [0] * 33), one_token([0] * 20 + live + [0] * 13),
             one_token([0] * 32 + live + [0])]
    assert latencies(SMALL, among) == [alone] * 3


def test_steps_without_events_are_skipped() -> None:
    """One event at any level: one step; only V's adds of S (level of them) take longer."""
    tokens = [one_token([0, level, 0]) for level in range(1, 8)]
    assert latencies(SMALL, tokens) == [fill(SMALL) + 1 + level for level in range(1, 8)]


def test_a_step_costs_its_fullest_lane() -> None:
    """12 events of level 1: 3 cycles when spread over 4 lanes; 9 of them in one lane: 9."""
    tokens = [one_token([1] * 12 + [0] * 24), one_token([1, 0, 0, 0] * 8 + [1] * 4)]
    assert latencies(SMALL, tokens) == [fill(SMALL) + 3 + 1, fill(SMALL) + 9 + 1]


TOKENS: dict[str, Callable[[Config], Codes]] = {
    "silent": lambda cfg: one_token([0] * 37),
    "one_event": lambda cfg: one_token([cfg.window] + [0] * 36),
    "all_maximum": lambda cfg: one_token([cfg.window] * 37),
    "every_level": lambda cfg: one_token([1 + n % cfg.window for n in range(37)]),
    "one_lane": lambda cfg: one_token(([1, 0, 0, 0, 2, 0, 0, 0] * 5)[:37]),
    "dense": lambda cfg: random_codes(cfg, 1, 37, 72, 0.0, 0.1),
    "sparse": lambda cfg: random_codes(cfg, 1, 37, 73, 0.0, 0.8),
    "few_salients": lambda cfg: random_codes(cfg, 1, 37, 74, 0.1, 0.2),
    "many_salients": lambda cfg: random_codes(cfg, 1, 37, 75, 0.5, 0.2),
    "all_salient": lambda cfg: one_token([100] * 37),
}


@pytest.mark.parametrize("cfg, options", [
    (SMALL, RAW), (SMALL, {"spikes_only": 1}), (SMALL.with_(cols=2, int_lanes=2), RAW),
    (SMALL.with_(cols=11), {"spikes_only": 1}), (SMALL.with_(window=15, cols=2), RAW)],
    ids=["raw", "fired", "2_integer_lanes", "11_columns", "window_15"])
def test_tiles_follow_without_a_gap(cfg: Config, options: dict[str, int]) -> None:
    """Tile after tile costs the longest of steps, adds of V and output, and nothing between."""
    cfg = cfg.with_(tiles=6)
    tokens = {name: make(cfg) for name, make in TOKENS.items()}
    times = timed(cfg, list(tokens.values()), 6, options)
    gaps = {name: [b - a for a, b in zip(ends, ends[1:], strict=False)][1:]
            for name, (_, ends) in zip(tokens, times, strict=True)}
    assert gaps == {name: [period(cfg, codes)] * 4 for name, codes in tokens.items()}


def test_tokens_follow_without_a_gap() -> None:
    """With enough tiles to hide the encoder behind, tokens cost what their tiles cost."""
    cfg = SMALL.with_(cols=2)
    one = random_codes(cfg, 1, 37, seed=76, salient=0.0, silent=0.1)
    batch = Codes(one.q.repeat(4, 1), one.e.repeat(4, 1))
    (_, ends), = timed(cfg, [batch], 3, RAW)
    gaps = [b - a for a, b in zip(ends, ends[1:], strict=False)]
    assert gaps[1:] == [period(cfg, one)] * 10
