"""Encoder: what it pushes and lists, where and when, against the golden rules of spike trains."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import golden
from golden import Codes, trains
from hdl.balancer import row_cycles
from hdl.encoder import announce_latency
from spinteger.config import Config
from tests.hdl.rigs import EncoderRig
from tests.hdl.streams import Bench, put, simulate
from tests.hdl.traffic import SMALL, act_words, hard_codes, join, random_codes

CONFIGS = {
    "2_homes": SMALL,
    "1_list": SMALL.with_(int_lanes=1),
    "4_homes": SMALL.with_(homes=4, int_lanes=3),
    "16_lanes": SMALL.with_(rows=16, homes=4, int_lanes=4, k=70),
    "1_home": SMALL.with_(homes=1),
    "1_home_1_list": SMALL.with_(homes=1, int_lanes=1),
    "1_home_4_lists": SMALL.with_(homes=1, int_lanes=4),
    "3_lanes": SMALL.with_(rows=3, homes=1, int_lanes=3),
    "1_lane": SMALL.with_(rows=1, homes=1, int_lanes=1, k=9),
    "unsigned_15": SMALL.with_(signed=False, window=15),
    "signed_15": SMALL.with_(window=15),
    "plain_int8": SMALL.with_(exp_max=0),
    "no_shift": SMALL.with_(scale_bits=0),
    "one_row": SMALL.with_(k=2),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


@dataclass
class Token:
    """A token as it is sent, and what it must leave behind."""

    words: list[dict]
    buf: int
    shift: int
    fail: int
    spikes: list[tuple]             #: (row, lane, level, neg), sorted
    lists: list[list[tuple]]        #: per integer lane, in order: (q, e, row, bank)
    opens: bool = False             #: its buffer starts anew before it

    @property
    def longest(self) -> int:
        return max(map(len, self.lists))


def tokens_of(cfg: Config, codes: Codes, seed: int, opening: float = 0.2) -> list[Token]:
    """Every token with a random buffer, shift and fate."""
    rng, tokens = random.Random(seed), []
    q, e = codes.q.numpy(), codes.e.numpy()
    levels, salient = trains.classify(q, e, cfg)
    lanes, _ = trains.place(levels, cfg)
    for t in range(len(q)):
        buf, fail = rng.getrandbits(1), rng.random() < 0.1
        shift = rng.randrange(16) if cfg.shift_bits else 0
        spikes = sorted((k // cfg.groups, int(lanes[t, k]), int(levels[t, k]), int(q[t, k] < 0))
                        for k in np.flatnonzero(levels[t]).tolist())
        lists: list[list[tuple]] = [[] for _ in range(cfg.int_lanes)]
        for count, k in enumerate(np.flatnonzero(salient[t]).tolist()):
            home = count % cfg.int_lanes if cfg.homes > 1 else 0
            lane = cfg.home_lanes(k)[home]
            number, bank = (home, lane % cfg.groups) if cfg.homes > 1 else divmod(lane, cfg.group)
            lists[number].append((int(q[t, k]), int(e[t, k]), k // cfg.groups, bank))
        words = act_words(cfg, Codes(codes.q[t:t + 1], codes.e[t:t + 1]), buf, shift, int(fail))
        tokens.append(Token(words, buf, shift, int(fail), spikes, lists,
                            rng.random() < opening))
    return tokens


class Checker:
    """Watches every cycle of an encoder, and checks each token as it is taken."""

    def __init__(self, cfg: Config, tokens: list[Token]):
        self.cfg, self.tokens = cfg, tokens
        self.rig = EncoderRig(cfg)
        self.dut = self.rig.encoder
        self.bench = Bench(self.rig.module)
        self.spikes: list[list[tuple]] = [[], []]       # by half of the queues
        self.entries: dict[tuple[int, int, int], tuple] = {}    # (list, buf, place) -> entry
        self.inside: list[int] = []                     # buffers of the tokens in the encoder
        self.starts = [0, 0]                            # by buffer: places in use
        self.classes = {"silent": 0, "spiking": 0, "salient": 0}
        self.taken = 0

    async def record(self, ctx):
        dut, cfg = self.dut, self.cfg
        ports = [dut.push, dut.offer, dut.push_row, dut.push_queue, dut.list, dut.list_buf,
                 dut.list_place, dut.list_entry, dut.encoding, dut.act.valid & dut.act.ready,
                 dut.act.payload.buf, dut.act.payload.last, dut.coded.valid & dut.coded.ready,
                 *(getattr(dut, name) for name in self.classes)]
        started = False
        async for (_, _, push, offer, row, queue, listed, buf, place, entry, encoding, accepts,
                   act_buf, act_last, leaves, *classes) in ctx.tick().sample(*ports):
            for lane in range(cfg.rows):
                if push >> lane & 1:
                    self.spikes[queue].append((row, lane, offer[lane].level, offer[lane].neg))
            for number in range(cfg.int_lanes):
                if listed >> number & 1:
                    assert self.starts[buf] <= place < cfg.list_depth, "another token's place"
                    self.entries[number, buf, place] = (
                        entry.q, entry.e if cfg.exp_bits else 0, entry.row,
                        entry.lane if cfg.group > 1 else 0)
            for name, count in zip(self.classes, classes, strict=True):
                self.classes[name] += count
            assert encoding == sum(1 << b for b in set(self.inside)), "encoding"
            if leaves:
                self.inside.pop(0)
            if accepts:
                if not started:
                    self.inside.append(act_buf)
                started = not act_last

    def check(self, number: int, payload) -> None:
        """Token `number`, as announced."""
        cfg, token = self.cfg, self.tokens[number]
        assert (payload.queue, payload.buf, payload.shift, payload.fail) == (
            number % 2, token.buf, token.shift, token.fail)
        assert sorted(self.spikes[number % 2]) == token.spikes
        self.spikes[number % 2] = []
        assert payload.levels == sum({1 << level - 1 for _, _, level, _ in token.spikes})
        start = self.starts[token.buf]
        fits = start + token.longest <= cfg.list_depth
        assert payload.full == (not fits)
        if fits:
            assert payload.list_start == start % (1 << cfg.list_bits)
            for lane, entries in enumerate(token.lists):
                assert payload.count[lane] == len(entries)
                got = [self.entries.pop((lane, token.buf, start + place))
                       for place in range(len(entries))]
                assert got == entries, f"list {lane}"
            self.starts[token.buf] += token.longest
        self.taken += 1


def run(cfg: Config, tokens: list[Token], seed: int, stall: float = 0.3) -> Checker:
    """Send the tokens; take them at random; check all that is pushed, listed and announced."""
    c = Checker(cfg, tokens)
    dut = c.dut

    async def drive(ctx):
        rng = random.Random(seed + 1)
        for token in tokens:
            if token.opens:
                while ctx.get(dut.encoding) >> token.buf & 1:
                    await ctx.tick()
                ctx.set(dut.open, 1 << token.buf)
                await ctx.tick()
                ctx.set(dut.open, 0)
                c.starts[token.buf] = 0
            await put(ctx, dut.act, token.words, rng if stall else None, stall)

    async def take(ctx):
        rng = random.Random(seed + 2)
        for number in range(len(tokens)):
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(dut.coded.ready, 1)
            payload, = await ctx.tick().sample(dut.coded.payload).until(dut.coded.valid)
            ctx.set(dut.coded.ready, 0)
            c.check(number, payload)
        await ctx.tick()
        assert ctx.get(dut.encoding) == 0 and not any(c.spikes)

    simulate(c.bench, drive, take, processes=[c.record], watch=[dut.coded])
    assert c.taken == len(tokens)
    return c


@pytest.mark.parametrize("name, stall", [*((name, 0.5) for name in CONFIGS),
                                         ("2_homes", 0.0), ("1_home", 0.0)])
def test_tokens(name: str, stall: float) -> None:
    cfg, k = CONFIGS[name], CONFIGS[name].k
    codes = join(random_codes(cfg, 4, k, seed=10), hard_codes(cfg, k),
                 random_codes(cfg, 2, k, seed=11, salient=0.6, silent=0.1))
    tokens = tokens_of(cfg, codes, seed=12)
    c = run(cfg, tokens, seed=13, stall=stall)
    inputs = len(tokens) * cfg.rows_k * cfg.groups
    spikes, salients = (sum(len(token.spikes) for token in tokens),
                        sum(len(one) for token in tokens for one in token.lists))
    assert c.classes == {"silent": inputs - spikes - salients, "spiking": spikes,
                         "salient": salients}


@pytest.mark.parametrize("exp_max", [0, 3])
@pytest.mark.parametrize("window, signed", [(1, True), (7, True), (15, True), (7, False),
                                            (15, False)])
def test_class_level_and_sign_of_every_code(window: int, signed: bool, exp_max: int) -> None:
    """All q with all e: zero is silent with any; q = -128 and, where spikes have no sign, all
    that is negative stay integers."""
    q, e = torch.arange(-128, 128), torch.arange(exp_max + 1)
    codes = Codes(q.repeat(len(e))[None], e.repeat_interleave(len(q))[None])
    cfg = SMALL.with_(window=window, signed=signed, exp_max=exp_max, k=codes.q.shape[1],
                      depth=1024, list_depth=1024, train_depth=2048)
    if signed:
        legal = codes.q != -128
        levels, salient = trains.classify(codes.q.numpy(), codes.e.numpy(), cfg)
        kept = Codes(torch.where(legal, codes.q, 0),
                     torch.where(legal & (codes.q != 0), codes.e, 0))
        assert (levels > 0).tolist() == golden.is_spike(kept, cfg).tolist()
        assert (salient & legal.numpy()).tolist() == golden.is_salient(kept, cfg).tolist()
    run(cfg, tokens_of(cfg, codes, seed=14), seed=15)


# -- lists ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("spare", [0, 1], ids=["exactly_full", "one_place_short"])
@pytest.mark.parametrize("name", ["2_homes", "4_homes", "1_home", "1_home_1_list", "1_list"])
def test_full_lists(name: str, spare: int) -> None:
    """Tokens until a list is exactly full, or one place short of the last: then it says `full`,
    keeps what earlier tokens listed, and starts from place 0 when its buffer is opened."""
    cfg = CONFIGS[name]
    one = random_codes(cfg, 6, cfg.k, seed=16, salient=0.9)
    sample = tokens_of(cfg, one, seed=17)
    cfg = cfg.with_(list_depth=max(cfg.list_worst, sum(t.longest for t in sample[:5]) - spare))
    tokens = tokens_of(cfg, join(one, one), seed=17, opening=0.0)
    for number, token in enumerate(tokens):
        token.buf, token.opens = 1, number == len(sample)
        for word in token.words:
            word["buf"] = 1
    c = run(cfg, tokens, seed=18, stall=0.2)
    used = [sum(t.longest for t in sample[:n]) for n in range(7)]
    assert c.starts[1] == max(n for n in used if n <= cfg.list_depth)


def test_a_buffers_lists_start_where_its_own_last_token_ended() -> None:
    """Tokens by turns into both buffers, one of them opened in between."""
    codes = random_codes(SMALL, 8, SMALL.k, seed=19, salient=0.4)
    tokens = tokens_of(SMALL, codes, seed=20, opening=0.0)
    for number, token in enumerate(tokens):
        token.buf, token.opens = number % 2, number == 5
        for word in token.words:
            word["buf"] = token.buf
    c = run(SMALL, tokens, seed=21)
    assert c.starts[0] == sum(token.longest for token in tokens[0::2])
    assert c.starts[1] == sum(token.longest for token in tokens[5::2])


# -- time --------------------------------------------------------------------------------------

def timed(cfg: Config, codes: Codes) -> tuple[list[int], list[int]]:
    """Cycles in which words were taken, and tokens announced, with an eager consumer."""
    rig, announced = EncoderRig(cfg), []
    bench, dut, taken = Bench(rig.module), rig.encoder, []

    async def drive(ctx):
        taken.extend(await put(ctx, dut.act, act_words(cfg, codes), cycle=bench.cycle))
        await ctx.tick().repeat(cfg.groups + announce_latency(cfg) + 2)

    async def consume(ctx):
        ctx.set(dut.coded.ready, 1)
        async for _, _, cycle, valid in ctx.tick().sample(bench.cycle, dut.coded.valid):
            if valid:
                announced.append(cycle)

    simulate(bench, drive, processes=[consume])
    return taken, announced


@pytest.mark.parametrize("homes, int_lanes", [(1, 1), (1, 4), (2, 1), (2, 2), (4, 4)])
def test_a_row_takes_as_many_cycles_as_it_has_salients(homes: int, int_lanes: int) -> None:
    """At least what the balancer takes; one salient a cycle, whatever the number of lists."""
    cfg = SMALL.with_(homes=homes, int_lanes=int_lanes, k=64)
    masks = [row % (1 << cfg.groups) for row in range(cfg.rows_k)]
    q = torch.tensor([[100 if mask >> group & 1 else 3
                       for mask in masks for group in range(cfg.groups)]])
    taken, announced = timed(cfg, Codes(q, torch.zeros_like(q)))
    cost = [max(row_cycles(cfg), mask.bit_count()) for mask in masks]
    assert [b - a for a, b in zip(taken, taken[1:], strict=False)] == cost[:-1]
    assert announced == [taken[-1] + cfg.window + 2 + cost[-1]]


@configs
def test_a_token_takes_the_same_for_every_row_and_a_cycle_a_level(cfg: Config) -> None:
    """Spikes and silence; announced 3 cycles after the last level's."""
    k, rows, each = cfg.k, cfg.rows_k, row_cycles(cfg)
    codes = random_codes(cfg, 5, k, seed=22, salient=0.0)
    taken, announced = timed(cfg, codes)
    assert taken == [taken[0] + token * (rows * each + cfg.window + 1) + row * each
                     for token in range(5) for row in range(rows)]
    assert announced == [word + announce_latency(cfg) for word in taken[rows - 1::rows]]


