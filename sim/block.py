"""A whole transformer block of SmolLM2 as one program: seven linear layers, two attention products.

True inputs and weights (`golden.realdata`, `golden.attention`). The linear layers fire, the
attention products leave raw sums. What lies between them in the model (softmax, norms, SiLU) is
the host's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from golden.attention import load_heads
from golden.codes import recode
from golden.fire import fire_closed
from golden.llama import ALIASES
from golden.realdata import load_named
from sim.accelerator import Accelerator
from sim.backends import Backend, Throttle
from sim.compiler import Layer
from sim.jobs import Job, Jobs
from sim.packets import Execution
from spinteger.config import Config

#: Layers of a block, in the order of the model, and which of them share their inputs.
INPUTS = {"q_proj": "norm", "k_proj": "norm", "v_proj": "norm", "o_proj": "context",
          "gate_proj": "norm 2", "up_proj": "norm 2", "down_proj": "hidden"}


@dataclass(frozen=True, eq=False)
class Block:
    """The jobs of a block, with names, in the order of the model."""

    names: list[str]
    jobs: list[Job]

    def dense_cycles(self, cfg: Config) -> int:
        """Cycles of a dense R x C multiply array on all of it."""
        return sum(len(job.q) * -(-job.layer.k // cfg.rows) * cfg.col_tiles(job.layer.n)
                   for job in self.jobs)

    @property
    def live(self) -> float:
        """Share of inputs that are spikes, weighted by the work that each does."""
        window = 7
        work = sum(job.q.size * job.layer.n for job in self.jobs)
        spikes = sum(int(((job.q != 0) & (job.e == 0) & (np.abs(job.q) <= window)).sum())
                     * job.layer.n for job in self.jobs)
        return spikes / work


def load_block(block: int, cfg: Config, tokens: int = 16, heads: Sequence[int] = range(9),
               outputs: int | None = None) -> Block:
    """Block `block` on the first `tokens` tokens; of each linear layer the first `outputs`.

    Errors as `golden.realdata.load_named`.
    """
    linear = {layer.name.rpartition(".")[2]: layer for layer in load_named(
        [f"blk.{block}.{kind}" for kind in ALIASES], cfg)}
    names, jobs = [], []

    def add(kind: str) -> None:
        layer = linear[kind]
        names.append(layer.name)
        jobs.append(Job(Layer(layer.w[:, :outputs], layer.theta[:outputs], name=layer.name),
                        layer.q[:tokens].astype(np.int64), layer.e[:tokens].astype(np.int64),
                        INPUTS[kind]))

    for kind in ("q_proj", "k_proj", "v_proj"):
        add(kind)
    for head in load_heads(block, heads, cfg):
        q, p = (np.asarray(part[:tokens], np.int64) for part in (head.q, head.p[:, :tokens]))
        e = head.e[:tokens].astype(np.int64)
        names += [f"{head.name}.scores", f"{head.name}.context"]
        jobs += [Job(Layer(head.k[:, :tokens], name=names[-2]), q, e, names[-2]),
                 Job(Layer(head.v[:tokens], name=names[-1]), p, np.zeros_like(p), names[-1])]
    for kind in ("o_proj", "gate_proj", "up_proj", "down_proj"):
        add(kind)
    return Block(names, jobs)


def wrong(cfg: Config, block: Block, program: Jobs, execution: Execution) -> dict[str, int]:
    """Values of each job that are not the golden model's, whatever passes it took."""
    found = {}
    for name, job, values in zip(block.names, block.jobs, program.read(cfg, execution),
                                 strict=True):
        V = torch.from_numpy((job.q << job.e) @ job.layer.w)
        if job.layer.theta is None:
            assert values.v is not None
            found[name] = int((values.v != V.numpy()).sum())
        else:
            assert values.q is not None and values.e is not None
            q, e = recode(fire_closed(V, torch.from_numpy(job.layer.theta), cfg.level_max,
                                      cfg.frac_bits), cfg)
            found[name] = int(((values.q != q.numpy()) | (values.e != e.numpy())).sum())
    return found


def run_block(cfg: Config, block: Block, backend: Backend,
              throttle: Throttle | None = None) -> tuple[Jobs, Execution]:
    """Compile the block as one program and execute it. Errors as `Accelerator.run`."""
    accelerator = Accelerator(cfg, backend, throttle=throttle)
    accelerator.run_jobs(block.jobs)
    return Jobs(accelerator.programs), accelerator.executions[0]
