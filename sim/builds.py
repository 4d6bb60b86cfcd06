"""Builds that are kept: a folder per content, made once, whichever process asks first."""

import hashlib
import inspect
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from amaranth.lib import wiring
from filelock import FileLock

import gen
import hdl
import spinteger
from gen.verilog import TOP, to_verilog
from spinteger.config import Config

_STARTED = time.time()


class BenchError(RuntimeError):
    """Something could not be built or did not run to its end; the message has the log's tail."""


def cache_dir() -> Path:
    """Where builds are kept: `.cache/sim` of the repository, or below $SPINTEGER_CACHE."""
    base = os.environ.get("SPINTEGER_CACHE")
    return (Path(base) if base else Path(__file__).parents[1] / ".cache") / "sim"


def built(name: str, parts: Sequence[str], make: Callable[[Path], None]) -> tuple[Path, bool]:
    """The build folder `name`-<hash of parts>, and whether it was made just now.

    `parts` must hold all that the result depends on. `make(folder)` fills an empty folder; what it
    raises leaves a folder that the next call makes again, with its log still there meanwhile.
    """
    key = hashlib.sha256("\0".join(parts).encode())
    folder = cache_dir() / f"{name}-{key.hexdigest()[:20]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        done = folder / "built"
        if done.exists():
            return folder, False
        shutil.rmtree(folder, ignore_errors=True)       # what an interrupted build left
        folder.mkdir(parents=True)
        make(folder)
        done.touch()
    return folder, True


def verilog(component: type[wiring.Component], cfg: Config) -> str:
    """Verilog of a component of `cfg`, kept by the sources that it follows from.

    These are the packages hdl, gen and spinteger, and the component's own. Making it takes
    seconds, finding it none.
    """
    folders = [Path(package.__path__[0]) for package in (hdl, gen, spinteger)]
    sources = [path for folder in dict.fromkeys([*folders, Path(inspect.getfile(component)).parent])
               for path in sorted(folder.glob("*.py"))]
    if any(path.stat().st_mtime > _STARTED for path in sources):
        return to_verilog(component(cfg), TOP)      # edited since: not what this process imported
    parts = [component.__qualname__, json.dumps(cfg.params()), version("amaranth"),
             version("pyosys"), *(path.name + path.read_text() for path in sources)]

    def make(folder: Path) -> None:
        (folder / f"{TOP}.v").write_text(to_verilog(component(cfg), TOP))

    folder, _ = built("verilog", parts, make)
    return (folder / f"{TOP}.v").read_text()


def tail(log: Path, lines: int = 30) -> str:
    """The last lines of a log, "" when there is none."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
