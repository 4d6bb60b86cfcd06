"""The instruction set: one table that the RTL, the driver, the golden model and the docs read.

A program is a sequence of packets on the data input. A packet is a descriptor of 128 bits, least
significant word first, then the payload that its operation calls for; the stream's `last` marks
the packet's final beat. A descriptor fills whole beats: 4 of 32 bits, 2 of 64, 1 of 128 or more
(bits above 127 are ignored).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

DESCRIPTOR_BITS = 128
OPCODE_BITS = 8


@dataclass(frozen=True)
class Field:
    """One field of a descriptor: `bits` wide, at `offset` from bit 0."""

    name: str
    bits: int
    doc: str
    offset: int = 0


@dataclass(frozen=True)
class Op:
    """One operation: its code, its fields in order of offset, what it does, what follows it."""

    name: str
    code: int
    fields: tuple[Field, ...]
    doc: str
    payload: str

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError when the operation has none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} has no field {name!r}")

    @property
    def used(self) -> int:
        """Mask of the descriptor bits that mean something; all others must be zero."""
        mask = (1 << OPCODE_BITS) - 1
        for field in self.fields:
            mask |= ((1 << field.bits) - 1) << field.offset
        return mask


def _op(name: str, code: int, doc: str, payload: str, *fields: tuple[str, int, str]) -> Op:
    """Lay the fields out from the opcode upwards."""
    placed, offset = [], OPCODE_BITS
    for field_name, bits, field_doc in fields:
        placed.append(Field(field_name, bits, field_doc, offset))
        offset += bits
    assert offset <= DESCRIPTOR_BITS, name
    return Op(name, code, tuple(placed), doc, payload)


_SLOT = ("slot", 4, "weight slot")
_BUF = ("buf", 1, "activation buffer, 0 or 1")
_ROWS = ("rows", 16, "weight rows per bank and tile, ceil(K / G)")
_TILES = ("tiles", 12, "column tiles, ceil(N / C)")
_TOKENS = ("tokens", 12, "tokens")

OPS: tuple[Op, ...] = (
    _op("LOAD_WGT", 1, "Load the weights of all tiles of a slot. Waits until no run uses it. The "
        "slot's thresholds and scales become invalid.",
        "Tile by tile, input by input (k = 0 .. rows*G - 1): one weight row of C codes, column 0 "
        "lowest. A beat holds `wgt_beat_rows` rows, or a row takes `wgt_row_beats` beats. With "
        "`sparse`: per tile and per 32 inputs one beat whose low 32 bits say which rows follow "
        "(one per beat, or `wgt_row_beats` beats each); the others keep what they held.",
        _SLOT, ("sparse", 1, "only the rows named by bit maps follow"), _ROWS, _TILES),
    _op("LOAD_THR", 2, "Load thresholds for all tiles of a slot. Waits until no run uses it.",
        "One beat per column, tile by tile: theta in the low `theta_bits` bits.",
        _SLOT, _TILES),
    _op("LOAD_SCALE", 3, "Load group scales for all tiles of a slot. Waits until no run uses it.",
        "One beat per column, tile by tile: mul in the low `scale_bits` bits, the left shift in "
        "the 5 bits above.",
        _SLOT, _TILES),
    _op("LOAD_ACT", 4, "Encode tokens into an activation buffer. Waits until no run reads or fills "
        "it. A run may start on the first token while later ones load.",
        "Per token: one beat with the token's shift (its step as a power of two) in the low 4 "
        "bits, then `rows` words of G codes of 16 bits each, q in the low 8 (`sal_bits`) and e "
        "above, input 0 lowest; a word fills whole beats.",
        _BUF, _ROWS, _TOKENS),
    _op("RUN", 5, "Compute all tokens of a buffer against all tiles of a slot: token by token, "
        "tile by tile. `rows`, `tiles` and `tokens` must be what was loaded.",
        "None.",
        _SLOT, _BUF, _ROWS, _TILES, _TOKENS,
        ("raw", 1, "V leaves as it is, instead of fired levels"),
        ("unsigned", 1, "negative V stays silent (a fused ReLU)"),
        ("spikes_only", 1, "levels clamp at the window L"),
        ("silence", 4, "levels up to this are dropped; 0 is lossless"),
        ("scale", 1, "apply the slot's group scales to V"),
        ("acc_first", 1, "start from zero, not from the sums of the run before"),
        ("acc_last", 1, "the sums are complete: fire, or leave raw; else they are kept"),
        ("host", 1, "results go to the data output"),
        ("chain", 1, "fired codes go to activation buffer `chain_buf`, as inputs"),
        ("chain_buf", 1, "the buffer to fill, not `buf`"),
        ("chain_first", 1, "the results are the first inputs of their tokens"),
        ("chain_last", 1, "... the last ones: the tokens are complete")),
    _op("FENCE", 6, "Wait until everything before is done, then put out an END word with `tag`.",
        "None.", ("tag", 32, "comes back in the END word's data (its low bits)")),
)

BY_NAME = {op.name: op for op in OPS}
BY_CODE = {op.code: op for op in OPS}


class Error(enum.IntEnum):
    """Why a packet was refused, or failed; with the packet's number since reset."""

    NONE = 0              #: no error
    BAD_OPCODE = 1        #: no such operation
    BAD_RESERVED = 2      #: a bit outside the operation's fields is set
    BAD_SLOT = 3          #: no such weight slot
    BAD_SIZE = 4          #: rows, tiles or tokens are zero or more than the machine holds
    BAD_FLAGS = 5         #: flags contradict each other, or ask for what the machine lacks
    SLOT_EMPTY = 6        #: no weights in the slot, or their loading failed
    SLOT_MISMATCH = 7     #: the slot holds weights of other rows or tiles
    NO_THRESHOLDS = 8     #: firing without thresholds for all tiles
    NO_SCALES = 9         #: scaling without scales for all tiles
    BUF_EMPTY = 10        #: no tokens in the buffer, or their loading failed
    BUF_MISMATCH = 11     #: the buffer holds tokens of another length or number
    ACC_MISMATCH = 12     #: no kept sums of this shape to add to
    ACC_FULL = 13         #: tokens x tiles x C exceeds the sums that can be kept
    CHAIN_ORDER = 14      #: the chained buffer is not one that can be continued
    TLAST_EARLY = 15      #: the packet ended before its payload was complete
    TLAST_LATE = 16       #: the packet went on after its payload
    BAD_KEEP = 17         #: a beat came with missing bytes
    TRAIN_FULL = 18       #: the tokens do not fit the activation buffer; use fewer
    V_OVERFLOW = 19       #: an accumulated sum left its 32 bits


