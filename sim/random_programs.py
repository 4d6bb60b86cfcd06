"""Random programs: all that a machine may be asked to do, and all that may be wrong with it.

    program(numpy.random.default_rng(seed), cfg)                    # valid packets and faulty ones
    program(numpy.random.default_rng(seed), cfg, faults=False)      # works whatever ran before

What must come of them is for `sim.reference` to say: the writer here only remembers enough of the
machine's state for most runs to find what they need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hdl.buffer_state import can_chain, chain_limit
from hdl.payloads import SCALE_SHIFT_BITS
from sim import packets as pk
from sim import packing
from sim.faults import bits, spoil
from sim.packets import Packet
from sim.packing import Ints
from spinteger import isa
from spinteger.config import Config

#: Fence tags stay below this: none looks like the end fence in an output word's data.
TAGS = 1 << 16


def program(rng: np.random.Generator, cfg: Config, faults: bool = True,
            length: int = 0) -> list[Packet]:
    """About `length` packets (0: a random number).

    Without `faults` all packets are carried out (but sums may overflow), and nothing depends on
    what the machine's memories held before.
    """
    writer = _Writer(rng, cfg, faults)
    length = length or int(rng.integers(6, 30))
    while len(writer.packets) < length:
        writer.step()
    if not faults and writer.chain is not None:
        writer.go_on(last=True)
    return writer.packets


@dataclass
class _Slot:
    rows: int
    tiles: int
    thr: bool = False
    scale: bool = False


@dataclass
class _Chain:
    buf: int
    slot: int           #: of its first run
    tiles: int = 0


class _Writer:
    """Adds packets, and remembers what they leave in slots and buffers."""

    def __init__(self, rng: np.random.Generator, cfg: Config, faults: bool):
        self.rng, self.cfg, self.faults = rng, cfg, faults
        self.packets: list[Packet] = []
        self.slots: dict[int, _Slot] = {}
        self.bufs: dict[int, tuple[int, int]] = {}          # rows, tokens
        self.chain: _Chain | None = None
        self.sums: tuple[int, int] | None = None            # tokens, tiles
        # Few sizes, so that slots and buffers often go together.
        self.rows = [self.up_to(cfg.rows_k) for _ in range(2)]
        self.spoilt = float(rng.choice((0.0, 0.05, 0.3))) if faults else 0.0

    # -- dice --------------------------------------------------------------------------------

    def maybe(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _slip(self, share: float) -> bool:
        return self.faults and self.maybe(share)

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def up_to(self, limit: int) -> int:
        """1..limit, small ones more often."""
        return 1 + min(self.below(limit), self.below(limit))

    # -- one step ----------------------------------------------------------------------------

    def step(self) -> None:
        """One more packet, or the few that it needs."""
        if self.chain is not None and (not self.faults or self.maybe(0.7)):
            if self.maybe(0.7):
                self.go_on(last=self.maybe(0.5))
            elif self.maybe(0.5):
                self.thr(self.chain.slot)
            else:
                self.fence()
            return
        steps: dict[Callable[[], None], int] = {
            self.wgt: 6, self.thr: 4, self.scale: 2, self.act: 6, self.run: 18, self.runs: 1,
            self.fence: 2}
        if self.faults:
            steps |= {self.junk: 2, self.storm: 1}
        weights = np.array(list(steps.values()), float)
        list(steps)[int(self.rng.choice(len(steps), p=weights / weights.sum()))]()

    def add(self, packet: Packet) -> bool:
        """Append a packet, perhaps with a fault; whether it is as it should be."""
        fine = not self.maybe(self.spoilt)
        self.packets.append(packet if fine else spoil(self.rng, self.cfg, packet))
        return fine

    # -- loads -------------------------------------------------------------------------------

    def wgt(self, slot: int | None = None, rows: int = 0) -> None:
        """Weights, all or some of them."""
        cfg = self.cfg
        slot = self.below(cfg.slots) if slot is None else slot
        rows = rows or self._rows()
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
            self.slots[slot] = _Slot(rows, tiles)
            if self.maybe(0.7):
                self.thr(slot)
        elif self.maybe(0.5):
            self.slots.pop(slot, None)

    def thr(self, slot: int | None = None) -> None:
        """Thresholds of all sizes."""
        cfg = self.cfg
        slot = self._slot() if slot is None else slot
        if slot not in self.slots:
            return self.wgt(slot)
        mine = self.slots[slot]
        n = mine.tiles * cfg.cols
        low = 0 if self.maybe(0.5) else max(0, cfg.frac_bits - 2)
        size = self.rng.integers(low, cfg.theta_bits + 1, n)
        theta = np.maximum(1, (self.rng.random(n) * (1 << size)).astype(np.int64))
        packet = pk.load_thr(cfg, slot, theta)
        if self._slip(0.05):
            packet.payload[self.below(n)] = 0
        mine.thr = self.add(self._noise(packet, [[cfg.theta_bits]])) or self.maybe(0.5)

    def scale(self, slot: int | None = None) -> None:
        """Group scales, most of them small."""
        cfg = self.cfg
        slot = self._slot() if slot is None else slot
        if slot not in self.slots:
            return self.wgt(slot)
        if not cfg.scale_bits:
            if self._slip(0.3):
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
        rows = rows or self._rows()
        tokens = self.up_to(min(4, cfg.tokens) if self.maybe(0.8) else cfg.tokens)
        full = full or self._slip(0.06)
        if full:
            rows, tokens = cfg.rows_k, cfg.tokens
        tokens = tokens if self.faults else min(tokens, safe_tokens(cfg, rows))
        k = rows * cfg.groups - self.below(cfg.groups)
        q, e = codes(self.rng, cfg, tokens, k, dense=full)
        shift = self.rng.integers(0, 16 if self.maybe(0.1) else 3, tokens) if cfg.shift_bits \
            else None
        packet = pk.load_act(cfg, buf, q, e, shift)
        used = [[cfg.shift_bits], *[_low_bits(cfg, cfg.groups * packing.CODE_BITS)] * rows]
        if self._slip(0.1):                      # codes that no encoder would write
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

    def _rows(self) -> int:
        if self.maybe(0.9):
            return self.rows[self.below(2)]
        return self.up_to(self.cfg.rows_k) if self.maybe(0.5) else self.cfg.rows_k

    def _slot(self) -> int:
        known = list(self.slots)
        return known[self.below(len(known))] if known and self.maybe(0.95) \
            else self.below(self.cfg.slots)

    # -- runs --------------------------------------------------------------------------------

    def run(self) -> None:
        """A run of a slot and a buffer that go together, once there are such."""
        pairs = [(slot, buf) for slot, held in self.slots.items()
                 for buf, (rows, _) in self.bufs.items() if held.rows == rows]
        if not pairs or self._slip(0.04):
            if self._slip(0.2):
                return self._blind_run()
            if not self.bufs:
                return self.act()
            buf = list(self.bufs)[self.below(len(self.bufs))]
            return self.wgt(rows=self.bufs[buf][0])
        slot, buf = pairs[self.below(len(pairs))]
        held, (_, tokens) = self.slots[slot], self.bufs[buf]
        flags = self._flags(held, buf, tokens)
        if not self.add(self._packet(slot, buf, **flags)):
            return
        if not flags["acc_last"]:
            self.sums = tokens, held.tiles
        elif not flags["acc_first"]:
            self.sums = None
        if flags.get("chain"):
            self.chain = _Chain(flags["chain_buf"], slot)
            self._chained(held.tiles, tokens, bool(flags["chain_last"]))

    def runs(self) -> None:
        """More runs than any queue holds."""
        for _ in range(4 + self.below(10)):
            if self.chain is None:
                self.run()

    def _packet(self, slot: int, buf: int, **flags: int) -> Packet:
        rows, tokens = self.bufs[buf]
        return pk.run(self.cfg, slot=slot, buf=buf, rows=rows, tokens=tokens,
                      tiles=self.slots[slot].tiles, **flags)

    def _flags(self, held: _Slot, buf: int, tokens: int) -> dict[str, int]:
        cfg = self.cfg
        kept = tokens * held.tiles * cfg.cols <= cfg.acc_depth
        add = self.sums == (tokens, held.tiles) and self.maybe(0.6) or self._slip(0.03)
        keep = self.maybe(0.25) if kept else self._slip(0.2)
        flags: dict[str, int] = {
            "scale": held.scale and self.maybe(0.5) or self._slip(0.02),
            "acc_first": not add, "acc_last": not keep,
            "unsigned": self.maybe(0.3), "spikes_only": self.maybe(0.3),
            "silence": self.below(cfg.window + 1) if self.maybe(0.3) else 0}
        if keep:
            return flags
        fires = held.thr or self._slip(0.05)
        if fires and self.chain is None and self._can_chain(held.tiles) and self.maybe(0.4) and (
                self.faults or tokens <= safe_tokens(cfg, cfg.tile_rows(held.tiles * cfg.cols))):
            whole = tokens > 1 or self.maybe(0.4) or not self._can_chain(2 * held.tiles)
            return flags | {"chain": 1, "chain_buf": 1 - buf, "chain_first": 1,
                            "chain_last": whole, "host": self.maybe(0.5)}
        return flags | {"host": 1, "raw": not fires or self.maybe(0.35)}

    def _can_chain(self, tiles: int) -> bool:
        return can_chain(self.cfg) and tiles <= chain_limit(self.cfg)

    def go_on(self, last: bool) -> None:
        """The next run of an open chain; its last one, or one more of its kind would not fit."""
        chain = self.chain
        assert chain is not None
        buf, slot = 1 - chain.buf, chain.slot
        if self._slip(0.5):
            slot = self._slot()
        held = self.slots.get(slot)
        if held is None or buf not in self.bufs:
            return self.fence()                 # nothing but a reset ends this chain
        flags = {"acc_first": 1, "acc_last": 1, "chain": 1, "chain_buf": chain.buf,
                 "chain_last": last or not self._can_chain(chain.tiles + 2 * held.tiles),
                 "host": self.maybe(0.5), "unsigned": self.maybe(0.3)}
        if self.add(self._packet(slot, buf, **flags)) and self._can_chain(chain.tiles + held.tiles):
            self._chained(held.tiles, 1, bool(flags["chain_last"]))

    def _chained(self, tiles: int, tokens: int, last: bool) -> None:
        assert self.chain is not None
        self.chain.tiles += tiles
        self.bufs.pop(self.chain.buf, None)
        if last:
            rows = self.cfg.tile_rows(self.chain.tiles * self.cfg.cols)
            self.bufs[self.chain.buf] = rows, tokens
            self.chain = None
            if self.maybe(0.7):
                self.wgt(rows=rows)

    def _blind_run(self) -> None:
        """A run of anything, loaded or not."""
        cfg = self.cfg
        flags = {name: self.below(2) for name in ("raw", "scale", "acc_first", "acc_last", "host",
                                                  "chain", "chain_buf", "chain_first",
                                                  "chain_last") if self.maybe(0.5)}
        self.packets.append(pk.run(
            cfg, slot=self.below(cfg.slots), buf=self.below(2), rows=self._rows(),
            tiles=self.up_to(min(3, cfg.tiles)), tokens=self.up_to(min(4, cfg.tokens)),
            **{"acc_first": 1, "acc_last": 1, **flags}))

    def storm(self) -> None:
        """A buffer that overflows and runs on it, and refused packets: errors from all sides."""
        buf = self.below(2)
        self.act(buf, full=True)
        if buf not in self.bufs or self.chain is not None:
            return
        self.wgt(rows=self.bufs[buf][0])
        slots = [slot for slot, held in self.slots.items() if held.rows == self.bufs[buf][0]]
        for _ in range(8 * bool(slots)):
            slot = slots[self.below(len(slots))]
            self.add(self._packet(slot, buf, acc_first=1, acc_last=1, host=1, raw=1))
            for _ in range(self.below(3)):
                self.packets.append(Packet(0, cut=1))

    # -- others --------------------------------------------------------------------------------

    def fence(self) -> None:
        """A fence."""
        self.add(pk.fence(self.below(TAGS)))

    def junk(self) -> None:
        """A packet of random beats, whose first one may look like something."""
        code = self.below(8) if self.maybe(0.7) else self.below(256)
        length = self.below(8)
        self.packets.append(Packet(
            bits(self.rng, 128 - isa.OPCODE_BITS) << isa.OPCODE_BITS | code,
            [bits(self.rng, self.cfg.bus_bits) for _ in range(length)]))


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
