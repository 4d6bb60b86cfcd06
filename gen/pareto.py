"""The points that no other beats, of an exploration or of its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def pareto(points: Sequence[T], *goals: Callable[[T], float]) -> list[T]:
    """Points that no other beats: none is at least as good in all goals and better in one.

    Goals are to be large.
    """
    def beats(a: T, b: T) -> bool:
        scores = [(goal(a), goal(b)) for goal in goals]
        return all(x >= y for x, y in scores) and any(x > y for x, y in scores)

    return [one for one in points if not any(beats(other, one) for other in points)]
