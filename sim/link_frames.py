"""Frames of the host link as bytes: made, and found again in whatever a line delivers."""

import zlib
from dataclasses import dataclass, field

from hdl.link_format import ESCAPE, FLAG, FLIP, OFFSET_BITS, SESSION_BITS

OFFSETS = 1 << OFFSET_BITS
#: Flags to the board.
RESET, RESEND = 1, 2
#: Flags from the board.
GAP, MARK = 1, 2
#: Bytes of trailer and CRC.
_TAIL = 8


@dataclass(frozen=True)
class Frame:
    """One frame; see `hdl.link_format.trailer_layout`."""

    end: int
    session: int
    ack: int
    flags: int = 0
    round: int = 0
    payload: bytes = b""

    @property
    def start(self) -> int:
        """The offset of its first byte."""
        return (self.end - len(self.payload)) % OFFSETS

    def encode(self) -> bytes:
        """Its bytes on the line, from flag to flag."""
        low = self.end | self.session << OFFSET_BITS
        high = self.ack | self.flags << OFFSET_BITS | self.round << OFFSET_BITS + 2
        body = self.payload + (low | high << 16).to_bytes(4, "little")
        body += zlib.crc32(body).to_bytes(4, "little")
        for special in (ESCAPE, FLAG):
            body = body.replace(bytes([special]), bytes([ESCAPE, special ^ FLIP]))
        return bytes([FLAG]) + body + bytes([FLAG])


def _decode(escaped: bytes) -> Frame | None:
    """The frame between two flags, None when its check fails."""
    first, *rest = escaped.split(bytes([ESCAPE]))
    if b"" in rest:                     # an escape before an escape, or before the flag
        return None
    body = first + b"".join(bytes([part[0] ^ FLIP]) + part[1:] for part in rest)
    if len(body) < _TAIL or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"):
        return None
    low = int.from_bytes(body[-8:-6], "little")
    high = int.from_bytes(body[-6:-4], "little")
    return Frame(low % OFFSETS, low >> OFFSET_BITS, high % OFFSETS, high >> OFFSET_BITS & 3,
                 high >> OFFSET_BITS + 2, body[:-_TAIL])


@dataclass
class Deframer:
    """Finds frames in the bytes of a line. Any flag begins anew, so it is soon in step again."""

    bad: int = 0            #: frames whose check failed
    _part: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Frame | None]:
        """The frames that these bytes complete, in order; None stands for a damaged one."""
        *ends, rest = data.split(bytes([FLAG]))
        frames = []
        for part in ends:
            self._part += part
            if self._part:
                frames.append(_decode(bytes(self._part)))
                self.bad += frames[-1] is None
            self._part.clear()
        self._part += rest
        return frames


def ahead(offset: int, of: int) -> int:
    """How far one offset is ahead of another, negative where it is behind."""
    return (offset - of + OFFSETS // 2) % OFFSETS - OFFSETS // 2


assert SESSION_BITS + OFFSET_BITS == 16
