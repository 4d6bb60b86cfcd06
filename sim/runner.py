"""Builds a bench for a simulator and runs it: one call, either simulator.

Builds are cached by content (the Verilog, the simulator and its options), so a bench that has
not changed starts at once. Needs no installation step beyond the package; `sim.tools` finds
the simulators.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any
from xml.etree import ElementTree

from gen.verilog import TOP
from sim import builds, tools
from sim.builds import BenchError, built, cache_dir, tail
from spinteger.config import Config
from tb.bench import ENV
from tb.tops import TOPS

SIMULATORS = ("verilator", "icarus")

_ENVIRONMENT = Lock()

#: Verilator: only the top's ports are public, which keeps large arrays fast to build and run.
PORTS_PUBLIC = f'`verilator_config\npublic_flat_rw -module "{TOP}" -var "*"\n'


@dataclass(frozen=True)
class Result:
    """What a bench run says."""

    bench: str
    simulator: str
    passed: list[str]                 #: names of the tests that passed
    failed: dict[str, str]            #: names of those that failed, with their messages
    build_s: float                    #: seconds to build, 0 when cached
    run_s: float                      #: seconds to run
    waves: Path | None = None         #: the waveform, if asked for
    data: Any = field(default_factory=list)    #: what the bench wrote as its result, if anything

    @property
    def ok(self) -> bool:
        """All tests ran and passed."""
        return bool(self.passed) and not self.failed


def run(bench: str, simulator: str, cfg: Config, *, seed: int = 1, waves: bool = False,
        label: str = "", options: Mapping[str, Any] | None = None,
        tests: list[str] | None = None) -> Result:
    """Build `bench` for `cfg` and run its tests (all, or those named).

    `label` names the waveform. `options` reach the bench as `Bench.options`. Raises `BenchError`
    when the build fails or the simulator ends without results, `tools.SimulatorMissing` when
    there is none.
    """
    with _lock_of(bench, cfg):
        verilog = _verilog(bench, cfg)
    started = time.monotonic()
    folder, fresh = _build(verilog, simulator, waves)
    build_s = time.monotonic() - started if fresh else 0.0

    work = cache_dir() / "runs" / f"{bench}-{simulator}-{os.getpid()}-{time.monotonic_ns()}"
    work.mkdir(parents=True)
    started = time.monotonic()
    try:
        passed, failed, data = _test(bench, simulator, cfg, folder, work, seed=seed, waves=waves,
                                     options=options or {}, tests=tests)
        trace = _keep_waves(work, folder, label or bench, simulator) if waves else None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Result(bench, simulator, passed, failed, build_s, time.monotonic() - started, trace,
                  data)


def _test(bench: str, simulator: str, cfg: Config, folder: Path, work: Path, *, seed: int,
          waves: bool, options: Mapping[str, Any], tests: list[str] | None
          ) -> tuple[list[str], dict[str, str], Any]:
    """Run a build's tests in `work`: names passed, names failed with why, the bench's result."""
    result, log, xml = work / "result.json", work / "log.txt", work / "results.xml"
    given = {"config": cfg.params(), "seed": seed, "options": {**options, "result": str(result)}}
    try:
        _runner(simulator).test(
            test_module=f"tb.tb_{bench}", hdl_toplevel=TOP, hdl_toplevel_lang="verilog",
            build_dir=folder, test_dir=work, seed=seed, waves=waves, results_xml=str(xml),
            log_file=log, test_filter="|".join(rf"\.{name}$" for name in tests) if tests else None,
            extra_env={ENV: json.dumps(given), **_python_env()})
    except (SystemExit, subprocess.CalledProcessError, RuntimeError) as error:
        if not xml.exists():        # failed tests are a result; no result file is an error
            raise BenchError(f"{bench} on {simulator}: {error}\n{tail(log)}") from error
    passed, failed = _read_results(xml)
    failed = {name: f"{text}\n{tail(log)}" for name, text in failed.items()}
    return passed, failed, json.loads(result.read_text()) if result.exists() else []


@cache
def _lock_of(bench: str, cfg: Config) -> Lock:
    """One at a time generates a bench top; the others find it done."""
    return Lock()


@cache
def _verilog(bench: str, cfg: Config) -> str:
    """The Verilog of a bench's top, read once per process."""
    return builds.verilog(TOPS[bench], cfg)


