"""`make sim`: every bench on every simulator, then every real layer."""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gen.options import OneLineParser
from golden.digits import load_digits
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.realdata import load_layers
from sim import tools
from sim.benches import BENCHES, CONFIGS
from sim.layers import LayerRow, all_exact, layer_table, run_digits, run_layer
from sim.runner import SIMULATORS, BenchError, Result, run
from spinteger.config import Config, ConfigError

#: What Icarus runs of a real layer: it is a hundred times slower.
ICARUS_TOKENS, ICARUS_OUTPUTS, ICARUS_IMAGES = 2, 64, 8


def parser() -> argparse.ArgumentParser:
    """Command line."""
    names = sorted({bench for bench, _ in BENCHES})
    p = OneLineParser(
        prog="python -m sim",
        description="Run the cocotb benches on Verilator and Icarus, then real layers of "
                    "SmolLM2-135M and a ReLU network, comparing every integer with the golden "
                    "model. Exit code 1 if anything differs.")
    p.add_argument("benches", nargs="*", metavar="BENCH",
                   help=f"benches to run (default: all): {', '.join(names)}")
    p.add_argument("--sim", choices=SIMULATORS, default=os.environ.get("SIM") or None,
                   help="one simulator instead of both (also SIM=...)")
    p.add_argument("--waves", action="store_true",
                   default=os.environ.get("WAVES", "0") not in ("", "0"),
                   help="leave a waveform per bench in build/waves (also WAVES=1)")
    p.add_argument("--seed", type=int, default=1, help="seed of all random stalls and values (1)")
    p.add_argument("--no-layers", action="store_true", help="skip the real layers")
    p.add_argument("--no-benches", action="store_true", help="only the real layers")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1,
                   help="benches at a time (default: one per core)")
    return p


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                    TimeElapsedColumn(), console=console, transient=True)


def run_benches(args: argparse.Namespace, simulators: list[str],
                console: Console) -> list[tuple[str, Result | str]]:
    """Run the chosen benches; (configuration name, result or error) in the order of BENCHES."""
    chosen = [(bench, name, simulator) for bench, name in BENCHES for simulator in simulators
              if not args.benches or bench in args.benches]
    results: dict[tuple[str, str, str], Result | str] = {}

    def one(bench: str, name: str, simulator: str) -> Result | str:
        try:
            return run(bench, simulator, CONFIGS[name], seed=args.seed, waves=args.waves,
                       label=f"{bench}-{name}")
        except BenchError as error:
            return str(error)

    with _progress(console) as progress, ThreadPoolExecutor(args.jobs) as pool:
        task = progress.add_task("benches", total=len(chosen))
        futures: dict[Future[Result | str], tuple[str, str, str]] = {
            pool.submit(one, *job): job for job in chosen}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                progress.advance(task)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [(f"{bench}/{name}/{simulator}", results[bench, name, simulator])
            for bench, name, simulator in chosen]


def bench_table(results: list[tuple[str, Result | str]], simulators: list[str]) -> Table:
    """Benches x simulators."""
    table = Table(box=None, header_style="bold", title="Benches (tests passed)",
                  title_justify="left")
    table.add_column("bench")
    table.add_column("configuration")
    for simulator in simulators:
        table.add_column(simulator, justify="right")
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for key, result in results:
        bench, name, simulator = key.split("/")
        if isinstance(result, str):
            text = "[bold red]did not run[/]"
        elif result.ok:
            text = f"[green]{len(result.passed)} passed[/]  {result.run_s:4.1f} s"
        else:
            text = f"[bold red]{len(result.failed)} FAILED[/], {len(result.passed)} passed"
        cells.setdefault((bench, name), {})[simulator] = text
    for (bench, name), row in cells.items():
        table.add_row(bench, name, *(row.get(simulator, "") for simulator in simulators))
    return table


def run_layers(simulators: list[str], console: Console) -> Iterator[tuple[Config, list[LayerRow]]]:
    """Rows of all real layers: SmolLM2's on the default array, then the ReLU network's."""
    from golden.digits import CONFIG
    cfg = Config()
    with console.status("preparing the real layers"):
        layers = load_layers(cfg=cfg)
        mlp = load_digits()
    rows = []
    with _progress(console) as progress:
        task = progress.add_task("layers", total=len(layers) * len(simulators))
        for layer in layers:
            for simulator in simulators:
                progress.update(task, description=f"{layer.name} on {simulator}")
                small = simulator == "icarus"
                rows.append(run_layer(layer, simulator, cfg, ICARUS_TOKENS if small else None,
                                      ICARUS_OUTPUTS if small else None))
                progress.advance(task)
    yield cfg, rows
    rows = []
    for simulator in simulators:
        with console.status(f"the ReLU network on {simulator}"):
            images = ICARUS_IMAGES if simulator == "icarus" else 64
            row, accuracy = run_digits(mlp, simulator, images)
        rows.append(row)
        console.print(f"digits on {simulator}: {accuracy:.1%} of {images} images classified "
                      "right by the RTL")
    yield CONFIG, rows


def _check(args: argparse.Namespace) -> None:
    """Raise `ConfigError` for a bench or simulator that there is not."""
    known = sorted({bench for bench, _ in BENCHES})
    for bench in args.benches:
        if bench not in known:
            raise ConfigError(f"bench {bench}: unknown, choose from {', '.join(known)}")
    if args.sim is not None and args.sim not in SIMULATORS:
        raise ConfigError(f"SIM {args.sim}: unknown, choose from {', '.join(SIMULATORS)}")
    if args.no_benches and (args.no_layers or args.benches):
        raise ConfigError("--no-benches: leaves nothing to run; drop it, or "
                          + ("--no-layers" if args.no_layers else "the names of benches"))
    if args.jobs < 1:
        raise ConfigError(f"--jobs {args.jobs}: must be at least 1")


def main(argv: list[str] | None = None) -> int:
    """Run; 0 when all is exact, 1 when not, 2 on bad arguments."""
    try:
        args = parser().parse_args(argv)
        _check(args)
    except ConfigError as error:
        print(f"sim: {error}", file=sys.stderr)
        return 2
    simulators = [args.sim] if args.sim else list(SIMULATORS)
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        for simulator in simulators:
            tool = tools.find(simulator)
            console.print(f"{simulator} {tool.version} ({tool.origin}), seed {args.seed}")
        ok = True
        results: list[tuple[str, Result | str]] = []
        if not args.no_benches:
            results = run_benches(args, simulators, console)
            for key, result in results:
                if isinstance(result, str) or not result.ok:
                    ok = False
                    text = result if isinstance(result, str) else "\n".join(
                        f"{name}: {message}" for name, message in result.failed.items())
                    console.print(f"{key}\n{text}", markup=False, style="red")
                if isinstance(result, Result) and result.waves:
                    console.print(f"waveform: gtkwave {result.waves}")
        if not args.no_layers and not args.benches:
            for cfg, rows in run_layers(simulators, console):
                console.print(layer_table(rows, cfg))
                ok = ok and all_exact(rows)
        if results:
            console.print(bench_table(results, simulators))
    except (tools.SimulatorMissing, RealDataUnavailable, HashMismatch, BenchError) as error:
        console.print(f"sim: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("stopped; finished builds are kept")
        return 130
    console.print("[green]all exact[/]" if ok else "[bold red]NOT all exact[/]")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
