"""The golden machine at packet level: what must come of a program, every word and every error.

It executes packets one after another, with the arithmetic of `golden`. The machine overlaps them,
but its hazards make that invisible: only the order in which errors are recorded may differ, where
one belongs to a run that goes on while later packets are looked at.

What memories held before is kept, as in the machine: a sparse load leaves the other rows as they
were (0 at first), and sums kept by a run that was abandoned are those of its complete tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from golden.accumulate import scaled_sum
from golden.integrate import matmul_exact
from golden.trains import Ints, classify, fitting, home_table, lengths, place
from hdl.payloads import SCALE_SHIFT_BITS
from sim import packets, packing, tile_words
from sim.packets import Execution, Packet
from sim.refusals import Buffer, Chain, Slot, State, refusal
from spinteger import isa
from spinteger.config import Config
from spinteger.isa import Error


class Refused(Exception):
    """A packet, or the rest of it, is swallowed for this `Error`."""

    def __init__(self, error: Error):
        self.error = error
        super().__init__(error.name)


class Reference:
    """A machine of configuration `cfg`, as it is after power-up."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        entries = cfg.slots * cfg.tiles
        self._banks = np.zeros((cfg.bank_depth, cfg.rows, cfg.cols), np.int64)
        self._theta, self._mul, self._shift = np.zeros((3, entries, cfg.cols), np.int64)
        self._kept = np.zeros(cfg.acc_depth, np.int64)
        self._homes = home_table(cfg)
        self.reset()

    def reset(self) -> None:
        """Forget all but the contents of memories. Packets count from 0 again."""
        self.state = State([Slot() for _ in range(self.cfg.slots)])
        self.sums = np.zeros((0, 0), np.int64)      #: of the last run, [tokens, tiles * C]
        self.fired: Ints | None = None      #: its levels, if it fired
        self.delivered = 0                  #: its tokens, fewer if it was dropped
        self._number = 0

    def execute(self, program: Sequence[Packet]) -> Execution:
        """Everything that must come of these packets, after all those executed before."""
        self._out: list[list[int]] = []
        self._errors: list[tuple[Error, int]] = []
        for packet in program:
            try:
                self._packet(packet)
            except Refused as refused:
                self._error(refused.error)
            self._number += 1
        return Execution(self._out, error=self._errors[0] if self._errors else None,
                         error_count=len(self._errors), errors=sorted(
                             self._errors, key=lambda error: (error[1], error[0])))

    def _error(self, error: Error) -> None:
        self._errors.append((error, self._number & 0xFF_FFFF))

    # -- a packet's beats ----------------------------------------------------------------------

    def _packet(self, packet: Packet) -> None:
        cfg = self.cfg
        words, good = _beats(packet, cfg)
        head = max(1, isa.DESCRIPTOR_BITS // cfg.bus_bits)
        for at in range(min(head, len(words))):
            if not good[at]:
                raise Refused(Error.BAD_KEEP)
        if len(words) < head:
            raise Refused(Error.TLAST_EARLY)
        descriptor = sum(word << at * cfg.bus_bits for at, word in enumerate(words[:head]))
        descriptor &= (1 << isa.DESCRIPTOR_BITS) - 1
        op, values = isa.decode(descriptor)
        refused = refusal(cfg, self.state, descriptor)
        if op is None or refused:
            raise Refused(refused)
        if op.name in ("RUN", "FENCE"):
            if len(words) > head:
                raise Refused(Error.TLAST_LATE)
            if op.name == "RUN":
                self._run(values)
            else:
                self._out.append([packets.fence_word(cfg, values["tag"])])
            return

        # A load: how many of its beats came before an error, if any.
        payload = words[head:]
        whole = Packet(descriptor, payload)
        need = packets.payload_beats(cfg, whole)
        done, error = need, None
        if not all(good[head:head + need]):
            done, error = good.index(False, head) - head, Error.BAD_KEEP
        elif len(payload) < need:
            done, error = len(payload), Error.TLAST_EARLY
        elif len(payload) > need:
            error = Error.TLAST_LATE
        getattr(self, f"_{op.name.lower()}")(values, payload[:done], error is None)
        if error is not None:
            raise Refused(error)

    # -- loads: `payload` is what came before an error; `ok`: there was none ---------------------

    def _load_wgt(self, values: dict[str, int], payload: list[int], ok: bool) -> None:
        cfg, rows, tiles = self.cfg, values["rows"], values["tiles"]
        self.state.slots[values["slot"]] = Slot(ok, rows, tiles)
        tile, k, w = _arrived(cfg, payload, rows, tiles, bool(values["sparse"]))
        row, group = np.divmod(k, cfg.groups)
        addr = values["slot"] * cfg.slot_rows + tile * rows + row
        self._banks[addr[:, None], self._homes[row % cfg.patterns, group]] = w[:, None]

    def _load_thr(self, values: dict[str, int], payload: list[int], ok: bool) -> None:
        slot = self.state.slots[values["slot"]]
        slot.thr_valid = ok
        if ok:
            theta = packing.unpack_column(payload, self.cfg.theta_bits)
            self._theta[self._entries(values)] = theta.reshape(-1, self.cfg.cols)

    def _load_scale(self, values: dict[str, int], payload: list[int], ok: bool) -> None:
        slot = self.state.slots[values["slot"]]
        slot.scale_valid = ok
        if ok:
            both = packing.unpack_column(payload, self.cfg.scale_bits + SCALE_SHIFT_BITS)
            both = both.reshape(-1, self.cfg.cols)
            self._mul[self._entries(values)] = both & ((1 << self.cfg.scale_bits) - 1)
            self._shift[self._entries(values)] = both >> self.cfg.scale_bits

    def _entries(self, values: dict[str, int]) -> slice:
        """Places of a slot's tiles in the threshold memory."""
        first = values["slot"] * self.cfg.tiles
        return slice(first, first + values["tiles"])

    def _load_act(self, values: dict[str, int], payload: list[int], ok: bool) -> None:
        cfg, rows = self.cfg, values["rows"]
        beats = 1 + rows * cfg.act_word_beats
        whole = len(payload) // beats
        q, e = np.zeros((2, 0, rows * cfg.groups), np.int64)
        shift = np.zeros(0, np.int64)
        if whole:
            q, e, shift = packing.unpack_act(cfg, payload[:whole * beats], rows, whole)
        self._fill(Buffer(ok, rows, values["tokens"], 0, q, e,
                          shift if cfg.shift_bits else 0 * shift), values["buf"])

    def _fill(self, buf: Buffer, number: int) -> None:
        """Encode the tokens that came: those that fit are ready."""
        levels, salient = classify(buf.q, buf.e, self.cfg)
        buf.ready = fitting(*lengths(levels, salient, self.cfg), self.cfg) if len(buf.q) else 0
        self.state.bufs[number] = buf
        if buf.ready < len(buf.q):
            self._error(Error.TRAIN_FULL)

    # -- a run -----------------------------------------------------------------------------------

    def _run(self, run: dict[str, int]) -> None:
        cfg = self.cfg
        buf, entries = self.state.bufs[run["buf"]], self._entries(run)
        self.fired, self.delivered = None, min(buf.ready, run["tokens"])
        ready = self.delivered
        v = self._sums(run, buf, ready)
        size = v.size
        sums, overflow = scaled_sum(
            torch.from_numpy(v), cfg,
            mul=_tensor(self._mul[entries].reshape(-1)) if run["scale"] else None,
            shift=_tensor(self._shift[entries].reshape(-1)) if run["scale"] else None,
            token_shift=_tensor(buf.shift[:ready]) if cfg.shift_bits else None,
            kept=None if run["acc_first"] else _tensor(self._kept[:size]).reshape(v.shape))
        self.sums = a = sums.numpy()
        if run["acc_last"]:
            if not run["acc_first"]:
                self.state.sums = None
            self._deliver(run, a, ready)
        else:
            self.state.sums = run["tokens"], run["tiles"]
            self._kept[:size] = a.reshape(-1)
        if ready < run["tokens"]:
            self._error(Error.BUF_EMPTY)
        if bool(overflow.any()):
            self._error(Error.V_OVERFLOW)

    def _sums(self, run: dict[str, int], buf: Buffer, ready: int) -> Ints:
        """V of the first `ready` tokens, int64 [ready, tiles * C]."""
        cfg, rows, tiles = self.cfg, run["rows"], run["tiles"]
        first = run["slot"] * cfg.slot_rows
        banks = self._banks[first:first + rows * tiles].reshape(tiles, rows, cfg.rows, cfg.cols)
        homes = self._homes[np.arange(rows) % cfg.patterns].reshape(rows * cfg.groups, cfg.homes)
        row = np.arange(rows * cfg.groups) // cfg.groups
        width = cfg.sal_bits + cfg.exp_max          # an exponent past E wraps, as in the RTL
        x = buf.q[:ready] << buf.e[:ready]
        x = (x + (1 << width - 1) & (1 << width) - 1) - (1 << width - 1)
        copies = banks[:, row[:, None], homes]      # [tiles, K, homes, C]
        if (copies == copies[:, :, :1]).all():
            w = copies[:, :, 0].transpose(1, 0, 2).reshape(len(row), -1)
            return matmul_exact(_tensor(x), _tensor(w)).numpy()
        # A slot re-used with rows of other inputs left in it: the lane decides what is read.
        levels, salient = classify(buf.q[:ready], buf.e[:ready], cfg)
        lanes = place(levels, cfg)[0]
        turn = (np.cumsum(salient, axis=1) - salient) % cfg.int_lanes
        lanes = np.where(salient, homes[np.arange(len(row)), turn], lanes)
        return np.stack([np.einsum("k,tkc->tc", x[t], banks[:, row, lanes[t]]).reshape(-1)
                         for t in range(ready)] or [np.zeros(tiles * cfg.cols, np.int64)])[:ready]

    def _deliver(self, run: dict[str, int], a: Ints, ready: int) -> None:
        """Fire (or not), put the words out and chain the codes; a: [ready, tiles * C]."""
        cfg = self.cfg
        levels = a
        if not run["raw"]:
            theta = self._theta[self._entries(run)].reshape(-1)
            levels = tile_words.fire(cfg, a, theta, bool(run["spikes_only"]),
                                     bool(run["unsigned"]), run["silence"])
            self.fired = levels
        if run["host"]:
            self._out.append(tile_words.run_words(cfg, levels, bool(run["raw"]),
                                                  complete=ready == run["tokens"]))
        if run["chain"]:
            self._chain_on(run, levels, ready)

    def _chain_on(self, run: dict[str, int], levels: Ints, ready: int) -> None:
        cfg, number = self.cfg, run["chain_buf"]
        q, e = tile_words.recoded(cfg, levels)
        if run["chain_first"]:
            self.state.chain = Chain(number, q[:, :0], e[:, :0])
            self.state.bufs[number] = Buffer()
        chain = self.state.chain
        assert chain is not None
        if ready < run["tokens"]:
            chain.failed = True
        if len(q) == len(chain.q):
            chain.q = np.concatenate([chain.q, q], axis=1)
            chain.e = np.concatenate([chain.e, e], axis=1)
        else:                       # one token in several runs, of which this one delivers none
            chain.q = np.zeros((len(chain.q), chain.q.shape[1] + levels.shape[1]), np.int64)
            chain.e = np.zeros_like(chain.q)
        if not run["chain_last"]:
            return
        rows = cfg.tile_rows(chain.q.shape[1])
        padding = [(0, 0), (0, rows * cfg.groups - chain.q.shape[1])]
        once = bool(run["chain_first"])
        whole = len(chain.q) if once or not chain.failed else 0
        q, e = (np.pad(half[:whole], padding) for half in (chain.q, chain.e))
        self.state.chain = None
        self._fill(Buffer(True, rows, run["tokens"], 0, q, e, np.zeros(whole, np.int64)), number)


def _beats(packet: Packet, cfg: Config) -> tuple[list[int], list[bool]]:
    """Data of a packet's beats, bytes that did not come as zeros; and whether each is in order:
    all bytes came, or (the last beat) only the lowest ones."""
    words = packet.words(cfg)
    full = (1 << cfg.bus_bits // 8) - 1
    good = [True] * len(words)
    for at, mask in packet.keep.items():
        if at < len(words) and mask != full:
            good[at] = at == len(words) - 1 and mask & (mask + 1) == 0
            words[at] &= (1 << 8 * mask.bit_length()) - 1
    return words, good


def _tensor(values: Ints) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _arrived(cfg: Config, payload: list[int], rows: int, tiles: int,
             sparse: bool) -> tuple[Ints, Ints, Ints]:
    """Weight rows that a (perhaps cut) LOAD_WGT payload brings: tile, input k [n], codes [n, C]."""
    inputs, per_row = rows * cfg.groups, cfg.wgt_row_beats
    if not sparse:
        held = len(payload) // per_row * per_row
        count = held // per_row * cfg.wgt_beat_rows
        codes = _codes(cfg, payload[:held], cfg.wgt_beat_rows)
        tile, k = np.divmod(np.arange(count), inputs)
        return tile, k, codes
    where: list[tuple[int, int, int]] = []          # tile, k, first beat
    at = 0
    for tile_ in range(tiles):
        for first in range(0, inputs, packing.MAP_BITS):
            named = payload[at] if at < len(payload) else 0
            at += 1
            for k_ in range(first, min(first + packing.MAP_BITS, inputs)):
                if named >> k_ - first & 1:
                    where.append((tile_, k_, at))
                    at += per_row
    where = [place for place in where if place[2] + per_row <= len(payload)]
    beats = [payload[first + n] for _, _, first in where for n in range(per_row)]
    tile, k, _ = np.array(where, np.int64).reshape(-1, 3).T
    return tile, k, _codes(cfg, beats, 1)


def _codes(cfg: Config, beats: list[int], rows: int) -> Ints:
    """Weight rows [n, C] of whole beats that hold `rows` each, or of `wgt_row_beats` each."""
    width = cfg.wgt_row_beats * cfg.bus_bits // 8
    held = packing.to_bytes(beats, cfg.bus_bits // 8).reshape(-1, width)
    return packing.unpack_bits(held, cfg.wgt_bits, rows * cfg.cols, signed=True).reshape(
        -1, cfg.cols)
