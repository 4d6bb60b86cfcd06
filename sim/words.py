"""Words on the array's streams: packing tensors into them, reading results out of them.

Field offsets come from the layouts in `hdl.payloads`, so a word here is the word of the RTL.
Arrays are numpy int64; words are Python integers, as wide as the stream's payload.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data
from numpy.typing import NDArray

from hdl.payloads import OutKind, act_layout, out_layout, run_layout, thr_layout, wgt_layout
from spinteger.config import Config

Ints = NDArray[np.int64]


RAW, SALIENT, END = (int(getattr(OutKind, name).value) for name in ("RAW", "SALIENT", "END"))


class WordError(ValueError):
    """The output words do not form the tiles that were asked for."""


def pack(layout: data.Layout, fields: dict[str, Ints]) -> list[int]:
    """Pack n words. `fields` maps a path such as "row.*" or "last" to an array.

    A plain field takes shape [n]; an array field takes [n, length]; `code.*.q` takes the q of
    every element. Raises `WordError` for a value that its field cannot hold.
    """
    count = len(next(iter(fields.values())))
    bits = np.zeros((count, data.Layout.cast(layout).size), np.uint8)
    for path, values in fields.items():
        for offset, shape, column in _places(layout, path, np.asarray(values, np.int64)):
            width = shape.width
            low = -(1 << (width - 1)) if shape.signed else 0
            high = low + (1 << width)
            wrong = (column < low) | (column >= high)
            if wrong.any():
                raise WordError(f"{path} {column[wrong][0]} (word {int(wrong.argmax())}): must be "
                                f"{low}..{high - 1}")
            steps = np.arange(width, dtype=np.int64)
            bits[:, offset:offset + width] = (column[:, None] >> steps) & 1
    packed = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _places(layout: data.Layout, path: str, values: Ints) -> Iterable[tuple[int, Shape, Ints]]:
    """(bit offset, shape, values [n]) of every element that `path` names."""
    head, _, rest = path.partition(".")
    if head == "*":
        assert isinstance(layout, data.ArrayLayout)
        for index in range(layout.length):
            field = layout[index]
            yield from _field(field, rest, values[:, index])
    else:
        yield from _field(layout[head], rest, values)


def _field(field: data.Field, rest: str, values: Ints) -> Iterable[tuple[int, Shape, Ints]]:
    if not rest:
        yield field.offset, Shape.cast(field.shape), values
    else:
        for offset, shape, column in _places(data.Layout.cast(field.shape), rest, values):
            yield field.offset + offset, shape, column


def unpack(layout: data.Layout, path: str, words: Sequence[int]) -> Ints:
    """One field of n words, the inverse of `pack`: [n], or [n, length] for an array's `*`."""
    length = -(-data.Layout.cast(layout).size // 8)
    joined = b"".join(word.to_bytes(length, "little") for word in words)
    packed = np.frombuffer(joined, np.uint8).reshape(len(words), length)
    return _read(layout, path, np.unpackbits(packed, axis=1, bitorder="little"))


def _read(layout: data.Layout, path: str, bits: NDArray[np.uint8]) -> Ints:
    head, _, rest = path.partition(".")
    if head == "*":
        assert isinstance(layout, data.ArrayLayout)
        return np.stack([_read_field(layout[index], rest, bits)
                         for index in range(layout.length)], axis=1)
    return _read_field(layout[head], rest, bits)


def _read_field(field: data.Field, rest: str, bits: NDArray[np.uint8]) -> Ints:
    mine = bits[:, field.offset:field.offset + field.width]
    if rest:
        return _read(data.Layout.cast(field.shape), rest, mine)
    values = (mine.astype(np.int64) << np.arange(field.width)).sum(axis=1)
    if Shape.cast(field.shape).signed:
        values -= mine[:, -1].astype(np.int64) << field.width
    return values


def wgt_words(cfg: Config, w: Ints, base: int = 0) -> list[int]:
    """Weight rows of all tiles of w [K, N], the first at bank row `base`: tile by tile, input by
    input, `cfg.wgt_beat_rows` to a word.

    Missing inputs of the last row and columns of the last tile are zero weights.
    """
    k, n = w.shape
    rows, tiles, per_word = cfg.tile_rows(k), cfg.col_tiles(n), cfg.wgt_beat_rows
    padded = np.zeros((rows * cfg.groups, tiles * cfg.cols), np.int64)
    padded[:k, :n] = w
    by_tile = padded.reshape(rows * cfg.groups, tiles, cfg.cols).transpose(1, 0, 2)
    tile, row, word = (axis.ravel() for axis in np.indices((tiles, rows, cfg.groups // per_word)))
    return pack(wgt_layout(cfg), {
        "row.*.*": by_tile.reshape(-1, per_word, cfg.cols), "addr": base + tile * rows + row,
        "mask": np.full(len(row), (1 << per_word) - 1),
        "group": word * per_word, "pattern": row % cfg.patterns})


def thr_words(cfg: Config, theta: Ints, index: int = 0) -> list[int]:
    """Thresholds theta [N], column by column, tile by tile, the first tile at place `index`.

    The last tile's other columns get 1.
    """
    columns = np.arange(-(-len(theta) // cfg.cols) * cfg.cols)
    padded = np.ones(len(columns), np.int64)
    padded[:len(theta)] = theta
    return pack(thr_layout(cfg), {
        "value": padded, "column": columns % cfg.cols, "index": index + columns // cfg.cols})


def scale_words(cfg: Config, mul: Ints, shift: Ints, index: int = 0) -> list[int]:
    """Group scales mul, shift [N], placed as in `thr_words`; the other columns get 0."""
    columns = np.arange(-(-len(mul) // cfg.cols) * cfg.cols)
    padded = np.zeros(len(columns), np.int64)
    padded[:len(mul)] = mul | shift << cfg.scale_bits
    return pack(thr_layout(cfg), {
        "value": padded, "column": columns % cfg.cols, "index": index + columns // cfg.cols,
        "is_scale": np.ones(len(columns), np.int64)})


def act_words(cfg: Config, q: Ints, e: Ints, buf: int = 0, shift: Ints | None = None) -> list[int]:
    """Codes of tokens q, e [T, K]: G codes a word, `last` on each token's final word.

    `shift` [T]: the tokens' steps as powers of two.
    """
    tokens, k = q.shape
    rows = cfg.tile_rows(k)
    padded = np.zeros((2, tokens, rows * cfg.groups), np.int64)
    padded[0, :, :k], padded[1, :, :k] = q, e
    last = np.tile(np.arange(rows) == rows - 1, tokens)
    fields = {"code.*.q": padded[0].reshape(-1, cfg.groups), "last": last,
              "buf": np.full(tokens * rows, buf)}
    if cfg.exp_bits:
        fields["code.*.e"] = padded[1].reshape(-1, cfg.groups)
    if cfg.shift_bits and shift is not None:
        fields["shift"] = np.repeat(shift, rows)
    return pack(act_layout(cfg), fields)


def run_word(cfg: Config, k: int, tiles: int, tokens: int, buf: int = 0, slot: int = 0,
             **settings: int) -> int:
    """A run of tokens of K = `k` on `tiles` column tiles of a slot; the result goes to the host.

    `settings`: raw, unsigned, spikes_only, silence, scale, acc_first, acc_last, host, chain,
    chain_buf, chain_last (see `settings_layout`).
    """
    values = {"tile_last": tiles - 1, "stride": cfg.tile_rows(k), "token_last": tokens - 1,
              "buf": buf, "base": slot * cfg.slot_rows, "fire.index": slot * cfg.tiles}
    fire = {"acc_first": 1, "acc_last": 1, "host": 1, "chain_last": 1, **settings}
    values |= {f"fire.{name}": value for name, value in fire.items()}
    return pack(run_layout(cfg), {name: np.array([int(v)]) for name, v in values.items()})[0]


@dataclass
class Tile:
    """What one tile's output words say. A column absent from all is silent (or was not raw)."""

    raw: dict[int, int]                     #: column -> V
    salients: dict[int, tuple[int, int]]    #: column -> (q, e)
    spikes: list[tuple[int, int, int]]      #: (step t, column, sign), in order of arrival
    last: bool                              #: the token's last tile


def read_tiles(cfg: Config, words: Iterable[int]) -> list[Tile]:
    """Split output words into tiles. Raises `WordError` when the last one has no END."""
    layout = out_layout(cfg)
    place = {name: (field.offset, (1 << field.width) - 1) for name, field in layout}

    def get(word: int, name: str) -> int:
        offset, mask = place[name]
        return word >> offset & mask

    tiles: list[Tile] = []
    tile = Tile({}, {}, [], False)
    for word in words:
        kind, column, payload = get(word, "kind"), get(word, "column"), get(word, "data")
        if kind == END:
            tile.last = bool(get(word, "last"))
            tiles.append(tile)
            tile = Tile({}, {}, [], False)
        elif kind == RAW:
            tile.raw[column] = _signed(payload, cfg.acc_bits)
        elif kind == SALIENT:
            q = _signed(payload, cfg.sal_bits)
            tile.salients[column] = q, payload >> cfg.sal_bits & ((1 << cfg.exp_bits) - 1)
        else:
            step = get(word, "step")
            tile.spikes += [(step, col, -1 if payload >> (cfg.cols + col) & 1 else 1)
                            for col in range(cfg.cols) if payload >> col & 1]
    if tile.raw or tile.salients or tile.spikes:
        raise WordError("the output stops in the middle of a tile: no END word")
    return tiles


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def psums(cfg: Config, tiles: Sequence[Tile], n: int) -> Ints:
    """V [T, n] of tokens run raw. Raises `WordError` when a column is missing or doubled up."""
    per_token = cfg.col_tiles(n)
    out = np.zeros((len(tiles) // per_token, per_token * cfg.cols), np.int64)
    for index, tile in enumerate(tiles):
        if sorted(tile.raw) != list(range(cfg.cols)):
            raise WordError(f"tile {index}: raw V of columns {sorted(tile.raw)}, not all")
        token, first = index // per_token, index % per_token * cfg.cols
        for column, v in tile.raw.items():
            out[token, first + column] = v
    return out[:, :n]


def codes(cfg: Config, tiles: Sequence[Tile], n: int) -> tuple[Ints, Ints]:
    """Fired codes (q, e) [T, n]: a spike of step t is q = +-(L - t), e = 0.

    Raises `WordError` when spikes are out of time order or a column fires twice.
    """
    per_token = cfg.col_tiles(n)
    q = np.zeros((len(tiles) // per_token, per_token * cfg.cols), np.int64)
    e = np.zeros_like(q)
    for index, tile in enumerate(tiles):
        token, first = index // per_token, index % per_token * cfg.cols
        steps = [step for step, _, _ in tile.spikes]
        if steps != sorted(steps):
            raise WordError(f"tile {index}: spikes out of time order, steps {steps}")
        columns = [column for _, column, _ in tile.spikes] + list(tile.salients)
        if len(set(columns)) != len(columns):
            raise WordError(f"tile {index}: a column fires twice, columns {sorted(columns)}")
        for step, column, sign in tile.spikes:
            q[token, first + column] = sign * (cfg.window - step)
        for column, (value, exponent) in tile.salients.items():
            q[token, first + column], e[token, first + column] = value, exponent
    return q[:, :n], e[:, :n]


def read_ends(cfg: Config, words: Iterable[int]) -> list[bool]:
    """`last` of every END among `words`: as many as tiles are complete."""
    layout = out_layout(cfg)
    kind, last = layout["kind"].offset, layout["last"].offset
    return [bool(word >> last & 1) for word in words if word >> kind & 3 == END]
