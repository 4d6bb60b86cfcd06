"""Packets: what the machine's data input takes, built from tensors and read back.

    packets = [load_wgt(cfg, 0, w), load_thr(cfg, 0, theta), load_act(cfg, 0, q, e),
               run(cfg, slot=0, buf=0, rows=..., tiles=..., tokens=..., acc_first=1, acc_last=1,
                   host=1), fence(1)]

Any backend executes them (`sim.backends`) and answers with an `Execution`. Weights are [K, N],
thresholds and scales [N], codes [T, K]: numpy integers, or anything `numpy.asarray` takes. Builders
pad to whole tiles and rows, and raise `PacketError` (one line) for values that do not fit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hdl.payloads import SCALE_SHIFT_BITS, out_layout
from sim import packing
from sim.packing import Bools, Ints, PacketError
from spinteger import isa
from spinteger.config import Config

#: The tag of the fence that backends add to see the end of a program; not for others.
END_TAG = 0xFFFF_FFFF


@dataclass(frozen=True)
class Packet:
    """One packet. `keep` and `cut` are for tests of faulty ones."""

    descriptor: int                     #: 128 bits
    payload: list[int] = field(default_factory=list)    #: bus beats
    #: Beat number (the descriptor's count) -> its mask of bytes that came; all ones elsewhere.
    keep: Mapping[int, int] = field(default_factory=dict)
    cut: int | None = None              #: only so many beats are sent, the last one with `last`

    def words(self, cfg: Config) -> list[int]:
        """The data of its beats, descriptor first, as cut."""
        width = cfg.bus_bits
        head = [self.descriptor >> at & ((1 << width) - 1)
                for at in range(0, isa.DESCRIPTOR_BITS, width)]
        return [*head, *self.payload][:self.cut]

    def beats(self, cfg: Config) -> list[tuple[int, bool]]:
        """(data, last) of its beats. At least one."""
        words = self.words(cfg)
        return [*((word, False) for word in words[:-1]), (words[-1], True)]

    def __str__(self) -> str:
        op, fields = isa.decode(self.descriptor)
        if op is None:
            return f"opcode {self.descriptor & 0xFF}"
        return " ".join([op.name, *(f"{name}={value}" for name, value in fields.items())])


@dataclass(frozen=True)
class Execution:
    """What came of a program, executed from reset."""

    packets: list[list[int]]            #: words (`hdl.payloads.out_layout`) per output packet
    error: tuple[isa.Error, int] | None = None      #: the first error, and its packet's number
    error_count: int = 0
    counters: dict[str, int] = field(default_factory=dict)  #: by name; empty from the reference
    cycles: int | None = None           #: first beat offered to last word out; None: not known
    seconds: float | None = field(default=None, compare=False)  #: CPU time of simulating them
    #: From the reference: all errors, in order of their packets. A machine goes on looking at
    #: packets while runs go on, so it may record another of these first.
    errors: list[tuple[isa.Error, int]] = field(default_factory=list)


# -- builders ------------------------------------------------------------------------------------

def load_wgt(cfg: Config, slot: int, w: Any, live: Any = None) -> Packet:
    """Weights w [K, N] of a slot. `live`: bool [K], only these inputs' rows (LOAD_WGT sparse)."""
    w = _matrix("weights", w)
    k, n = w.shape
    rows, tiles = cfg.tile_rows(k), cfg.col_tiles(n)
    padded = np.zeros((rows * cfg.groups, tiles * cfg.cols), np.int64)
    padded[:k, :n] = w
    mask: Bools | None = None
    if live is not None:
        mask = np.zeros(len(padded), bool)
        mask[:k] = np.asarray(live, bool)
    return Packet(isa.encode("LOAD_WGT", slot=slot, sparse=mask is not None, rows=rows,
                             tiles=tiles), packing.pack_wgt(cfg, padded, mask))


