"""Backends: what executes a program of packets. The golden model, or the RTL on a simulator.

    execution = backend("verilator", cfg).execute(packets)

Every `execute` starts from power-up: packets count from 0, memories are empty.

    golden      `sim.reference`: no clock, no counters
    verilator   the RTL as a native C++ model (`sim.native`), the fastest simulation
    cocotb      the RTL on Verilator under cocotb (`tb.tb_machine`)
    icarus      the RTL on Icarus Verilog under cocotb
    serial      a board at a serial port (`sim.serial_backend`)
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sim import beats, packets
from sim.packets import Execution, Packet
from spinteger import isa
from spinteger.config import Config

BACKENDS = ("golden", "verilator", "cocotb", "icarus", "serial")


@dataclass(frozen=True)
class Throttle:
    """How the world outside slows the machine's streams down."""

    input_stall: float = 0.0    #: share of cycles without an input beat, in random bursts
    output_stall: float = 0.0   #: share of cycles in which no output beat is taken
    input_every: int = 1        #: an input beat at most every so many cycles
    seed: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.input_stall < 1 and 0 <= self.output_stall < 1):
            raise ValueError(f"stalls {self.input_stall}, {self.output_stall}: must be at least 0 "
                             "and below 1")
        if self.input_every < 1:
            raise ValueError(f"input_every {self.input_every}: must be at least 1")


class Backend(Protocol):
    """Executes programs, each from power-up."""

    name: str

    def execute(self, program: Sequence[Packet], *, throttle: Throttle | None = None) -> Execution:
        """All output, the first error, the counters. Errors of the machine are a result."""


def backend(name: str, cfg: Config, port: str | None = None, baud: int | None = None) -> Backend:
    """The backend of that name; nothing is built, or opened, before its first `execute`.

    port, baud: of "serial" only, which needs a port. Raises ValueError for another name.
    """
    if name == "serial":
        from sim.serial_backend import BAUD, Serial
        if port is None:
            raise ValueError('backend serial: needs a port, such as "/dev/ttyUSB0" or "COM3"')
        return Serial(cfg, port, baud or BAUD)
    if port is not None or baud is not None:
        raise ValueError(f"backend {name}: has no port and no baud rate")
    if name == "golden":
        return Golden(cfg)
    if name == "verilator":
        return Verilator(cfg)
    if name in ("cocotb", "icarus"):
        return Cocotb(cfg, name)
    raise ValueError(f"backend {name}: choose from {', '.join(BACKENDS)}")


def execution(cfg: Config, words: list[list[int]], registers: Mapping[str, int],
              cycles: int | None, seconds: float | None = None) -> Execution:
    """The result of an RTL run, from its output and its registers as latched."""
    code, number = registers["error"] & 0xFF, registers["error"] >> 8
    counters = {name: registers[f"{name}_low"] | registers[f"{name}_high"] << 32
                for name in isa.COUNTERS}
    if cycles is not None:
        late = counters["cycles"] - cycles      # the copy was made later: those were idle
        counters["cycles"] -= late
        counters["idle"] -= late
    return Execution(beats.finish(cfg, words), (isa.Error(code), number) if code else None,
                     registers["error_count"], counters, cycles, seconds)


#: Read after every run, once `latch` was written.
READ = ("error", "error_count",
        *(f"{name}_{part}" for name in isa.COUNTERS for part in ("low", "high")))


class Golden:
    """The golden model, at packet level. Knows no time, so `throttle` makes no difference."""

    name = "golden"

    def __init__(self, cfg: Config):
        self.cfg = cfg

    def execute(self, program: Sequence[Packet], *, throttle: Throttle | None = None) -> Execution:
        """See `Backend`."""
        from sim.reference import Reference
        return Reference(self.cfg).execute(program)


class Verilator:
    """The RTL as a native model. `waves`: write every execution's VCD there, over the last.
    `text`: other Verilog with the machine's ports, such as its netlist (`sim.netlist`)."""

    name = "verilator"

    def __init__(self, cfg: Config, waves: Path | None = None, text: str | None = None):
        self.cfg, self.waves, self.text = cfg, waves, text
        self.build_s = 0.0      #: seconds that the last execution spent on building the model

    def execute(self, program: Sequence[Packet], *, throttle: Throttle | None = None) -> Execution:
        """See `Backend`. Raises `NativeError` when the model cannot be built, or hangs."""
        from sim.native import Native
        cfg = self.cfg
        with Native(cfg, waves=self.waves, text=self.text) as machine:
            if throttle:
                machine.throttle(**asdict(throttle))
            machine.feed(beats.input_payloads(cfg, [*program, packets.end_fence()]),
                         beats.output_payloads(cfg, [[packets.fence_word(cfg)]]).tobytes())
            start, cpu = machine.cycles, time.process_time()
            machine.run()
            cycles, seconds = machine.cycles - start, time.process_time() - cpu
            machine.write("latch", 1)
            while machine.read("latch"):
                pass
            registers = {name: machine.read(name) for name in READ}
            self.build_s = machine.build_s
            return execution(cfg, beats.output_packets(cfg, machine.output()), registers, cycles,
                             seconds)


class Cocotb:
    """The RTL under cocotb, on Verilator ("cocotb") or Icarus ("icarus")."""

    def __init__(self, cfg: Config, name: str = "icarus"):
        self.cfg, self.name = cfg, name
        self.build_s = 0.0      #: seconds that the last execution spent on building the bench

    def execute(self, program: Sequence[Packet], *, throttle: Throttle | None = None) -> Execution:
        """See `Backend`. Raises `BenchError` when the bench cannot be built, or fails."""
        from sim.runner import BenchError, run
        with tempfile.TemporaryDirectory(prefix="spinteger-") as folder:
            job, answer = Path(folder) / "job.npz", Path(folder) / "answer.npz"
            np.savez(job, beats=beats.input_payloads(self.cfg, [*program, packets.end_fence()]))
            result = run("machine", "icarus" if self.name == "icarus" else "verilator", self.cfg,
                         options={"job": str(job), "answer": str(answer),
                                  "throttle": asdict(throttle or Throttle())}, tests=["job"])
            self.build_s = result.build_s
            if not result.ok:
                raise BenchError("\n".join(result.failed.values()) or "the machine did not run")
            with np.load(answer) as got:
                words = beats.output_packets(self.cfg, got["output"])
            return execution(self.cfg, words, result.data["registers"], result.data["cycles"],
                             result.data["seconds"])
