"""Output words back to arrays: raw V, or fired codes. Vectorised; see `hdl.payloads.OutKind`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdl.payloads import OutKind, out_layout
from sim.packing import Ints, to_bytes
from sim.words import WordError
from spinteger.config import Config

RAW, SALIENT, SPIKE, END = (int(getattr(OutKind, name).value)
                            for name in ("RAW", "SALIENT", "SPIKE", "END"))

__all__ = ["Values", "WordError", "read_codes", "read_raw"]


@dataclass(frozen=True, eq=False)
class Values:
    """Results of a layer: raw V, or codes q, e; int64 [T, N]."""

    v: Ints | None = None
    q: Ints | None = None
    e: Ints | None = None

    @classmethod
    def empty(cls, cfg: Config, fires: bool, tokens: int, n: int) -> "Values":
        """Zeros for all tokens and tiles."""
        shape = (tokens, cfg.col_tiles(n) * cfg.cols)
        if fires:
            return cls(q=np.zeros(shape, np.int64), e=np.zeros(shape, np.int64))
        return cls(v=np.zeros(shape, np.int64))

    def fill(self, cfg: Config, words: Sequence[int], tokens: tuple[int, int],
             tiles: tuple[int, int]) -> None:
        """Put one output packet where it belongs. Raises `WordError`."""
        at = slice(*tokens), slice(tiles[0] * cfg.cols, tiles[1] * cfg.cols)
        size = tokens[1] - tokens[0], tiles[1] - tiles[0]
        if self.v is not None:
            self.v[at] = read_raw(cfg, words, *size)
        else:
            assert self.q is not None and self.e is not None
            self.q[at], self.e[at] = read_codes(cfg, words, *size)

    def trimmed(self, n: int) -> "Values":
        """Without padding columns."""
        return Values(*(None if values is None else values[:, :n]
                        for values in (self.v, self.q, self.e)))


@dataclass(frozen=True, eq=False)
class _Words:
    """Fields of n output words."""

    kind: Ints
    column: Ints
    step: Ints
    data: NDArray[np.uint8]     #: bits [n, out_data_bits]
    tile: Ints                  #: which tile of the packet it belongs to


def _fields(cfg: Config, words: Sequence[int], tokens: int, tiles: int) -> _Words:
    """Split words into fields; check that the ENDs are those of `tokens` x `tiles`."""
    layout = out_layout(cfg)
    size = -(-layout.size // 8)
    size += -size % 8 if size <= 8 else 0
    bits = np.unpackbits(to_bytes(words, size), axis=1, bitorder="little")

    def get(name: str) -> Ints:
        field = layout[name]
        mine = bits[:, field.offset:field.offset + field.width].astype(np.int64)
        got: Ints = (mine << np.arange(field.width)).sum(axis=1)
        return got

    kind = get("kind")
    ends = kind == END
    if int(ends.sum()) != tokens * tiles or not len(ends) or not ends[-1]:
        raise WordError(f"{int(ends.sum())} tiles end, not {tokens} x {tiles}")
    want = np.arange(1, tokens * tiles + 1) % tiles == 0
    if (get("last")[ends].astype(bool) != want).any() or get("run_end")[ends][:-1].any():
        raise WordError(f"the ends of {tokens} x {tiles} tiles are not marked as such")
    data = layout["data"]
    return _Words(kind, get("column"), get("step"), bits[:, data.offset:data.offset + data.width],
                  np.cumsum(ends) - ends)


def _number(bits: NDArray[np.uint8], signed: bool = False) -> Ints:
    """Rows of bits [n, width] as numbers [n]."""
    wide = bits.astype(np.int64)
    value: Ints = (wide << np.arange(bits.shape[1])).sum(axis=1)
    return value - (wide[:, -1] << bits.shape[1]) if signed else value


def read_raw(cfg: Config, words: Sequence[int], tokens: int, tiles: int) -> Ints:
    """V [tokens, tiles*C] of a run with `raw`. Raises `WordError` for any other words."""
    got = _fields(cfg, words, tokens, tiles)
    raw = got.kind == RAW
    if int(raw.sum()) != tokens * tiles * cfg.cols or len(words) != tokens * tiles * (cfg.cols + 1):
        raise WordError(f"{int(raw.sum())} raw words of {len(words)} in {tokens} x {tiles} tiles")
    if (got.column[raw].reshape(-1, cfg.cols) != np.arange(cfg.cols)).any():
        raise WordError("raw V out of the columns' order")
    return _number(got.data[raw, :cfg.acc_bits], signed=True).reshape(tokens, tiles * cfg.cols)


def read_codes(cfg: Config, words: Sequence[int], tokens: int, tiles: int) -> tuple[Ints, Ints]:
    """Fired codes q, e [tokens, tiles*C]: a spike of step t is q = +-(L - t), e = 0.

    Raises `WordError` for raw words, spikes out of time order, or a column that fires twice.
    """
    got = _fields(cfg, words, tokens, tiles)
    if (got.kind == RAW).any():
        raise WordError("raw V where codes were to come")
    q = np.zeros((tokens * tiles, cfg.cols), np.int64)
    e, fired = np.zeros_like(q), np.zeros_like(q)

    salient = got.kind == SALIENT
    at = got.tile[salient], got.column[salient]
    data = got.data[salient]
    q[at] = _number(data[:, :cfg.sal_bits], signed=True)
    if cfg.exp_bits:
        e[at] = _number(data[:, cfg.sal_bits:cfg.sal_bits + cfg.exp_bits])
    np.add.at(fired, at, 1)

    spike = np.flatnonzero(got.kind == SPIKE)
    same = got.tile[spike][1:] == got.tile[spike][:-1]
    if (same & (np.diff(got.step[spike]) <= 0)).any():
        raise WordError("spikes out of time order")
    word, column = np.nonzero(got.data[spike, :cfg.cols])
    negative = got.data[spike, cfg.cols:2 * cfg.cols][word, column].astype(bool)
    level = cfg.window - got.step[spike][word]
    q[got.tile[spike][word], column] = np.where(negative, -level, level)
    np.add.at(fired, (got.tile[spike][word], column), 1)
    if (fired > 1).any():
        tile, column_ = np.argwhere(fired > 1)[0]
        raise WordError(f"tile {tile}: column {column_} fires twice")
    shape = tokens, tiles * cfg.cols
    return q.reshape(shape), e.reshape(shape)
