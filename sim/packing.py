"""Payloads of packets, as bus beats: each kind's way there and back (`spinteger.isa`, `OPS`).

A payload is a list of integers, one per beat of `cfg.bus_bits`. Arrays are numpy int64, `live`
masks bool. Everything is padded to what the machine stores: K to `rows * cfg.groups` inputs, N to
`tiles * cfg.cols` columns.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hdl.payloads import SCALE_SHIFT_BITS
from spinteger.config import Config

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

#: Bits of an activation code in a beat, of a token's shift, and inputs per bit map.
CODE_BITS, TOKEN_SHIFT_BITS, MAP_BITS = 16, 4, 32


class PacketError(ValueError):
    """Values that a packet cannot carry, or beats that are none. `str()` is one line."""


# -- beats and bits ------------------------------------------------------------------------------

def to_beats(rows: Bytes) -> list[int]:
    """Beats as integers, from their bytes [n, bus_bits / 8], lowest first."""
    width = rows.shape[1]
    if width in (4, 8):
        return list(np.ascontiguousarray(rows).view(f"<u{width}").ravel().tolist())
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def to_bytes(beats: Sequence[int], width: int) -> Bytes:
    """Bytes [n, width] of integers, lowest first; the inverse of `to_beats`."""
    if width in (4, 8):
        return np.array(beats, f"<u{width}").view(np.uint8).reshape(-1, width)
    joined = b"".join(beat.to_bytes(width, "little") for beat in beats)
    return np.frombuffer(joined, np.uint8).reshape(-1, width)


def pack_bits(values: Ints, bits: int, padded: int) -> Bytes:
    """Rows of n values [..., n], `bits` each, value 0 lowest, as bytes [rows, padded / 8]."""
    flat = values.reshape(-1, values.shape[-1])
    steps = np.arange(bits, dtype=np.int64)
    spread = ((flat[:, :, None] >> steps) & 1).astype(np.uint8)
    spread = spread.reshape(len(flat), flat.shape[1] * bits)
    packed = np.packbits(spread, axis=1, bitorder="little")
    out = np.zeros((len(flat), padded // 8), np.uint8)
    out[:, :packed.shape[1]] = packed
    return out


def unpack_bits(rows: Bytes, bits: int, count: int, signed: bool = False) -> Ints:
    """The first `count` values of every row of bytes, [rows, count]; undoes `pack_bits`."""
    spread = np.unpackbits(rows, axis=1, bitorder="little")[:, :bits * count]
    spread = spread.reshape(len(rows), count, bits).astype(np.int64)
    values: Ints = (spread << np.arange(bits, dtype=np.int64)).sum(axis=2)
    return values - (spread[:, :, -1] << bits) if signed else values


def check_range(name: str, values: Ints, low: int, high: int) -> None:
    """Raise `PacketError` naming the first of `values` that is outside low..high."""
    bad = (values < low) | (values > high)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise PacketError(f"{name} {at[0] if len(at) == 1 else at}: {values[at]}, must be "
                          f"{low}..{high}")


# -- weights -------------------------------------------------------------------------------------

def pack_wgt(cfg: Config, w: Ints, live: Bools | None = None) -> list[int]:
    """Weight rows of all tiles; w [rows*G, tiles*C] of signed codes. `live` [rows*G]: LOAD_WGT's
    sparse form, only those rows and their bit maps. Raises `PacketError` for a code out of range.
    """
    check_range("weight", w, -cfg.wgt_max, cfg.wgt_max - 1)
    inputs, tiles = w.shape[0], w.shape[1] // cfg.cols
    by_tile = w.reshape(inputs, tiles, cfg.cols).transpose(1, 0, 2)
    if live is None:
        held = by_tile.reshape(-1, cfg.wgt_beat_rows * cfg.cols)
        rows = pack_bits(held, cfg.wgt_bits, cfg.wgt_row_beats * cfg.bus_bits)
        return to_beats(rows.reshape(-1, cfg.bus_bits // 8))
    chosen = np.flatnonzero(live)
    rows = pack_bits(by_tile[:, chosen], cfg.wgt_bits, cfg.wgt_row_beats * cfg.bus_bits)
    rows = rows.reshape(tiles, len(chosen) * cfg.wgt_row_beats, cfg.bus_bits // 8)
    maps = _maps(cfg, live)
    # Where each beat goes: a map before the first row that it names.
    at = np.repeat(chosen // MAP_BITS + 1, cfg.wgt_row_beats) + np.arange(rows.shape[1])
    before = np.searchsorted(chosen, np.arange(len(maps)) * MAP_BITS) * cfg.wgt_row_beats
    out = np.zeros((tiles, len(maps) + rows.shape[1], cfg.bus_bits // 8), np.uint8)
    out[:, at] = rows
    out[:, before + np.arange(len(maps))] = maps
    return to_beats(out.reshape(-1, cfg.bus_bits // 8))


def _maps(cfg: Config, live: Bools) -> Bytes:
    """Bit maps of the rows to come, one beat per 32 inputs."""
    named = np.zeros(-(-len(live) // MAP_BITS) * MAP_BITS, np.int64)
    named[:len(live)] = live
    return pack_bits(named.reshape(-1, MAP_BITS), 1, cfg.bus_bits)


def unpack_wgt(cfg: Config, payload: Sequence[int], rows: int, tiles: int,
               sparse: bool = False) -> tuple[Ints, Bools]:
    """Weights [rows*G, tiles*C], and which of them came [tiles, rows*G]; others are 0.

    Raises `PacketError` when the payload has not the length that it says.
    """
    inputs = rows * cfg.groups
    need = wgt_beats(cfg, payload, rows, tiles, sparse)
    if need != len(payload):
        raise PacketError(f"weights: {len(payload)} beats, not {need}")
    by_tile = np.zeros((tiles, inputs, cfg.cols), np.int64)
    came = np.zeros((tiles, inputs), bool)
    beats = to_bytes(payload, cfg.bus_bits // 8)
    if not sparse:
        held = beats.reshape(-1, cfg.wgt_row_beats * cfg.bus_bits // 8)
        by_tile[:] = unpack_bits(held, cfg.wgt_bits, cfg.wgt_beat_rows * cfg.cols,
                                 signed=True).reshape(tiles, inputs, cfg.cols)
        came[:] = True
    else:
        at, where = 0, []
        for tile in range(tiles):
            for first in range(0, inputs, MAP_BITS):
                bits = _named(payload[at], inputs - first)
                at += 1
                for k in bits:
                    came[tile, first + k] = True
                    where.append(at)
                    at += cfg.wgt_row_beats
        spots = np.array(where, np.int64)[:, None] + np.arange(cfg.wgt_row_beats)
        held = beats[spots].reshape(len(where), cfg.wgt_row_beats * beats.shape[1])
        by_tile[came] = unpack_bits(held, cfg.wgt_bits, cfg.cols, signed=True)
    return by_tile.transpose(1, 0, 2).reshape(inputs, tiles * cfg.cols), came


def wgt_beats(cfg: Config, payload: Sequence[int], rows: int, tiles: int,
              sparse: bool = False) -> int:
    """Beats that a LOAD_WGT payload must have: of sparse ones, as its bit maps say.

    Where `payload` ends before its last map, at least one more than it has.
    """
    inputs = rows * cfg.groups
    if not sparse:
        return tiles * inputs // cfg.wgt_beat_rows * cfg.wgt_row_beats
    at = 0
    for _ in range(tiles):
        for first in range(0, inputs, MAP_BITS):
            if at >= len(payload):
                return at + 1
            at += 1 + len(_named(payload[at], inputs - first)) * cfg.wgt_row_beats
    return at


def _named(beat: int, left: int) -> list[int]:
    """Which of the next 32 inputs (or the `left` last ones) a map names."""
    return [k for k in range(min(MAP_BITS, left)) if beat >> k & 1]


# -- thresholds, scales, activations ---------------------------------------------------------------

def pack_column(cfg: Config, values: Ints) -> list[int]:
    """One beat per value [n], which is at least 0 and fits a beat."""
    return to_beats(pack_bits(values[:, None], min(cfg.bus_bits, 62), cfg.bus_bits))


def unpack_column(payload: Sequence[int], bits: int) -> Ints:
    """The low `bits` of every beat, [n]; undoes `pack_column`."""
    return np.array([beat & ((1 << bits) - 1) for beat in payload], np.int64)


def scale_values(cfg: Config, mul: Ints, shift: Ints) -> Ints:
    """mul [n] with shift [n] above it, as LOAD_SCALE carries them. Raises `PacketError`."""
    check_range("scale", mul, 0, (1 << cfg.scale_bits) - 1)
    check_range("scale shift", shift, 0, (1 << SCALE_SHIFT_BITS) - 1)
    return mul | shift << cfg.scale_bits


def pack_act(cfg: Config, q: Ints, e: Ints, shift: Ints) -> list[int]:
    """Codes q, e [T, rows*G] and a shift per token [T]. Raises `PacketError` out of range."""
    check_range("q", q, -cfg.sal_max if cfg.signed else 0, cfg.sal_max)
    check_range("e", e, 0, cfg.exp_max)
    check_range("token shift", shift, 0, (1 << cfg.shift_bits) - 1)
    tokens, width = len(q), cfg.bus_bits // 8
    code = (q & ((1 << cfg.sal_bits) - 1)) | e << cfg.sal_bits
    words = pack_bits(code.reshape(-1, cfg.groups), CODE_BITS, cfg.act_word_beats * cfg.bus_bits)
    heads = pack_bits(shift[:, None], TOKEN_SHIFT_BITS, cfg.bus_bits)
    return to_beats(np.concatenate([heads[:, None], words.reshape(tokens, -1, width)],
                                   axis=1).reshape(-1, width))


def unpack_act(cfg: Config, payload: Sequence[int], rows: int,
               tokens: int) -> tuple[Ints, Ints, Ints]:
    """q, e [T, rows*G] and shift [T]. Raises `PacketError` when the length is wrong."""
    if len(payload) != tokens * (1 + rows * cfg.act_word_beats):
        raise PacketError(f"activations: {len(payload)} beats, not "
                          f"{tokens * (1 + rows * cfg.act_word_beats)}")
    beats = to_bytes(payload, cfg.bus_bits // 8).reshape(tokens, -1, cfg.bus_bits // 8)
    words = np.ascontiguousarray(beats[:, 1:]).reshape(tokens * rows, -1)
    code = unpack_bits(words, CODE_BITS, cfg.groups).reshape(tokens, rows * cfg.groups)
    q = code & ((1 << cfg.sal_bits) - 1)
    q -= (q >> (cfg.sal_bits - 1)) << cfg.sal_bits
    e = code >> cfg.sal_bits & ((1 << cfg.exp_bits) - 1)
    return q, e, unpack_bits(beats[:, 0], TOKEN_SHIFT_BITS, 1)[:, 0]
