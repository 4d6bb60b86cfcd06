"""The host link's format on the wire, for both of its ends. docs/link.md explains it."""

import enum
import json
import zlib

from amaranth.lib import data

from spinteger import isa
from spinteger.config import Config

#: Ends a frame; it occurs nowhere else.
FLAG = 0x7E
#: A byte FLAG or ESCAPE is sent as ESCAPE, then the byte with this bit flipped.
ESCAPE, FLIP = 0x7D, 0x20
#: Bits of an offset into the bytes of one direction. Less than half as many may be under way.
OFFSET_BITS = 12
#: The board keeps so many bytes (2^) of each direction.
RING_BITS = 10
#: It never fills the last, partly read piece (2^ bytes) of them: a cheap test for room.
PIECE_BITS = 6
#: A frame of the board ends at every multiple of so many (2^) bytes.
FRAME_BITS = 8
SESSION_BITS = 4
CRC_BITS = 32
#: What the CRC's register holds after a frame that ends with its own CRC.
CRC_GOOD = 0xDEBB20E3


class Kind(enum.IntEnum):
    """What a command byte without bit 7 asks for; see `link_commands`."""

    BYTES = 0    #: bytes of beats follow
    HOLES = 1    #: bytes of beats that are missing (`keep` 0), none follow
    WRITE = 2    #: four bytes for the addressed register follow
    READ = 3     #: answer with the addressed register


def trailer_layout() -> data.StructLayout:
    """What follows a frame's payload, before its CRC.

    Bit 0 of `flags` to the board: RESET, start anew as `session`; bit 1: RESEND from `ack`.
    From the board: GAP, something before was lost; MARK, the payload's last byte is a mark.
    """
    return data.StructLayout({
        "end": OFFSET_BITS,           # offset behind the payload
        "session": SESSION_BITS,      # the host's, since the last RESET; 0: the board was reset
        "ack": OFFSET_BITS,           # offset of the byte that is expected from the other side
        "flags": 2,
        "round": 2,                   # the host's count of going back; the board returns it
    })


def identity(cfg: Config) -> int:
    """What a board answers when asked what it is: CRC-32 of all that the driver must agree with.

    These are the configuration (less `bus`, which the link replaces) and the instruction set.
    """
    params = {name: value for name, value in cfg.params().items() if name != "bus"}
    ops = [(op.name, op.code, [(field.name, field.offset, field.bits) for field in op.fields])
           for op in isa.OPS]
    registers = [(register.name, register.address) for register in isa.REGISTERS]
    return zlib.crc32(json.dumps([params, ops, registers], sort_keys=True).encode())
