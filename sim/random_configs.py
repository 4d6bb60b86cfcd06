"""Random small machines: every parameter off its default now and then, buffers that overflow."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinteger.config import Config, ConfigError

#: Staircases are as long as the levels they count: not for a simulation of many.
LEVELS = 600


def random_config(rng: np.random.Generator) -> Config:
    """A machine of at most 16 lanes and 13 columns."""
    while True:
        try:
            cfg = _draw(rng)
        except ConfigError:                 # parts that do not go together: once more
            continue
        if cfg.fire == "sar" or cfg.level_max <= LEVELS:
            return cfg


def _draw(rng: np.random.Generator) -> Config:
    def one(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    homes = one(1, 1, 2, 4, 8)
    rows = one(1, 2, 3, 5, 6, 7) if homes == 1 else min(16, homes * one(1, 2, 4))
    int_lanes = int(rng.integers(1, homes + 1)) if homes > 1 else one(
        *(lanes for lanes in range(1, rows + 1) if rows % lanes == 0))
    cfg = Config(
        rows=rows, cols=int(rng.integers(1, 14)), homes=homes, int_lanes=int_lanes,
        k=int(rng.integers(1, 70)), wgt_bits=one(2, 3, 4, 4, 5, 8), window=one(1, 3, 7, 7, 15),
        signed=one(True, True, True, False), sal_bits=one(5, 6, 8, 8, 10, 12),
        exp_max=one(0, 1, 2, 3, 5, 7, 15), depth=0, slots=one(1, 2, 2, 3, 5),
        tiles=one(1, 2, 3, 5, 8), tokens=one(1, 2, 5, 8, 16), acc_depth=0,
        scale_bits=one(0, 1, 4, 8, 12), frac_bits=one(0, 4, 8, 16),
        theta_bits=one(4, 9, 16, 20, 32), fire=one("sar", "sar", "staircase"),
        bus_bits=one(32, 64, 64, 128, 256))
    # Room for the longest token, or a few.
    room = one(1, 1.5, 3)
    return cfg.with_(train_depth=int(cfg.train_worst * room) + int(rng.integers(3)),
                     list_depth=int(cfg.list_worst * room) + int(rng.integers(3)),
                     acc_depth=one(0, 1, 2, 4, 12) * cfg.cols, tree_step=one(1, 1, 2, 3, 4))