class DescriptorError(ValueError):
    """Fields that a descriptor cannot hold. `str()` is one line."""


def encode(op: str, **values: int) -> int:
    """The 128-bit descriptor of an operation. Fields not given are 0.

    Raises `DescriptorError` for an unknown operation or field, or a value that does not fit.
    """
    if op not in BY_NAME:
        raise DescriptorError(f"operation {op}: choose from {', '.join(BY_NAME)}")
    word = BY_NAME[op].code
    for name, value in values.items():
        try:
            field = BY_NAME[op].field(name)
        except KeyError as error:
            raise DescriptorError(str(error.args[0])) from None
        if not 0 <= int(value) < 1 << field.bits:
            raise DescriptorError(f"{op}.{name} {value}: must be 0..{(1 << field.bits) - 1}")
        word |= int(value) << field.offset
    return word


def decode(descriptor: int) -> tuple[Op | None, dict[str, int]]:
    """The operation (None if there is no such code) and the values of all its fields."""
    op = BY_CODE.get(descriptor & ((1 << OPCODE_BITS) - 1))
    if op is None:
        return None, {}
    return op, {field.name: descriptor >> field.offset & ((1 << field.bits) - 1)
                for field in op.fields}


# -- registers -----------------------------------------------------------------------------------

@dataclass(frozen=True)
class Register:
    """One 32-bit control register."""

    name: str
    address: int        #: in bytes
    access: str         #: "r", "w" or "rw"
    doc: str