def load_thr(cfg: Config, slot: int, theta: Any) -> Packet:
    """Thresholds theta [N], 1 and up; the last tile's other columns get 1 (their V is 0)."""
    padded = _padded(cfg, _vector("theta", theta), 1)
    packing.check_range("theta", padded, 1, (1 << cfg.theta_bits) - 1)
    return Packet(isa.encode("LOAD_THR", slot=slot, tiles=len(padded) // cfg.cols),
                  packing.pack_column(cfg, padded))


def load_scale(cfg: Config, slot: int, mul: Any, shift: Any = 0) -> Packet:
    """Group scales mul * 2^shift, both [N] (or one shift for all)."""
    mul = _vector("scale", mul)
    shift = np.broadcast_to(np.asarray(shift, np.int64), mul.shape)
    values = packing.scale_values(cfg, _padded(cfg, mul, 0), _padded(cfg, shift, 0))
    return Packet(isa.encode("LOAD_SCALE", slot=slot, tiles=len(values) // cfg.cols),
                  packing.pack_column(cfg, values))


def load_act(cfg: Config, buf: int, q: Any, e: Any = None, shift: Any = None) -> Packet:
    """Codes q, e [T, K] of T tokens, and a shift per token [T] (None: 0)."""
    q = _matrix("q", q)
    tokens, k = q.shape
    rows = cfg.tile_rows(k)
    padded = np.zeros((2, tokens, rows * cfg.groups), np.int64)
    padded[0, :, :k] = q
    padded[1, :, :k] = 0 if e is None else e
    shifts = np.zeros(tokens, np.int64) if shift is None else _vector("token shift", shift)
    return Packet(isa.encode("LOAD_ACT", buf=buf, rows=rows, tokens=tokens),
                  packing.pack_act(cfg, padded[0], padded[1], shifts))


def run(cfg: Config, *, slot: int, buf: int, rows: int, tiles: int, tokens: int,
        **flags: int) -> Packet:
    """A RUN; `flags` are its other fields (`spinteger.isa`), 0 unless given."""
    return Packet(isa.encode("RUN", slot=slot, buf=buf, rows=rows, tiles=tiles, tokens=tokens,
                             **{name: int(value) for name, value in flags.items()}))


def fence(tag: int = 0) -> Packet:
    """A FENCE. Raises `PacketError` for `END_TAG`, by which backends see a program's end."""
    if tag == END_TAG:
        raise PacketError(f"fence tag {tag:#x}: reserved, use another")
    return Packet(isa.encode("FENCE", tag=tag))


def end_fence() -> Packet:
    """The fence that backends put at a program's end, and take out of the results again."""
    return Packet(isa.encode("FENCE", tag=END_TAG))


def fence_word(cfg: Config, tag: int = END_TAG) -> int:
    """The output word of a fence: END, last, run_end, data = the low bits of `tag`."""
    layout = out_layout(cfg)
    data = layout["data"]
    return ((tag & ((1 << data.width) - 1)) << data.offset | 3 << layout["kind"].offset
            | 1 << layout["last"].offset | 1 << layout["run_end"].offset)


def _matrix(name: str, values: Any) -> Ints:
    array = np.asarray(values, np.int64)
    if array.ndim != 2 or 0 in array.shape:
        raise PacketError(f"{name} {list(array.shape)}: must have two dimensions, none of them 0")
    return array


def _vector(name: str, values: Any) -> Ints:
    array = np.asarray(values, np.int64)
    if array.ndim != 1 or not len(array):
        raise PacketError(f"{name} {list(array.shape)}: must be a vector of at least one")
    return array


def _padded(cfg: Config, values: Ints, fill: int) -> Ints:
    """values [N] filled up to whole tiles."""
    padded = np.full(cfg.col_tiles(len(values)) * cfg.cols, fill, np.int64)
    padded[:len(values)] = values
    return padded


# -- reading back --------------------------------------------------------------------------------

def payload_beats(cfg: Config, packet: Packet) -> int:
    """Beats that the payload of this operation must have (of sparse weights: as its maps say, and
    more than there are where a map is missing). 0 for an unknown opcode.
    """
    op, fields = isa.decode(packet.descriptor)
    if op is None or op.name in ("RUN", "FENCE"):
        return 0
    if op.name == "LOAD_WGT":
        return packing.wgt_beats(cfg, packet.payload, fields["rows"], fields["tiles"],
                                 bool(fields["sparse"]))
    if op.name == "LOAD_ACT":
        return fields["tokens"] * (1 + fields["rows"] * cfg.act_word_beats)
    return fields["tiles"] * cfg.cols


def read_wgt(cfg: Config, packet: Packet) -> tuple[Ints, Bools]:
    """Weights [rows*G, tiles*C] of a LOAD_WGT, and which of them came [tiles, rows*G]."""
    _, fields = isa.decode(packet.descriptor)
    return packing.unpack_wgt(cfg, packet.payload, fields["rows"], fields["tiles"],
                              bool(fields["sparse"]))


def read_thr(cfg: Config, packet: Packet) -> Ints:
    """Thresholds [tiles*C] of a LOAD_THR."""
    return packing.unpack_column(packet.payload, cfg.theta_bits)


def read_scale(cfg: Config, packet: Packet) -> tuple[Ints, Ints]:
    """mul, shift [tiles*C] of a LOAD_SCALE."""
    both = packing.unpack_column(packet.payload, cfg.scale_bits + SCALE_SHIFT_BITS)
    return both & ((1 << cfg.scale_bits) - 1), both >> cfg.scale_bits


def read_act(cfg: Config, packet: Packet) -> tuple[Ints, Ints, Ints]:
    """q, e [T, rows*G] and shift [T] of a LOAD_ACT."""
    _, fields = isa.decode(packet.descriptor)
    return packing.unpack_act(cfg, packet.payload, fields["rows"], fields["tokens"])


def word_beats(cfg: Config) -> int:
    """Beats of the data output per output word."""
    return -(-out_layout(cfg).size // cfg.bus_bits)


def write_words(cfg: Config, packets: Iterable[Sequence[int]]) -> list[tuple[int, bool]]:
    """Beats (data, last) of output packets, as the machine sends them; undoes `read_words`."""
    mask, count = (1 << cfg.bus_bits) - 1, word_beats(cfg)
    beats: list[tuple[int, bool]] = []
    for words in packets:
        mine = [word >> at * cfg.bus_bits & mask for word in words for at in range(count)]
        beats += [(beat, at == len(mine) - 1) for at, beat in enumerate(mine)]
    return beats


def read_words(cfg: Config, beats: Iterable[tuple[int, bool]]) -> list[list[int]]:
    """Output words per output packet, from beats (data, last).

    Raises `PacketError` when a packet is no whole number of words, or the last has no end.
    """
    count = word_beats(cfg)
    packets: list[list[int]] = []
    words: list[int] = []
    word, at = 0, 0
    for data, last in beats:
        word |= data << at * cfg.bus_bits
        at += 1
        if at == count:
            words.append(word)
            word, at = 0, 0
        if last:
            if at:
                raise PacketError(f"output packet {len(packets)}: ends within a word, "
                                  f"{at} of {count} beats")
            packets.append(words)
            words = []
    if words or at:
        raise PacketError(f"output packet {len(packets)}: no last beat after {len(words)} words")
    return packets
