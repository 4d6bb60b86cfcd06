"""`make soak`: random programs on the machine's RTL and on the golden machine, word for word.

    python -m sim.soak --programs 10000 --seed 7 --config tiny,odd --jobs 2

The seed, the configuration and the case's number (`sim.cases`) make all of a case. Of one that
fails, packets are dropped as long as it still fails; what remains is kept in build/soak.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gen.options import OneLineParser
from sim import tools
from sim.builds import BenchError
from sim.cases import CONFIGS, case, config, describe, load, run_case, save, shrink
from spinteger.config import ConfigError

#: Cases per process and call.
BATCH = 8


@dataclass(frozen=True)
class Failure:
    """A case that failed."""

    config: str
    number: int
    message: str


# -- failures ------------------------------------------------------------------------------------

def explain(failure: Failure, seed: int, console: Console) -> None:
    """Shrink a failure, keep it, and say how to see it again."""
    cfg = config(failure.config)
    with console.status(f"{failure.config}, case {failure.number}: dropping packets"):
        parts = shrink(cfg, case(cfg, failure.config, seed, failure.number))
    path = Path("build/soak") / f"{failure.config}-{seed}-{failure.number}.json"
    save(path, cfg, parts)
    text = [f"FAILED: {failure.config}, seed {seed}, case {failure.number}: {failure.message}",
            f"  python -m sim.soak --config {failure.config} --seed {seed} "
            f"--case {failure.number}",
            f"less all packets that do not matter: {run_case(cfg, parts)}",
            f"  python -m sim.soak --replay {path}"]
    for part in parts:
        text.append(f"  {'reset, ' if part.reset else ''}{part.throttle}")
        text += [f"    {describe(packet, cfg)}" for packet in part.packets]
    console.print("\n".join(text), markup=False, style="red", soft_wrap=True)


# -- many cases ------------------------------------------------------------------------------------

def _alone() -> None:
    """In a worker: Ctrl-C is for the parent, and the golden model takes one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _one_thread()


def _one_thread() -> None:
    import torch
    torch.set_num_threads(1)


def run_batch(name: str, seed: int, numbers: Sequence[int]) -> tuple[int, list[Failure]]:
    """Programs executed, and the failures among these cases."""
    cfg, programs, failures = config(name), 0, []
    for number in numbers:
        parts = case(cfg, name, seed, number)
        programs += len(parts)
        message = run_case(cfg, parts)
        if message:
            failures.append(Failure(name, number, message))
    return programs, failures


def batches(names: Sequence[str]) -> Iterator[tuple[str, range]]:
    """Batches of case numbers without end, of each configuration in turn."""
    first = 0
    while True:
        for name in names:
            yield name, range(first, first + BATCH)
        first += BATCH


def soak(names: Sequence[str], seed: int, programs: int, jobs: int, console: Console,
         keep_going: bool, done: dict[str, int]) -> list[Failure]:
    """Run at least so many programs; what failed. `done`: counts them by configuration."""
    from sim import native
    with console.status("building the machines") as status:
        for name in names:
            status.update(f"building the machine {name}")
            native.build(config(name))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())
    failures: list[Failure] = []
    pool = None if jobs == 1 else ProcessPoolExecutor(jobs, get_context("spawn"), _alone)
    _one_thread()
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("programs", total=programs)
            for name, count, wrong in _results(pool, names, seed, jobs):
                done[name] = done.get(name, 0) + count
                failures += wrong
                progress.update(task, completed=min(programs, sum(done.values())),
                                description=f"programs ({len(failures)} failed)" if failures
                                else "programs")
                if sum(done.values()) >= programs or (failures and not keep_going):
                    break
    finally:
        if pool:
            pool.shutdown(wait=True, cancel_futures=True)
    return failures


