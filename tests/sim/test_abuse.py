"""The machine, mistreated: reset in any cycle, streams blocked for long, weights of other shapes.

Whatever was done to it, the next program must be exact, and nothing may hang.
"""

import numpy as np
import pytest
import torch

from sim import packets as pk
from sim import tools
from sim.backends import Throttle
from sim.cases import CONFIGS
from sim.packets import Packet
from sim.random_programs import program
from sim.reference import Reference
from sim.twin import QUIET, Twin
from spinteger.config import PRESETS, Config
from spinteger.isa import Error

torch.set_num_threads(1)

TINY = PRESETS["tiny"]
BLOCKED = 10_000


@pytest.fixture(autouse=True)
def verilator():
    try:
        tools.verilator()
    except tools.SimulatorMissing as error:
        pytest.skip(str(error))


def shape(cfg: Config, tiles: int, tokens: int, k: int) -> dict[str, int]:
    return {"rows": cfg.tile_rows(k), "tiles": tiles, "tokens": tokens, "acc_first": 1,
            "acc_last": 1}


def everything(cfg: Config) -> list[Packet]:
    """Few cycles, but all a machine does: loads, runs, passes, chains, fences, refusals."""
    rng = np.random.default_rng(5)
    k, tokens, n = 3 * cfg.groups, 2, 2 * cfg.cols
    w = rng.integers(-cfg.wgt_max, cfg.wgt_max, (k, n))
    q = rng.integers(-20, 21, (tokens, k))
    e = np.where(np.abs(q) > cfg.window, 1, 0)
    live = rng.random(k) < 0.5
    run = shape(cfg, 2, tokens, k)
    chain = {"chain": 1, "chain_buf": 1, "acc_first": 1, "acc_last": 1}
    first = [
        pk.load_wgt(cfg, 0, w), pk.load_thr(cfg, 0, rng.integers(1, 40 << cfg.frac_bits, n)),
        pk.load_act(cfg, 0, q, e, [0, 1]), pk.run(cfg, slot=0, buf=0, host=1, **run),
        pk.load_wgt(cfg, 0, ~w, live), pk.run(cfg, slot=0, buf=0, host=1, raw=1, **run),
        pk.load_scale(cfg, 0, rng.integers(1, 9, n), 1),
        pk.run(cfg, slot=0, buf=0, scale=1, **run | {"acc_last": 0}),
        pk.run(cfg, slot=0, buf=0, host=1, raw=1, **run | {"acc_first": 0}),
        pk.load_thr(cfg, 0, rng.integers(1, 40 << cfg.frac_bits, n)),
        pk.run(cfg, slot=0, buf=0, chain_first=1, chain_last=1, **chain | run), pk.fence(3),
        pk.load_act(cfg, 0, q[:1], e[:1])]
    one = {**run, "tokens": 1, **chain}
    rows = cfg.tile_rows(2 * n)
    return [*first, pk.run(cfg, slot=0, buf=0, chain_first=1, host=1, **one), pk.fence(4),
            pk.run(cfg, slot=0, buf=0, chain_last=1, **one),
            pk.load_wgt(cfg, 1, rng.integers(-2, 3, (2 * n, cfg.cols))),
            pk.run(cfg, slot=1, buf=1, rows=rows, tiles=1, tokens=1, acc_first=1, acc_last=1,
                   host=1, raw=1)]


def afterwards(cfg: Config, count: int) -> list[list[Packet]]:
    """Short programs that work whatever the memories hold."""
    return [program(np.random.default_rng(seed), cfg, faults=False, length=8)
            for seed in range(count)]


def forget(twin: Twin) -> None:
    """Reset in the middle of something: nobody knows what is in the memories."""
    twin.reset()
    twin.reference = Reference(twin.cfg)


def test_everything_is_carried_out():
    result = Reference(TINY).execute(everything(TINY))
    assert not result.errors and len(result.packets) == 7
    with Twin(TINY) as twin:
        assert not twin.execute(everything(TINY))


@pytest.mark.parametrize("throttle", [Throttle(), Throttle(0.3, 0.8)], ids=["fast", "stalled"])
def test_reset_in_any_cycle(throttle):
    """Every cycle of a program that does everything, with its output flowing and jammed."""
    cfg = TINY
    doing, after = everything(cfg), afterwards(cfg, 5)
    with Twin(cfg) as twin:
        assert not twin.execute(doing, throttle)
        step = 1 if throttle == Throttle() else 5
        for cycle in range(1, twin.machine.cycles, step):
            forget(twin)
            twin.throttle(throttle)
            twin.feed(doing)
            twin.machine.run(limit=cycle)
            forget(twin)
            wrong = twin.execute(after[cycle % len(after)])
            assert not wrong, f"reset in cycle {cycle}: {wrong}"


@pytest.mark.parametrize("name", ["odd", "staircase", "tall"])
def test_reset_of_random_programs(name):
    cfg, rng = CONFIGS[name], np.random.default_rng(11)
    after = afterwards(cfg, 20)
    with Twin(cfg) as twin:
        for seed in range(40):
            forget(twin)
            twin.throttle(Throttle(0.3 * (seed % 2), 0.8 * (seed % 3 == 0), seed=seed + 1))
            twin.feed(program(rng, cfg))
            twin.machine.run(limit=int(rng.integers(1, 2500)), quiet=QUIET)
            forget(twin)
            wrong = twin.execute(after[seed % len(after)])
            assert not wrong, f"seed {seed}: {wrong}"


