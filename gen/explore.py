"""`python -m gen.explore --pe 8x8,16x16 --int-lanes 1,2,4`: which array suits a model's layers?"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.table import Table

from gen import event_energy, sweep
from gen.event_energy import Events
from gen.files import check_target
from gen.options import OneLineParser, add_config_flags, config_from
from gen.pareto import pareto
from gen.place_log import Step
from gen.sweep import Result
from gen.tools import ToolError
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.realdata import BLOCKS, KINDS, load_named
from sim import builds
from spinteger.config import Config, ConfigError, flag_of, user_fields

ALL = [f"blk.{block}.{kind}" for block in BLOCKS for kind in KINDS]
#: Swept when no option is a list.
DEFAULT = {"pe": "8x8,8x16,16x8,16x16,16x32", "homes": "2,4", "int_lanes": "1,2,4"}
PLOTS = (".svg", ".png", ".pdf")


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m gen.explore", allow_abbrev=False,
        formatter_class=argparse.RawTextHelpFormatter,
        description="Sweep shapes and options over real layers of SmolLM2-135M. Any option of the "
                    "configuration may be a list,\nand every combination that can be built is a "
                    "point:\n  --pe 8x8,16x16 --window 7,15 --fire sar,staircase\nDefault: "
                    + " ".join(f"{flag_of(name)} {values}" for name, values in DEFAULT.items())
                    + "\nCycles come from the cycle model, area and a guessed clock from synthesis "
                    "for ECP5;\nthe finalists can be placed and routed (--place); energy from what "
                    "bench.energy measured per event.\nInterrupted, it goes on where it was.",
        epilog="Throughput is effective: two operations per weight of the layer and token, over "
               "the array's cycles,\nloads hidden. Exit codes: 0 done, 2 an option cannot be "
               "obeyed, 1 anything else.")
    add_config_flags(p)
    p.add_argument("--layers", metavar="NAMES", default=",".join(ALL),
                   help=f"layers to run, as {ALL[0]},{ALL[3]} (default: {len(ALL)} of blocks "
                        f"{', '.join(map(str, BLOCKS))})")
    p.add_argument("--batch", type=int, metavar="T", default=16, help="tokens of each, 1..16 "
                   "(default: 16)")
    p.add_argument("--place", type=int, metavar="N", default=0, help="place and route the N points "
                   "with the most throughput per LUT,\nminutes each (default: none)")
    p.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    p.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster that shares this "
                   "folder, as tcp://host:8786,\ninstead of on this machine's cores")
    p.add_argument("--energy", metavar="FILE", help="a report of bench.energy, for the energy per "
                   "event (default: the committed one)")
    p.add_argument("--json", metavar="FILE", help="write all points as JSON")
    p.add_argument("--plot", metavar="FILE", help="draw throughput against area, with the front, "
                   f"as {', '.join(PLOTS)}")
    return p


def points(args: argparse.Namespace) -> tuple[list[Config], list[str]]:
    """All combinations of the options' values, and why some cannot be built.

    Raises `ConfigError` when none can.
    """
    flags = ["pe"] + [field.name for field in user_fields() if field.metadata.get("flag", True)]
    lists = {name: str(getattr(args, name)).split(",") for name in flags
             if "," in str(getattr(args, name) or "")}
    if not lists:
        chosen = {name: values for name, values in DEFAULT.items() if getattr(args, name) is None}
        lists = {name: values.split(",") for name, values in chosen.items()}
    good: list[Config] = []
    bad: list[str] = []
    for values in itertools.product(*lists.values()):
        here = argparse.Namespace(**{**vars(args), **dict(zip(lists, values, strict=True))})
        try:
            cfg = config_from(here)
        except ConfigError as error:
            asked = " ".join(f"{flag_of(name)} {value}"
                             for name, value in zip(lists, values, strict=True))
            bad.append(f"{asked}: {error}")
            continue
        if cfg not in good:
            good.append(cfg)
    if not good:
        raise ConfigError(f"no point can be built; the first: {bad[0]}")
    return good, bad


def checked(args: argparse.Namespace) -> tuple[list[Config], list[str], list[str]]:
    """Points, layers, and notes on what is left out. Raises `ConfigError`, `KeyError`."""
    for flag, target in (("--json", args.json), ("--plot", args.plot)):
        check_target(flag, target)
    if args.plot and Path(args.plot).suffix not in PLOTS:
        raise ConfigError(f"--plot {args.plot}: must end in {', '.join(PLOTS)}")
    for name, low, high in (("batch", 1, 16), ("place", 0, 1000), ("jobs", 1, 1000)):
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"--{name} {value}: must be {low}..{high}")
    found, notes = points(args)
    unsigned = [cfg for cfg in found if not cfg.signed]
    if unsigned:
        raise ConfigError("--no-signed: this model's inputs are signed")
    layers = args.layers.split(",")
    for coding in {(cfg.window, cfg.sal_bits, cfg.exp_max, cfg.wgt_bits): cfg
                   for cfg in found}.values():
        load_named(layers, coding)          # once, before many processes ask for it
    return found, layers, notes


def folder() -> Path:
    """Where answers are kept."""
    return builds.cache_dir().parent / "explore"


def run(found: Sequence[Config], layers: Sequence[str], args: argparse.Namespace
        ) -> Iterator[tuple[Config, Result | str]]:
    """Every point's result, or why it has none, as they come."""
    import distributed  # when needed: --help should be quick

    with contextlib.ExitStack() as stack:
        cluster = args.scheduler or stack.enter_context(distributed.LocalCluster(
            n_workers=args.jobs, threads_per_worker=1, dashboard_address=None))
        client = stack.enter_context(distributed.Client(cluster, timeout="10s"))
        waiting = {client.submit(sweep.evaluate, cfg, layers, args.batch, str(folder()),
                                 pure=False): cfg
                   for cfg in found}
        for future in distributed.as_completed(waiting):
            yield waiting[future], future.result()


