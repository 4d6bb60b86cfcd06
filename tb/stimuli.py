"""Tokens and weights: at random, and as no random draw would make them."""

import numpy as np

from sim.words import Ints
from spinteger.config import Config
from tb.bench import Bench


def random_codes(bench: Bench, tokens: int, k: int, salient: float = 0.1) -> tuple[Ints, Ints]:
    """Tokens q, e [tokens, k]: spikes of all levels, silence, and a share of salient values."""
    cfg, gen = bench.cfg, bench.numpy()
    low = -1 if cfg.signed else 0
    q = gen.integers(low * cfg.window, cfg.window + 1, (tokens, k))
    q[gen.random(q.shape) < gen.random()] = 0
    e = np.zeros_like(q)
    is_salient = gen.random(q.shape) < salient
    q[is_salient] = gen.integers(low * cfg.sal_max, cfg.sal_max + 1, is_salient.sum())
    e[is_salient] = gen.integers(0, cfg.exp_max + 1, is_salient.sum())
    e[q == 0] = 0
    return q, e


def random_wgt(bench: Bench, k: int, n: int) -> Ints:
    """Weight codes [k, n] over the hardware's whole range, -8 included."""
    return bench.numpy().integers(-bench.cfg.wgt_max, bench.cfg.wgt_max, (k, n))


def extreme_codes(cfg: Config, k: int) -> tuple[Ints, Ints]:
    """Tokens q, e [T, k] at the edges of the format; use `random_codes` for what lies between."""
    lane_0 = np.array([0 in cfg.home_lanes(index) for index in range(k)])
    levels = np.arange(k) % (cfg.window + 1)
    tokens: list[tuple[Ints | int, int]] = [
        (0, 0),                                           # all silent
        (cfg.sal_max, cfg.exp_max),                       # all salient, the largest
        (cfg.window, 0),                                  # all at the maximum level
        (1, 0),                                           # all at the minimum level
        (levels, 0),                                      # every level, and silence
        (lane_0 * (1 + np.arange(k) // cfg.groups % cfg.window), 0),  # lane 0 may take all events
        (lane_0 * cfg.sal_max, cfg.exp_max),              # ... and salients
        ((np.arange(k) % cfg.groups == 0) * cfg.window, 0),           # one group has all events
        ((np.arange(k) == 0) * 1, 0),                     # a single event, the last step
        ((np.arange(k) == k - 1) * cfg.window, 0),        # a single event, the first step
        ((np.arange(k) == k - 1) * cfg.sal_max, 0),       # a single salient, a plain integer
        (np.where(np.arange(k) % 2, cfg.window, 1), 0),   # the two ends, dt as long as it gets
        (0, 0),
    ]
    if cfg.window < cfg.sal_max:
        tokens.append((cfg.window + 1, 0))                # all salient, the smallest
    if cfg.signed:
        tokens += [(-cfg.window, 0), (-cfg.sal_max, cfg.exp_max),
                   (levels * np.where(np.arange(k) % 2, -1, 1), 0)]
    q = np.stack([np.broadcast_to(np.asarray(value, np.int64), k) for value, _ in tokens])
    e = np.where(q != 0, np.array([exponent for _, exponent in tokens])[:, None], 0)
    return q, e
