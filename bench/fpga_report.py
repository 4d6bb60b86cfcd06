"""Rows of `python -m bench.fpga`, its goals, its table and its JSON file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.fpga_work import SEED, Work
from bench.report import versions_line, write_json
from bench.rivals import RIVALS
from bench.rivals.measure import Measured
from gen import tools
from gen.parts import Part
from spinteger.config import Config

#: Goals: effective GOPS per kLUT on the dense layers, ours over theirs, without DSPs.
GOALS = {"the systolic W4A4 array": ("systolic", 5.0), "the best LUT-only rival": (None, 3.0)}


@dataclass(frozen=True)
class Row:
    """An array, or a machine, and how fast it computes each piece of work."""

    name: str
    title: str
    level: str                      #: "array" or "machine"
    measured: Measured
    macs: float                     #: per cycle, at peak
    cycles: dict[str, float]        #: by work
    gops: dict[str, float]          #: effective, by work
    mhz: float                      #: Fmax, or the stated clock
    exact: bool                     #: it can represent all of the layers' inputs
    fits: int                       #: multiply-accumulates per cycle that fill the part, estimated

    @property
    def peak(self) -> float:
        """10^9 operations a second at peak."""
        return 2e-3 * self.macs * self.mhz

    def per_klut(self, work: str) -> float:
        """Effective GOPS per 1000 LUTs."""
        return 1e3 * self.gops[work] / self.measured.lut

    def as_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return {**asdict(self), "peak_gops": self.peak,
                "gops_per_klut": {work: self.per_klut(work) for work in self.gops},
                "lut_per_mac": self.measured.lut / self.macs}


def goals(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each goal on both levels, against all LUT-only rivals and those that are exact.

    And, without a goal, against arrays that nobody optimised.
    """
    found = []
    for level in ("array", "machine"):
        ours = next(row for row in rows if (row.name, row.level) == ("ours", level))
        for row in rows:
            if row.level == level and row.name in RIVALS and RIVALS[row.name].plain:
                found.append({"goal": RIVALS[row.name].title, "level": level, "rival": row.name,
                              "ratio": ours.per_klut("dense") / row.per_klut("dense"),
                              "wanted": None, "reached": None})
        rivals = [row for row in rows if row.level == level and row.name in RIVALS
                  and not RIVALS[row.name].plain and not RIVALS[row.name].dsp]
        for words, (name, goal) in GOALS.items():
            for exact in (False, True) if name is None else (False,):
                theirs = [row for row in rivals if row.name == (name or row.name)
                          and (row.exact or not exact)]
                if not theirs:
                    continue
                best = max(theirs, key=lambda row: row.per_klut("dense"))
                ratio = ours.per_klut("dense") / best.per_klut("dense")
                found.append({"goal": words + " that represents salient inputs" * exact,
                              "level": level, "rival": best.name, "ratio": ratio, "wanted": goal,
                              "reached": ratio >= goal})
    return found


def table(rows: Sequence[Row], works: Sequence[Work], part: Part, cfg: Config) -> Table:
    """All rows, arrays first."""
    out = Table(title=f"{cfg.rows}x{cfg.cols} on {part.name}", box=None, header_style="bold",
                title_justify="left", padding=(0, 1, 0, 0))
    for name in ("level", "array"):
        out.add_column(name, no_wrap=True)
    for name in ("LUT", "FF", "EBR", "DSP", "MHz", "LUT\nper MAC", "peak\nGOPS"):
        out.add_column(name, justify="right")
    for work in works:
        out.add_column(f"{work.name}\nGOPS", justify="right")
        out.add_column("per\nkLUT", justify="right")
    out.add_column("part full:\npeak GOPS", justify="right")
    for level in ("array", "machine"):
        for row in sorted((row for row in rows if row.level == level),
                          key=lambda row: -row.per_klut(works[0].name)):
            figures = [text for work in works for text in (
                f"{row.gops[work.name]:.1f}", f"{row.per_klut(work.name):.2f}")]
            out.add_row(
                level, row.name + ("" if row.exact else " *"), f"{row.measured.lut:,}",
                f"{row.measured.ff:,}", str(row.measured.ebr), str(row.measured.dsp),
                f"{row.mhz:.0f}", f"{row.measured.lut / row.macs:.1f}", f"{row.peak:.1f}",
                *figures, f"{row.fits * row.mhz * 2e-3:.0f}",
                style="bold" if row.name.startswith("ours") else "")
    return out


def report(console: Console, rows: Sequence[Row], works: Sequence[Work], part: Part, cfg: Config,
           args: argparse.Namespace) -> None:
    """Print everything and write the JSON file."""
    console.print(table(rows, works, part, cfg))
    thinned = ", ".join(layer.name for layer in works[-1].layers)
    console.print(
        "\n* W4A4 only: cannot represent the salient inputs of these layers (results would be "
        "wrong); the W4A8 arrays do what ours does.\nmachine: of a rival, its array + the shared "
        "parts of our machine as synthesised (modelled).\nours-nodsp: multipliers in LUTs as "
        "synthesised, at the clock of ours (modelled). bit-serial has a quarter of the others' "
        f"peak at this size.\nGOPS: 2 T K N operations, zeros included. n % zeros: "
        f"{thinned}, inputs zeroed at random (seed {SEED}).\npart full: peak if the part "
        "held as many such arrays as its scarcest resource allows; an estimate.\n")
    for way in sorted({row.measured.way for row in rows} - {""}):
        names = {row.name if row.name in RIVALS else f"{row.name} ({row.level})": None
                 for row in rows if row.measured.way == way}        # a rival is placed once
        console.print(f"placed and routed by {way}: {', '.join(names)}", highlight=False)
    found = goals(rows)
    for goal in found:
        state = "no goal"
        if goal["wanted"] is not None:
            state = f"goal {goal['wanted']:.0f}x: " + (
                "[green]reached[/]" if goal["reached"]
                else f"[red]missed by {goal['wanted'] / goal['ratio']:.1f}x[/]")
        console.print(f"{goal['level']}: {goal['ratio']:.2f}x {goal['goal']} ({goal['rival']}), "
                      f"{state}", highlight=False)
    version = {part.nextpnr: tools.version(part.nextpnr)}
    console.print(f"\n{'synthesis only' if args.quick else f'best of {args.seeds} seeds from 1'}; "
                  f"{versions_line()}, {part.nextpnr} {version[part.nextpnr]}")
    if args.json:
        write_json(args.json, "fpga", cfg, {
            "part": part.name, "quick": args.quick, "seeds": args.seeds,
            "layers": [layer.name for layer in works[0].layers],
            "goals": found, "rows": [row.as_json() for row in rows]},
            seed=1, versions=version)
