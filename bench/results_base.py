"""What the sections of docs/results.md share: sources, tables, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")

#: A mark in a table.
STAR = " \\*"


class ResultsError(RuntimeError):
    """The page cannot be made; one line that says what would work."""


@dataclass(frozen=True)
class Source:
    """A benchmark's file."""

    name: str
    title: str
    path: str
    command: str                #: that makes it
    report: Json | None         #: None: not measured


Sources = Mapping[str, Source]


def guarded(source: Source, use: Callable[[Json], T]) -> T:
    """Use a report. Raises `ResultsError` when it is not what its benchmark writes."""
    assert source.report is not None
    try:
        return use(source.report)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = (f"has no {error.args[0]}" if isinstance(error, KeyError) else
                f"is not as expected ({error})")
        raise ResultsError(f"{source.path}: {what}; make it anew: {source.command}") from error


def rendered(source: Source, render: Callable[[Json], str]) -> str:
    """A report's text, or that there is none."""
    if source.report is None:
        return f"{source.title[0].upper()}{source.title[1:]}: not measured: `{source.command}`"
    return guarded(source, render)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table in Markdown; the first `left` columns hold words."""
    lines = [list(head), ["---"] * left + ["---:"] * (len(head) - left), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def paragraphs(*parts: str) -> str:
    """What there is of these, a blank line between."""
    return "\n\n".join(part for part in parts if part)


def plot(name: str, words: str) -> str:
    """A plot, by the name that `bench.results` writes it under."""
    return f"![{words}](results/{name}.svg)"


def shape(report: Json) -> str:
    """Rows and columns of the machine."""
    return f"{report['config']['rows']}×{report['config']['cols']}"
