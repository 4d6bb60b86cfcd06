"""Random layers and tokens, and what the golden model makes of them."""

from collections.abc import Sequence

import numpy as np
import torch

from golden.codes import Codes, recode, value
from golden.fire import fire_closed
from sim.plan import Group, Layer
from spinteger.config import Config


def tokens(cfg: Config, count: int, k: int, seed: int = 0, silent: float = 0.2) -> Codes:
    """Codes [count, k], bell-shaped: mostly spikes, some silent, some salient."""
    gen = np.random.default_rng(seed)
    level = np.round(gen.normal(0, cfg.window, (count, k))).astype(np.int64)
    level[gen.random((count, k)) < silent] = 0
    return recode(torch.from_numpy(level if cfg.signed else np.abs(level)), cfg)


def layer(cfg: Config, k: int, n: int, seed: int = 0, group: int = 0, **options) -> Layer:
    """A random layer that fires levels about as large as its inputs. `group`: inputs per scale."""
    gen = np.random.default_rng(seed)
    w = gen.integers(-cfg.wgt_max + 1, cfg.wgt_max, (k, n))
    groups = [Group(first, min(first + group, k), gen.integers(1, 6, n), gen.integers(0, 3, n))
              for first in range(0, k, group)] if group else []
    spread = max(1, round(4 * k**0.5 * (8 if group else 1)))
    theta = gen.integers(spread << cfg.frac_bits, 2 * spread << cfg.frac_bits, n)
    theta = np.minimum(theta, (1 << cfg.theta_bits) - 1)
    return Layer(w, theta, groups, **{"name": f"layer{seed}", **options})


def sums(of: Layer, x: torch.Tensor, shift: Sequence[int] | None = None) -> torch.Tensor:
    """V [T, N] of levels x [T, K], scaled by group and token."""
    parts = of.groups or [None]
    w = torch.from_numpy(of.w)
    total = torch.zeros(len(x), of.n, dtype=torch.int64)
    for part in parts:
        at = slice(None) if part is None else slice(part.start, part.stop)
        v = x[:, at] @ w[at]
        total += v if part is None else (v * torch.from_numpy(part.mul)
                                         << torch.from_numpy(part.shift))
    return total if shift is None else total << torch.tensor(shift)[:, None]


def expected(cfg: Config, layers: Sequence[Layer], codes: Codes,
             shift: Sequence[int] | None = None) -> list[torch.Tensor | Codes]:
    """V or fired codes of every layer in turn."""
    found: list[torch.Tensor | Codes] = []
    for one in layers:
        v = sums(one, value(codes), shift)
        shift = None
        if not one.fires:
            found.append(v)
            continue
        levels = fire_closed(v, torch.from_numpy(one.theta),
                             cfg.window if one.spikes_only else cfg.level_max, cfg.frac_bits,
                             one.unsigned, one.silence)
        codes = recode(levels, cfg)
        found.append(codes)
    return found


__all__ = ["expected", "layer", "sums", "tokens"]
