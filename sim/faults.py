"""Faulty packets: every way in which a good one can be spoilt on its way to the machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.packets import Packet
from spinteger import isa
from spinteger.config import Config


def bits(rng: np.random.Generator, count: int) -> int:
    """So many random bits."""
    return int.from_bytes(rng.bytes(-(-count // 8)), "little") & ~(-1 << count)


def spoil(rng: np.random.Generator, cfg: Config, packet: Packet) -> Packet:
    """The packet with one fault, or (rarely) two, or with one that happens to be none."""
    kinds = (_field, _field, _field, _opcode, _reserved, _cut, _cut, _extra, _extra, _keep, _keep)
    for _ in range(1 + (rng.random() < 0.1)):
        packet = kinds[int(rng.integers(len(kinds)))](rng, cfg, packet)
    return packet


def _field(rng: np.random.Generator, cfg: Config, packet: Packet) -> Packet:
    """One field has another value: next to its own, next to a limit, or anything."""
    op, values = isa.decode(packet.descriptor)
    if op is None or op.name == "FENCE":
        return _opcode(rng, cfg, packet)
    field = op.fields[int(rng.integers(len(op.fields)))]
    limit = {"slot": cfg.slots - 1, "rows": cfg.rows_k, "tiles": cfg.tiles, "tokens": cfg.tokens,
             "silence": cfg.window}.get(field.name, 1)
    old, most = values[field.name], (1 << field.bits) - 1
    others = {0, 1, old - 1, old + 1, limit, limit + 1, most, bits(rng, field.bits)}
    choice = sorted(value for value in others if 0 <= value <= most and value != old)
    new = choice[int(rng.integers(len(choice)))]
    return replace(packet, descriptor=packet.descriptor ^ (old ^ new) << field.offset)


def _opcode(rng: np.random.Generator, cfg: Config, packet: Packet) -> Packet:
    """Another operation, known or not."""
    code = int(rng.integers(0, 1 + 2 * len(isa.OPS))) if rng.random() < 0.5 else bits(rng, 8)
    if code == isa.BY_NAME["FENCE"].code:       # its tag might be the end fence's
        code = 0
    return replace(packet, descriptor=packet.descriptor & ~0xFF | code)


def _reserved(rng: np.random.Generator, cfg: Config, packet: Packet) -> Packet:
    """A bit that means nothing is set. With wide beats, some bits are no part of a descriptor."""
    op, _ = isa.decode(packet.descriptor)
    most = max(isa.DESCRIPTOR_BITS, cfg.bus_bits)
    unused = [bit for bit in range(most) if not (op.used if op else 0) >> bit & 1]
    return replace(packet, descriptor=packet.descriptor | 1 << int(rng.choice(unused)))


def _cut(rng: np.random.Generator, cfg: Config, packet: Packet) -> Packet:
    """It ends early: anywhere, before its last beat, or without a payload."""
    beats = len(packet.words(cfg))
    if beats == 1:
        return _extra(rng, cfg, packet)
    head = max(1, isa.DESCRIPTOR_BITS // cfg.bus_bits)
    at = (int(rng.integers(1, beats)), beats - 1, min(head, beats - 1))[int(rng.integers(3))]
    return replace(packet, cut=at)


def _extra(rng: np.random.Generator, cfg: Config, packet: Packet) -> Packet:
    """It goes on: a beat or two, or many."""
    count = int(rng.integers(1, 3)) if rng.random() < 0.8 else int(rng.integers(3, 100))
    more = [bits(rng, cfg.bus_bits) for _ in range(count)]
    return replace(packet, payload=[*packet.payload, *more], cut=None)


def _keep(rng: np.random.Generator, cfg: Config, packet: Packet) -> Packet:
    """A beat has not all its bytes. On the last one, that may be no fault."""
    beats, width = len(packet.words(cfg)), cfg.bus_bits // 8
    at = int(rng.integers(beats)) if rng.random() < 0.5 else beats - 1
    mask = bits(rng, width) if rng.random() < 0.5 else (1 << int(rng.integers(width))) - 1
    return replace(packet, keep={**packet.keep, at: mask})
