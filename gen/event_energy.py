"""Energy of a configuration from measured energies of events: an estimate for explorations.

`python -m bench.energy` measures one machine on gates and divides its energy by what happened in
it. Here those shares are multiplied by what the cycle model says will happen in another: events
per column cost the same in every machine, and a cycle costs in proportion to lanes x columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.predict import Prediction
from spinteger.config import Config, ConfigError

#: Where the committed figures are; the first that is there counts.
MEASURED = tuple(Path(__file__).parents[1] / "docs/results" / f"energy-{shape}-osu018.json"
                 for shape in ("16x16", "8x8"))


@dataclass(frozen=True)
class Events:
    """pJ per event, as `bench.energy` defines them, and of which machine."""

    origin: str
    lanes: int                  #: R x C of the machine that was measured
    spike_column: float
    v_add_column: float
    salient_column: float
    fired_output: float
    cycle: float                #: whatever happens in it
    memory_bit: float           #: read

    def logic(self, run: Sequence[Prediction], cfg: Config) -> float:
        """pJ per effective MAC of all logic, control and IF bank included; no memories."""
        total = sum(
            cfg.cols * (one.spike_rows * self.spike_column + one.salient_rows * self.salient_column
                        + one.v_adds * self.v_add_column)
            + one.outputs * self.fired_output
            + one.compute_cycles * self.cycle * cfg.rows * cfg.cols / self.lanes for one in run)
        return total / sum(one.macs for one in run)

    def memory(self, run: Sequence[Prediction], cfg: Config) -> float:
        """pJ per effective MAC of reading weight rows, by the memory model."""
        bits = sum((one.spike_rows + one.salient_rows) * cfg.cols * cfg.wgt_bits for one in run)
        return bits * self.memory_bit / sum(one.macs for one in run)


def load(path: Path | None = None) -> Events | None:
    """Measured events: the file's, or of the first of `MEASURED` that is there; the mean of its
    layers. Raises `ConfigError` when the file is no report of `bench.energy`."""
    if path is None:
        path = next((one for one in MEASURED if one.exists()), None)
        if path is None:
            return None
    try:
        report = json.loads(path.read_text())
        layers = [layer["events"] for layer in report["layers"].values()]
        mean = {name: sum(one[name] for one in layers) / len(layers) for name in layers[0]}
        rows, cols = report["config"]["rows"], report["config"]["cols"]
        return Events(
            f"{rows}x{cols}, {report['library']}", rows * cols, mean["spike_column"],
            mean["v_add_column"], mean["salient_column"], mean["fired_output"],
            mean["idle_cycle"] + mean["control_cycle"], report["memory_pj_per_bit"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(f"--energy {path}: is no report of `python -m bench.energy --json` "
                          f"({type(error).__name__}: {error})") from None