def _python_env() -> dict[str, str]:
    """One thread for the golden model's arithmetic.

    cocotb would rewrite the assertions of every module that is imported, torch's included.
    """
    return {"OMP_NUM_THREADS": "1", "COCOTB_LOG_LEVEL": "WARNING",
            "COCOTB_REWRITE_ASSERTION_FILES": "tb_*.py"}


def _build(verilog: str, simulator: str, waves: bool) -> tuple[Path, bool]:
    """The build folder of this Verilog on this simulator, and whether it was built just now."""
    runner = _runner(simulator)
    args = runner.spinteger_args
    # A Verilator model is linked with cocotb's libraries in this very environment.
    parts = [verilog, PORTS_PUBLIC, simulator, tools.find(simulator).version,
             version("cocotb"), sys.prefix, str(waves), *args]

    def make(folder: Path) -> None:
        source = folder / f"{TOP}.v"
        source.write_text(verilog)
        sources = [source]
        if simulator == "verilator":
            (folder / "ports.vlt").write_text(PORTS_PUBLIC)
            sources.append(folder / "ports.vlt")
        log = folder / "build.log"
        try:
            runner.build(sources=sources, hdl_toplevel=TOP, build_args=args, build_dir=folder,
                         timescale=("1ns", "1ps"), waves=waves, log_file=log, always=True)
        except (SystemExit, subprocess.CalledProcessError, RuntimeError) as error:
            raise BenchError(f"building for {simulator}: {error}\n{tail(log)}") from error

    return built(simulator, parts, make)


def _runner(simulator: str) -> Any:
    """A cocotb runner for the simulator that `sim.tools` picked."""
    from cocotb_tools import runner as cocotb_runner

    with _ENVIRONMENT:              # benches run in threads, and PATH is read, then written
        os.environ.update(tools.environment(simulator))
        os.environ.pop("WAVES", None)       # cocotb would let it overrule `waves`

    class Verilator(cocotb_runner.Verilator):
        """cocotb's runner without `--public-flat-rw`, which makes every signal a public one."""

        spinteger_args = ["-O3", "-Wno-fatal", "-Wno-WIDTH", "--output-split", "0",
                          "-CFLAGS", "-O1"]

        def _build_command(self) -> list[list[str]]:
            return [[word for word in command if word != "--public-flat-rw"]
                    for command in super()._build_command()]

    class Icarus(cocotb_runner.Icarus):
        """cocotb's runner, as Verilog-2005."""

        spinteger_args = ["-g2005"]

        def _build_command(self) -> list[list[str]]:
            # The dump module that cocotb adds for waveforms needs SystemVerilog.
            drop = "-g2005" if self.waves else "-g2012"
            return [[word for word in command if word != drop]
                    for command in super()._build_command()]

    if simulator not in SIMULATORS:
        raise ValueError(f"simulator {simulator!r}: choose from {', '.join(SIMULATORS)}")
    return Verilator() if simulator == "verilator" else Icarus()


def _read_results(xml: Path) -> tuple[list[str], dict[str, str]]:
    """Names of passed tests, and of failed ones with their messages."""
    passed, failed = [], {}
    for case in ElementTree.parse(xml).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        name = case.get("name", "?")
        if bad is None:
            passed.append(name)
        else:
            failed[name] = bad.get("message") or bad.get("error_msg") or "failed"
    return passed, failed


def _keep_waves(work: Path, folder: Path, label: str, simulator: str) -> Path | None:
    """Move the waveform of a run to a place that lasts: build/waves."""
    found = [*work.glob("*.vcd"), *work.glob("*.fst"), *folder.glob("*.fst")]
    if not found:
        return None
    target = Path("build/waves") / f"{label}-{simulator}{found[0].suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(found[0], target))