def table(results: Sequence[Result], events: Events | None) -> Table:
    """Points by throughput per LUT; those of the front are marked."""
    front = pareto(results, lambda one: one.gops, lambda one: -one.best.lut)
    shown = Table(box=None, header_style="bold", title_justify="left",
                  title="* no other point has more throughput in fewer LUTs")
    shown.add_column("")
    shown.add_column("point")
    for name in ("LUT", "LUT/lane", "FF", "EBR", "DSP", "MHz", "vs dense", "GOPS", "GOPS/kLUT",
                 *(("logic\npJ/MAC", "weights\npJ/MAC") if events else ())):
        shown.add_column(name, justify="right")
    for one in sorted(results, key=lambda one: -one.gops_per_klut):
        area, cfg = one.best, one.cfg
        shown.add_row(
            "*" if one in front else "", label(cfg, results), f"{area.lut:,}",
            f"{area.lut / (cfg.rows * cfg.cols):.1f}", f"{area.ff:,}", str(area.ebr),
            str(area.dsp), f"{area.mhz:.0f}" + ("" if one.placed else "?"), f"{one.ratio:.2f}x",
            f"{one.gops:.1f}", f"{one.gops_per_klut:.2f}",
            *((f"{events.logic(one.predictions, cfg):.1f}",
               f"{events.memory(one.predictions, cfg):.1f}") if events else ()))
    return shown


def label(cfg: Config, results: Sequence[Result]) -> str:
    """The shape, and those options in which the points differ."""
    every = [one.cfg.params() for one in results]
    differ = [name for name in every[0] if name not in ("rows", "cols")
              and len({str(params[name]) for params in every}) > 1]
    return " ".join([f"{cfg.rows}x{cfg.cols}"]
                    + [f"{name} {getattr(cfg, name)}" for name in differ])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the exploration; returns the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 130)
    notices = Console(stderr=True, highlight=False)
    results: list[Result] = []
    try:
        args = parser().parse_args(argv)
        found, layers, notes = checked(args)
        events = event_energy.load(Path(args.energy) if args.energy else None)
        for note in notes:
            notices.print(f"left out: {note}", markup=False)
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                      TimeElapsedColumn(), console=notices) as bar:
            task = bar.add_task("points", total=len(found))
            for cfg, result in run(found, layers, args):
                bar.advance(task)
                if isinstance(result, str):
                    notices.print(f"left out: {cfg.rows}x{cfg.cols}: {result}", markup=False)
                else:
                    results.append(result)
        best = sorted(results, key=lambda one: -one.gops_per_klut)[:args.place]
        for number, one in enumerate(best, 1):
            name = f"placing {label(one.cfg, results)} ({number} of {len(best)})"
            with notices.status(name) as status:
                def show(step: Step, name: str = name, status: Status = status) -> None:
                    status.update(f"{name}: {step.stage} {step.detail}")

                results[results.index(one)] = sweep.place(one, show)
    except (ConfigError, KeyError) as error:
        print(f"gen.explore: {error.args[0]}", file=sys.stderr)
        return 2
    except (RealDataUnavailable, HashMismatch, ToolError, OSError) as error:
        print(f"gen.explore: {error}", file=sys.stderr)
        return 1
    if not results:
        print("gen.explore: no point can run these layers", file=sys.stderr)
        return 1
    report(results, layers, events, args, console)
    return 0


def report(results: Sequence[Result], layers: Sequence[str], events: Events | None,
           args: argparse.Namespace, console: Console) -> None:
    """Table, JSON, plot."""
    from bench.report import versions_line, write_json

    console.print(table(results, events))
    console.print(f"\n{len(layers)} layers, {args.batch} tokens. MHz?: guessed from the netlist.")
    console.print(f"Energy: estimated, per event as measured on {events.origin}; rows of weights "
                  "apart, by the memory model." if events else
                  "No energy: python -m bench.energy --json FILE, then --energy FILE.")
    console.print(versions_line())
    if args.json:
        energies = [{"logic_pj_per_mac": events.logic(one.predictions, one.cfg),
                     "weights_pj_per_mac": events.memory(one.predictions, one.cfg)}
                    if events else {} for one in results]
        write_json(args.json, "explore", results[0].cfg,
                   {"layers": list(layers), "tokens": args.batch,
                    "energy_of": events.origin if events else None,
                    "points": [one.as_json() | more
                               for one, more in zip(results, energies, strict=True)]})
    if args.plot:
        from gen.plots import front_plot
        front_plot(results, [label(one.cfg, results) for one in results], Path(args.plot))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; what was found is kept, the same command goes on from there")
