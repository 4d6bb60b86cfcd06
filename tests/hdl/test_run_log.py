"""Run log: what is in use, room, and errors with the right numbers, against a list of runs."""

import random

import pytest

from hdl.run_log import RUNS, RunLog
from spinteger.config import PRESETS, Config
from spinteger.isa import Error
from tests.hdl.streams import simulate

CONFIGS = {"2_slots": PRESETS["tiny"], "1_slot": PRESETS["tiny"].with_(slots=1),
           "5_slots": PRESETS["tiny"].with_(slots=5, depth=160)}


@pytest.mark.parametrize("ready, busy", [(1.0, 0.5), (0.3, 0.5), (0.9, 0.95), (0.9, 0.1)])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_runs(cfg: Config, ready: float, busy: float) -> None:
    """`busy`: how often a run is offered rather than completed."""
    dut, rng = RunLog(cfg), random.Random(5)
    want, got = [], []

    async def bench(ctx):
        runs: list[dict] = []           # not complete; a run may be complete a cycle later
        fullest = 0
        for cycle in range(1200):
            offered = cycle < 1100 and rng.random() < busy
            accept = offered and ctx.get(dut.room)
            ctx.set(dut.accept, accept)
            run = {"slot": rng.randrange(cfg.slots), "bufs": rng.choice([1, 2, 3])}
            ctx.set(dut.use, run)
            run["place"] = ctx.get(dut.place)
            assert not any(run["place"] == other["place"] for other in runs) or not accept
            done = bool(runs) and (not offered or rng.random() < 0.3)
            ends = [rng.random() < 0.3, rng.random() < 0.3]
            ctx.set(dut.run_done, done)
            ctx.set(dut.run_dropped, done and ends[0])
            ctx.set(dut.run_overflow, done and ends[1])
            ctx.set(dut.error.ready, rng.random() < ready)
            assert ctx.get(dut.slots) == sum(1 << slot for slot in range(cfg.slots)
                                             if any(run["slot"] == slot for run in runs))
            assert ctx.get(dut.bufs) == sum(1 << buf for buf in range(2)
                                            if any(run["bufs"] >> buf & 1 for run in runs))
            count = ctx.get(dut.count)
            assert len(runs) <= count <= RUNS and ctx.get(dut.room) == (count < RUNS)
            fullest = max(fullest, count)
            error = ctx.get(dut.error.payload)
            if ctx.get(dut.error.valid) and ctx.get(dut.error.ready):
                got.append((error, ctx.get(dut.error_place)))
            await ctx.tick()
            if done:
                over = runs.pop(0)
                want.extend((int(code), over["place"]) for code, end in zip(
                    (Error.BUF_EMPTY, Error.V_OVERFLOW), ends, strict=True) if end)
            if accept:
                runs.append(run)
        assert not runs and ctx.get(dut.count) == 0
        assert fullest == RUNS or busy < 0.5

    simulate(dut, bench, watch=[dut.error])
    assert got == want
