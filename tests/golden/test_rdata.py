"""R's data files: character vectors come out, damage is named."""

import gzip
import struct
import zlib

import pytest

from golden.rdata import RDataError, character_vectors


def ints(*values):
    return b"".join(struct.pack(">i", value) for value in values)


def char(text):
    data = text.encode()
    return ints(9 | 1 << 18, len(data)) + data


def strings(lines):
    return ints(16, len(lines)) + b"".join(map(char, lines))


HEAD = b"X\n" + ints(2, 0x40201, 0x20300)


def files(books):
    """An index and its data, as R's lazy loading writes them."""
    rdb, places = b"", []
    for lines in books.values():
        packed = zlib.compress(HEAD + strings(lines))
        places.append((len(rdb), len(packed) + 4))
        rdb += ints(len(packed)) + packed
    names = ints(1026, 1, 9 | 1 << 18, 5) + b"names" + strings(list(books)) + ints(254)
    variables = ints(19 | 1 << 9, len(books)) + b"".join(
        ints(13, 2, *place) for place in places) + names
    seen = 255 | 1 << 8             # the symbol "names" again
    outer = ints(1026, seen) + strings(["variables", "compressed"]) + ints(254)
    rdx = HEAD + ints(19 | 1 << 9, 2) + variables + ints(10, 1, 1) + outer
    return gzip.compress(rdx), rdb


BOOKS = {"emma": ["EMMA", "", "naïve"], "persuasion": ["one line"]}


def test_character_vectors():
    assert character_vectors(*files(BOOKS)) == BOOKS


@pytest.mark.parametrize("cut", [0, 1, 10, 60])
def test_a_short_file(cut):
    rdx, rdb = files(BOOKS)
    with pytest.raises(RDataError):
        character_vectors(rdx[:cut], rdb)
    with pytest.raises(RDataError):
        character_vectors(rdx, rdb[:cut])


def test_another_file():
    with pytest.raises(RDataError, match="no R data"):
        character_vectors(gzip.compress(b"A\n something else"), b"")
    with pytest.raises(RDataError, match="version 9"):
        character_vectors(gzip.compress(b"X\n" + ints(9, 0, 0)), b"")
