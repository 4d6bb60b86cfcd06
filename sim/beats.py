"""Packets as the payloads of the machine's data ports, as bytes, and back."""

from collections.abc import Sequence

import numpy as np

from hdl.packets import input_layout, output_layout
from sim import packets
from sim.packets import Packet
from sim.packing import Bools, Bytes, Ints, to_bytes
from spinteger.config import Config


def port_bytes(bits: int) -> int:
    """Bytes in which a model holds a port of so many bits: 1, 2, 4, 8, or a multiple of 4."""
    size = -(-bits // 8)
    return 1 << (size - 1).bit_length() if size <= 8 else -(-size // 4) * 4


def input_payloads(cfg: Config, program: Sequence[Packet]) -> Bytes:
    """All beats of a program, in the bytes of `input_layout`, uint8 [n, port_bytes]."""
    layout = input_layout(cfg)
    width = cfg.bus_bits // 8
    out = np.zeros((sum(len(packet.words(cfg)) for packet in program), port_bytes(layout.size)),
                   np.uint8)
    at = 0
    keep, last = layout["keep"].offset // 8, layout["last"].offset
    for packet in program:
        words = packet.words(cfg)
        mine = out[at:at + len(words)]
        mine[:, :width] = to_bytes(words, width)
        masks = np.full((len(words), width), True)
        for beat, mask in packet.keep.items():
            if beat < len(words):
                masks[beat] = mask >> np.arange(width) & 1
        packed = np.packbits(masks, axis=1, bitorder="little")
        mine[:, keep:keep + packed.shape[1]] = packed
        mine[-1, last // 8] |= 1 << last % 8
        at += len(words)
    return out


def output_payloads(cfg: Config, words: Sequence[Sequence[int]]) -> Bytes:
    """Output packets in the bytes of `output_layout`, uint8 [n, port_bytes]."""
    layout = output_layout(cfg)
    beats = packets.write_words(cfg, words)
    out = np.zeros((len(beats), port_bytes(layout.size)), np.uint8)
    out[:, :cfg.bus_bits // 8] = to_bytes([data for data, _ in beats], cfg.bus_bits // 8)
    out[[last for _, last in beats], layout["last"].offset // 8] |= 1
    return out


def output_packets(cfg: Config, payloads: Bytes) -> list[list[int]]:
    """Output words per packet, of payloads uint8 [n, at least the layout's bytes]."""
    width, last = cfg.bus_bits // 8, output_layout(cfg)["last"].offset
    if not len(payloads):
        return []
    ends: Bools = (payloads[:, last // 8] >> last % 8 & 1).astype(bool)
    count = packets.word_beats(cfg)
    sizes: Ints = np.diff(np.flatnonzero(ends), prepend=-1)
    if not ends[-1] or (sizes % count).any():       # says where and why
        data = [int.from_bytes(row[:width].tobytes(), "little") for row in payloads]
        packets.read_words(cfg, zip(data, ends.tolist(), strict=True))
    joined = np.ascontiguousarray(payloads[:, :width]).reshape(-1, width * count)
    words = [int.from_bytes(row.tobytes(), "little") for row in joined] \
        if width * count != 8 else joined.view("<u8").ravel().tolist()
    bounds = np.cumsum(sizes // count).tolist()
    return [words[first:end] for first, end in zip([0, *bounds], bounds, strict=False)]


def finish(cfg: Config, words: list[list[int]]) -> list[list[int]]:
    """Output packets without that of the end fence. Raises `PacketError` when it is missing."""
    if not words or words[-1] != [packets.fence_word(cfg)]:
        raise packets.PacketError("the output does not end with the end fence's packet")
    return words[:-1]