def test_two_tokens_deep_then_waits() -> None:
    """The third token waits until the first is taken."""
    rig, taken = EncoderRig(SMALL), []
    bench, dut, rows = Bench(rig.module), rig.encoder, SMALL.rows_k
    codes = random_codes(SMALL, 3, SMALL.k, seed=23, salient=0.0)

    async def drive(ctx):
        taken.extend(await put(ctx, dut.act, act_words(SMALL, codes), cycle=bench.cycle))

    async def release(ctx):
        await ctx.tick().repeat(3 * rows * row_cycles(SMALL) + 40)
        ctx.set(dut.coded.ready, 1)
        *_, released = await ctx.tick().sample(bench.cycle)
        ctx.set(dut.coded.ready, 0)
        await ctx.tick().repeat(row_cycles(SMALL) * rows + 4)
        assert taken[2 * rows] == released + 2

    simulate(bench, drive, release)


def test_reset_in_the_middle_of_a_row() -> None:
    """Counts, turns and halves start afresh: the tokens after it are right."""
    cfg, rng = SMALL, random.Random(24)
    codes = random_codes(cfg, 3, cfg.k, seed=25, salient=0.5)
    tokens = tokens_of(cfg, codes, seed=26, opening=0.0)
    c = Checker(cfg, tokens)
    dut = c.dut

    async def bench(ctx):
        for cycles in range(1, 40, 3):
            words = act_words(cfg, random_codes(cfg, 1, cfg.k, seed=cycles, salient=0.5), buf=1)
            ctx.set(dut.act.valid, 1)
            for n in range(cycles):
                ctx.set(dut.act.payload, words[min(n, len(words) - 1)])
                await ctx.tick()
            ctx.set(dut.act.valid, 0)
            ctx.set(c.bench.rst, 1)
            await ctx.tick()
            ctx.set(c.bench.rst, 0)
            c.spikes, c.entries, c.starts = [[], []], {}, [0, 0]
            for number in range(2):
                await put(ctx, dut.act, tokens[number].words, rng, 0.1)
                ctx.set(dut.coded.ready, 1)
                payload, = await ctx.tick().sample(dut.coded.payload).until(dut.coded.valid)
                ctx.set(dut.coded.ready, 0)
                assert payload.queue == number
                assert payload.list_start == c.starts[tokens[number].buf]
                assert list(payload.count) == [len(one) for one in tokens[number].lists]
                c.starts[tokens[number].buf] += tokens[number].longest
            ctx.set(c.bench.rst, 1)
            await ctx.tick()
            ctx.set(c.bench.rst, 0)

    simulate(c.bench, bench)
