"""Random programs: all that a machine may be asked to do, and all that may be wrong with it.

    program(numpy.random.default_rng(seed), cfg)                    # valid packets and faulty ones
    program(numpy.random.default_rng(seed), cfg, faults=False)      # works whatever ran before

What must come of them is for `sim.reference` to say: the writer here only remembers enough of the
machine's state for most runs to find what they need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hdl.buffer_state import can_chain, chain_limit
from sim import packets as pk
from sim.faults import bits
from sim.packets import Packet
from sim.random_loads import LoadWriter, Slot, safe_tokens
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
class _Chain:
    buf: int
    slot: int           #: of its first run
    tiles: int = 0


class _Writer(LoadWriter):
    """Adds packets of all kinds."""

    def __init__(self, rng: np.random.Generator, cfg: Config, faults: bool):
        super().__init__(rng, cfg, faults)
        self.chain: _Chain | None = None
        self.sums: tuple[int, int] | None = None            # tokens, tiles

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

    # -- runs --------------------------------------------------------------------------------

    def run(self) -> None:
        """A run of a slot and a buffer that go together, once there are such."""
        pairs = [(slot, buf) for slot, held in self.slots.items()
                 for buf, (rows, _) in self.bufs.items() if held.rows == rows]
        if not pairs or self.slip(0.04):
            if self.slip(0.2):
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

    def _flags(self, held: Slot, buf: int, tokens: int) -> dict[str, int]:
        cfg = self.cfg
        kept = tokens * held.tiles * cfg.cols <= cfg.acc_depth
        add = self.sums == (tokens, held.tiles) and self.maybe(0.6) or self.slip(0.03)
        keep = self.maybe(0.25) if kept else self.slip(0.2)
        flags: dict[str, int] = {
            "scale": held.scale and self.maybe(0.5) or self.slip(0.02),
            "acc_first": not add, "acc_last": not keep,
            "unsigned": self.maybe(0.3), "spikes_only": self.maybe(0.3),
            "silence": self.below(cfg.window + 1) if self.maybe(0.3) else 0}
        if keep:
            return flags
        fires = held.thr or self.slip(0.05)
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
        if self.slip(0.5):
            slot = self.a_slot()
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
            cfg, slot=self.below(cfg.slots), buf=self.below(2), rows=self.a_size(),
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
