"""How far nextpnr is, read from its log."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

#: Share of the whole run that is over when a stage begins: a rule of thumb, for progress bars.
_BEGINS = {"starting": 0.0, "packing": 0.02, "placing": 0.05, "refining": 0.25, "routing": 0.5,
           "done": 1.0}
#: Iterations of the analytic placer and of the refinement that are usual.
_USUAL = {"placing": 40, "refining": 30}


@dataclass(frozen=True)
class Step:
    """Where a run stands."""

    seed: int
    stage: str          #: "starting", "packing", "placing", "refining", "routing" or "done"
    detail: str         #: such as "iteration 7" or "12,000 arcs left"
    share: float        #: of the whole run, 0 to 1; an estimate


Progress = Callable[[Step], None]


class Log:
    """Reads nextpnr's log line by line and reports every step. `progress` may be None."""

    def __init__(self, seed: int, progress: Progress | None):
        self.seed, self.progress = seed, progress
        self._stage, self._arcs = "starting", 1
        self._report("")

    def _report(self, detail: str, within: float = 0.0) -> None:
        """`within`: the part of the stage that is over, 0 to 1."""
        if self.progress is None:
            return
        begins = _BEGINS[self._stage]
        ends = min([share for share in _BEGINS.values() if share > begins], default=1.0)
        self.progress(Step(self.seed, self._stage, detail,
                           begins + (ends - begins) * min(1.0, max(0.0, within))))

    def line(self, text: str) -> None:
        """Take one line of the log."""
        if text.startswith("Preparing to run"):
            self._report("compiling nextpnr, once, for about half a minute")
        elif text.startswith("Info: Packing"):
            if self._stage != "packing":
                self._stage = "packing"
                self._report("")
        elif text.startswith(("Info: Creating initial analytic placement",
                              "Info: Running Static placer")):
            self._stage = "placing"
            self._report("")
        elif text.startswith("Info: Running simulated annealing"):
            self._stage = "refining"
            self._report("")
        elif match := re.match(r"Info: +at iteration #(\d+)|Info: iter=(\d+) steplen", text):
            if self._stage in _USUAL:       # the static placer takes ten times as many
                done = int(match[1] or match[2]) / (1 if match[1] else 10)
                self._report(f"iteration {match[1] or match[2]}", done / _USUAL[self._stage])
        elif match := re.match(r"Info: Routing (\d+) arcs", text):
            self._stage, self._arcs = "routing", max(1, int(match[1]))
            self._report(f"{self._arcs:,} arcs")
        elif match := re.match(r"Info: +\d+ \|(?:[^|]*\|){2} *(\d+)\|", text):
            left = int(match[1])
            self._report(f"{left:,} arcs left", 1 - left / self._arcs)
        elif text.startswith("Info: Running router2"):
            self._stage = "routing"
            self._report("")
        elif match := re.match(r"Info: +iter=(\d+) wires=\d+ overused=(\d+)", text):
            # Of router2: wires that two nets want, about a sixth less from one to the next.
            left = int(match[2])
            self._arcs = max(self._arcs, left + 1)
            self._report(f"iteration {match[1]}, {left:,} wires taken twice",
                         1 - math.log(left + 1) / math.log(self._arcs + 1))

    def done(self, mhz: float) -> None:
        """The run ended well."""
        self._stage = "done"
        self._report(f"{mhz:.1f} MHz")
