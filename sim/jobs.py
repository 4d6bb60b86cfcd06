"""Several independent layers in one program: a whole transformer block, its loads overlapped.

Each job is layers with their own inputs; its codes are known to the host. Slots and buffers are
shared by all jobs, so that the next tokens and first weights load under the current runs, and
jobs that read the same inputs one after another (q, k and v) encode them once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim import compiler
from sim.compiler import CompileError, Layer, Program
from sim.packets import Execution, Packet
from sim.packing import Ints
from sim.places import Places
from sim.results import Values
from spinteger.config import Config


@dataclass(frozen=True, eq=False)
class Job:
    """One layer and its inputs, codes q, e [T, K]; equal names of `inputs` mean equal codes."""

    layer: Layer
    q: Ints
    e: Ints
    inputs: str


@dataclass
class Jobs:
    """A program of several jobs."""

    programs: list[Program]

    @property
    def packets(self) -> list[Packet]:
        """All packets, in order."""
        return [packet for program in self.programs for packet in program.packets]

    def read(self, cfg: Config, execution: Execution) -> list[Values]:
        """The results of every job. Raises `WordError` when they are not all there."""
        found, at = [], 0
        for program in self.programs:
            mine = execution.packets[at:at + len(program.outputs)]
            at += len(program.outputs)
            found.append(program.read(cfg, Execution(mine))[0])
        return found


def compile_jobs(cfg: Config, jobs: Sequence[Job], batch: int | None = None) -> Jobs:
    """Packets that run all jobs, one after another, as one program.

    batch: at most so many tokens at a time. Raises `CompileError` naming the layer.
    """
    slots, bufs = Places(cfg.slots), Places(2)
    programs = []
    for number, job in enumerate(jobs):
        stages = compiler.stages(cfg, [job.layer], len(job.q))
        programs.append(compiler.compile_stage(
            cfg, [job.layer], stages[0], np.ascontiguousarray(job.q), job.e, batch=batch,
            places=(slots, bufs), keys=(number, job.inputs)))
    return Jobs(programs)


__all__ = ["CompileError", "Job", "Jobs", "compile_jobs"]