#: Causes that a cycle is charged to, in the order of their counters. Every cycle has one.
CAUSES: tuple[tuple[str, str], ...] = (
    ("events", "lanes adding events (whole cycles' worth of R events)"),
    ("longest_lane", "lanes waiting for the longest one (whole cycles' worth of R idle lanes)"),
    ("ramp", "V adding S for time steps that have fewer events than their length"),
    ("integer", "a tile waiting for its salient products"),
    ("firing", "a tile waiting for the IF bank, or the IF bank finishing the last tiles"),
    ("output", "the same, while the output is blocked"),
    ("weights", "nothing to compute while weights, thresholds or scales load"),
    ("acts", "nothing to compute while tokens load or are encoded"),
    ("idle", "nothing to do"),
)
#: Things counted beside the cycles.
EVENTS: tuple[tuple[str, str], ...] = (
    ("spikes", "events popped, weight rows added"),
    ("salients", "salient inputs multiplied, each with one weight row per tile"),
    ("silent", "inputs encoded that were silent"),
    ("spiking", "inputs encoded that spike"),
    ("salient_inputs", "inputs encoded that stay integers"),
    ("rows_loaded", "weight rows loaded"),
    ("rows_skipped", "weight rows that sparse loading left out"),
    ("tokens", "tokens encoded"),
    ("tiles", "tiles of tokens computed"),
)
COUNTERS = ("cycles", *(name for name, _ in CAUSES), *(name for name, _ in EVENTS))
COUNTER_BITS = 64
#: Bits of `error_count`.
ERROR_COUNT_BITS = 16

ID_VALUE = 0x5350_4947          #: "SPIG"
_COUNTER_BASE = 0x100

REGISTERS: tuple[Register, ...] = (
    Register("id", 0x00, "r", f"{ID_VALUE:#x}, to find the machine by"),
    Register("control", 0x04, "rw", "bit 0: interrupt at a fence, bit 1: interrupt at an error"),
    Register("status", 0x08, "r", "bit 0: busy, bit 1: interrupt pending, bit 2: an error is "
             "recorded, bits 15..8: packets waiting or running"),
    Register("clear", 0x0C, "w", "bit 0: clear the interrupt, bit 1: clear the error, bit 2: clear "
             "all counters"),
    Register("error", 0x10, "r", "the first error since it was cleared: bits 7..0 its code, "
             "bits 31..8 the low 24 bits of the packet's number since reset"),
    Register("error_count", 0x14, "r", "errors since it was cleared, modulo 2^16"),
    Register("packets", 0x18, "r", "packets seen since reset, modulo 2^24 like the "
             "number in `error`"),
    Register("fence_tag", 0x1C, "r", "tag of the last fence passed"),
    Register("latch", 0x20, "rw", "any write: copy all counters to where they are read. Reads 1 "
             "until the copy is complete"),
    *(Register(f"{name}_{part}", _COUNTER_BASE + 8 * index + 4 * (part == "high"), "r",
               f"counter `{name}`, {'low 32' if part == 'low' else 'high'} bits, as latched")
      for index, name in enumerate(COUNTERS) for part in ("low", "high")),
)
BY_REGISTER = {register.name: register for register in REGISTERS}
#: Bits of a register's byte address.
REGISTER_ADDR_BITS = (max(register.address for register in REGISTERS) + 3).bit_length()

#: Registers of the Wishbone wrapper alone, in the same address space: the data streams, in pieces
#: of 32 bits, low ones first. An access that cannot be done gives `err` at once and does nothing.
WISHBONE_REGISTERS: tuple[Register, ...] = (
    Register("data_in", 0x80, "w", "the next piece of a beat of the data input; its last piece "
             "sends the beat. `err` without room"),
    Register("data_in_last", 0x84, "w", "the same, and the packet ends: sends the beat with its "
             "last bit set; pieces not written are missing bytes"),
    Register("data_out", 0x88, "r", "takes the next piece of the data output. `err` if none waits"),
    Register("data_status", 0x8C, "r", "bit 0: room for a piece, and then for the rest of its "
             "beat; bit 1: a piece of output waits; bit 2: it is the last of its packet"),
)
