"""Tokens that no random draw would make: silence, saturation, one lane with everything."""

import numpy as np

from sim.words import Ints
from spinteger.config import Config


def extreme_codes(cfg: Config, k: int) -> tuple[Ints, Ints]:
    """Tokens q, e [T, k] at the edges of the format; use `random_codes` for what lies between."""
    lane_0 = np.arange(k) % cfg.rows == 0
    levels = np.arange(k) % (cfg.window + 1)
    tokens: list[tuple[Ints | int, int]] = [
        (0, 0),                                           # all silent
        (cfg.sal_max, cfg.exp_max),                       # all salient, the largest
        (cfg.window, 0),                                  # all at the maximum level
        (1, 0),                                           # all at the minimum level
        (levels, 0),                                      # every level, and silence
        (lane_0 * (1 + np.arange(k) // cfg.rows % cfg.window), 0),    # lane 0 has all events
        (lane_0 * cfg.sal_max, cfg.exp_max),              # ... and all salients
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
