"""`python -m bench.simspeed`: how fast the machine simulates, on a real layer, and how long it
takes to build each simulation."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.report import versions_line, write_json
from gen.files import check_target
from gen.options import OneLineParser, add_config_flags, config_from
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.realdata import RealLayer, load_layer
from sim import native
from sim.backends import Cocotb, Golden, Verilator
from sim.builds import BenchError
from sim.compiler import CompileError, Layer, Program, compile_stage, stages
from sim.tools import SimulatorMissing
from spinteger.config import Config, ConfigError

LAYER = "blk.15.q_proj"
BACKENDS = ("verilator", "cocotb", "icarus")
WHAT = {"verilator": "Verilator, C++ loop", "cocotb": "Verilator, cocotb",
        "icarus": "Icarus, cocotb"}
#: What Icarus runs: it is a hundred times slower.
ICARUS_TOKENS, ICARUS_OUTPUTS = 2, 64


@dataclass(frozen=True)
class SpeedRow:
    """One backend on one layer."""

    backend: str
    tokens: int
    outputs: int
    cycles: int
    seconds: float          #: CPU time of these cycles, loading and starting not counted
    cycles_per_s: float
    build_s: float | None   #: wall clock to build from nothing but Verilog; None: was there
    exact: bool             #: every word as the golden model's


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.simspeed", formatter_class=argparse.RawTextHelpFormatter,
        description="Simulate a real layer of SmolLM2-135M on the whole machine and report clock "
                    "cycles per CPU second,\nand the time to build each simulation from Verilog, "
                    "without any cache.")
    p.add_argument("layer", nargs="?", default=LAYER, metavar="LAYER",
                   help=f"layer to run (default {LAYER})")
    add_config_flags(p)
    p.add_argument("--sim", choices=BACKENDS, action="append",
                   help="only this simulation (may be given again; default: all)")
    p.add_argument("--cached", action="store_true",
                   help="use builds that are there, and do not time any")
    p.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    return p


@contextmanager
def nothing_cached() -> Iterator[None]:
    """Builds go to a folder of their own, and the compiler's cache is off."""
    before = {name: os.environ.get(name) for name in ("SPINTEGER_CACHE", "CCACHE_DISABLE")}
    with tempfile.TemporaryDirectory(prefix="spinteger-") as folder:
        os.environ.update(SPINTEGER_CACHE=folder, CCACHE_DISABLE="1")
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def program_of(layer: RealLayer, cfg: Config, tokens: int | None = None,
               outputs: int | None = None) -> tuple[Program, int, int]:
    """The layer (its first tokens and outputs), its tokens and outputs."""
    q, e = (part[:tokens].astype(np.int64) for part in (layer.q, layer.e))
    only = Layer(layer.w[:, :outputs], layer.theta[:outputs], name=layer.name)
    return (compile_stage(cfg, [only], stages(cfg, [only], len(q))[0], q, e), len(q), only.n)


def measure(name: str, layer: RealLayer, cfg: Config, cold: bool) -> SpeedRow:
    """Build and run one simulation. Raises `BenchError`, `SimulatorMissing`, `CompileError`."""
    cut = (ICARUS_TOKENS, ICARUS_OUTPUTS) if name == "icarus" else (None, None)
    program, tokens, outputs = program_of(layer, cfg, *cut)
    under = Verilator(cfg) if name == "verilator" else Cocotb(cfg, name)
    done = under.execute(program.packets)
    build_s = under.build_s if cold else None
    if name == "verilator":     # once more: the first run also loads the library
        done = under.execute(program.packets)
    assert done.cycles is not None and done.seconds is not None
    want = Golden(cfg).execute(program.packets)
    return SpeedRow(name, tokens, outputs, done.cycles, done.seconds, done.cycles / done.seconds,
                    build_s, done.packets == want.packets and done.error is None)


def table(rows: Sequence[SpeedRow], layer: str, cfg: Config) -> Table:
    """The rows for the terminal."""
    out = Table(title=f"{layer} on the {cfg.rows}x{cfg.cols} machine", box=None,
                header_style="bold", title_justify="left")
    out.add_column("simulation")
    for name in ("tokens", "outputs", "cycles", "CPU s", "cycles/s", "build s", "words"):
        out.add_column(name, justify="right")
    for row in rows:
        out.add_row(WHAT[row.backend], str(row.tokens), str(row.outputs), f"{row.cycles:,}",
                    f"{row.seconds:.2f}", f"{row.cycles_per_s:,.0f}",
                    "" if row.build_s is None else f"{row.build_s:.0f}",
                    "[green]exact[/]" if row.exact else "[bold red]WRONG[/]")
    return out


def measure_all(names: Sequence[str], layer: RealLayer, cfg: Config, cold: bool,
                console: Console) -> tuple[list[SpeedRow], float]:
    """The rows, and the seconds that generating the Verilog took."""
    started = time.monotonic()
    with console.status("generating the Verilog"):
        native.verilog(cfg)
    verilog_s = time.monotonic() - started
    rows = []
    for name in names:
        with console.status(f"building and running: {WHAT[name]}"):
            rows.append(measure(name, layer, cfg, cold))
    return rows, verilog_s


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 when a word differs from the golden model's, 2 on bad arguments."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        args = parser().parse_args(argv)
        check_target("--json", args.json)
        cfg = config_from(args)
        if not re.fullmatch(r"blk\.\d+\.\w+", args.layer):
            raise ConfigError(f"layer {args.layer}: must be a name such as {LAYER}")
        layer = load_layer(args.layer, cfg)
        with nullcontext() if args.cached else nothing_cached():
            rows, verilog_s = measure_all(args.sim or BACKENDS, layer, cfg, not args.cached,
                                          console)
    except HashMismatch as error:
        print(f"bench.simspeed: {error}", file=sys.stderr)
        return 1
    except (ConfigError, CompileError, KeyError) as error:      # KeyError: no such layer
        print(f"bench.simspeed: {error.args[0]}", file=sys.stderr)
        return 2
    except (RealDataUnavailable, BenchError, SimulatorMissing) as error:
        print(f"bench.simspeed: {error}", file=sys.stderr)
        return 1
    console.print(table(rows, layer.name, cfg))
    if not args.cached:
        console.print(f"\nVerilog generated in {verilog_s:.0f} s. All of this is kept by content: "
                      "it is spent once.")
    console.print(f"\n{versions_line()}")
    if args.json:
        write_json(args.json, "simspeed", cfg, {
            "layer": layer.name, "verilog_s": None if args.cached else verilog_s,
            "rows": [asdict(row) for row in rows]})
    return 0 if all(row.exact for row in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
