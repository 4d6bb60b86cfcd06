"""`python -m gen.fpga --board ulx3s-85f --pe 16x16`: from nothing to a bitstream, open tools only.

Generate, synthesise, place and route, pack. What does not fit the board is refused before place
and route, with the largest machine that fits.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from gen import fpga_report, tools
from gen.board_top import clock_for
from gen.boards import BOARDS, TOP, Board, board
from gen.design import Design, excess, largest, shortage, synthesise
from gen.display import Display
from gen.files import check_target, write_whole
from gen.options import OneLineParser, add_config_flags, config_from
from gen.place import Placement, place
from gen.tools import ToolError
from gen.yosys import YosysError
from spinteger.config import Config, ConfigError, flag_of

#: Rates of the host link, the best first: the first that a clock can make is used.
BAUDS = (1_000_000, 500_000, 250_000, 115_200, 57_600, 9_600)
#: Without --freq, a clock that was missed is lowered to this share of what was reached, so often.
MARGIN, ROUNDS = 0.97, 3
#: What nextpnr is told to reach, over the clock: it stops trying where it thinks it is there, and
#: routing then takes some of that away.
AIM = 2.0


class DoesNotFit(ConfigError):
    """The board cannot hold the machine."""


class TooSlow(ToolError):
    """The clock that was asked for is not reached."""


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m gen.fpga", allow_abbrev=False,
        formatter_class=argparse.RawTextHelpFormatter,
        description="Make a bitstream: the machine behind a UART, on a board of amaranth-boards.\n"
                    "A driver then talks to it: Accelerator(cfg, backend=\"serial\", port=...).",
        epilog="16x16 on a ULX3S-85F takes half an hour; --seeds N tries N placements, as many at "
               "a\ntime as there are cores, and keeps the fastest. Where a board has options of "
               "its own\n(--list-boards), all others start from these. Exit codes: 0 done, 2 an "
               "option cannot\nbe obeyed or the machine does not fit, 1 anything else.")
    p.add_argument("--board", metavar="NAME", help="what to make it for: " + ", ".join(BOARDS))
    p.add_argument("--list-boards", action="store_true", help="list the boards, with what they "
                   "hold, and stop")
    p.add_argument("--freq", metavar="MHZ", help="clock of the machine; a board's PLL makes the "
                   "nearest it can\n(default: the highest of a few tries that is reached)")
    p.add_argument("--baud", metavar="N", help=f"bits a second of the host link (default: "
                   f"{BAUDS[0]}, less where a clock cannot make it)")
    p.add_argument("--seed", metavar="N", default="1", help="first seed of the placer (default: 1)")
    p.add_argument("--seeds", metavar="N", default="1", help="number of seeds (default: 1)")
    p.add_argument("-o", "--output", metavar="FILE", help="the bitstream "
                   "(default: build/BOARD-RxC.bit)")
    p.add_argument("--json", metavar="FILE", help="also write the report as JSON")
    add_config_flags(p)
    return p


def _number(args: argparse.Namespace, name: str, low: float, high: float) -> float | None:
    """A numeric option's value, None when it was not given. Raises `ConfigError`."""
    text = getattr(args, name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ConfigError(f"--{name} {text}: must be a number from {low:g} to {high:g}")
    return value


def _whole(args: argparse.Namespace, name: str, low: int, high: int) -> int | None:
    """As `_number`, without a fraction."""
    value = _number(args, name, low, high)
    if value is not None and value != int(value):
        raise ConfigError(f"--{name} {getattr(args, name)}: must be a whole number")
    return None if value is None else int(value)


def list_boards(console: Console) -> None:
    """The boards as a table, and the options that machines on the smaller ones start from."""
    table = Table(box=None, header_style="bold")
    for name in ("board", "FPGA"):
        table.add_column(name)
    for name in ("LUT", "EBR", "DSP", "MHz"):
        table.add_column(name, justify="right")
    for name in ("starts from", "what it is"):
        table.add_column(name)
    starts: dict[str, str] = {}
    for one in BOARDS.values():
        part = one.part
        options = " ".join(f"{flag_of(name)} {value}" for name, value in one.options.items()
                           if name not in ("rows", "cols"))
        shape = f"{one.options.get('rows', 16)}x{one.options.get('cols', 16)}"
        if options:
            starts.setdefault(options, shape)
        table.add_row(one.name, part.name, f"{part.lut:,}", str(part.ebr), str(part.dsp),
                      f"{one.clock:g}", f"--pe {shape}" + " *" * bool(options), one.about)
    console.print(table, highlight=False)
    for options, shape in starts.items():
        console.print(f"\n* --pe {shape}: {options}", highlight=False)


def start_config(one: Board, args: argparse.Namespace) -> Config:
    """The configuration that the options ask for on a board. Raises `ConfigError`."""
    return config_from(args, Config(**one.options))


def baud_for(mhz: float) -> int:
    """The host link's rate when none is asked for. Raises `ConfigError` when none can be made."""
    from hdl.serial_top import divisor

    for baud in BAUDS[:-1]:
        try:
            divisor(mhz * 1e6, baud)
            return baud
        except ConfigError:
            continue
    return BAUDS[-1]


def clock_below(one: Board, mhz: float) -> float:
    """The next clock to try when `mhz` was reached: whole MHz of a PLL, or the board's divided."""
    family, source = one.part.family, one.clock
    choices = [source / (1 << power) for power in range(5)] + [float(n) for n in range(4, 400)]
    for choice in sorted(choices, reverse=True):
        if choice <= mhz * MARGIN:
            try:
                made, _ = clock_for(family, source, choice)
            except ValueError:
                continue
            if made <= mhz * MARGIN:
                return made
    raise TooSlow(f"{one.name} makes no clock as slow as {mhz:.1f} MHz")


def prepare(one: Board, cfg: Config, mhz: float, baud: int | None, display: Display) -> Design:
    """Synthesise a machine that fits the board. Raises `DoesNotFit` naming the largest."""
    reason, design = shortage(one, cfg), None
    rate = baud or baud_for(mhz)
    if not reason:
        with display.step(f"generating and synthesising {cfg.rows}x{cfg.cols} for {one.name}, "
                          f"{mhz:g} MHz"):
            design = synthesise(one, cfg, mhz, rate)
        reason = excess(design)
    if not reason:
        assert design is not None
        return design
    with display.step(f"{reason}; looking for the largest that fits"):
        fits = largest(one, cfg, mhz, rate, design, display.note)
    if fits is None:
        raise DoesNotFit(f"{reason}: nothing with these options fits, see --list-boards")
    raise DoesNotFit(f"{reason}: use {_shape(cfg, fits)}")


def _shape(cfg: Config, fits: Config) -> str:
    """The options that lead from one machine to another."""
    return " ".join([f"--pe {fits.rows}x{fits.cols}"] + [
        f"{flag_of(name)} {value}" for name, value in fits.params().items()
        if name not in ("rows", "cols") and getattr(cfg, name) != value])


def build(one: Board, cfg: Config, *, mhz: float | None, baud: int | None, seed: int, seeds: int,
          display: Display) -> tuple[Design, Placement]:
    """A machine on a board, placed and routed at a clock that it reaches.

    `mhz` None: the board's usual clock, then lower ones as need be. Raises `DoesNotFit`,
    `TooSlow` when `mhz` was asked for and missed, `ToolError`, `YosysError`.
    """
    part = one.part
    wanted = mhz or one.start_mhz(cfg)
    try:
        clock, _ = clock_for(part.family, one.clock, wanted)
    except ValueError as error:
        raise ConfigError(f"--freq {error} from {one.name}'s {one.clock:g} MHz") from None
    for _ in range(ROUNDS):
        design = prepare(one, cfg, clock, baud, display)
        display.again()
        placement = place(design.netlist, part, top=TOP, seed=seed, seeds=seeds, freq=AIM * clock,
                          constraints=aiming(design.constraints), routed=True,
                          progress=display.placing)
        if placement.mhz >= clock:
            return design, placement
        if mhz is not None:
            raise TooSlow(f"--freq {mhz:g}: reached {placement.mhz:.1f} MHz with seed "
                          f"{placement.seed}: use --freq {int(placement.mhz * MARGIN)}, or more "
                          f"--seeds than {seeds}")
        clock = clock_below(one, placement.mhz)
        display.note(f"reached {placement.mhz:.1f} MHz: once more at {clock:g} MHz")
    raise TooSlow(f"no clock was reached in {ROUNDS} tries: name one with --freq")


def aiming(constraints: str) -> str:
    """Pin constraints with the oscillator `AIM` times as fast: what a PLL makes of it follows."""
    return re.sub(r"(FREQUENCY PORT \S+ )([\d.]+)( HZ)",
                  lambda found: f"{found[1]}{float(found[2]) * AIM:.1f}{found[3]}", constraints)


def pack(design: Design, placement: Placement) -> bytes:
    """The bitstream. Raises `ToolError`."""
    with tools.Runs() as runs:
        if design.board.part.family == "ecp5":
            return runs.run("ecppack", [*design.board.packer, "--input", "in.config",
                                        "--bit", "out.bit"],
                            {"in.config": placement.routed}, ["out.bit"])["out.bit"]
        return runs.run("icepack", ["in.asc", "out.bin"], {"in.asc": placement.routed},
                        ["out.bin"])["out.bin"]


def _stop(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Make a bitstream; returns the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    notices = Console(stderr=True, highlight=False)
    try:
        args = parser().parse_args(argv)
        if args.list_boards:
            list_boards(console)
            return 0
        if args.board is None:
            raise ConfigError(f"--board (nothing): name one of {', '.join(BOARDS)}")
        one = board(args.board)
        cfg = start_config(one, args)
        mhz, baud = _number(args, "freq", 1, 400), _whole(args, "baud", 300, 12_000_000)
        seed, seeds = _whole(args, "seed", 0, 2**31 - 1) or 0, _whole(args, "seeds", 1, 1000) or 1
        target = Path(args.output or f"build/{one.name}-{cfg.rows}x{cfg.cols}.bit")
        if args.output is None:
            target.parent.mkdir(exist_ok=True)
        check_target("-o", str(target))
        check_target("--json", args.json)
        for program in (one.part.nextpnr, "ecppack" if one.part.family == "ecp5" else "icepack"):
            tools.find(program)
        with Display(notices) as display:
            design, placement = build(one, cfg, mhz=mhz, baud=baud, seed=seed, seeds=seeds,
                                      display=display)
            with display.step("packing the bitstream"):
                bitstream = pack(design, placement)
    except ConfigError as error:
        print(f"gen.fpga: {error}", file=sys.stderr)
        return 2
    except (ToolError, YosysError) as error:
        print(f"gen.fpga: {error}", file=sys.stderr)
        return 1
    fpga_report.show(console, design, placement)
    write_whole(target, bitstream)
    if args.json:
        from bench.report import write_json

        write_json(args.json, "fpga", cfg, fpga_report.figures(design, placement), placement.seed,
                   fpga_report.tool_versions(placement))
    console.print(f"\n{target}: {len(bitstream):,} bytes, clock {design.mhz:g} MHz, host link "
                  f"{design.baud:,} baud; load it with: "
                  f"{one.load.replace('FILE', str(target))}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
