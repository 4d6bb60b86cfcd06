"""`python -m bench.cycles`: cycles of real layers, measured on the simulated RTL."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from rich.console import Console

from bench.report import versions_line, write_json
from gen.files import check_target
from gen.options import OneLineParser, add_config_flags, config_from
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.realdata import BLOCKS, KINDS, load_layer
from sim.layers import LayerRow, all_exact, layer_table, run_layer
from sim.runner import SIMULATORS, BenchError
from sim.tools import SimulatorMissing
from spinteger.config import ConfigError

ALL = [f"blk.{block}.{kind}" for block in BLOCKS for kind in KINDS]


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.cycles", formatter_class=argparse.RawTextHelpFormatter,
        description="Run real layers of SmolLM2-135M on the RTL and count cycles.\n"
                    "live: share of inputs that are spikes. dense: cycles of an R x C multiply "
                    "array, one MAC per PE and cycle.")
    p.add_argument("layers", nargs="*", metavar="LAYER",
                   help=f"layers such as {ALL[0]} (default: {len(ALL)} of blocks "
                        f"{', '.join(map(str, BLOCKS))})")
    add_config_flags(p)
    p.add_argument("--batch", type=int, metavar="T", help="run the first T tokens (default: all)")
    p.add_argument("--sim", choices=SIMULATORS, default="verilator")
    p.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 when a result differs from the golden model, 2 on bad arguments."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    rows: list[LayerRow] = []
    try:
        args = parser().parse_args(argv)
        check_target("--json", args.json)
        if args.batch is not None and args.batch < 1:
            raise ConfigError(f"--batch {args.batch}: must be at least 1")
        cfg = config_from(args)
        for name in args.layers:
            if not re.fullmatch(r"blk\.\d+\.\w+", name):
                raise ConfigError(f"layer {name}: must be a name such as {ALL[0]}")
        for name in args.layers or ALL:
            with console.status(f"{name} on {args.sim} ({len(rows) + 1} of "
                                f"{len(args.layers or ALL)})"):
                layer = load_layer(name, cfg)
                if args.batch and args.batch > len(layer.q):
                    raise ConfigError(f"--batch {args.batch}: {name} has {len(layer.q)}")
                rows.append(run_layer(layer, args.sim, cfg, args.batch))
    except HashMismatch as error:
        print(f"bench.cycles: {error}", file=sys.stderr)
        return 1
    except (ConfigError, ValueError, KeyError) as error:       # KeyError: no such layer
        print(f"bench.cycles: {error.args[0]}", file=sys.stderr)
        return 2
    except (RealDataUnavailable, BenchError, SimulatorMissing) as error:
        print(f"bench.cycles: {error}", file=sys.stderr)
        return 1
    console.print(layer_table(rows, cfg))
    console.print(f"\n{versions_line()}")
    if args.json:
        write_json(args.json, "cycles", cfg, {"layers": [row.as_json() for row in rows]})
    return 0 if all_exact(rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
