"""Random loads: weights, thresholds, scales and tokens, and a memory of what is where."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hdl.payloads import SCALE_SHIFT_BITS
from sim import packets as pk
from sim import packing
from sim.faults import bits, spoil
from sim.packets import Packet
from sim.packing import Ints
from spinteger import isa
from spinteger.config import Config


@dataclass
class Slot:
    rows: int
    tiles: int
    thr: bool = False
    scale: bool = False


class LoadWriter:
    """Adds packets that load, and remembers what they leave in slots and buffers."""

    def __init__(self, rng: np.random.Generator, cfg: Config, faults: bool):
        self.rng, self.cfg, self.faults = rng, cfg, faults
        self.packets: list[Packet] = []
        self.slots: dict[int, Slot] = {}
        self.bufs: dict[int, tuple[int, int]] = {}          # rows, tokens
        # Few sizes, so that slots and buffers often go together.
        self.rows = [self.up_to(cfg.rows_k) for _ in range(2)]
        self.spoilt = float(rng.choice((0.0, 0.05, 0.3))) if faults else 0.0

    def add(self, packet: Packet) -> bool:
        """Append a packet, perhaps with a fault; whether it is as it should be."""
        fine = not self.maybe(self.spoilt)
        self.packets.append(packet if fine else spoil(self.rng, self.cfg, packet))
        return fine

    # -- dice --------------------------------------------------------------------------------

    def maybe(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def slip(self, share: float) -> bool:
        return self.faults and self.maybe(share)

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def up_to(self, limit: int) -> int:
        """1..limit, small ones more often."""
        return 1 + min(self.below(limit), self.below(limit))

    # -- loads -------------------------------------------------------------------------------

    def wgt(self, slot: int | None = None, rows: int = 0) -> None:
        """Weights, all or some of them."""
        cfg = self.cfg
        slot = self.below(cfg.slots) if slot is None else slot
        rows = rows or self.a_size()
        most = min(cfg.tiles, cfg.slot_rows // rows)
        tiles = most if self.maybe(0.05) else self.up_to(min(4, most))
        old, live = self.slots.get(slot), None
        if old and self.maybe(0.4) and (old.rows == rows or self.faults):
            if not self.faults or self.maybe(0.8):
                rows, tiles = old.rows, old.tiles
            live = self.rng.random(rows * cfg.groups) < self.rng.choice((0, 0.1, 0.5, 1))
        k, n = rows * cfg.groups - self.below(cfg.groups), tiles * cfg.cols - self.below(cfg.cols)
        w = self.rng.integers(-cfg.wgt_max, cfg.wgt_max, (k, n))
        packet = pk.load_wgt(cfg, slot, w, live if live is None else live[:k])
        if live is None and self.maybe(0.2):
            packet = self._noise(packet, [_low_bits(cfg, cfg.wgt_beat_rows * cfg.cols
                                                    * cfg.wgt_bits)])
        if self.add(packet):
            self.slots[slot] = Slot(rows, tiles)
            if self.maybe(0.7):
                self.thr(slot)
        elif self.maybe(0.5):
            self.slots.pop(slot, None)

    def thr(self, slot: int | None = None) -> None:
        """Thresholds of all sizes."""
        cfg = self.cfg
        slot = self.a_slot() if slot is None else slot
        if slot not in self.slots:
            return self.wgt(slot)
        mine = self.slots[slot]
        n = mine.tiles * cfg.cols
        low = 0 if self.maybe(0.5) else max(0, cfg.frac_bits - 2)
        size = self.rng.integers(low, cfg.theta_bits + 1, n)
        theta = np.maximum(1, (self.rng.random(n) * (1 << size)).astype(np.int64))
        packet = pk.load_thr(cfg, slot, theta)
        if self.slip(0.05):
            packet.payload[self.below(n)] = 0
        mine.thr = self.add(self._noise(packet, [[cfg.theta_bits]])) or self.maybe(0.5)

    def scale(self, slot: int | None = None) -> None:
        """Group scales, most of them small."""
        cfg = self.cfg
        slot = self.a_slot() if slot is None else slot
        if slot not in self.slots:
            return self.wgt(slot)
        if not cfg.scale_bits:
            if self.slip(0.3):
                self.packets.append(Packet(isa.encode("LOAD_SCALE", slot=slot, tiles=1), [0]))
            return
        mine = self.slots[slot]
        n = mine.tiles * cfg.cols
        shift = self.rng.integers(0, 1 << SCALE_SHIFT_BITS if self.maybe(0.2) else 4, n)
        packet = pk.load_scale(cfg, slot, self.rng.integers(0, 1 << cfg.scale_bits, n), shift)
        mine.scale = self.add(self._noise(packet, [[cfg.scale_bits + SCALE_SHIFT_BITS]])) \
            or self.maybe(0.5)

    def act(self, buf: int | None = None, rows: int = 0, full: bool = False) -> None:
        """Tokens; now and then, or `full`, as many as there can be, which may not fit."""
        cfg = self.cfg
        buf = self.below(2) if buf is None else buf
        rows = rows or self.a_size()
        tokens = self.up_to(min(4, cfg.tokens) if self.maybe(0.8) else cfg.tokens)
        full = full or self.slip(0.06)
        if full:
            rows, tokens = cfg.rows_k, cfg.tokens
        tokens = tokens if self.faults else min(tokens, safe_tokens(cfg, rows))
        k = rows * cfg.groups - self.below(cfg.groups)
        q, e = codes(self.rng, cfg, tokens, k, dense=full)
        shift = self.rng.integers(0, 16 if self.maybe(0.1) else 3, tokens) if cfg.shift_bits \
            else None
        packet = pk.load_act(cfg, buf, q, e, shift)
        used = [[cfg.shift_bits], *[_low_bits(cfg, cfg.groups * packing.CODE_BITS)] * rows]
        if self.slip(0.1):                      # codes that no encoder would write
            used = [[cfg.shift_bits], *[[0] * cfg.act_word_beats] * rows]
        if self.add(self._noise(packet, used)):
            self.bufs[buf] = rows, tokens
        elif self.maybe(0.5):
            self.bufs.pop(buf, None)

    def _noise(self, packet: Packet, used: list[list[int]]) -> Packet:
        """Random bits where they do not matter: above the `used` ones of each beat, in turn."""
        if self.maybe(0.8):
            return packet
        low = [keep for word in used for keep in word]
        payload = [beat & ~(-1 << keep) | bits(self.rng, self.cfg.bus_bits) >> keep << keep
                   for beat, keep in zip(packet.payload, low * len(packet.payload), strict=False)]
        return replace(packet, payload=payload)

    def a_size(self) -> int:
        if self.maybe(0.9):
            return self.rows[self.below(2)]
        return self.up_to(self.cfg.rows_k) if self.maybe(0.5) else self.cfg.rows_k

    def a_slot(self) -> int:
        known = list(self.slots)
        return known[self.below(len(known))] if known and self.maybe(0.95) \
            else self.below(self.cfg.slots)


def codes(rng: np.random.Generator, cfg: Config, tokens: int, k: int,
          dense: bool = False) -> tuple[Ints, Ints]:
    """Codes q, e [T, K]: silent, spikes and salients in random shares."""
    low = -1 if cfg.signed else 0
    silent, salient = rng.choice((0.0, 0.2, 0.5, 0.9, 1.0)), rng.choice((0.0, 0.1, 0.4, 1.0))
    q = rng.integers(low * cfg.window, cfg.window + 1, (tokens, k))
    if rng.random() < 0.2:                  # all of one level, the longest queues
        q = np.where(q < 0, -1, 1) * rng.integers(1, cfg.window + 1)
    e = np.zeros_like(q)
    chosen = rng.random(q.shape) < salient
    q[chosen] = rng.integers(low * cfg.sal_max, cfg.sal_max + 1, chosen.sum())
    e[chosen] = rng.integers(0, cfg.exp_max + 1, chosen.sum())
    if not dense:
        q[rng.random(q.shape) < silent] = 0
    e[q == 0] = 0
    return q, e


def safe_tokens(cfg: Config, rows: int) -> int:
    """Tokens of so many rows that fit an activation buffer, whatever they are."""
    inputs, spread = rows * cfg.groups, cfg.window * (cfg.homes - 1)
    train = min(-(-(inputs + spread) // cfg.homes), cfg.window * -(-rows // cfg.homes))
    lists = -(-inputs // cfg.int_lanes) if cfg.homes > 1 else cfg.group * rows
    return min(cfg.tokens, cfg.train_depth // max(1, train), cfg.list_depth // lists)


def _low_bits(cfg: Config, size: int) -> list[int]:
    """Bits used of each beat of a word of `size` bits."""
    return [min(cfg.bus_bits, size - at) for at in range(0, size, cfg.bus_bits)]
