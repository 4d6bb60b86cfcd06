"""Reads character vectors from an R package's data files: `Rdata.rdx` (index), `Rdata.rdb` (data).

R's serialisation, as much of it as a package of texts needs (R Internals, "Serialization Formats"):
XDR integers, strings, lists and their attributes.
"""

from __future__ import annotations

import gzip
import struct
import zlib

# R's type numbers (R Internals, "SEXPTYPEs").
_SYMBOL, _PAIRS, _CHARS, _LOGICALS, _INTEGERS, _STRINGS, _LIST = 1, 2, 9, 10, 13, 16, 19
_SEEN, _NIL = 255, 254
_HAS_ATTRIBUTES, _HAS_TAG = 1 << 9, 1 << 10


class RDataError(ValueError):
    """The bytes are not such a file, or are cut short."""


class _Reader:
    """One serialised object, from its first byte on."""

    def __init__(self, data: bytes) -> None:
        if data[:2] != b"X\n":
            raise RDataError("no serialised R object in XDR format")
        self.data, self.at = data, 2
        version, _, _ = self.int(), self.int(), self.int()
        if version == 3:                 # the name of the text encoding follows
            self.bytes(self.int())
        elif version != 2:
            raise RDataError(f"serialisation version {version}: only 2 and 3 are known")
        self.symbols: list[str] = []

    def bytes(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            raise RDataError(f"cut short at byte {self.at}")
        self.at += count
        return self.data[self.at - count:self.at]

    def int(self) -> int:
        return int(struct.unpack(">i", self.bytes(4))[0])

    def object(self) -> object:
        """The next object: None, str, list, or a dict for what has names."""
        flags = self.int()
        kind = flags & 255
        if kind == _NIL:
            return None
        if kind == _SYMBOL:
            self.symbols.append(str(self.object()))
            return self.symbols[-1]
        if kind == _SEEN:
            return self.symbols[(flags >> 8) - 1]
        if kind == _CHARS:
            length = self.int()
            return None if length < 0 else self.bytes(length).decode("utf-8")
        if kind == _PAIRS:
            pairs: dict[object, object] = {}
            while kind == _PAIRS:
                if flags & _HAS_ATTRIBUTES:
                    self.object()
                tag = self.object() if flags & _HAS_TAG else None
                pairs[tag] = self.object()
                flags = self.int()
                kind = flags & 255
            return pairs
        if kind not in (_LOGICALS, _INTEGERS, _STRINGS, _LIST):
            raise RDataError(f"R type {kind} at byte {self.at}: not known here")
        count = self.int()
        whole = kind in (_LOGICALS, _INTEGERS)
        values = [self.int() if whole else self.object() for _ in range(count)]
        attributes = self.object() if flags & _HAS_ATTRIBUTES else None
        names = attributes.get("names") if isinstance(attributes, dict) else None
        return dict(zip(names, values, strict=True)) if isinstance(names, list) else values


def character_vectors(rdx: bytes, rdb: bytes) -> dict[str, list[str]]:
    """Every variable of a package's data, which must all be character vectors.

    Raises `RDataError` when the files are not as they should be.
    """
    try:
        index = _Reader(gzip.decompress(rdx)).object()
        assert isinstance(index, dict)
        found = {}
        for name, place in index["variables"].items():
            offset, length = place
            lines = _Reader(zlib.decompress(rdb[offset + 4:offset + length])).object()
            assert isinstance(lines, list) and all(isinstance(line, str) for line in lines)
            found[str(name)] = [str(line) for line in lines]
        return found
    except (AssertionError, AttributeError, EOFError, KeyError, OSError, RecursionError, TypeError,
            ValueError, struct.error, zlib.error) as why:
        raise RDataError(f"no R data: {why}") from why
