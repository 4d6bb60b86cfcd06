"""A progress display for jobs of minutes: what goes on, for how long, how far."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from gen.place_log import Step


class Display:
    """Lines of progress on a console; plain lines at the ends of steps where it is no terminal.

    with Display(console) as display:
        with display.step("synthesising"): ...
        place(..., progress=display.placing)
    """

    def __init__(self, console: Console):
        self.console = console
        self._bar = Progress(SpinnerColumn(finished_text="[green]*[/]"),
                             TextColumn("{task.description}"), BarColumn(bar_width=24),
                             TextColumn("{task.fields[detail]}"), TimeElapsedColumn(),
                             console=console)
        self._seeds: dict[int, TaskID] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step whose length nobody knows."""
        self._say(text)
        task = self._bar.add_task(text, total=None, detail="")
        yield
        self._bar.update(task, total=1, completed=1)

    def placing(self, step: Step) -> None:
        """Where a run of nextpnr stands; a bar for every seed. May be called from any thread."""
        with self._lock:
            if step.seed not in self._seeds:
                text = f"place and route, seed {step.seed}"
                self._say(text)
                self._seeds[step.seed] = self._bar.add_task(text, total=1.0, detail="")
            self._bar.update(self._seeds[step.seed], completed=step.share,
                             detail=f"{step.stage} {step.detail}".strip())
        if step.stage == "done":
            self._say(f"  seed {step.seed}: {step.detail}")

    def note(self, text: str) -> None:
        """Say something above the bars."""
        self.console.print(text, highlight=False, markup=False)

    def again(self) -> None:
        """The seeds that follow are another round."""
        self._seeds.clear()

    def _say(self, text: str) -> None:
        if not self.console.is_terminal:
            self.console.print(text, highlight=False, markup=False)
