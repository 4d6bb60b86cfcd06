"""`python -m bench.results`: docs/results.md and its plots, from the JSON files of the benchmarks.

With --run it first measures. No figure of the page is typed by hand: a file that is missing leaves
its section out, and the page says by which command it is made.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bench.results_base import Json, ResultsError, Source, guarded
from bench.results_text import page
from gen.files import check_target, write_whole
from gen.options import OneLineParser
from spinteger.config import ConfigError


@dataclass(frozen=True)
class Benchmark:
    """How a file of figures is made."""

    name: str
    argv: tuple[str, ...]       #: after `python -m`, without the file
    file: str
    title: str
    takes: str                  #: roughly, on two cores, when nothing is kept from before
    flag: str = "--json"        #: takes the file

    def arguments(self, folder: Path) -> list[str]:
        """Of python."""
        return ["-m", *self.argv, self.flag, (folder / self.file).as_posix()]

    def command(self, folder: Path) -> str:
        """For a shell."""
        return shlex.join(["python", *self.arguments(folder)])


def _energy(shape: str, library: str, takes: str) -> Benchmark:
    name, title = f"energy-{shape}-{library}", f"energy, {shape.replace('x', '×')}, {library}"
    layers = ("--layers", "blk.15.q_proj") if shape == "16x16" else ()     # one is minutes enough
    return Benchmark(name, ("bench.energy", "--pe", shape, "--library", library, *layers),
                     f"{name}.json", title, takes)


#: Both evaluate the same text; weights by GPTQ, since the model comes in float32.
_TINY = ("golden.evaluate", "tiny", "--wgt", "gptq", "--length", "256")
#: In the order in which --run measures them.
BENCHMARKS = (
    Benchmark("cycles", ("bench.cycles", "--bus-bits", "256"), "cycles.json",
              "cycles of real layers", "minutes"),
    Benchmark("block", ("bench.block", "--bus-bits", "256"), "block.json",
              "a whole block", "minutes"),
    Benchmark("lanes", ("bench.lanes",), "lanes.json", "ways to balance lanes", "seconds"),
    Benchmark("simspeed", ("bench.simspeed",), "simspeed.json", "speed of simulation", "minutes"),
    Benchmark("area", ("bench.area", "--pe", "16x16"), "area.json", "area by block", "minutes"),
    Benchmark("pnr-baseline", ("bench.pnr", "--pe", "8x8", "--update"), "pnr-baseline.json",
              "the regression's machine", "10 minutes", "--baseline"),
    Benchmark("bitstream", ("gen.fpga", "--board", "ulx3s-85f", "--pe", "16x16"),
              "bitstream.json", "our bitstream", "half an hour"),
    Benchmark("bitstream-large",
              ("gen.fpga", "--board", "ulx3s-85f", "--pe", "16x36", "--homes", "2", "--int-lanes",
               "2", "--train-depth", "1024", "--list-depth", "1024"),
              "bitstream-large.json", "the most lanes routed", "hours; never ended so far"),
    Benchmark("fpga-8x8", ("bench.fpga", "--pe", "8x8"), "fpga-8x8.json",
              "ours and rivals on an FPGA, 8×8", "half an hour"),
    Benchmark("fpga-16x16", ("bench.fpga", "--pe", "16x16"), "fpga-16x16.json",
              "ours and rivals on an FPGA, 16×16", "hours"),
    _energy("8x8", "osu018", "10 minutes"),
    _energy("8x8", "sky130", "half an hour"),
    _energy("16x16", "osu018", "10 minutes"),
    _energy("16x16", "sky130", "hours"),
    Benchmark("explore", ("gen.explore", "--pe", "8x8,8x16,16x16,16x32", "--homes", "2,4",
                          "--int-lanes", "2", "--energy", "docs/results/energy-16x16-osu018.json"),
              "explore.json", "exploration", "an hour"),
    Benchmark("evaluate-smollm2", ("golden.evaluate", "smollm2", "--set", "frontier", "--plot",
                                   "docs/results/evaluate-smollm2.svg"),
              "evaluate-smollm2.json", "SmolLM2 on integers", "2 hours"),
    Benchmark("groups-smollm2", ("golden.evaluate", "smollm2", "--set", "groups", "--tokens",
                                 "4096"), "groups-smollm2.json", "SmolLM2 by size of weight groups",
              "an hour"),
    Benchmark("evaluate-tiny", (*_TINY, "--k-mad", "3,2.5,2", "--price", "3e-5,1.5e-5,1e-5,5e-6",
                                "--plot", "docs/results/evaluate-tiny.svg"),
              "evaluate-tiny.json", "the small model on integers", "minutes"),
    Benchmark("evaluate-tiny-attention",
              (*_TINY, "--attention", "--k-mad", "2.5,2", "--price", "1.5e-5,1e-5,5e-6"),
              "evaluate-tiny-attention.json", "the same with attention", "minutes"),
    Benchmark("ablation-tiny", (*_TINY, "--set", "ablation"), "ablation-tiny.json",
              "one choice changed at a time", "minutes"),
)


# -- reading and writing ---------------------------------------------------------------------------

def read(one: Benchmark, folder: Path) -> Source:
    """A benchmark's file, if it is there. Raises `ResultsError` when it is damaged."""
    path, command = folder / one.file, one.command(folder)
    kind = one.argv[0].rpartition(".")[2]       # what its writer calls itself
    report: Json | None = None
    try:
        report = json.loads(path.read_text())
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read ({error}); make it anew: {command}") from None
    if report is not None and not (isinstance(report, dict) and report.get("benchmark") == kind):
        raise ResultsError(f"{path}: is no report of {one.argv[0]}; make it anew: {command}")
    return Source(one.name, one.title, path.as_posix(), command, report)


