"""`python -m bench.fpga --pe 16x16`: ours and the rival arrays on one FPGA, by one flow, one table.

Two levels. "array": from codes and weight rows in block memory to finished sums. "machine": ours
as a whole; of a rival, its array and the parts of ours that it would need as well (front end,
loads, registers, counters, IF bank), as synthesised in ours. That is a model, and so labelled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from amaranth.lib import wiring
from rich.console import Console

from bench.area import by_block
from bench.fpga_report import Row, report
from bench.fpga_work import (
    SPARSE,
    SPARSE_LAYERS,
    Work,
    dense,
    our_cycles,
    rival_cycles,
    sparse,
)
from bench.rivals import RIVALS, Rival, Shape
from bench.rivals.measure import Measured, placed, synthesised, unplaced
from gen import blocks
from gen.ecp5 import Cells, Synthesis
from gen.files import check_target
from gen.options import OneLineParser, add_config_flags, config_from
from gen.parts import PARTS, Part
from gen.tools import ToolError
from gen.verilog import TOP
from gen.yosys import YosysError
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.realdata import BLOCKS, KINDS, load_named
from hdl.array import HybridArray
from hdl.machine import Machine
from spinteger.config import Config, ConfigError

LAYERS = [f"blk.{block}.{kind}" for block in BLOCKS for kind in KINDS]
#: Blocks of our machine that are no part of an array, and that every machine needs.
IF_BANK = blocks.BLOCKS["if_bank"]
SHARED = (IF_BANK, blocks.BLOCKS["frontend"], blocks.BLOCKS["counters"])
#: Clock of all arrays where none is measured (--quick).
STATED_MHZ = 150.0


def shared(synthesis: Synthesis, names: Sequence[str] = SHARED) -> Cells:
    """Cells of these blocks of our machine."""
    found = by_block(replace(synthesis, top=TOP))       # it is the harness that is on top
    if missing := set(names) - set(found):
        raise ValueError(f"our machine has no {', '.join(sorted(missing))}")
    return sum((found[name] for name in names), Cells())


class Bench:
    """Measures designs and makes rows."""

    def __init__(self, cfg: Config, works: Sequence[Work], part: Part, seeds: range | None,
                 say: Callable[[str], None]):
        self.cfg, self.works, self.part, self.seeds, self.say = cfg, works, part, seeds, say

    def measure(self, name: str, component: wiring.Component, dsp: bool
                ) -> tuple[Synthesis, Measured]:
        """Synthesise and, if there are seeds, place."""
        self.say(f"{name}: generating and synthesising")
        synthesis = synthesised(component, dsp=dsp)
        if self.seeds is None:
            return synthesis, unplaced(synthesis)
        return synthesis, placed(synthesis, self.part, self.seeds, lambda step: self.say(
            f"{name}: seed {step.seed}, {step.stage} {step.detail} ({step.share:.0%})"))

    def row(self, name: str, title: str, level: str, measured: Measured, macs: float,
            cycles: dict[str, float], exact: bool) -> Row:
        """A row of the table."""
        mhz = measured.mhz or STATED_MHZ
        gops = {work.name: 1e-3 * work.ops * mhz / cycles[work.name] for work in self.works}
        held, used = self.part.holds, measured
        most = min(held[kind] / count for kind, count in (
            ("LUT", used.lut), ("FF", used.ff), ("EBR", used.ebr), ("DSP", used.dsp)) if count)
        return Row(name, title, level, measured, macs, cycles, gops, mhz, exact, int(most * macs))

    def ours(self) -> tuple[list[Row], Cells]:
        """Our rows, with DSPs for the integer lanes and without; and what rivals need of it."""
        self.say("ours: cycles of the layers")
        cycles = {work.name: float(our_cycles(work, self.cfg)) for work in self.works}
        macs = self.cfg.rows * self.cfg.cols
        rows, common = [], Cells()
        for level, component in (("array", HybridArray(self.cfg)), ("machine", Machine(self.cfg))):
            synthesis, found = self.measure(f"ours, {level}", component, True)
            less = [IF_BANK] if level == "array" else []
            found -= shared(synthesis, less)
            if level == "machine":
                common = shared(synthesis)
            rows.append(self.row("ours", "event lanes, integer lanes on DSPs", level, found, macs,
                                 cycles, True))
            # Without DSPs: the cells that synthesis makes of them, at the same clock.
            without = synthesised(component, dsp=False)
            found += without.cells(TOP) + shared(without, less) * -1
            found -= synthesis.cells(TOP) + shared(synthesis, less) * -1
            rows.append(self.row("ours-nodsp", "the same, no DSP at all (modelled)", level,
                                 replace(found, way=""), macs, cycles, True))
        return rows, common

    def rival(self, name: str, common: Cells) -> list[Row]:
        """A rival's rows."""
        entry = RIVALS[name]
        rival: Rival = entry.build(Shape(self.cfg.rows, self.cfg.cols, self.cfg.k))
        _, array = self.measure(name, rival, rival.dsp)
        cycles = {work.name: rival_cycles(work, rival) for work in self.works}
        return [self.row(name, entry.title, level, measured, rival.macs, cycles,
                         entry.act_bits == 8)
                for level, measured in (("array", array), ("machine", array + common))]


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.fpga", formatter_class=argparse.RawTextHelpFormatter,
        description="Place and route our array and its rivals, and compare their speed on real "
                    "layers per LUT.\nMinutes per array and seed; what is done is kept, so an "
                    "interrupted run goes on.\nRivals:\n"
                    + "\n".join(f"  {name}: {entry.title}" for name, entry in RIVALS.items()))
    add_config_flags(p)
    p.add_argument("--rivals", metavar="NAME,...", default=",".join(RIVALS),
                   help="which of them (default: all)")
    p.add_argument("--seeds", type=int, default=1, metavar="N",
                   help="placements per design; the fastest counts (default 1)")
    p.add_argument("--part", default="LFE5U-85F", metavar="NAME", help="default %(default)s")
    p.add_argument("--layers", type=int, default=len(LAYERS), metavar="N",
                   help=f"only the first N of the {len(LAYERS)} layers")
    p.add_argument("--quick", action="store_true",
                   help=f"synthesis only: LUTs before placement, all at {STATED_MHZ:.0f} MHz")
    p.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when done, 1 when something is missing, 2 on bad arguments."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    try:
        args = parser().parse_args(argv)
        check_target("--json", args.json)
        cfg, part = config_from(args), PARTS.get(args.part)
        names = [name for name in args.rivals.split(",") if name]
        if part is None or part.family != "ecp5":
            raise ConfigError(f"--part {args.part}: must be an ECP5, such as LFE5U-85F")
        if unknown := [name for name in names if name not in RIVALS]:
            raise ConfigError(f"--rivals {unknown[0]}: choose from {', '.join(RIVALS)}")
        if not 1 <= args.layers <= len(LAYERS) or not 1 <= args.seeds <= 100:
            raise ConfigError(f"--layers {args.layers} --seeds {args.seeds}: must be 1.."
                              f"{len(LAYERS)} and 1..100")
        layers = load_named(LAYERS[:args.layers], cfg)
        thin = load_named(SPARSE_LAYERS, cfg) if args.layers == len(LAYERS) else layers[:1]
        works = [dense(layers), *(sparse(thin, share) for share in SPARSE)]
        seeds = None if args.quick else range(1, args.seeds + 1)
        with console.status("starting") as status:
            bench = Bench(cfg, works, part, seeds, status.update)
            rows, common = bench.ours()
            for name in names:
                rows += bench.rival(name, common)
    except (ConfigError, ValueError) as error:
        print(f"bench.fpga: {error}", file=sys.stderr)
        return 2
    except (RealDataUnavailable, HashMismatch, ToolError, YosysError) as error:
        print(f"bench.fpga: {error}", file=sys.stderr)
        return 1
    report(console, rows, works, part, cfg, args)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; what was placed is kept")
