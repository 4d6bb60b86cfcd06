"""`python -m bench.pnr --pe 8x8 --check`: has the machine grown, or its clock become slower?

Synthesises and places a small machine on LFE5U-85F, in a harness of registers, with fixed seeds,
and compares it with docs/results/pnr-baseline.json. What fails says which block it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.report import write_json
from gen import blocks, fpga_report
from gen.display import Display
from gen.ecp5 import synthesise
from gen.files import check_target
from gen.harness import HARNESS, harness
from gen.options import OneLineParser, add_config_flags, config_from
from gen.parts import PARTS
from gen.place import Placement, place
from gen.tools import ToolError
from gen.verilog import TOP, to_verilog
from gen.yosys import YosysError
from spinteger.config import Config, ConfigError

BASELINE = Path(__file__).parents[1] / "docs" / "results" / "pnr-baseline.json"
PART = "LFE5U-85F"
#: MHz that nextpnr is asked for: more than is reached, so that it always tries.
TARGET = 150.0
#: How much worse a figure may be before it counts: seeds differ by about as much.
SLACK = 0.05
#: Seeds of a baseline, side by side. A check begins with the baseline's best one, which settles it
#: when nothing changed, and tries these before it says that Fmax is worse.
SEEDS = 3
#: Small enough for minutes: K, and everything that is as deep, is a quarter of the usual, V and
#: thresholds are narrower; homes and integer lanes are halved with the rows, so that a cycle
#: encodes as many codes as in 16x16.
START = Config(rows=8, cols=8, homes=2, int_lanes=2, k=512, tiles=16, tokens=16, train_depth=512,
               list_depth=512, acc_depth=256, exp_max=3, frac_bits=8, theta_bits=20)


@dataclass(frozen=True)
class Figures:
    """What is compared."""

    lut_per_lane: float             #: after synthesis: LUT4 + 2 CCU2C + 6 per 16x4 RAM
    mhz: float                      #: after routing, best of the seeds
    blocks: dict[str, int]          #: LUT by block, after synthesis
    path: list[str]                 #: blocks of the critical path, in order, each once


def compare(now: Figures, before: Figures) -> list[str]:
    """What is worse by more than `SLACK`, a line each that names the blocks; empty when nothing."""
    worse = []
    if now.lut_per_lane > before.lut_per_lane * (1 + SLACK):
        worse.append(
            f"LUT per lane: {before.lut_per_lane:.1f} before, {now.lut_per_lane:.1f} now "
            f"({now.lut_per_lane / before.lut_per_lane - 1:+.1%}): {grown(now, before)}")
    if now.mhz < before.mhz * (1 - SLACK):
        through = ", ".join(now.path)
        new = [block for block in now.path if block not in before.path]
        worse.append(
            f"Fmax: {before.mhz:.1f} MHz before, {now.mhz:.1f} MHz now "
            f"({now.mhz / before.mhz - 1:+.1%}): the critical path goes through {through}"
            + (f"; not before: {', '.join(new)}" if new else ""))
    return worse


def grown(now: Figures, before: Figures) -> str:
    """The blocks that have more LUTs, most of them first, with LUTs before and now."""
    growth = {block: now.blocks.get(block, 0) - before.blocks.get(block, 0)
              for block in {**before.blocks, **now.blocks}}
    return ", ".join(f"{block} grew by {growth[block]:,} LUT "
                     f"({before.blocks.get(block, 0):,} to {now.blocks.get(block, 0):,})"
                     for block in sorted(growth, key=lambda block: -growth[block])
                     if growth[block] > 0)


@dataclass(frozen=True)
class Goal:
    """What a check needs to be content with one seed."""

    seed: int       #: the one to begin with
    mhz: float      #: Fmax that is good enough


def measure(cfg: Config, seed: int, seeds: int, display: Display, goal: Goal | None = None
            ) -> tuple[Figures, dict[str, dict[str, int]], Placement]:
    """Synthesise and place a machine: figures, all resources by block, the placement.

    The best of `seeds` seeds from `seed` on; with a goal, its seed is placed first, and the others
    only where that one is too slow.
    """
    from hdl.top import top

    with display.step(f"generating and synthesising {cfg.rows}x{cfg.cols}"):
        verilog = to_verilog(top(cfg), TOP)
        netlist = synthesise(f"{verilog}\n{harness(verilog, TOP)}", HARNESS).netlist
    found = {block: blocks.takes(counts, "ecp5")
             for block, counts in blocks.Hierarchy(netlist, HARNESS).counts.items()}

    def placed(first: int, number: int) -> Placement:
        return place(netlist, PARTS[PART], seed=first, seeds=number, freq=TARGET,
                     progress=display.placing)

    placement = placed(goal.seed, 1) if goal else placed(seed, seeds)
    if goal and placement.mhz < goal.mhz:
        more = placed(seed, seeds)
        more.tried.update(placement.tried)
        placement = max(more, placement, key=lambda placement: placement.mhz)
    luts = {block: taken["LUT"] for block, taken in found.items() if block != blocks.OUTSIDE}
    path = list(dict.fromkeys(block for block, _ in placement.by_block()))
    return (Figures(sum(luts.values()) / (cfg.rows * cfg.cols), placement.mhz, luts, path),
            found, placement)


def read_baseline(path: Path) -> dict[str, Any]:
    """The committed report. Raises `ConfigError` when there is none."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--baseline {path}: cannot be read ({error}); make it with --update"
                          ) from None


