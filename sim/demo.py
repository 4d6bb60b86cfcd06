"""`make demo`: generate the 16x16 accelerator, run a real layer through it, compare everything."""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from gen.cli import generate
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.realdata import load_layer
from sim import tools
from sim.layers import all_exact, layer_table, run_layer
from sim.runner import BenchError
from spinteger import __version__
from spinteger.config import Config

LAYER = "blk.15.q_proj"
ICARUS_TOKENS, ICARUS_OUTPUTS = 4, 192


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 0 when every integer agrees."""
    argparse.ArgumentParser(prog="python -m sim.demo", description=(
        f"Generate the 16x16 machine, run {LAYER} of SmolLM2-135M on Verilator (all 16 tokens) "
        f"and Icarus ({ICARUS_TOKENS} tokens, {ICARUS_OUTPUTS} outputs), and compare every V and "
        "every fired level with the golden model. Takes about two minutes; python -m sim runs "
        "everything.")).parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 150)
    cfg = Config()
    started = time.monotonic()
    console.print(f"[bold]Spinteger {__version__}[/]: one real layer, bit for bit\n")
    try:
        for simulator in ("verilator", "icarus"):
            tools.find(simulator)
        with console.status("1/3  generating the 16x16 accelerator"):
            target = Path("build/accel.v")
            target.parent.mkdir(exist_ok=True)
            verilog, _ = generate(cfg)
            target.write_text(verilog)
        console.print(f"1/3  {target}: {verilog.count(chr(10)):,} lines of Verilog "
                      "(as python -m gen --pe 16x16)")
        with console.status(f"2/3  fetching SmolLM2-135M and running text up to {LAYER}"):
            layer = load_layer(LAYER, cfg)
        console.print(f"2/3  {LAYER} of SmolLM2-135M: {layer.k} inputs, {layer.n} outputs, "
                      f"{len(layer.q)} tokens of English, INT4 weights, hybrid codes")
        rows = []
        for simulator, tokens, outputs in (("verilator", None, None),
                                           ("icarus", ICARUS_TOKENS, ICARUS_OUTPUTS)):
            with console.status(f"3/3  simulating on {simulator}: building, then "
                                f"{tokens or len(layer.q)} tokens"):
                rows.append(run_layer(layer, simulator, cfg, tokens, outputs))
    except (RealDataUnavailable, HashMismatch, BenchError, tools.SimulatorMissing) as error:
        console.print(f"demo: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("stopped; what was prepared and built is kept")
        return 130
    console.print("3/3  simulated; V and fired levels compared with the golden model\n")
    console.print(layer_table(rows, cfg))
    versions = tools.versions()
    console.print("\n" + ", ".join(f"{name} {version}" for name, version in versions.items()))
    console.print("compute: cycles less those that wait for weights or tokens to come in (this "
                  "run is too short to hide that).\ndense: a 16x16 multiply array, one MAC per PE "
                  "and cycle, loading not counted. live: share of inputs that are spikes.")
    exact = all_exact(rows)
    console.print(f"\n{'[green]bit-exact' if exact else '[red]NOT EXACT'}[/] on both simulators, "
                  f"{time.monotonic() - started:.0f} s")
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
