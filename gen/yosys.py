"""Runs Yosys (the pinned `pyosys` wheel) in a process of its own.

In a process of its own because Yosys prints to the C-level stdout, ends the process on errors,
and because importing `pyosys` makes every later extension module share its symbols with it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

#: Arguments: one Yosys command each. Runs in an empty folder, so files have plain names.
_WORKER = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


class YosysError(RuntimeError):
    """Yosys refused its input; the message is its own."""


def run(commands: Iterable[str], files: Mapping[str, str],
        results: Iterable[str] = ()) -> tuple[dict[str, str], str]:
    """Run Yosys commands on `files` (name -> text); the text of `results`, and the log.

    Raises `YosysError` when a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="spinteger-") as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text)
        done = subprocess.run([sys.executable, "-c", _WORKER, *commands], cwd=folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
            raise YosysError("\n".join(errors) or done.stdout[-2000:])
        return {name: Path(folder, name).read_text() for name in results}, done.stdout