def _results(pool: ProcessPoolExecutor | None, names: Sequence[str], seed: int,
             jobs: int) -> Iterator[tuple[str, int, list[Failure]]]:
    """Of one batch after the other: its configuration, programs and failures."""
    going: dict[Future[tuple[int, list[Failure]]], str] = {}
    for name, numbers in batches(names):
        if pool is None:
            yield name, *run_batch(name, seed, numbers)
            continue
        # Processes begin without Ctrl-C, long before `_alone` sees to it.
        heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            going[pool.submit(run_batch, name, seed, numbers)] = name
        finally:
            signal.signal(signal.SIGINT, heard)
        if len(going) > jobs:
            for future in wait(going, return_when=FIRST_COMPLETED).done:
                yield going.pop(future), *future.result()


# -- command line ----------------------------------------------------------------------------------

def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(prog="python -m sim.soak", description=(
        "Run random programs, faulty ones among them, on the machine's RTL (a native Verilator "
        "model, stalled at random), and compare every output word, error and counter with the "
        "golden machine. Exit code 1 if anything differs; it then says how to see it again."))
    p.add_argument("--programs", type=int, default=1000, help="how many, at least (1000)")
    p.add_argument("--seed", type=int, help="of everything random (default: from the clock)")
    p.add_argument("--config", default="all", metavar="NAME,...",
                   help=f"machines (default: all): {', '.join(CONFIGS)}, and any random-NUMBER")
    p.add_argument("--random", type=int, default=0, metavar="N",
                   help="N random machines more: random-SEED, random-SEED+1, ...")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1,
                   help="processes (default: one per core)")
    p.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    p.add_argument("--case", type=int, help="only this case of one configuration and seed")
    p.add_argument("--replay", type=Path, metavar="FILE", help="only this case, from build/soak")
    return p


def _check(args: argparse.Namespace) -> list[str]:
    """The configurations that were asked for. Raises `ConfigError`."""
    names = list(CONFIGS) if args.config == "all" else args.config.split(",")
    for name in names:
        config(name)
    for name in ("programs", "jobs"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} {getattr(args, name)}: must be at least 1")
    if args.seed is not None and args.seed < 0:
        raise ConfigError(f"--seed {args.seed}: must be at least 0")
    if args.case is not None and (args.case < 0 or len(names) != 1 or args.seed is None):
        raise ConfigError(f"--case {args.case}: needs the --config and --seed it belongs to")
    if args.replay is not None and not args.replay.is_file():
        raise ConfigError(f"--replay {args.replay}: no such file")
    if args.random < 0:
        raise ConfigError(f"--random {args.random}: must be at least 0")
    return names


def main(argv: list[str] | None = None) -> int:
    """Run; 0 when all is exact, 1 when not, 2 on bad arguments, 130 when stopped."""
    try:
        args = parser().parse_args(argv)
        names = _check(args)
    except ConfigError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 150)
    seed = int(time.time()) if args.seed is None else args.seed
    started, done = time.monotonic(), dict[str, int]()
    try:
        if args.replay is not None or args.case is not None:
            _one_thread()
            cfg, parts = load(args.replay) if args.replay is not None else (
                config(names[0]), case(config(names[0]), names[0], seed, args.case))
            wrong = run_case(cfg, parts)
            console.print(wrong or "[green]exact", style="red" if wrong else None,
                          markup=not wrong)
            return 1 if wrong else 0
        names += [f"random-{seed + number}" for number in range(args.random)]
        console.print(f"seed {seed}, {', '.join(names)}")
        failures = soak(names, seed, args.programs, args.jobs, console, args.keep_going, done)
        for failure in failures[:5 if args.keep_going else 1]:
            explain(failure, seed, console)
    except (BenchError, tools.SimulatorMissing) as error:
        console.print(f"soak: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print(f"stopped after {sum(done.values())} programs; seed {seed}")
        return 130
    console.print(f"{sum(done.values())} programs in {time.monotonic() - started:.0f} s: "
                  + ", ".join(f"{name} {count}" for name, count in done.items()))
    console.print(f"[bold red]{len(failures)} cases FAILED[/]" if failures
                  else "[green]all exact[/]")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