def drawn(sources: Sequence[Source]) -> dict[str, bytes]:
    """All plots as SVG, by name. Raises `ResultsError`, also when there is no matplotlib."""
    plots = drawers()
    return {source.name: guarded(source, plots[kind]) for source in sources
            if source.report is not None and (kind := source.name.partition("-")[0]) in plots}


def drawers() -> dict[str, Callable[[Json], bytes]]:
    """`results_plots.PLOTS`. Raises `ResultsError`."""
    try:
        from bench.results_plots import PLOTS
    except ImportError as error:
        raise ResultsError(f"the plots need matplotlib ({error}): pip install -e .[explore]"
                           ) from None
    return PLOTS


def make(folder: Path, out: Path) -> None:
    """Write page and plots, all or nothing. Raises `ResultsError`, `OSError`."""
    sources = [read(one, folder) for one in BENCHMARKS]
    text, plots = page(sources), drawn(sources)
    (out / "results").mkdir(exist_ok=True)
    for name, svg in plots.items():
        write_whole(out / "results" / f"{name}.svg", svg)
    write_whole(out / "results.md", text)
    for source in sources:
        if source.report is None:
            print(f"not measured: {source.title}: {source.command}")
    print(f"{out / 'results.md'}: written, with {len(plots)} plots")


# -- measuring -------------------------------------------------------------------------------------

def run(chosen: Sequence[Benchmark], folder: Path) -> int:
    """Measure, one after another; the exit code of the first that fails, or 0."""
    for number, one in enumerate(chosen, 1):
        print(f"[{number} of {len(chosen)}] {one.command(folder)}", flush=True)
        code = run_one([sys.executable, *one.arguments(folder)])
        if code:
            print(f"bench.results: {one.name} failed, exit code {code}; what was measured before "
                  "it is kept", file=sys.stderr)
            return code if code > 0 else 128 - code
    return 0


def run_one(command: Sequence[str]) -> int:
    """The command's exit code.

    Ctrl-C reaches the command as well: it gets the time to end by itself, a second one ends it.
    """
    pressed: list[int] = []

    def press(number: int, _: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, press)
    try:
        code = subprocess.run(command, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
    return code


# -- command ---------------------------------------------------------------------------------------

def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.results", allow_abbrev=False,
        formatter_class=argparse.RawTextHelpFormatter,
        description="Make the results page and its plots from the JSON files that the benchmarks "
                    "wrote.\nExit codes: 0 done, 2 an option cannot be obeyed, 1 anything else, "
                    "or what a benchmark ended with.")
    p.add_argument("--from", dest="folder", metavar="FOLDER", default="docs/results",
                   help="where the JSON files are (default: docs/results)")
    p.add_argument("--out", metavar="FOLDER", default="docs",
                   help="gets results.md, and the plots in results/ (default: docs)")
    p.add_argument("--run", metavar="NAME,...", nargs="?", const="all",
                   help="measure these benchmarks first (default: all)")
    p.add_argument("--list", action="store_true", help="list the benchmarks, and stop")
    return p


def chosen_from(names: str | None) -> list[Benchmark]:
    """What --run names, in the order of `BENCHMARKS`. Raises `ConfigError`."""
    known = [one.name for one in BENCHMARKS]
    wanted = known if names == "all" else (names or "").split(",") if names is not None else []
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"--run {unknown[0] or '(empty)'}: choose from {', '.join(known)}")
    return [one for one in BENCHMARKS if one.name in wanted]


def show(folder: Path) -> None:
    """The benchmarks: name, rough duration, file, command."""
    rows = [("name", "takes", "file", "command")] + [
        (one.name, one.takes, one.file, one.command(folder)) for one in BENCHMARKS]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([text.ljust(width) for text, width in zip(row, widths, strict=False)]
                        + [row[3]]))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what --run names, make the page; returns the exit code."""
    try:
        args = parser().parse_args(argv)
        folder, out = Path(args.folder), Path(args.out)
        if args.list:
            show(folder)
            return 0
        if not folder.is_dir():
            raise ConfigError(f"--from {args.folder}: no such folder, name one with JSON files of "
                              "the benchmarks, such as docs/results")
        check_target("--out", str(out / "results.md"))
        chosen = chosen_from(args.run)
    except ConfigError as error:
        print(f"bench.results: {error}", file=sys.stderr)
        return 2
    try:
        drawers()                   # what is missing should not be found after hours
        if code := run(chosen, folder):
            return code
        make(folder, out)
    except (ResultsError, OSError) as error:
        print(f"bench.results: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; what was measured is kept")
