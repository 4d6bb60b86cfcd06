"""Cycles of a language model's products on a machine, by the cycle model: no simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from golden.codes import recode
from golden.hybrid_linear import HybridLinear, Product
from sim.estimate import estimate
from sim.jobs import Job, compile_jobs
from sim.plan import Layer
from spinteger.config import Config


def product_cycles(products: Sequence[Product], cfg: Config, name: str = "") -> int:
    """Cycles of products in one program, loads and all, sums out: levels [T, K], codes [K, N].

    Raises `CompileError` where one does not fit the machine.
    """
    jobs = []
    for number, (level, codes) in enumerate(products):
        q, e = recode(level.to(torch.int64), cfg)
        jobs.append(Job(Layer(codes, name=name), q.numpy(), e.numpy(), f"{number}"))
    return estimate(compile_jobs(cfg, jobs).packets, cfg).cycles


def layer_cycles(level: Tensor, layer: HybridLinear, cfg: Config) -> int:
    """Cycles of a layer alone: level int64 [T, K]. Raises as `product_cycles`."""
    return product_cycles(layer.passes(level), cfg, layer.name)


@dataclass(frozen=True)
class CycleModel:
    """A machine; its window is each recipe's own. Methods raise `CompileError`."""

    cfg: Config

    def layers(self, model: nn.Module, levels: Mapping[str, Tensor],
               window: int) -> tuple[float, float]:
        """(cycles, a dense array's cycles) per token of all converted linear layers.

        levels: int64 [T, K] of every layer that counts. Of layers that are alike, by the last part
        of their name and their shape, the middle one stands for all. Dense: one MAC per PE and
        cycle.
        """
        cfg = self.cfg.with_(window=window)
        alike: dict[tuple[str, int, int, int, bool], list[HybridLinear]] = {}
        for name, module in model.named_modules():
            if isinstance(module, HybridLinear) and name in levels:
                key = (name.rpartition(".")[2], module.in_features, module.out_features,
                       module.grid.groups, module.grid.offset is None)
                alike.setdefault(key, []).append(module)
        total = dense = 0.0
        for (_, k, n, *_), layers in alike.items():
            chosen = layers[len(layers) // 2]
            level = levels[chosen.name]
            total += len(layers) * layer_cycles(level, chosen, cfg) / len(level)
            dense += len(layers) * self._dense(k, n)
        return total, dense

    def products(self, products: Sequence[Product], window: int) -> tuple[float, float]:
        """The same of products in one program, all of the same tokens."""
        cycles = product_cycles(products, self.cfg.with_(window=window), "attention")
        return (cycles / len(products[0][0]),
                sum(self._dense(*codes.shape) for _, codes in products))

    def _dense(self, k: int, n: int) -> int:
        return -(-k // self.cfg.rows) * -(-n // self.cfg.cols)
