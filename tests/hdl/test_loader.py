"""Loader: every kind of load, dense and sparse, against the model; rates, errors, waits."""

import random

import pytest

from hdl.loader import Loader
from spinteger.config import Config
from spinteger.isa import Error
from tests.hdl.front_model import CONFIGS, Front, Plan, Refused
from tests.hdl.front_traffic import payload, whole
from tests.hdl.streams import Bench, simulate
from tests.hdl.test_frontend import seen_act, seen_wgt

KINDS = {"LOAD_WGT": "wgt", "LOAD_THR": "thr", "LOAD_SCALE": "scale", "LOAD_ACT": "act"}


def random_load(cfg: Config, rng: random.Random) -> tuple[str, dict]:
    op = rng.choice(["LOAD_WGT", "LOAD_WGT", "LOAD_THR", "LOAD_ACT"]
                    + ["LOAD_SCALE"] * bool(cfg.scale_bits))
    rows = rng.randint(1, min(cfg.rows_k, 17))
    tiles = rng.randint(1, min(cfg.tiles, cfg.slot_rows // rows, 4))
    slot = {"slot": rng.randrange(cfg.slots), "tiles": tiles}
    if op == "LOAD_ACT":
        return op, {"buf": rng.getrandbits(1), "rows": min(rows, 5),
                    "tokens": rng.randint(1, min(3, cfg.tokens))}
    return op, slot | ({"rows": rows, "sparse": rng.getrandbits(1)} if op == "LOAD_WGT" else {})


def command(cfg: Config, op: str, v: dict) -> dict:
    slot = v.get("slot", 0)
    return {"op": {KINDS[op]: 1}, "slot": slot, "rows": v.get("rows", 1),
            "tiles": v.get("tiles", 1), "sparse": v.get("sparse", 0), "buf": v.get("buf", 0),
            "tokens": v.get("tokens", 1)}


def run(cfg: Config, work: list, stall: float, seed: int) -> list[int]:
    """Loads (operation, fields, beats (data, keep)) one after the other; cycles of each."""
    dut, rng, front = Loader(cfg), random.Random(seed), Front(cfg, Plan(0, 0.0))
    bench, got, cycles = Bench(dut), {"wgt": [], "thr": [], "act": []}, []
    counted = [0, 0]

    async def take(ctx):
        streams = [getattr(dut, name) for name in got]
        sampled = [signal for s in streams for signal in (s.valid, s.ready, s.payload)]
        async for _, _, loaded, skipped, *values in ctx.tick().sample(
                dut.rows_loaded, dut.rows_skipped, *sampled):
            counted[0] += loaded
            counted[1] += skipped
            for at, (name, port) in enumerate(zip(got, streams, strict=True)):
                valid, ready, word = values[3 * at:3 * at + 3]
                if valid and ready:
                    got[name].append(word)
                ctx.set(port.ready, rng.random() >= stall)

    async def main(ctx):
        await ctx.tick()
        for op, v, beats in work:
            want = Error.NONE
            try:
                getattr(front, f"_{op.lower()}")(v, beats)
            except Refused as refused:
                want = refused.code
            ctx.set(dut.load, command(cfg, op, v))
            ctx.set(dut.empty, not beats)
            await ctx.tick().repeat(2)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            at, begun, here = 0, ctx.get(bench.cycle), False
            while not ctx.get(dut.done):
                assert at <= len(beats)
                here = here or (at < len(beats) and rng.random() >= stall)
                if here:
                    data, keep = beats[at]
                    last = at == len(beats) - 1
                    bad = keep & keep + 1 if last else keep != whole(cfg)
                    ctx.set(dut.beats.payload, {"data": data, "bad": bool(bad), "last": last})
                ctx.set(dut.beats.valid, here)
                _, _, ready = await ctx.tick().sample(dut.beats.ready)
                at += here and ready
                here = here and not ready
            ctx.set(dut.beats.valid, 0)
            assert ctx.get(dut.error) == want
            cycles.append(ctx.get(bench.cycle) - begun)
            await ctx.tick().repeat(rng.choice([1, 2]))    # a failed token's word goes with `done`
            assert not any(ctx.get(getattr(dut, name).valid) for name in got)
            assert [seen_wgt(cfg, word) for word in got["wgt"]] == [word for word, _ in front.wgt]
            assert [(word.value, word.is_scale, word.column, word.index) for word in got["thr"]] \
                == [word for word, _ in front.thr]
            assert len(got["act"]) == len(front.act)
            for word, wanted in zip(got["act"], front.act, strict=True):
                assert seen_act(cfg, word, wanted) == wanted
        assert counted == [front.loaded, front.skipped]

    simulate(bench, main, watch=[dut.wgt, dut.thr, dut.act], processes=[take], deadline=20_000)
    return cycles


def good(cfg: Config, op: str, v: dict, rng: random.Random) -> list[tuple[int, int]]:
    return [(data, whole(cfg)) for data in payload(cfg, op, v, rng)]


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_loads(cfg: Config, stall: float) -> None:
    """Good ones, and ones that are cut, too long or have a bad beat."""
    rng, work = random.Random(6), []
    for _ in range(15):
        op, v = random_load(cfg, rng)
        beats = good(cfg, op, v, rng)
        fault = rng.choice(["", "cut", "late", "keep", "empty"])
        if fault == "cut":
            beats = beats[:rng.randrange(len(beats)) + 1]
        elif fault == "late":
            beats += [(0, whole(cfg))] * rng.randint(1, 3)
        elif fault == "keep":
            at = rng.randrange(len(beats))
            beats[at] = beats[at][0], rng.choice([0b10, 0b101, whole(cfg) - 1])
        elif fault == "empty":
            beats = []
        work.append((op, v, beats))
    run(cfg, work, stall, seed=7)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_largest_tiles_fit(cfg: Config) -> None:
    """The last row of the last tile of the last slot; all rows named, none, one at either end."""
    rng = random.Random(8)
    rows = min(cfg.rows_k, 40)
    tiles = min(cfg.tiles, cfg.slot_rows // rows, 2)
    v = {"slot": cfg.slots - 1, "rows": rows, "tiles": tiles, "sparse": 1}
    work = [("LOAD_WGT", v | {"sparse": 0}, good(cfg, "LOAD_WGT", v | {"sparse": 0}, rng))]
    inputs = rows * cfg.groups
    for bitmap in (0, 1, 1 << 31, (1 << 32) - 1):
        beats = []
        for _ in range(tiles):
            for k in range(0, inputs, 32):
                beats.append((bitmap, whole(cfg)))
                named = (bitmap & (1 << min(32, inputs - k)) - 1).bit_count()
                beats += [(rng.getrandbits(cfg.bus_bits), whole(cfg))
                          for _ in range(named * cfg.wgt_row_beats)]
        work.append(("LOAD_WGT", v, beats))
    run(cfg, work, 0.0, seed=9)


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_one_beat_per_cycle(cfg: Config) -> None:
    """Every load takes a cycle per beat, two for its last word, and one per `map_step` inputs that
    a map leaves out."""
    rng = random.Random(10)
    loads = [random_load(cfg, rng) for _ in range(12)]
    work = [(op, v, good(cfg, op, v, rng)) for op, v in loads]
    cycles = run(cfg, work, 0.0, seed=11)
    for taken, (op, v, beats) in zip(cycles, work, strict=True):
        front = Front(cfg, Plan(0, 0.0))
        getattr(front, f"_{op.lower()}")(v, beats)
        assert taken - len(beats) - front.empty_steps in (1, 2)
