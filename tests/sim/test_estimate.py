"""Predicted cycles against the RTL: programs of every kind, real layers; and where they go."""

import os

import numpy as np
import pytest
import torch

from golden.codes import recode
from golden.fetch import RealDataUnavailable
from golden.realdata import load_layer
from sim import packets as pk
from sim import tools
from sim.backends import Throttle, backend
from sim.estimate import Estimate, estimate
from sim.packets import Packet
from spinteger import isa
from spinteger.config import PRESETS, Config

torch.set_num_threads(1)

TINY = PRESETS["tiny"]
WIDE = TINY.with_(cols=20, acc_depth=160, bus_bits=32)


def program(cfg: Config, k: int = 24, n: int = 16, tokens: int = 4, runs: int = 1,
            spread: float = 0.5, seed: int = 0, **flags: int) -> list[Packet]:
    """Loads of a random layer and its tokens, then runs."""
    g = np.random.default_rng(seed)
    codes = recode(torch.from_numpy(np.round(g.normal(0, cfg.window * spread, (tokens, k)))).long(),
                   cfg)
    flags = {"acc_first": 1, "acc_last": 1, "host": 1, **flags}
    return [
        pk.load_wgt(cfg, 0, g.integers(-cfg.wgt_max, cfg.wgt_max, (k, n))),
        pk.load_thr(cfg, 0, g.integers(1, 30 << cfg.frac_bits, n)),
        pk.load_act(cfg, 0, codes.q.numpy(), codes.e.numpy()),
        *[pk.run(cfg, slot=0, buf=0, rows=cfg.tile_rows(k), tiles=cfg.col_tiles(n), tokens=tokens,
                 **flags)] * runs]


CHAIN = {"chain": 1, "chain_buf": 1, "chain_first": 1, "chain_last": 1}
PROGRAMS = {
    "nothing": (TINY, [], 1),
    "weights": (TINY, program(TINY, 64, 8)[:1], 1),
    "tokens": (TINY, program(TINY)[2:3], 1),
    "salient tokens": (TINY, program(TINY, tokens=3, spread=2.5)[2:3], 1),
    "one tile": (TINY, program(TINY, n=4, tokens=1), 1),
    "fired": (TINY, program(TINY, runs=8), 1),
    "raw": (TINY, program(TINY, runs=8, raw=1), 1),
    "few spikes": (TINY, program(TINY, tokens=8, runs=8, spread=0.1), 1),
    "salient": (TINY, program(TINY, runs=8, spread=2.5), 1),
    "short runs": (TINY, program(TINY, n=4, tokens=1, runs=20), 1),
    "chained": (TINY, program(TINY, runs=8, **CHAIN), 1),
    "kept": (TINY, program(TINY, n=8, runs=8, host=0, acc_last=0), 1),
    "dropped": (TINY, program(TINY, 30, 8, 8, 4), 1),
    "refused": (TINY, [*program(TINY)[2:], *program(TINY, runs=4)], 1),
    "slow input": (TINY, program(TINY, runs=3), 5),
    "slow output": (WIDE, program(WIDE, n=40, runs=4, spread=0.3), 1),
    "slow raw output": (WIDE, program(WIDE, n=40, runs=4, raw=1), 1),
    "staircase": (TINY.with_(fire="staircase", exp_max=1),
                  program(TINY.with_(exp_max=1), runs=2), 1),
}


def far(got: Estimate, cycles: int, counters: dict[str, int]) -> str:
    """What is more than 2 % of all cycles off, if anything."""
    allowed = 3 + 0.02 * cycles
    off = {"cycles": got.cycles - cycles} | {
        name: got.by_cause[name] - counters[name] for name, _ in isa.CAUSES}
    wait = {"firing", "output"}             # one by the other: whether a word waits meanwhile
    off["firing or output"] = sum(off.pop(name) for name in wait)
    return ", ".join(f"{name} {by:+}" for name, by in off.items() if abs(by) > allowed)


@pytest.fixture
def verilator():
    try:
        tools.find("verilator")
    except tools.SimulatorMissing as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_against_the_rtl(name, verilator):
    cfg, packets, every = PROGRAMS[name]
    got = estimate(packets, cfg, every)
    rtl = backend("verilator", cfg).execute(packets, throttle=Throttle(input_every=every))
    assert rtl.cycles is not None and not far(got, rtl.cycles, rtl.counters)


def real(name: str, cfg: Config) -> list[Packet]:
    """A real layer, 8 tiles at a time in two slots in turn: loads beside runs."""
    try:
        layer = load_layer(name, cfg)
    except RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))
    packets = [pk.load_act(cfg, 0, layer.q[:8], layer.e[:8])]
    for turn in range(3):
        here = slice(turn * 8 * cfg.cols, (turn + 1) * 8 * cfg.cols)
        packets += [
            pk.load_wgt(cfg, turn % 2, layer.w[:, here]),
            pk.load_thr(cfg, turn % 2, layer.theta[here]),
            pk.run(cfg, slot=turn % 2, buf=0, rows=cfg.tile_rows(layer.k), tiles=8, tokens=8,
                   acc_first=1, acc_last=1, host=1)]
    return packets


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blk.2.q_proj", "blk.27.down_proj"])
def test_real_layers_against_the_rtl(name, verilator):
    """Weights load while integer lanes read the same banks."""
    cfg = Config()
    packets = real(name, cfg)
    got = estimate(packets, cfg)
    rtl = backend("verilator", cfg).execute(packets)
    assert rtl.cycles is not None and not far(got, rtl.cycles, rtl.counters)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_cycle_has_a_cause(name):
    cfg, packets, every = PROGRAMS[name]
    got = estimate(packets, cfg, every)
    assert sum(got.by_cause.values()) == got.cycles > 0
    assert all(cycles >= 0 for cycles in got.by_cause.values())
    assert tuple(got.by_cause) == tuple(name for name, _ in isa.CAUSES)


def test_what_takes_longer():
    """More of anything takes more cycles; a slow input shows as loading."""
    base = estimate(program(TINY), TINY)
    assert estimate(program(TINY, runs=2), TINY).cycles > base.cycles
    assert estimate(program(TINY, tokens=5), TINY).cycles > base.cycles
    slow = estimate(program(TINY), TINY, 4)
    assert slow.by_cause["weights"] > 2 * base.by_cause["weights"]
    one = estimate(program(TINY.with_(homes=1, int_lanes=1, k=32)), TINY.with_(
        homes=1, int_lanes=1, k=32))
    assert one.by_cause["longest_lane"] > base.by_cause["longest_lane"]
