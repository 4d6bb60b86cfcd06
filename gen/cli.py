"""`python -m gen --pe 16x16 > accel.v`: Verilog on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amaranth.lib import wiring
from rich.console import Console

from gen import describe
from gen.files import check_target, write_whole
from gen.names import KEYWORDS
from gen.options import OneLineParser, add_config_flags, config_from
from gen.verilog import rtlil_to_verilog, to_rtlil
from spinteger import __version__
from spinteger.config import Config, ConfigError

#: Exit codes: the command line cannot be obeyed; reading or writing failed on the way.
BAD_INPUT, FAILED = 2, 1


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="python -m gen", allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter,
        description="Generate a spike-integer hybrid accelerator as one file of Verilog-2005.",
        epilog="The same options give the same bytes. Exit codes: 0 done, 2 an option cannot be "
               "obeyed,\n1 anything else.")
    parser.add_argument("--version", action="version", version=f"Spinteger {__version__}")
    add_config_flags(parser)
    parser.add_argument("--name", default=describe.DEFAULT_NAME, help="name of the top module, and "
                        f"first part of all others' (default: {describe.DEFAULT_NAME})")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the Verilog to a file "
                        "instead of stdout")
    parser.add_argument("--json", metavar="FILE", help="also write a side file, all that a "
                        "driver needs: configuration,\nwidths, ports with their fields, registers, "
                        "instructions, error codes,\nmemories, version")
    return parser


def parse(argv: Sequence[str]) -> tuple[Config, argparse.Namespace]:
    """The configuration that a command line asks for. Raises `ConfigError`."""
    args = _parser().parse_args(argv)
    cfg = config_from(args)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", args.name) or args.name in KEYWORDS:
        raise ConfigError(f"--name {args.name}: must be a Verilog name of up to 64 letters, digits "
                          "and _, no keyword, e.g. --name accel")
    for flag, target in (("-o", args.output), ("--json", args.json)):
        check_target(flag, target)
    if args.output is not None and args.json is not None \
            and Path(args.output).resolve() == Path(args.json).resolve():
        raise ConfigError(f"--json {args.json}: is the file of -o, name another one")
    return cfg, args


def build(cfg: Config) -> wiring.Component:
    """The accelerator for a configuration."""
    from hdl.top import top  # only when needed: --help should be quick

    return top(cfg)


def generate(cfg: Config, name: str = describe.DEFAULT_NAME) -> tuple[str, dict[str, Any]]:
    """Verilog of the accelerator, and its side file as plain values."""
    component = build(cfg)
    rtlil = to_rtlil(component, name)
    verilog = rtlil_to_verilog(rtlil, describe.header(cfg, name), describe.notes(component))
    return verilog, describe.side_file(cfg, component, name, rtlil)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the generator; returns the exit code."""
    try:
        cfg, args = parse(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:
        print(f"gen: {error}", file=sys.stderr)
        return BAD_INPUT
    try:
        with Console(stderr=True).status(f"generating {describe.options(cfg)}"):
            verilog, side = generate(cfg, args.name)
        if args.json is not None:
            write_whole(Path(args.json), json.dumps(side, indent=2) + "\n")
        if args.output is not None:
            write_whole(Path(args.output), verilog)
        else:
            sys.stdout.write(verilog)
            sys.stdout.flush()
    except BrokenPipeError:         # as in `| head`; keep Python from flushing again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        print("gen: stopped, nothing was written", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"gen: {error.filename or 'stdout'}: {error.strerror}", file=sys.stderr)
        return FAILED
    print(f"gen: {args.output or 'stdout'}: {describe.options(cfg)}, "
          f"{len(side['modules'])} modules, {verilog.count(chr(10))} lines, "
          f"{side['memory_bits'] / 8192:.1f} KiB of memory", file=sys.stderr)
    return 0
