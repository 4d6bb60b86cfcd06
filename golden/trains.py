"""Spike trains: what the encoder and the recorder make of a token, word for word.

Three rules decide everything, and all are the machine's (`spinteger.config.Config.home_lanes`):

* A spike goes to the one of its home lanes that has the fewest events of its level so far in this
  token, of equals to the lowest block's. The G inputs of one row decide together, from the counts
  before the row; their home lanes are disjoint, so their order would not matter.
* Levels leave downwards, one event per lane and cycle, within a level the last one stored first. A
  level lasts as long as its fullest lane.
* Salient inputs keep their order of arrival. With several homes they are dealt out to the integer
  lanes in turn, from lane 0 in every token; with one home they go where their weights are.

Choosing the shorter of several queues is the balls-into-bins result of Azar et al. (Balanced
Allocations, 1994), the position of the homes an affine plane; both uses here are this project's.

Codes are [T, K] throughout (leading dimensions are flattened into T, a single token is T = 1).
Everything raises `CodeError` for illegal codes. Numbers are int64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.codes import Codes, check_codes
from spinteger.config import Config

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class ListEntry(NamedTuple):
    """One salient input in the list of an integer lane: q * 2^e, and where its weight row is."""

    q: int      #: signed
    e: int
    row: int    #: k // G
    bank: int   #: which of the integer lane's `cfg.group` banks


@dataclass(frozen=True, eq=False)
class Train:
    """One token as it is stored: W train words, and one salient list per integer lane."""

    valid: Bools        #: [W, R] an event in this word and lane
    row: Ints           #: [W, R] its weight row, 0 without one
    neg: Bools          #: [W, R] its sign, False without one
    snap: Bools         #: [W] the word completes a level
    dt: Ints            #: [W] with `snap`: time steps until the next level that occurs, or the end
    end: Bools          #: [W] the last word
    lists: list[list[ListEntry]]    #: [int_lanes]
    levels: int         #: bit l - 1: level l occurs

    @property
    def length(self) -> int:
        """Train words, W."""
        return len(self.snap)

    @property
    def list_length(self) -> int:
        """Places that the lists take: the longest one's length."""
        return max(len(entries) for entries in self.lists)


def home_table(cfg: Config) -> Ints:
    """Home lanes by pattern, group and block: int64 [patterns, G, homes]."""
    return np.array([[cfg.home_lanes(pattern * cfg.groups + group) for group in range(cfg.groups)]
                     for pattern in range(cfg.patterns)], np.int64)


def place(levels: Ints, cfg: Config) -> tuple[Ints, Ints]:
    """Choose a home lane for every spike, as `balance`, among the lanes of `cfg`."""
    return balance(levels, home_table(cfg), cfg.window)


