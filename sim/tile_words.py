"""What leaves a run: fired levels, their codes for the next layer, and the output words.

Sums and levels are int64 [T, tiles * C], tokens one after another, tiles side by side.
"""

from functools import cache

import numpy as np
import torch

from golden.codes import recode
from golden.fire import fire_closed
from golden.trains import Ints
from hdl.payloads import OutKind, out_data_bits, out_layout
from spinteger.config import Config

RAW, SALIENT, SPIKE, END = (int(getattr(OutKind, name).value)
                            for name in ("RAW", "SALIENT", "SPIKE", "END"))


def fire(cfg: Config, sums: Ints, theta: Ints, spikes_only: bool, unsigned: bool,
         silence: int) -> Ints:
    """Signed levels of sums [T, N] against theta [N].

    As `golden.fire`, and beyond it what the hardware does: theta = 0 fires at M, and the sum
    that has no magnitude, -2^(acc_bits - 1), counts as 0.
    """
    limit = cfg.window if spikes_only else cfg.level_max
    mag = np.abs(sums) & (1 << cfg.acc_bits - 1) - 1
    level = fire_closed(torch.from_numpy(mag), torch.from_numpy(np.maximum(theta, 1)), limit,
                        cfg.frac_bits).numpy()
    level = np.where(theta == 0, limit, level)
    level[(level <= silence) | (unsigned & (sums < 0))] = 0
    return np.where(sums < 0, -level, level)


def recoded(cfg: Config, levels: Ints) -> tuple[Ints, Ints]:
    """Levels as input codes q, e, both like `levels`."""
    codes = recode(torch.from_numpy(levels), cfg)
    return codes.q.numpy(), codes.e.numpy()


def run_words(cfg: Config, values: Ints, raw: bool, complete: bool) -> list[int]:
    """All words of a run: of fired levels [T, tiles * C], or of sums if `raw`.

    Not `complete`: the run was abandoned after these tokens, and ends with one END word.
    """
    tokens = len(values)
    tiles = values.reshape(tokens, -1, cfg.cols).tolist()
    words: list[int] = []
    for token, of_token in enumerate(tiles):
        for tile, of_tile in enumerate(of_token):
            last = tile == len(of_token) - 1
            words += raw_words(cfg, of_tile) if raw else fired_words(cfg, of_tile)
            words.append(word(cfg, END, last=last,
                              run_end=last and complete and token == tokens - 1))
    if not complete:
        words.append(word(cfg, END, last=True, run_end=True))
    return words


def raw_words(cfg: Config, sums: list[int]) -> list[int]:
    """One tile's sums [C], one word each."""
    mask = (1 << out_data_bits(cfg)) - 1
    return [word(cfg, RAW, value & mask, column) for column, value in enumerate(sums)]


def fired_words(cfg: Config, levels: list[int]) -> list[int]:
    """One tile's fired levels [C]: salients in the firing order's order, then spikes in time."""
    salient = [column for column, level in enumerate(levels) if abs(level) > cfg.window]
    if cfg.fire == "staircase":
        salient.sort(key=lambda column: -abs(levels[column]))
    words = []
    if salient:
        q, e = recoded(cfg, np.array([levels[column] for column in salient], np.int64))
        mask = (1 << cfg.sal_bits) - 1
        words = [word(cfg, SALIENT, q_ & mask | e_ << cfg.sal_bits, column)
                 for column, q_, e_ in zip(salient, q.tolist(), e.tolist(), strict=True)]
    for level in range(cfg.window, 0, -1):
        fires = sum(1 << n for n, value in enumerate(levels) if abs(value) == level)
        negative = sum(1 << n for n, value in enumerate(levels) if value == -level)
        if fires:
            words.append(word(cfg, SPIKE, fires | negative << cfg.cols, step=cfg.window - level))
    return words


def word(cfg: Config, kind: int, payload: int = 0, column: int = 0, step: int = 0,
         last: bool = False, run_end: bool = False) -> int:
    """One output word."""
    place = _offsets(cfg)
    return (payload << place["data"] | column << place["column"] | step << place["step"]
            | kind << place["kind"] | int(last) << place["last"]
            | int(run_end) << place["run_end"])


@cache
def _offsets(cfg: Config) -> dict[str, int]:
    """Bit offset of every field of an output word."""
    return {name: field.offset for name, field in out_layout(cfg)}
