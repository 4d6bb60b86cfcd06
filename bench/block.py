"""`python -m bench.block`: a whole transformer block on the machine, and where its cycles go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from bench.report import versions_line, write_json
from gen.files import check_target
from gen.options import OneLineParser, add_config_flags, config_from
from golden.fetch import HashMismatch, RealDataUnavailable
from sim.accelerator import counter_table
from sim.backends import Throttle, backend
from sim.block import load_block, run_block, wrong
from sim.builds import BenchError
from sim.compiler import CompileError
from sim.estimate import estimate
from sim.layers import WAITING
from sim.tools import SimulatorMissing
from spinteger import isa
from spinteger.config import ConfigError


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.block", formatter_class=argparse.RawTextHelpFormatter,
        description="Run block 15 of SmolLM2-135M as one program: q, k, v, o, gate, up, down and "
                    "both attention\nproducts of all heads, weights streaming in under the "
                    "computation; compare every result.\nA 128-bit bus keeps up with 16 tokens; "
                    "--every makes it slower.")
    add_config_flags(p)
    p.add_argument("--block", type=int, default=15, help="which block, 0..29 (default: 15)")
    p.add_argument("--batch", type=int, default=16, help="tokens, up to 16 (default)")
    p.add_argument("--heads", type=int, default=9, help="attention heads, up to 9 (default)")
    p.add_argument("--outputs", type=int, help="only the first outputs of each linear layer")
    p.add_argument("--every", type=int, default=1, metavar="N",
                   help="offer an input beat at most every N cycles (default: 1)")
    p.add_argument("--backend", choices=("verilator", "cocotb", "icarus"), default="verilator")
    p.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 when a result differs from the golden model, 2 on bad arguments."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        args = parser().parse_args(argv)
        check_target("--json", args.json)
        for name, most in (("batch", 16), ("heads", 9)):
            if not 1 <= getattr(args, name) <= most:
                raise ConfigError(f"--{name} {getattr(args, name)}: must be 1..{most}")
        for name, value in (("every", args.every), ("outputs", args.outputs)):
            if value is not None and value < 1:
                raise ConfigError(f"--{name} {value}: must be at least 1")
        if not 0 <= args.block <= 29:
            raise ConfigError(f"--block {args.block}: must be 0..29")
        cfg = config_from(args)
        if args.bus_bits is None:
            cfg = cfg.with_(bus_bits=128)
        with console.status("preparing the block"):
            block = load_block(args.block, cfg, args.batch, range(args.heads), args.outputs)
        with console.status(f"simulating on {args.backend}"):
            program, done = run_block(cfg, block, backend(args.backend, cfg),
                                      throttle=Throttle(input_every=args.every))
        if done.error is not None:
            raise BenchError(f"the machine reports {done.error[0].name} for packet {done.error[1]}")
        errors = wrong(cfg, block, program, done)
        guess = estimate(program.packets, cfg, beat_every=args.every)
    except (ConfigError, CompileError, ValueError) as error:
        print(f"bench.block: {error}", file=sys.stderr)
        return 2
    except (RealDataUnavailable, HashMismatch, BenchError, SimulatorMissing) as error:
        print(f"bench.block: {error}", file=sys.stderr)
        return 1

    counters, dense = done.counters, block.dense_cycles(cfg)
    assert sum(counters[name] for name, _ in isa.CAUSES) == counters["cycles"], counters
    compute = counters["cycles"] - sum(counters[name] for name in WAITING)
    console.print(counter_table(counters))
    console.print(
        f"\n{len(block.jobs)} products, {args.batch} tokens, {cfg.rows}x{cfg.cols}, "
        f"{cfg.bus_bits}-bit bus, a beat every {args.every}\n"
        f"dense array: {dense:,} cycles; this machine {counters['cycles'] / dense:.3f}x, "
        f"{compute / dense:.3f}x without waiting for the host; live share {block.live:.3f}\n"
        f"estimated without simulating: {guess.cycles:,} cycles "
        f"({guess.cycles / counters['cycles'] - 1:+.2%})\n"
        f"values that differ from the golden model: {sum(errors.values())}")
    console.print(versions_line())
    if args.json:
        write_json(args.json, "block", cfg, {
            "block": args.block, "tokens": args.batch, "heads": args.heads,
            "backend": args.backend, "input_every": args.every, "counters": counters,
            "cycles": counters["cycles"], "compute_cycles": compute, "dense_cycles": dense,
            "live": block.live, "estimate": guess.cycles, "mismatches": errors})
    return 1 if any(errors.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
