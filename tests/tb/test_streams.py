"""Stall patterns: the share of waiting, its bursts, and that a run repeats."""

import itertools
import random

import pytest

from tb.streams import NEVER, Late, Stalls

CYCLES = 40_000


def pattern(rate: float, burst: float = 0.6, seed: int = 1) -> list[bool]:
    stalls = Stalls(random.Random(seed), rate, burst)
    return [stalls() for _ in range(CYCLES)]


def bursts(cycles: list[bool], of: bool) -> list[int]:
    return [len(list(group)) for value, group in itertools.groupby(cycles) if value is of]


def test_rate_0_never_stalls() -> None:
    assert not any(pattern(0.0))
    assert not any(NEVER() for _ in range(100))


@pytest.mark.parametrize("burst", [0.0, 0.6, 0.9])
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.7, 0.9])
def test_share_of_stalls_is_the_rate(rate: float, burst: float) -> None:
    assert sum(pattern(rate, burst)) / CYCLES == pytest.approx(rate, abs=0.04)


@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_bursts_of_both_kinds_are_short_and_long(rate: float) -> None:
    cycles = pattern(rate)
    for kind in (True, False):
        lengths = bursts(cycles, kind)
        assert min(lengths) == 1
        assert max(lengths) > 15
    mean = 1 / ((1 - 0.6) * (1 - rate))
    lengths = bursts(cycles, True)
    assert sum(lengths) / len(lengths) == pytest.approx(mean, rel=0.1)


def test_burst_0_is_a_coin_per_cycle() -> None:
    lengths = bursts(pattern(0.5, burst=0.0), True)
    assert sum(lengths) / len(lengths) == pytest.approx(2, rel=0.1)


def test_same_seed_same_pattern() -> None:
    assert pattern(0.3, seed=5) == pattern(0.3, seed=5)
    assert pattern(0.3, seed=5) != pattern(0.3, seed=6)


def test_late_stalls_so_many_cycles_then_never() -> None:
    late = Late(7)
    assert [late() for _ in range(20)] == [True] * 7 + [False] * 13