@pytest.mark.parametrize("blocked", [
    Throttle(output_stall=0.999_999_99), Throttle(input_stall=0.999_999_99),
    Throttle(0.999_999_99, 0.999_999_99)], ids=["output", "input", "both"])
def test_streams_blocked_for_long(blocked):
    """From any cycle on, in mid-packet too; then everything goes on as if nothing had been."""
    cfg = TINY
    doing, waited = everything(cfg), 0
    with Twin(cfg) as twin:
        assert not twin.execute(doing)
        for cycle in range(1, twin.machine.cycles, 13):
            twin.reset()
            twin.throttle()
            twin.feed(doing)
            twin.machine.run(limit=cycle)
            twin.throttle(blocked)
            waited += not twin.machine.run(limit=BLOCKED, quiet=QUIET)
            twin.throttle()
            twin.machine.run(quiet=QUIET)
            wrong = twin.compare(doing)
            assert not wrong, f"blocked in cycle {cycle}: {wrong}"
    assert waited > 30


def test_weights_of_another_shape():
    """Runs, thresholds and scales for another number of tiles, rows or tokens: refused, by number;
    what was right stays right."""
    cfg = TINY
    k, n, tokens = 6, 2 * cfg.cols, 2
    rng = np.random.default_rng(2)
    w, q = rng.integers(-8, 8, (k, n)), rng.integers(-9, 10, (tokens, k))
    right = dict(slot=0, buf=0, host=1, raw=1, **shape(cfg, 2, tokens, k))
    wrong = [
        (Error.SLOT_MISMATCH, pk.run(cfg, **right | {"rows": 2})),
        (Error.SLOT_MISMATCH, pk.run(cfg, **right | {"rows": 4})),
        (Error.SLOT_MISMATCH, pk.run(cfg, **right | {"tiles": 1})),
        (Error.SLOT_MISMATCH, pk.run(cfg, **right | {"tiles": 3})),
        (Error.SLOT_EMPTY, pk.run(cfg, **right | {"slot": 1})),
        (Error.BUF_MISMATCH, pk.run(cfg, **right | {"tokens": 1})),
        (Error.BUF_MISMATCH, pk.run(cfg, **right | {"tokens": 3})),
        (Error.BUF_EMPTY, pk.run(cfg, **right | {"buf": 1})),
        (Error.SLOT_MISMATCH, pk.load_thr(cfg, 0, np.ones(cfg.cols))),
        (Error.SLOT_MISMATCH, pk.load_thr(cfg, 0, np.ones(3 * cfg.cols))),
        (Error.SLOT_MISMATCH, pk.load_scale(cfg, 0, np.ones(cfg.cols))),
        (Error.SLOT_EMPTY, pk.load_thr(cfg, 1, np.ones(n))),
        (Error.NO_THRESHOLDS, pk.run(cfg, **right | {"raw": 0})),
        (Error.NO_SCALES, pk.run(cfg, **right | {"scale": 1}))]
    with Twin(cfg) as twin:
        assert not twin.execute([pk.load_wgt(cfg, 0, w), pk.load_act(cfg, 0, q)])
        for error, packet in wrong:
            number = twin.packets + 1
            assert not twin.execute([pk.run(cfg, **right), packet, pk.run(cfg, **right)])
            assert twin.machine.read("error") == error | number << 8, str(packet)
            assert twin.machine.read("error_count") == 1


@pytest.mark.parametrize("beats", range(1, 9))
def test_a_load_that_fails_takes_its_slot_along(beats):
    """Weights that broke off are not used; a run on them says so, and loading them again helps."""
    cfg = TINY
    w, q = np.ones((8, 8), int), np.full((1, 8), 3)
    load = pk.load_wgt(cfg, 0, w)
    run = pk.run(cfg, slot=0, buf=0, host=1, raw=1, **shape(cfg, 2, 1, 8))
    cut = Packet(load.descriptor, load.payload, cut=1 + beats)
    early = len(cut.words(cfg)) < len(load.words(cfg))
    with Twin(cfg) as twin:
        assert not twin.execute([load, pk.load_act(cfg, 0, q), run, cut, run, load, run])
        assert twin.machine.read("error_count") == 2 * early
        first = Error.TLAST_EARLY if beats > 0 else Error.NONE
        assert twin.machine.read("error") == (first | 3 << 8 if early else 0)


def test_endless_packets_and_packets_of_one_beat():
    """A packet far longer than all memories is swallowed; so are floods of the shortest ones."""
    cfg = TINY
    flood = [Packet(0, cut=1) for _ in range(3000)]
    endless = pk.load_act(cfg, 0, np.ones((2, 8), int))
    endless = Packet(endless.descriptor, [*endless.payload, *range(20_000)])
    with Twin(cfg) as twin:
        for doing in (flood, [endless], [*everything(cfg), endless, *flood[:9]]):
            assert not twin.execute(doing, Throttle(output_stall=0.8))
