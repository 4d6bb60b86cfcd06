"""The accelerator as a library: load layers, run tokens, read counters, on any backend.

    accelerator = Accelerator(cfg)                  # the RTL, simulated natively
    accelerator.load([Layer(w1, theta1), Layer(w2)])
    V = accelerator.run(codes).V                    # raw V of the last layer, torch int64 [T, N]
    accelerator.print_counters()
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from golden.codes import Codes, check_codes, recode, value
from sim import compiler
from sim.backends import Backend, Throttle, backend
from sim.compiler import CompileError, Group, Layer, Program, Stage
from sim.jobs import Job, compile_jobs
from sim.packets import Execution, Packet
from sim.packing import Ints
from sim.results import Values
from spinteger import isa
from spinteger.config import Config

__all__ = ["Accelerator", "AcceleratorError", "CompileError", "Group", "Layer", "LayerOutput"]

#: What a batch too large for a buffer ends with: itself, and the runs that find it gone.
_TOO_MANY = (isa.Error.TRAIN_FULL, isa.Error.BUF_EMPTY)


class AcceleratorError(RuntimeError):
    """The machine refused a packet, or failed at it."""

    def __init__(self, code: isa.Error, number: int, packet: str, count: int):
        self.code, self.number = code, number
        more = f", the first of {count} errors" if count > 1 else ""
        super().__init__(f"packet {number} ({packet}): {code.name}{more}")


@dataclass(frozen=True, eq=False)
class LayerOutput:
    """Results of one layer, shaped as the inputs were: [..., N]."""

    V: Tensor | None = None         #: raw sums, int64
    codes: Codes | None = None      #: or fired codes

    @property
    def levels(self) -> Tensor | None:
        """Fired levels as the next layer reads them, q * 2^e."""
        return None if self.codes is None else value(self.codes)


class Accelerator:
    """One machine and the layers it runs, one after another.

    backend: a name of `sim.backends`, or a `Backend`. fetch "live": load only the weight rows that
    a batch needs, where that is shorter. throttle: how slow the streams are. port, baud: where the
    board is, for the backend "serial".
    """

    def __init__(self, cfg: Config, backend: str | Backend = "verilator", *, fetch: str = "all",
                 throttle: Throttle | None = None, port: str | None = None,
                 baud: int | None = None):
        if fetch not in compiler.FETCHES:
            raise ValueError(f"fetch {fetch}: choose from {', '.join(compiler.FETCHES)}")
        self.cfg, self.fetch, self.throttle = cfg, fetch, throttle
        self.backend = _backend(backend, cfg, port, baud)
        self.layers: list[Layer] = []
        self.notes: list[str] = []              #: of the last `run`: what went through the host
        self.executions: list[Execution] = []   #: of the last `run`, one per stage
        self.programs: list[Program] = []       #: ... what was executed

    def load(self, layers: Layer | Sequence[Layer]) -> None:
        """The layers to run from now on, instead of any before. Raises `CompileError`."""
        chosen = [layers] if isinstance(layers, Layer) else list(layers)
        if not chosen:
            raise ValueError("no layers to load")
        compiler.stages(self.cfg, chosen, 1)
        self.layers = chosen

    def run(self, x: Tensor | Codes | tuple[Tensor, Tensor], shift: Tensor | None = None
            ) -> LayerOutput:
        """Results of the last layer for inputs [..., K]: codes (q, e), or integer levels.

        shift: [...], each token's step as a power of two. Raises `CodeError` for illegal inputs,
        `CompileError`, and `AcceleratorError` when the machine reports an error.
        """
        return self._run(x, shift, False)[-1]

    def run_all(self, x: Tensor | Codes | tuple[Tensor, Tensor], shift: Tensor | None = None
                ) -> list[LayerOutput]:
        """As `run`, with the results of all layers: chained ones go to the host as well."""
        return self._run(x, shift, True)

    def run_jobs(self, jobs: Sequence[Job]) -> list[LayerOutput]:
        """Results of independent layers, each with its own inputs, executed as one program.

        Needs no `load`. Raises as `run`.
        """
        program = compile_jobs(self.cfg, jobs)
        done = self.backend.execute(program.packets, throttle=self.throttle)
        if done.error is not None:
            raise _error(program.packets, done)
        self.notes, self.executions, self.programs = [], [done], program.programs
        return [_output(values, torch.Size([len(job.q)]))
                for job, values in zip(jobs, program.read(self.cfg, done), strict=True)]

    def _run(self, x: Tensor | Codes | tuple[Tensor, Tensor], shift: Tensor | None,
             taps: bool) -> list[LayerOutput]:
        if not self.layers:
            raise ValueError("no layers: call load first")
        codes = self._codes(x)
        shape = codes.q.shape[:-1]
        q, e = (np.ascontiguousarray(part.reshape(-1, part.shape[-1]).numpy()) for part in codes)
        shifts = None if shift is None else np.asarray(shift, np.int64).reshape(-1)
        stages = compiler.stages(self.cfg, self.layers, len(q))
        self.notes = [note for stage in stages for note in stage.notes]
        self.executions, self.programs = [], []
        found: dict[int, Values] = {}
        for stage in stages:
            found |= self._stage(stage, q, e, shifts, taps)
            last = found[stage.last - 1]
            if last.q is not None and last.e is not None:
                q, e, shifts = last.q, last.e, None
        return [_output(found[number], shape) for number in sorted(found)]

    def _codes(self, x: Tensor | Codes | tuple[Tensor, Tensor]) -> Codes:
        """Inputs as checked codes."""
        if isinstance(x, Tensor):
            if x.is_floating_point():
                raise TypeError(f"inputs {x.dtype}: must be integer levels, or codes "
                                "(golden.codes.encode makes them)")
            codes = recode(x.to(torch.int64), self.cfg)
        else:
            codes = Codes(*(part.to(torch.int64) for part in x))
        check_codes(codes, self.cfg)
        return codes

    def _stage(self, stage: Stage, q: Ints, e: Ints, shift: Ints | None,
               taps: bool) -> dict[int, Values]:
        """Compile and execute a stage; with half as many tokens at a time while they overflow."""
        batch: int | None = None
        while True:
            program = compiler.compile_stage(self.cfg, self.layers, stage, q, e, shift,
                                             batch=batch, taps=taps, fetch=self.fetch)
            done = self.backend.execute(program.packets, throttle=self.throttle)
            if done.error is None:
                self.executions.append(done)
                self.programs.append(program)
                return program.read(self.cfg, done)
            if done.error[0] not in _TOO_MANY or program.batch == 1:
                raise _error(program.packets, done)
            batch = program.batch // 2

    # -- counters ------------------------------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """Counters of the last run, by name, all stages together; empty on the golden model."""
        total: dict[str, int] = {}
        for execution in self.executions:
            for name, count in execution.counters.items():
                total[name] = total.get(name, 0) + count
        return total

    def print_counters(self, console: Console | None = None) -> None:
        """Where the cycles of the last run went, as a table."""
        console = console or Console()
        counters = self.counters()
        if counters:
            console.print(counter_table(counters))
        else:
            console.print(f"{self.backend.name}: no counters")


def counter_table(counters: dict[str, int]) -> Table:
    """Every cycle's cause with its share, then what was counted beside the cycles."""
    table = Table("", "", "", "what it counts", box=None, show_header=False)
    for column in (1, 2):
        table.columns[column].justify = "right"
    cycles = max(1, counters["cycles"])
    table.add_row("[bold]cycles", f"[bold]{counters['cycles']:,}", "", "all of them")
    rows: Iterable[tuple[str, str]] = isa.CAUSES
    for name, doc in rows:
        table.add_row(name, f"{counters[name]:,}", f"{counters[name] / cycles:.1%}", doc)
    table.add_section()
    for name, doc in isa.EVENTS:
        table.add_row(name, f"{counters[name]:,}", "", doc)
    return table


def _backend(given: str | Backend, cfg: Config, port: str | None, baud: int | None) -> Backend:
    return backend(given, cfg, port, baud) if isinstance(given, str) else given


def _error(program: Sequence[Packet], done: Execution) -> AcceleratorError:
    assert done.error is not None
    code, number = done.error
    known = number < len(program)
    return AcceleratorError(code, number, str(program[number]) if known else "?",
                            done.error_count)


def _output(values: Values, shape: torch.Size) -> LayerOutput:
    def tensor(part: Ints) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(part)).reshape(*shape, part.shape[1])

    if values.v is not None:
        return LayerOutput(V=tensor(values.v))
    assert values.q is not None and values.e is not None
    return LayerOutput(codes=Codes(tensor(values.q), tensor(values.e)))
