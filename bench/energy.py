"""`python -m bench.energy`: energy of arrays on gates, ours and rivals, on real activations.

Every design is mapped to the same standard cells, simulated with cell delays (glitches count) on
the same inputs, at the same clock, and must give the golden integers. What is counted, and what
is not: docs/energy.md.

The JSON file, per layer: `designs` (pJ per effective MAC by block and kind), `phases` of our
machine (pJ by block, bits of memory by block, cycles, counts) and `events`: pJ of one

    idle_cycle        a cycle in which nothing happens, whole machine (by block in `phases`)
    spike_column      a spike event in one column: lane register, tree, S
    v_add_column      an add of S to V in one column: hold, V
    salient_column    a salient input in one column: integer lanes
    fired_output      a finished sum in the IF bank
    coded_input       an input in the encoder, queues and recorder
    weight_row_bit    a bit of a weight row loaded

each without the idle energy of the cycles it takes. Energy of a run = sum of counts x events +
cycles x idle_cycle + bits of memory x `memory_pj_per_bit`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict

import torch
from rich.console import Console
from rich.table import Table

from bench.gates import cells, crosscheck, memory
from bench.gates.designs import Design, ours, rivals
from bench.gates.liberty import LibertyError
from bench.gates.machine import ARRAY, MachineError
from bench.gates.simulate import SimulatorError
from bench.report import versions_line, write_json
from gen.files import check_target
from gen.options import OneLineParser, add_config_flags, config_from
from gen.yosys import YosysError
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.realdata import RealLayer, load_named
from spinteger.config import Config, ConfigError

LAYERS = ("blk.15.q_proj", "blk.15.down_proj")
#: Goals: our array's energy per effective MAC, over that of the best tree of so many bits.
GOALS = {4: 0.40, 8: 0.20}


def table(designs: Sequence[Design], layer: RealLayer, library: str, clock: float,
          lanes: int) -> Table:
    """Designs down; green where ours meets a goal against that one."""
    out = Table(title=f"{layer.name}: pJ per effective MAC ({layer.live:.0%} spikes, "
                      f"{layer.salient:.0%} salient, {layer.silent:.0%} silent)",
                box=None, header_style="bold", title_justify="left", padding=(0, 1, 0, 0))
    out.add_column("design", no_wrap=True)
    for name in ("bits", "array", "logic", "of it\nglitches", "registers", "clock", "ours is",
                 "control", "total\nlogic", "memory\n(model)", "bits\nmoved", "leakage",
                 "cycles\nper MAC", "um2 per\nlane", "path\nns"):
        out.add_column(name, justify="right")
    mine = designs[0].array.total
    for design in designs:
        array, total = design.array, design.total
        goal = GOALS.get(int(design.bits[-1]), 0.0) if "tree" in design.name else 0.0
        share = mine / array.total
        moved = design.memory_bits * memory.per_bit(library)
        leaking = 1e-3 * total.leakage * design.cycles_per_mac / lanes / clock     # nW us
        out.add_row(
            design.name, design.bits, f"[bold]{array.total:.2f}[/]", f"{array.logic:.2f}",
            f"{array.glitches:.2f}", f"{array.registers:.2f}", f"{array.clock:.2f}",
            "" if design is designs[0] else
            f"[{'green' if share <= goal else 'red' if goal else 'default'}]{share:.2f}x[/]",
            f"{total.total - array.total:.2f}", f"{total.total:.2f}", f"{moved:.2f}",
            f"{design.memory_bits:.2f}", f"{leaking:.1e}", f"{design.cycles_per_mac:.2f}",
            f"{design.area:.0f}", f"{design.path:.1f}")
    return out


def blocks_table(design: Design) -> Table:
    """Our blocks."""
    out = Table(title=f"{design.name}, by block", box=None, header_style="bold",
                title_justify="left")
    out.add_column("block")
    for name in ("pJ per MAC", "logic", "of it glitches", "registers", "clock"):
        out.add_column(name, justify="right")
    for name, part in sorted(design.blocks.items(), key=lambda item: -item[1].total):
        out.add_row(name, *(f"{value:.3f}" for value in (
            part.total, part.logic, part.glitches, part.registers, part.clock)),
            style="" if name in ARRAY else "dim")
    return out


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.energy", formatter_class=argparse.RawTextHelpFormatter,
        description="Energy per effective MAC of our array and of rivals, on gates: mapped to "
                    "standard cells,\nsimulated with cell delays on real activations, glitches "
                    "and clock included.")
    add_config_flags(p)
    p.add_argument("--library", choices=("osu018", "sky130"), default="osu018")
    p.add_argument("--layers", nargs="+", default=list(LAYERS), metavar="LAYER",
                   help=f"layers of SmolLM2-135M (default: {' '.join(LAYERS)})")
    p.add_argument("--batch", type=int, default=8, metavar="T",
                   help="run the first T tokens (default %(default)s; systolic arrays take as "
                        "many as they have rows)")
    p.add_argument("--col-tiles", type=int, default=3, metavar="N",
                   help="column tiles of the layer, at most (default %(default)s; a slot of the "
                        "weight memory must\nhold them): with few, filling and emptying "
                        "pipelines counts for more than it does\nin the whole layer")
    p.add_argument("--clock", type=float, default=100.0, metavar="MHZ",
                   help="clock: every path must fit it, leakage counts by it (default %(default)s)")
    p.add_argument("--crosscheck", action="store_true",
                   help="only compare the calculation with ngspice, on chains of full adders")
    p.add_argument("--ours", action="store_true", help="leave the rivals out")
    p.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    return p


def crosschecked(args: argparse.Namespace, cfg: Config, console: Console) -> int:
    """Print the comparison with ngspice, and write it as JSON."""
    with console.status("ngspice"):
        checks = [crosscheck.check(bits) for bits in (4, 8)]
    for one in checks:
        console.print(f"{one.bits} full adders, {one.vectors} random additions: ngspice "
                      f"{one.ngspice:.3f} pJ, ours {one.ours:.3f} pJ, {one.error:+.1%}")
    if args.json:
        write_json(args.json, "energy-crosscheck", cfg, {
            "checks": [{**asdict(one), "error": one.error} for one in checks]}, seed=1)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 when something cannot be measured, 2 on bad arguments."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    torch.set_num_threads(1)
    try:
        args = parser().parse_args(argv)
        check_target("--json", args.json)
        cfg = config_from(args)
        for name in args.layers:
            if not re.fullmatch(r"blk\.\d+\.\w+", name):
                raise ConfigError(f"layer {name}: must be a name such as {LAYERS[0]}")
        if min(args.batch, args.col_tiles) < 1 or args.clock <= 0:
            raise ConfigError("--batch, --col-tiles and --clock must be positive")
        if args.crosscheck:
            return crosschecked(args, cfg, console)
        with console.status(f"reading {args.library} (characterising its cells the first time)"):
            library = cells.load(args.library)
        found = {}
        for layer in load_named(args.layers, cfg):
            tiles = min(args.col_tiles, cfg.slot_rows // cfg.tile_rows(layer.k))
            if not tiles:
                raise ConfigError(f"layer {layer.name}: its {layer.k} inputs do not fit a slot, "
                                  "use a larger --k")
            mine, details = ours(layer, cfg, library, args.batch, tiles)
            designs = [mine]
            if not args.ours:
                designs += rivals(layer, cfg, library, args.batch, tiles)
            late = [d.name for d in designs if d.path * args.clock > 1000]
            console.print(table(designs, layer, args.library, args.clock,
                                cfg.rows * cfg.cols), "", blocks_table(mine),
                          "", *(f"[red]{name}: slower than {args.clock:g} MHz" for name in late))
            found[layer.name] = {"tiles": tiles, **details,
                                 "designs": [d.as_json() for d in designs]}
    except ConfigError as error:
        print(f"bench.energy: {error}", file=sys.stderr)
        return 2
    except (RealDataUnavailable, HashMismatch, LibertyError, MachineError, SimulatorError,
            YosysError, KeyError) as error:
        print(f"bench.energy: {error.args[0]}", file=sys.stderr)
        return 1
    console.print(f"{library.origin}, {args.clock:g} MHz\nmemory: {memory.ORIGIN}: "
                  f"{memory.per_bit(args.library):.2f} pJ per bit\n{versions_line()}",
                  highlight=False)
    if args.json:
        write_json(args.json, "energy", cfg, {
            "library": args.library, "cells": library.origin, "clock_mhz": args.clock,
            "tokens": args.batch, "tiles": args.col_tiles,
            "memory_pj_per_bit": memory.per_bit(args.library), "memory_model": memory.ORIGIN,
            "goals": GOALS, "layers": found})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