def baseline_figures(report: Mapping[str, Any], cfg: Config) -> Figures:
    """The figures of a report. Raises `ConfigError` when it is of another configuration."""
    if report["config"] != cfg.params():
        differ = [name for name, value in cfg.params().items()
                  if report["config"].get(name) != value]
        raise ConfigError(f"the baseline has another {', '.join(differ) or 'set of options'}: "
                          "compare the same machine, or make a new baseline with --update")
    return Figures(**{name: report["figures"][name] for name in Figures.__dataclass_fields__})


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.pnr", formatter_class=argparse.RawTextHelpFormatter,
        description=f"Place and route a small machine on {PART} and compare it with the committed "
                    f"baseline:\nmore than {SLACK:.0%} more LUT per lane, or less Fmax, fails, and "
                    "says which block it was.\nOptions start from a machine with short memories, "
                    "so that this takes some minutes.")
    p.add_argument("--check", action="store_true", help="compare with the baseline; exit code 1 "
                   "when worse")
    p.add_argument("--update", action="store_true", help="make the result the new baseline")
    p.add_argument("--baseline", metavar="FILE", default=str(BASELINE),
                   help="the baseline (default: docs/results/pnr-baseline.json)")
    p.add_argument("--seed", metavar="N", type=int, default=1, help="first seed (default: 1)")
    p.add_argument("--seeds", metavar="N", type=int, default=SEEDS, help="seeds side by side; the "
                   f"fastest counts (default: {SEEDS})")
    add_config_flags(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the regression; 0 when nothing is worse, 1 when something is or a tool failed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        args = parser().parse_args(argv)
        cfg = config_from(args, START)
        if args.seeds < 1:
            raise ConfigError(f"--seeds {args.seeds}: must be 1 or more")
        check_target("--baseline", args.baseline if args.update else None)
        before = goal = None
        if args.check:
            report = read_baseline(Path(args.baseline))
            before = baseline_figures(report, cfg)
            goal = Goal(report["seed"], before.mhz * (1 - SLACK))
        with Display(Console(stderr=True, highlight=False)) as display:
            now, found, placement = measure(cfg, args.seed, args.seeds, display, goal)
    except ConfigError as error:
        print(f"bench.pnr: {error}", file=sys.stderr)
        return 2
    except (ToolError, YosysError) as error:
        print(f"bench.pnr: {error}", file=sys.stderr)
        return 1
    console.print(fpga_report.block_table(found, placement))
    console.print()
    console.print(fpga_report.path_table(placement))
    console.print("\nseeds: " + ", ".join(f"{seed}: {mhz:.1f} MHz"
                                          for seed, mhz in sorted(placement.tried.items()))
                  + f"; {now.lut_per_lane:.1f} LUT per lane after synthesis", highlight=False)
    if args.update:
        write_json(args.baseline, "pnr", cfg, {
            "figures": asdict(now), "blocks": found, "placement": placement.json()},
            placement.seed, placement.versions)
        console.print(f"baseline written: {args.baseline}", highlight=False)
    if before is None:
        return 0
    worse = compare(now, before)
    for line in worse:
        print(f"bench.pnr: worse than the baseline: {line}", file=sys.stderr)
    if not worse:
        console.print(f"no worse than the baseline: {before.lut_per_lane:.1f} LUT per lane, "
                      f"{before.mhz:.1f} MHz", highlight=False)
    return 1 if worse else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
