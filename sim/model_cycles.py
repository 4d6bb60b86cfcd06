"""Cycles of a language model's layers on a machine, by the cycle model: no simulation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from golden.codes import recode
from golden.hybrid_linear import HybridLinear
from sim.estimate import estimate
from sim.jobs import Job, compile_jobs
from sim.plan import Layer
from spinteger.config import Config


def layer_cycles(level: Tensor, layer: HybridLinear, cfg: Config) -> int:
    """Cycles of a layer alone, loads and all, sums out: level int64 [T, K].

    Raises `CompileError` where it does not fit the machine.
    """
    jobs = []
    codes = layer.grid.codes
    if layer.grid.offset is not None:       # the column that sums the acts
        codes = torch.cat([codes, torch.ones(len(codes), 1, dtype=torch.int8)], 1)
    size = layer.grid.group
    for number, (part, wgt) in enumerate(zip(level.split(size, 1), codes.split(size),
                                             strict=True)):
        q, e = recode(part.to(torch.int64), cfg)
        jobs.append(Job(Layer(wgt, name=layer.name), q.numpy(), e.numpy(), f"{number}"))
    return estimate(compile_jobs(cfg, jobs).packets, cfg).cycles


def model_cycles(model: torch.nn.Module, levels: Mapping[str, Tensor],
                 cfg: Config) -> tuple[float, float]:
    """(cycles, a dense array's cycles) per token of all converted linear layers.

    levels: int64 [T, K] for every layer. Of layers that are alike, by the last part of their name
    and their shape, the middle one stands for all. Dense: one MAC per PE and cycle.
    """
    alike: dict[tuple[str, int, int, int, bool], list[HybridLinear]] = {}
    for name, module in model.named_modules():
        if isinstance(module, HybridLinear):
            key = (name.rpartition(".")[2], module.in_features, module.out_features,
                   module.grid.groups, module.grid.offset is None)
            alike.setdefault(key, []).append(module)
    total = dense = 0.0
    for (_, k, n, *_), layers in alike.items():
        chosen = layers[len(layers) // 2]
        level = levels[chosen.name]
        total += len(layers) * layer_cycles(level, chosen, cfg) / len(level)
        dense += len(layers) * -(-k // cfg.rows) * -(-n // cfg.cols)
    return total, dense
