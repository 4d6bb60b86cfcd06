"""What the IF bank must put out for its runs, by the golden model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from golden.accumulate import scaled_sum
from golden.codes import Codes, is_salient, is_spike, recode
from golden.fire import fire_closed
from hdl.payloads import OutKind, out_layout
from sim import words
from sim.words import Ints
from spinteger.config import Config

#: mypy takes the members of an Amaranth enum for plain integers.
KIND: Any = OutKind


@dataclass
class Run:
    """One run's V [tokens, tiles, C], and its settings, named as in `settings_layout`.

    A dropped one ends after these tokens. `shifts` [tokens] are the tokens' shifts.
    """

    v: Ints
    index: int = 0
    raw: bool = False
    unsigned: bool = False
    spikes_only: bool = False
    silence: int = 0
    scale: bool = False
    acc_first: bool = True
    acc_last: bool = True
    host: bool = True
    chain: bool = False
    chain_buf: int = 0
    chain_last: bool = True
    shifts: list[int] = field(default_factory=list)
    dropped: bool = False


@dataclass
class Act:
    """One word to the encoder: codes (q, e) in order; none on a failed one."""

    codes: list[tuple[int, int]]
    last: bool
    fail: bool
    buf: int


@dataclass
class Result:
    """What comes of a run."""

    tiles: list[words.Tile] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    dropped: bool = False
    overflow: bool = False


class Golden:
    """The IF bank's state: thresholds and scales [slots * tiles, C], kept sums, a chained row."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        shape = cfg.slots * cfg.tiles, cfg.cols
        self.theta, self.mul, self.shift = (np.ones(shape, np.int64) for _ in range(3))
        self.kept = torch.zeros(max(1, cfg.acc_depth), dtype=torch.int64)
        self.row: list[tuple[int, int]] = []

    def run(self, run: Run) -> Result:
        """The next run."""
        cfg, result = self.cfg, Result(dropped=run.dropped)
        position = 0
        for token, tiles in enumerate(run.v):
            for tile, v in enumerate(tiles):
                place, last = run.index + tile, tile == len(tiles) - 1
                mine = slice(position, position + cfg.cols)
                a, over = scaled_sum(
                    torch.tensor(v), cfg,
                    mul=torch.tensor(self.mul[place]) if run.scale else None,
                    shift=torch.tensor(self.shift[place]) if run.scale else None,
                    token_shift=torch.tensor(run.shifts[token]) if run.shifts else None,
                    kept=None if run.acc_first else self.kept[mine])
                position += cfg.cols
                result.overflow |= bool(over.any())
                if run.acc_last:
                    self._leave(run, result, a, self.theta[place], last)
                else:
                    self.kept[mine] = a
        if run.dropped and run.host:
            result.tiles.append(words.Tile({}, {}, [], True))
        if run.dropped and run.chain:
            result.acts.append(Act([], True, True, run.chain_buf))
            self.row = []
        return result

    def _leave(self, run: Run, result: Result, a: torch.Tensor, theta: Ints, last: bool) -> None:
        cfg = self.cfg
        if run.raw:
            result.tiles.append(words.Tile(dict(enumerate(a.tolist())), {}, [], last))
            return
        a = torch.where(a == -1 << cfg.acc_bits - 1, 0, a)      # has no magnitude
        levels = fire_closed(a, torch.tensor(theta),
                             cfg.window if run.spikes_only else cfg.level_max, cfg.frac_bits,
                             run.unsigned, run.silence)
        codes = recode(levels, cfg)
        if run.host:
            result.tiles.append(_fired_tile(cfg, codes, last))
        if run.chain:
            self.row += zip(codes.q.tolist(), codes.e.tolist(), strict=True)
            self.row += [(0, 0)] * (-len(self.row) % cfg.groups if last and run.chain_last else 0)
            while len(self.row) >= cfg.groups:
                result.acts.append(Act(self.row[:cfg.groups], False, False, run.chain_buf))
                self.row = self.row[cfg.groups:]
            if last and run.chain_last:
                result.acts[-1].last = True


def _fired_tile(cfg: Config, codes: Codes, last: bool) -> words.Tile:
    q, e = codes.q.tolist(), codes.e.tolist()
    salients = {n: (q[n], e[n]) for n in is_salient(codes, cfg).nonzero().flatten().tolist()}
    spikes = [(cfg.window - abs(q[n]), n, 1 if q[n] > 0 else -1)
              for n in is_spike(codes, cfg).nonzero().flatten().tolist()]
    return words.Tile({}, salients, sorted(spikes), last)


def v_max(cfg: Config) -> int:
    """The largest |V| that any token can make: every input salient, q = -128, w = -8."""
    return max(cfg.window, 1 << (cfg.sal_bits - 1 + cfg.exp_max)) * (
        cfg.groups * cfg.rows_k * cfg.wgt_max)


def check_order(cfg: Config, received: list[int]) -> None:
    """Within a tile: salients, then spikes with at most one word per step, then END."""
    kinds = words.unpack(out_layout(cfg), "kind", received).tolist()
    steps = words.unpack(out_layout(cfg), "step", received).tolist()
    spike, end = KIND.SPIKE.value, KIND.END.value
    before = (0, 0)
    for index, (kind, step) in enumerate(zip(kinds, steps, strict=True)):
        now = (kind, step if kind == spike else 0)
        assert now >= before and (kind != spike or now > before), (
            f"word {index}: kind and step {now} after {before}")
        before = (0, 0) if kind == end else now
