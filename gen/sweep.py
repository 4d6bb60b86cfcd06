"""One point of an exploration: a configuration, and what its machine would do on real layers.

Each question has a cache file of its own, named by all that its answer depends on, so that an
interrupted or widened sweep goes on where it was:

    cycles      the cycle model (`sim.predict`) on real layers
    area        synthesis for ECP5, and a clock from the netlist (`gen.timing`)
    placed      place and route, for the finalists only
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import gen
import golden
import hdl
import sim
import spinteger
from gen import kept, timing
from gen.files import write_whole
from gen.harness import HARNESS, harness
from gen.parts import PARTS
from gen.place_log import Progress
from golden.realdata import load_named
from hdl.top import TOPS
from sim import builds
from sim.plan import CompileError
from sim.predict import Prediction, predict
from spinteger.config import Config


@dataclass(frozen=True)
class Area:
    """A machine after synthesis for ECP5, or placed."""

    lut: int            #: LUT sites
    ff: int
    ebr: int
    dsp: int
    mhz: float          #: clock: guessed from the netlist, or as placed


@dataclass(frozen=True)
class Result:
    """One configuration on some layers."""

    cfg: Config
    area: Area
    predictions: list[Prediction]
    placed: Area | None = None

    @property
    def best(self) -> Area:
        """The area that is known best."""
        return self.placed or self.area

    @property
    def gops(self) -> float:
        """Effective 10^9 operations a second, all layers one after the other."""
        cycles = sum(one.compute_cycles for one in self.predictions)
        return 2e-3 * sum(one.macs for one in self.predictions) * self.best.mhz / cycles

    @property
    def gops_per_klut(self) -> float:
        """Effective 10^9 operations a second and thousand LUTs."""
        return self.gops / (self.best.lut / 1000)

    @property
    def ratio(self) -> float:
        """Cycles relative to a dense R x C array, all layers."""
        return (sum(one.compute_cycles for one in self.predictions)
                / sum(one.dense_cycles for one in self.predictions))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"config": self.cfg.params(), "area": asdict(self.area),
                "placed": asdict(self.placed) if self.placed else None, "gops": self.gops,
                "gops_per_klut": self.gops_per_klut, "ratio": self.ratio,
                "layers": [asdict(one) for one in self.predictions]}


def evaluate(cfg: Config, layers: Sequence[str], tokens: int, folder: str) -> Result | str:
    """Cycles and area of one configuration; or why it cannot run these layers.

    Runs in a process of its own, here or on another machine that sees `folder`.
    """
    torch.set_num_threads(1)

    def cycles() -> list[dict[str, Any]]:
        return [asdict(predict(layer, cfg, tokens)) for layer in load_named(layers, cfg)]

    def area() -> dict[str, Any]:
        made = kept.synthesis(builds.verilog(TOPS[cfg.bus], cfg), builds.TOP)
        cells = made.cells(builds.TOP)
        return {"lut": cells.lut, "ff": cells.ff, "ebr": cells.ebr, "dsp": cells.dsp,
                "mhz": timing.estimate(made.netlist, builds.TOP).fmax}

    try:
        predicted = answer(folder, "cycles", [cfg.params(), list(layers), tokens],
                           (golden, hdl, sim, spinteger), cycles)
    except CompileError as error:
        return str(error)
    made = answer(folder, "area", [cfg.params(), version("pyosys"), version("amaranth")],
                  (hdl, spinteger, gen), area)
    return Result(cfg, Area(**made), [Prediction(**one) for one in predicted])


def place(one: Result, progress: Progress | None = None) -> Result:
    """A result with its machine placed and routed on the largest ECP5, in a harness of registers.

    The LUTs are still those of the machine alone. Raises `ToolError` when it does not route.
    """
    verilog = builds.verilog(TOPS[one.cfg.bus], one.cfg)
    made = kept.synthesis(verilog + harness(verilog, builds.TOP), HARNESS)
    placed = kept.placement(made.netlist, PARTS["LFE5U-85F"], progress=progress)
    return replace(one, placed=replace(one.area, mhz=placed["mhz"]))


def answer(folder: str, name: str, settings: Any, sources: Iterable[Any],
         make: Callable[[], Any]) -> Any:
    """A JSON-ready answer from the cache; made and kept where it is not there.

    `sources`: packages and modules whose text the answer follows from, beside `settings`.
    """
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for source in sources:
        where = Path(source.__file__)
        for path in sorted(where.parent.glob("*.py")) if where.stem == "__init__" else [where]:
            key.update(path.read_bytes())
    path = Path(folder) / f"{name}-{key.hexdigest()[:20]}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):           # not there, or damaged: made anew
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(made))
        return made
