"""What tokens and tiles cost by themselves, in cycles unless said otherwise: for `sim.estimate`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from golden.trains import Bools, Ints, classify, lengths, place
from hdl.balancer import row_cycles
from sim.refusals import Buffer
from spinteger.config import Config


class Token(NamedTuple):
    """An encoded token."""

    words: int      #: of its train
    levels: int     #: that occur, at least 1
    events: int     #: its spikes
    first: int      #: until its highest level is complete
    rest: int       #: from then until its lowest one is
    tail: int       #: time steps for which V adds S after that
    top: int        #: its highest level: so often does V add S
    products: int   #: words of products that V adds: its longest salient list, at least 1
    encode: int     #: of the encoder


class Tile(NamedTuple):
    """A tile on its way out."""

    salients: int   #: words of salient columns
    steps: int      #: words of time steps
    collect: int    #: to take the columns' levels while their salient words leave
    held: int       #: ... of this, from the first salient column on
    fire: int       #: of a staircase, from its last column in to END


def encoding(cfg: Config, salient: Bools, apart: int = 1) -> Ints:
    """What the encoder takes for each token [T], by its salient inputs [T, K].

    Rows of codes come at least `apart` cycles apart.
    """
    rows = salient.reshape(len(salient), -1, cfg.groups).sum(axis=2)
    return np.maximum(max(apart, row_cycles(cfg)), rows).sum(axis=1)


def tokens_of(cfg: Config, buf: Buffer, apart: int) -> list[Token]:
    """The tokens of a buffer; rows of codes come at least `apart` cycles apart."""
    if not len(buf.q):
        return []
    levels, salient = classify(buf.q, buf.e, cfg)
    fullest = place(levels, cfg)[1].max(axis=1)
    words, lists = lengths(levels, salient, cfg)
    encode = encoding(cfg, salient, apart)
    events = (levels > 0).sum(axis=1)
    out = []
    for t, counts in enumerate(fullest.tolist()):
        occurring = [level for level in range(cfg.window, 0, -1) if counts[level]]
        rest = sum(max(counts[level], above - level)
                   for above, level in zip(occurring, occurring[1:], strict=False))
        top, tail = (occurring[0], occurring[-1]) if occurring else (0, 0)
        out.append(Token(int(words[t]), max(1, len(occurring)), int(events[t]),
                         counts[top] if top else 1, rest, tail, top, max(1, int(lists[t])),
                         int(encode[t])))
    return out


def tiles_of(cfg: Config, run: dict[str, int], levels: Ints | None, sums: Ints, tokens: int,
             word_cycles: int) -> list[Tile]:
    """The tiles of a run, token by token, of its sums and `levels` [tokens, tiles * C], None if it
    does not fire. A word leaves every `word_cycles`."""
    if levels is None:
        return [Tile(0, 0, 0, 0, 0)] * (tokens * run["tiles"])
    mag = np.abs(levels).reshape(-1, cfg.cols)
    salient = mag > cfg.window
    salients = salient.sum(axis=1)
    steps = sum((mag == level).any(axis=1).astype(np.int64)
                for level in range(1, cfg.window + 1))
    now, first = np.zeros((2, len(mag)), np.int64)
    word = np.full(len(mag), -word_cycles)
    for column in range(cfg.cols):                      # one per cycle, if its word can leave
        leaves, now = salient[:, column], now + 1
        now = np.where(leaves, np.maximum(now, word + word_cycles), now)
        first = np.where(leaves & (first == 0), now, first)
        word = np.where(leaves, now, word)
    # A staircase goes down until all columns have fired that may, or to the silence level.
    top = cfg.window if run["spikes_only"] else cfg.level_max
    may = sums.reshape(-1, cfg.cols) >= (0 if run["unsigned"] else sums.min(initial=0))
    lowest = np.where(may, mag, top).min(axis=1)
    stop = np.where(lowest == 0, run["silence"], lowest - (lowest <= cfg.window))
    fire = np.maximum(0, top - stop) + salients + 1
    held = np.where(salients, now - first + 1, 0)
    return [Tile(*costs)
            for costs in np.stack([salients, steps, now, held, fire], axis=1).tolist()]
