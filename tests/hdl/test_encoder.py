"""Encoder: what it pushes, where and when, against the golden classification of codes."""

import random
from dataclasses import dataclass

import pytest
import torch
from amaranth.hdl import Module

import golden
from golden import Codes
from hdl.encoder import Encoder
from hdl.salient_queue import SalientQueue
from spinteger.config import Config
from tests.hdl.streams import Bench, put, simulate
from tests.hdl.traffic import SMALL, act_words, hard_codes, join, random_codes

CONFIGS = {
    "4_lanes": SMALL,
    "1_lane": SMALL.with_(rows=1, k=9),
    "3_lanes": SMALL.with_(rows=3),
    "2_integer_lanes": SMALL.with_(int_lanes=2),
    "4_integer_lanes": SMALL.with_(int_lanes=4),
    "unsigned_15": SMALL.with_(signed=False, window=15),
    "signed_15": SMALL.with_(window=15),
    "plain_int8": SMALL.with_(exp_max=0),
    "one_row": SMALL.with_(k=4),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


class Rig:
    """An encoder with its salient lists (which count for it), and a record of all pushes."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        m = Module()
        m.submodules.encoder = self.dut = dut = Encoder(cfg)
        for group in range(cfg.int_lanes):
            m.submodules[f"salient_queue_{group}"] = queue = SalientQueue(cfg)
            m.d.comb += [
                queue.push.eq(dut.push_salient[group].valid),
                queue.push_data.eq(dut.push_salient[group].entry),
                queue.push_buf.eq(dut.push_buf), queue.forget.eq(dut.forget_salients),
                queue.count_buf.eq(dut.count_buf), dut.count[group].eq(queue.count),
            ]
        self.bench = Bench(m)
        self.spikes: list[list[tuple]] = [[], []]       # per buffer: (row, lane, level, neg)
        self.salients: list[list[tuple]] = [[], []]     # ... (group, row, lane in group, q, e)
        self.in_use = [False, False]                    # taken by the spike side, not yet done

    async def record(self, ctx):
        dut, cfg = self.dut, self.cfg
        ports = [dut.push, dut.push_row, dut.push_buf, dut.push_salient]
        async for _, _, push, row, buf, salient in ctx.tick().sample(*ports):
            for lane in range(cfg.rows):
                if push[lane].valid:
                    assert not self.in_use[buf], "a push into a buffer that is in use"
                    self.spikes[buf].append((row, lane, push[lane].level, push[lane].neg))
            for group in range(cfg.int_lanes):
                if salient[group].valid:
                    entry = salient[group].entry
                    self.salients[buf].append((
                        group, entry.row, entry.lane if cfg.group > 1 else 0, entry.q,
                        entry.e if cfg.exp_bits else 0))


@dataclass
class Want:
    """What one token must leave behind."""

    spikes: list[tuple]
    salients: list[tuple]
    levels: int


def wanted(cfg: Config, codes: Codes, token: int) -> Want:
    """By golden.is_spike and golden.is_salient."""
    spike, salient = (f(codes, cfg)[token].tolist() for f in (golden.is_spike, golden.is_salient))
    q, e = codes.q[token].tolist(), codes.e[token].tolist()
    spikes = [(k // cfg.rows, k % cfg.rows, abs(q[k]), int(q[k] < 0))
              for k in range(len(q)) if spike[k]]
    salients = [(k % cfg.rows // cfg.group, k // cfg.rows, k % cfg.group, q[k], e[k])
                for k in range(len(q)) if salient[k]]
    levels = sum(1 << level - 1 for level in {level for _, _, level, _ in spikes})
    return Want(spikes, salients, levels)


def run(cfg: Config, codes: Codes, seed: int, stall: float = 0.3) -> None:
    """Send the tokens; take and release them at random; check all that is pushed and announced."""
    rig = Rig(cfg)
    dut, tokens = rig.dut, codes.q.shape[0]
    rng = random.Random(seed)
    runs = [{name: rng.getrandbits(width) for name, width in
             (("tile_last", cfg.tile_bits), ("stride", cfg.addr_bits + 1), ("raw", 1),
              ("unsigned", 1), ("spikes_only", 1), ("silence", cfg.level_bits))}
            for _ in range(tokens)]

    async def wait(ctx, rng: random.Random):
        while rng.random() < stall:
            await ctx.tick()

    async def drive(ctx):
        rng, token = random.Random(seed + 1), 0
        for word in act_words(cfg, codes):
            # `run` counts only with the last word.
            ctx.set(dut.run, runs[token] if word["last"] else rng.choice(runs))
            await put(ctx, dut.act, [word], rng, stall)
            token += word["last"]
        assert ctx.get(dut.overflow) == 0

    async def take(ctx, port, rng):
        await wait(ctx, rng)
        ctx.set(port.ready, 1)
        payload, = await ctx.tick().sample(port.payload).until(port.valid)
        ctx.set(port.ready, 0)
        return payload

    async def take_spikes(ctx):
        rng = random.Random(seed + 2)
        for token in range(tokens):
            payload = await take(ctx, dut.token, rng)
            buf, want = token % 2, wanted(cfg, codes, token)
            assert payload.buf == buf
            assert payload.levels == want.levels
            assert {name: payload.run[name] for name in runs[token]} == runs[token]
            assert rig.spikes[buf] == want.spikes
            rig.spikes[buf] = []
            rig.in_use[buf] = True
            await wait(ctx, rng)
            rig.in_use[buf] = False
            ctx.set(dut.spikes_done, 1 << buf)
            await ctx.tick()
            ctx.set(dut.spikes_done, 0)

    async def take_salients(ctx):
        rng = random.Random(seed + 3)
        for token in range(tokens):
            payload = await take(ctx, dut.salients, rng)
            buf, want = token % 2, wanted(cfg, codes, token)
            assert payload.buf == buf
            assert (payload.tile_last, payload.stride) == (
                runs[token]["tile_last"], runs[token]["stride"])
            for group in range(cfg.int_lanes):
                mine = [entry for entry in want.salients if entry[0] == group]
                assert [entry for entry in rig.salients[buf] if entry[0] == group] == mine
                assert payload.count[group] == len(mine)
            rig.salients[buf] = []

    simulate(rig.bench, drive, take_spikes, take_salients, processes=[rig.record],
             watch=[dut.token, dut.salients])


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["free", "stalled"])
@configs
def test_tokens(cfg: Config, stall: float) -> None:
    k = cfg.k
    codes = join(hard_codes(cfg, k), random_codes(cfg, 4, k, seed=10),
                 random_codes(cfg, 2, k, seed=11, salient=0.6, silent=0.1))
    run(cfg, codes, seed=12, stall=stall)


@pytest.mark.parametrize("exp_max", [0, 1, 3])
@pytest.mark.parametrize("window, signed", [(1, True), (7, True), (15, True), (7, False),
                                            (15, False)])
def test_class_level_and_sign_of_every_code(window: int, signed: bool, exp_max: int) -> None:
    """All q (-128 too) with all e; zero with an exponent has a test of its own."""
    q = torch.arange(-128 if signed else 0, 128)
    codes = Codes(q.repeat(exp_max + 1), torch.arange(exp_max + 1).repeat_interleave(len(q)))
    kept = (codes.q != 0) | (codes.e == 0)
    codes = Codes(codes.q[kept][None], codes.e[kept][None])
    cfg = SMALL.with_(window=window, signed=signed, exp_max=exp_max, k=codes.q.shape[1],
                      depth=512)
    run(cfg, codes, seed=13)


def test_zero_with_an_exponent_is_silent() -> None:
    """numerics.md: x = 0 is silent, no event, no weight read, no add, whatever its exponent."""
    codes = Codes(torch.zeros(1, 8, dtype=torch.int64), torch.arange(8)[None] % 4)
    assert bool(golden.is_silent(codes, SMALL).all())
    run(SMALL, codes, seed=14)


# -- time --------------------------------------------------------------------------------------

def timed(cfg: Config, codes: Codes) -> tuple[list[int], list[int]]:
    """Cycles in which words were taken, and tokens first announced, with eager consumers."""
    rig, announced = Rig(cfg), []
    dut, taken = rig.dut, []

    async def drive(ctx):
        taken.extend(await put(ctx, dut.act, act_words(cfg, codes), cycle=rig.bench.cycle))
        await ctx.tick().repeat(cfg.rows + 4)

    async def consume(ctx):
        ctx.set(dut.token.ready, 1)
        ctx.set(dut.salients.ready, 1)
        ports = [rig.bench.cycle, dut.token.valid, dut.salients.valid, dut.token.payload.buf]
        async for _, _, cycle, token, salients, buf in ctx.tick().sample(*ports):
            assert token == salients
            if token:
                announced.append(cycle)
            ctx.set(dut.spikes_done, (1 << buf) * token)

    simulate(rig.bench, drive, processes=[consume])
    return taken, announced


@pytest.mark.parametrize("int_lanes", [1, 2, 4])
def test_a_word_takes_as_many_cycles_as_its_fullest_group_has_salients(int_lanes: int) -> None:
    cfg = SMALL.with_(int_lanes=int_lanes, k=64)
    q = torch.tensor([[100 if word >> lane & 1 else 3 for word in range(16) for lane in range(4)]])
    taken, announced = timed(cfg, Codes(q, torch.zeros_like(q)))
    cost = [max(1, max(sum(word >> lane & 1 for lane in range(4) if lane // cfg.group == group)
                       for group in range(int_lanes))) for word in range(16)]
    assert [b - a for a, b in zip(taken, taken[1:], strict=False)] == cost[:-1]
    assert announced == [taken[-1] + 2 + cost[-1] - 1]


@configs
def test_token_announced_two_cycles_after_its_last_word(cfg: Config) -> None:
    """Spikes and silence take one cycle a word; between tokens one more."""
    k, rows = cfg.k, cfg.rows_k
    codes = random_codes(cfg, 5, k, seed=15, salient=0.0)
    taken, announced = timed(cfg, codes)
    for token in range(5):
        words = taken[token * rows:(token + 1) * rows]
        assert words == list(range(words[0], words[0] + rows))
        assert announced[token] == words[-1] + 2


def test_two_tokens_deep_then_waits() -> None:
    """The third token waits for the first to be released by both consumers."""
    rig, taken = Rig(SMALL), []
    dut, rows = rig.dut, SMALL.rows_k
    codes = random_codes(SMALL, 3, SMALL.k, seed=16, salient=0.0)

    async def drive(ctx):
        taken.extend(await put(ctx, dut.act, act_words(SMALL, codes), cycle=rig.bench.cycle))

    async def release(ctx):
        await ctx.tick().repeat(60)
        ctx.set(dut.token.ready, 1)
        await ctx.tick()
        ctx.set(dut.token.ready, 0)
        ctx.set(dut.spikes_done, 1)
        await ctx.tick()
        ctx.set(dut.spikes_done, 0)
        await ctx.tick().repeat(20)
        ctx.set(dut.salients.ready, 1)
        *_, released = await ctx.tick().sample(rig.bench.cycle)
        ctx.set(dut.salients.ready, 0)
        await ctx.tick().repeat(rows + 4)
        assert taken[2 * rows] == released + 1

    simulate(rig.bench, drive, release)


# -- overflow ------------------------------------------------------------------------------------

@pytest.mark.parametrize("cfg", [SMALL, SMALL.with_(k=4), SMALL.with_(int_lanes=2)],
                         ids=["10_rows", "1_row", "2_integer_lanes"])
def test_words_past_the_largest_k_are_dropped_and_flagged(cfg: Config) -> None:
    """Exactly K: no flag. Longer: flag, the first K kept, and the next tokens come out right."""
    rig, rows = Rig(cfg), cfg.rows_k
    dut = rig.dut
    exact, after = (random_codes(cfg, 1, cfg.k, seed, salient=0.3) for seed in (17, 18))
    long = random_codes(cfg, 1, (3 * rows + 2) * cfg.rows, 19, salient=0.3)
    kept = Codes(*(part[:, :rows * cfg.rows] for part in long))

    async def bench(ctx):
        for token, (sent, want) in enumerate([(exact, exact), (long, kept), (after, after)]):
            buf = token % 2
            await put(ctx, dut.act, act_words(cfg, sent))
            for port, done in ((dut.salients, 0), (dut.token, 1)):
                ctx.set(port.ready, 1)
                payload, = await ctx.tick().sample(port.payload).until(port.valid)
                ctx.set(port.ready, 0)
                assert payload.buf == buf
                ctx.set(dut.spikes_done, done << buf)
            await ctx.tick()
            ctx.set(dut.spikes_done, 0)
            assert rig.spikes[buf] == wanted(cfg, want, 0).spikes
            assert sorted(rig.salients[buf]) == sorted(wanted(cfg, want, 0).salients)
            rig.spikes[buf], rig.salients[buf] = [], []
            assert ctx.get(dut.overflow) == (token > 0)
        ctx.set(rig.bench.rst, 1)
        await ctx.tick()
        assert ctx.get(dut.overflow) == 0

    simulate(rig.bench, bench, processes=[rig.record])
