"""Random programs for the whole machine: mostly in order, some refused, some faulty packets."""

import numpy as np
import torch

from golden.codes import recode
from sim import packets as pk
from sim.packets import Packet
from sim.reference import Reference
from spinteger import isa
from spinteger.config import Config


class Programs:
    """Draws packets that fit what a machine holds, as the golden machine keeps it."""

    def __init__(self, cfg: Config, seed: int):
        self.cfg, self.g = cfg, np.random.default_rng(seed)
        self.machine = Reference(cfg)
        self.k = int(self.g.choice([1, cfg.groups, 5 * cfg.groups + 1, cfg.k]))

    def program(self, length: int, wrong: float = 0.15) -> list[Packet]:
        """About `length` packets; a share of `wrong` is changed so that it may be refused."""
        out: list[Packet] = []
        while len(out) < length:
            packet = self._packet()
            if self.g.random() < wrong:
                packet = self._spoilt(packet)
            self.machine.execute([packet])
            out.append(packet)
        return out

    def _chance(self, share: float) -> bool:
        return bool(self.g.random() < share)

    def _packet(self) -> Packet:
        cfg, g, state = self.cfg, self.g, self.machine.state
        slot, buf = int(g.integers(cfg.slots)), int(g.integers(2))
        held = state.slots[slot]
        runs = [(s, b) for s in range(cfg.slots) for b in range(2) if state.slots[s].valid
                and state.bufs[b].loaded and state.slots[s].rows == state.bufs[b].rows]
        if runs and self._chance(0.55):
            return self._run(*runs[int(g.integers(len(runs)))])
        if held.valid and not held.thr_valid:
            return self._thr(held.tiles, slot)
        if held.valid and cfg.scale_bits and not held.scale_valid and self._chance(0.4):
            n = held.tiles * cfg.cols
            return pk.load_scale(cfg, slot, g.integers(0, 1 << cfg.scale_bits, n),
                                 g.integers(0, g.choice([2, 4, 32]), n))
        if self._chance(0.1):
            return pk.fence(int(g.integers(1 << 20)))
        if self._chance(0.45) and (state.chain is None or self._chance(0.05)):
            return self._acts(buf, int(g.choice([1, 1, 2, 3, cfg.tokens])))
        rows = state.bufs[buf].rows if state.bufs[buf].loaded else cfg.tile_rows(self.k)
        return self._wgt(slot, rows)

    def _wgt(self, slot: int, rows: int) -> Packet:
        cfg, g = self.cfg, self.g
        tiles = int(g.integers(1, 1 + min(3, cfg.tiles, cfg.slot_rows // rows)))
        w = g.integers(-cfg.wgt_max, cfg.wgt_max, (rows * cfg.groups, tiles * cfg.cols))
        live = g.random(len(w)) < g.random() if self._chance(0.3) else None
        return pk.load_wgt(cfg, slot, w, live)

    def _thr(self, tiles: int, slot: int) -> Packet:
        cfg, g = self.cfg, self.g
        top = min(1 << cfg.theta_bits, int(g.choice([4, 60, 4000])) << cfg.frac_bits)
        return pk.load_thr(cfg, slot, g.integers(1, top, tiles * cfg.cols))

    def _acts(self, buf: int, tokens: int) -> Packet:
        cfg, g = self.cfg, self.g
        spread = cfg.window * g.choice([0.1, 0.5, 1.0, 3.0])
        level = torch.from_numpy(np.round(g.normal(0, spread, (tokens, self.k)))).long()
        codes = recode(level if cfg.signed else level.abs(), cfg)
        shift = g.integers(0, g.choice([1, 3]), tokens) if cfg.shift_bits else None
        return pk.load_act(cfg, buf, codes.q.numpy(), codes.e.numpy(), shift)

    def _run(self, slot: int, buf: int) -> Packet:
        cfg, g, state = self.cfg, self.g, self.machine.state
        held, tokens = state.slots[slot], state.bufs[buf].tokens
        first, last, chain = True, True, False
        if cfg.acc_depth and tokens * held.tiles * cfg.cols <= cfg.acc_depth:
            first = state.sums != (tokens, held.tiles) or self._chance(0.2)
            last = self._chance(0.7)
        flags = {"raw": self._chance(0.4), "unsigned": self._chance(0.3),
                 "spikes_only": self._chance(0.3), "scale": held.scale_valid and self._chance(0.7),
                 "silence": int(g.choice([0, 0, 1, cfg.window])),
                 "acc_first": first, "acc_last": last, "host": last}
        if last and self._chance(0.5 if state.chain is None else 0.9):
            chain = True
            whole = tokens > 1 or self._chance(0.4)
            flags |= {"raw": False, "host": self._chance(0.3), "chain": True, "chain_buf": 1 - buf,
                      "chain_first": state.chain is None, "chain_last": whole or self._chance(0.5)}
        if chain and state.chain is not None and state.chain.buf == buf:
            flags["chain_buf"] = buf            # refused
        return pk.run(cfg, slot=slot, buf=buf, rows=held.rows, tiles=held.tiles, tokens=tokens,
                      **flags)

    def _spoilt(self, packet: Packet) -> Packet:
        """A bit of the descriptor changed, or beats missing, too many, or incomplete."""
        cfg, g = self.cfg, self.g
        beats = len(packet.words(cfg))
        match int(g.integers(5)):
            case 0:
                return Packet(packet.descriptor, packet.payload, cut=int(g.integers(1, beats + 1)))
            case 1:
                return Packet(packet.descriptor, [*packet.payload, *[0] * int(g.integers(1, 3))])
            case 2:
                mask = int(g.integers(1 << min(60, cfg.bus_bits // 8)))
                return Packet(packet.descriptor, packet.payload, {int(g.integers(beats)): mask})
            case 3:
                return Packet(int.from_bytes(g.bytes(16), "little"), packet.payload[:3])
        op, _ = isa.decode(packet.descriptor)
        assert op is not None
        used = [bit for bit in range(128) if op.used >> bit & 1]
        bit = int(g.choice(used)) if self._chance(0.8) else int(g.integers(128))
        return Packet(packet.descriptor ^ 1 << bit, packet.payload)