def balance(levels: Ints, table: Ints, window: int) -> tuple[Ints, Ints]:
    """Choose a lane for every spike: the one with the fewest events of its level, of equals the
    first.

    levels: int64 [T, K], 1..L where an input spikes, else 0. table: int64 [P, G, H], the lanes that
    group g's input of a row may go to, row r by pattern r mod P; no lane twice in a pattern.
    Returns lanes [T, rows * G] (of a silent input: meaningless) and counts [T, R, L + 1], events
    by lane and level.

    No lane gets more than ceil(rows / H) events of one level if home j is always in block j: a
    lane's m-th comes after the m-th in the blocks below and the (m - 1)-th in those above, each
    from an earlier row, so not before row H * (m - 1).
    """
    tokens, inputs = levels.shape
    patterns, groups, _ = table.shape
    rows, lanes = -(-inputs // groups), int(table.max()) + 1
    padded = np.zeros((tokens, rows, groups), np.int64)
    padded.reshape(tokens, -1)[:, :inputs] = levels
    chosen = np.zeros_like(padded)
    counts = np.zeros((tokens, lanes, window + 1), np.int64)
    token = np.arange(tokens)[:, None]
    for row in range(rows):
        homes, level = table[row % patterns], padded[:, row]
        fill = counts[token[:, :, None], homes, level[:, :, None]]
        lane = homes[np.arange(groups), fill.argmin(axis=2)]    # argmin: the first of equals
        chosen[:, row] = lane
        counts[token, lane, level] += 1      # no lane twice in a row: their homes are disjoint
    counts[:, :, 0] = 0
    return chosen.reshape(tokens, -1), counts


def classify(q: Ints, e: Ints, cfg: Config) -> tuple[Ints, Bools]:
    """What the encoder takes every code for: spike levels (else 0) and salients, both [T, K].

    As `golden.codes.is_spike` and `is_salient` on legal codes; on others as the machine does: in
    an unsigned build a negative code stays an integer.
    """
    spike = (q != 0) & (e == 0) & (np.abs(q) <= cfg.window)
    if not cfg.signed:
        spike &= q > 0
    return np.where(spike, np.abs(q), 0), (q != 0) & ~spike


def lengths(levels: Ints, salient: Bools, cfg: Config) -> tuple[Ints, Ints]:
    """Train words and list places of each token, both [T], of what `classify` returns."""
    train = place(levels, cfg)[1].max(axis=1).sum(axis=1)
    if cfg.homes > 1:
        lists = -(-salient.sum(axis=1) // cfg.int_lanes)
    else:
        lane = np.arange(salient.shape[1]) % cfg.rows // cfg.group
        lists = np.stack([salient[:, lane == n].sum(axis=1)
                          for n in range(cfg.int_lanes)]).max(axis=0)
    return np.maximum(train, 1), lists


def fitting(train: Ints, lists: Ints, cfg: Config) -> int:
    """Leading tokens that fit an activation buffer, from their `lengths`. See `capacity`."""
    fits = (np.cumsum(train) <= cfg.train_depth) & (np.cumsum(lists) <= cfg.list_depth)
    return int(np.logical_and.accumulate(fits).sum())


def counts(codes: Codes, cfg: Config) -> Ints:
    """Events of each lane and level, int64 [T, R, L + 1]; level 0, silence, is always 0."""
    return place(classify(*_arrays(codes, cfg), cfg)[0], cfg)[1]


def train_length(codes: Codes, cfg: Config) -> Ints:
    """Train words of each token, int64 [T]: every level lasts as long as its fullest lane, and a
    token without spikes takes one word."""
    return lengths(*classify(*_arrays(codes, cfg), cfg), cfg)[0]


def list_length(codes: Codes, cfg: Config) -> Ints:
    """Places that the salient lists of each token take, int64 [T]: the longest list."""
    return lengths(*classify(*_arrays(codes, cfg), cfg), cfg)[1]


def capacity(codes: Codes, cfg: Config) -> int:
    """Leading tokens that fit an activation buffer.

    Trains lie one after another from place 0, and so do the lists (a token's lists all start at
    one place, the next token's after the longest). Token t fits when its train ends at or before
    `train_depth` and its lists at or before `list_depth`. The first that does not makes the
    buffer bad: it and all after it are lost.
    """
    return fitting(*lengths(*classify(*_arrays(codes, cfg), cfg), cfg), cfg)


def trains(codes: Codes, cfg: Config) -> list[Train]:
    """Every token in full detail, word for word. Slow: for tests."""
    q, e = _arrays(codes, cfg)
    levels, salient = classify(q, e, cfg)
    lanes, filled = place(levels, cfg)
    return [_train(levels[t], lanes[t], filled[t], q[t], cfg,
                   _lists(q[t], e[t], salient[t].nonzero()[0].tolist(), cfg))
            for t in range(len(levels))]


def _train(levels: Ints, lanes: Ints, filled: Ints, q: Ints, cfg: Config,
           lists: list[list[ListEntry]]) -> Train:
    """One token: levels [K], its chosen lanes [rows * G], counts [R, L + 1], q [K]."""
    fullest = filled.max(axis=0)
    words = max(1, int(fullest.sum()))
    train = Train(np.zeros((words, cfg.rows), bool), np.zeros((words, cfg.rows), np.int64),
                  np.zeros((words, cfg.rows), bool), np.zeros(words, bool),
                  np.zeros(words, np.int64), np.zeros(words, bool), lists,
                  sum(1 << level - 1 for level in range(1, cfg.window + 1) if fullest[level]))
    first = 0
    occurring = [level for level in range(cfg.window, 0, -1) if fullest[level]]
    for level, below in zip(occurring, [*occurring[1:], 0], strict=False):
        for lane in range(cfg.rows):
            stack = [k for k in (levels == level).nonzero()[0].tolist() if lanes[k] == lane]
            for word, k in enumerate(reversed(stack), first):
                train.valid[word, lane] = True
                train.row[word, lane] = k // cfg.groups
                train.neg[word, lane] = q[k] < 0
        first += int(fullest[level])
        train.snap[first - 1], train.dt[first - 1] = True, level - below
    train.snap[-1] = train.end[-1] = True        # also the one word of a token without spikes
    return train


def _lists(q: Ints, e: Ints, inputs: list[int], cfg: Config) -> list[list[ListEntry]]:
    """Deal the salient `inputs` of one token, in order of arrival, out to the integer lanes."""
    lists: list[list[ListEntry]] = [[] for _ in range(cfg.int_lanes)]
    for arrival, k in enumerate(inputs):
        row, group = divmod(k, cfg.groups)
        if cfg.homes > 1:
            lane = arrival % cfg.int_lanes
            bank = group ^ cfg.home_position(row % cfg.patterns, lane)
        else:
            lane, bank = divmod(group, cfg.group)
        lists[lane].append(ListEntry(int(q[k]), int(e[k]), row, bank))
    return lists


def _arrays(codes: Codes, cfg: Config) -> tuple[Ints, Ints]:
    """q and e as int64 arrays [T, K], checked."""
    check_codes(codes, cfg)
    inputs = codes.q.shape[-1]
    return codes.q.reshape(-1, inputs).numpy(), codes.e.reshape(-1, inputs).numpy()
