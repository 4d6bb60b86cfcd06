"""What must come of a program's beats, packet by packet: the dispatch rules in plain Python.

A packet is a list of beats (data, keep); its last beat is the last one. How runs end and which
buffers overflow is drawn beforehand, for a fake array and for the model alike.
"""

import random
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

from hdl.load_layout import map_step
from spinteger import isa
from spinteger.config import PRESETS, Config
from spinteger.isa import Error

CONFIGS = {
    "tiny": PRESETS["tiny"],
    "odd": Config(rows=3, cols=5, homes=1, int_lanes=3, k=40, depth=64, tiles=4, exp_max=2,
                  frac_bits=6, theta_bits=18),
    "bus_32": Config(bus_bits=32), "bus_64": Config(),
    "bus_256": Config(bus_bits=256, tokens=5, acc_depth=100, slots=3),
    "bare": PRESETS["tiny"].with_(acc_depth=0, scale_bits=0, slots=1, bus_bits=128),
}

Beat = tuple[int, int]


class Refused(Exception):
    def __init__(self, code: Error):
        self.code = code


@dataclass
class Plan:
    """What the array does with each run and each opened buffer, by their order."""

    seed: int
    trouble: float = 0.2

    def run_ends(self, index: int) -> tuple[bool, bool]:
        """(dropped, overflow) of a run."""
        rng = random.Random(f"run {self.seed} {index}")
        return rng.random() < self.trouble, rng.random() < self.trouble

    def overfull(self, index: int) -> bool:
        """Whether a buffer overflows with its first complete token."""
        return random.Random(f"open {self.seed} {index}").random() < self.trouble


@dataclass
class Front:
    """Runs packets; the lists are what must come, `done` counts the runs that must be over."""

    cfg: Config
    plan: Plan
    wgt: list[tuple] = field(default_factory=list)   # (addr, group, pattern, rows by place), done
    thr: list[tuple] = field(default_factory=list)   # (value, is_scale, column, index), done
    act: list[tuple] = field(default_factory=list)   # (codes or None, last, fail, buf, shift)
    runs: list[dict] = field(default_factory=list)
    opens: list[tuple] = field(default_factory=list)     # buffer, done
    out: list[tuple] = field(default_factory=list)       # ("run", index) or ("fence", tag)
    errors: list[tuple[Error, int]] = field(default_factory=list)
    loaded: int = 0                                      # weight rows
    skipped: int = 0
    empty_steps: int = 0                                 # of bit maps

    def __post_init__(self) -> None:
        self.number = 0
        self.slots: list[dict] = [{"wgt": False, "thr": False, "scale": False, "size": None}
                                  for _ in range(self.cfg.slots)]
        self.bufs: list[tuple | None] = [None, None]     # rows, tokens
        self.full: list[int | None] = [None, None]       # to overflow, and who is to blame
        self.chain: tuple[int, int] | None = None        # buffer, columns
        self.sums: tuple | None = None
        self.slot_user = [0] * self.cfg.slots            # runs that must be over for a load
        self.buf_user = [0, 0]

    def packets(self, packets: Iterable[list[Beat]]) -> "Front":
        for packet in packets:
            try:
                self._packet(packet)
            except Refused as refused:
                self.errors.append((refused.code, self.number))
            self.number += 1
        return self

    # -- beats ---------------------------------------------------------------------------------

    def _data(self, beat: Beat, last: bool) -> int:
        data, keep = beat
        whole = (1 << self.cfg.bus_bits // 8) - 1
        if (keep & keep + 1) if last else keep != whole:
            raise Refused(Error.BAD_KEEP)
        return data & (1 << 8 * keep.bit_length()) - 1

    def _packet(self, beats: list[Beat]) -> None:
        width = self.cfg.bus_bits
        head = max(1, 128 // width)
        descriptor = 0
        for at in range(head):
            if at == len(beats):
                raise Refused(Error.TLAST_EARLY)
            descriptor |= self._data(beats[at], at == len(beats) - 1) << at * width
        descriptor &= (1 << 128) - 1
        op, v = isa.decode(descriptor)
        if op is None:
            raise Refused(Error.BAD_OPCODE)
        for code, failed in self._checks(op.name, v, descriptor & ~op.used):
            if failed:
                raise Refused(code)
        if op.name in ("RUN", "FENCE"):
            if len(beats) > head:
                raise Refused(Error.TLAST_LATE)
            if op.name == "RUN":
                self._run(v)
            else:
                self.out.append(("fence", v["tag"]))
        else:
            getattr(self, f"_{op.name.lower()}")(v, beats[head:])

    def _feed(self, load: Generator[None, int, None], beats: list[Beat]) -> None:
        next(load)
        for at, beat in enumerate(beats):
            data = self._data(beat, at == len(beats) - 1)
            try:
                load.send(data)
            except StopIteration:
                if at != len(beats) - 1:
                    raise Refused(Error.TLAST_LATE) from None
                return
        raise Refused(Error.TLAST_EARLY)

    # -- checks --------------------------------------------------------------------------------

    def _checks(self, name: str, v: dict, reserved: int) -> Generator[tuple[Error, bool]]:
        cfg = self.cfg
        yield Error.BAD_RESERVED, reserved != 0
        yield Error.BAD_SLOT, v.get("slot", 0) >= cfg.slots
        limits = {"rows": cfg.rows_k, "tiles": cfg.tiles, "tokens": cfg.tokens}
        yield Error.BAD_SIZE, not all(0 < v[n] <= limits[n] for n in limits if n in v)
        yield Error.BAD_SIZE, name == "LOAD_WGT" and v["rows"] * v["tiles"] > cfg.slot_rows
        if name == "RUN":
            yield from self._run_checks(v)
        yield Error.BAD_FLAGS, name == "LOAD_SCALE" and cfg.scale_bits == 0
        if name in ("LOAD_THR", "LOAD_SCALE"):
            slot = self.slots[v["slot"]]
            yield Error.SLOT_EMPTY, not slot["wgt"]
            yield Error.SLOT_MISMATCH, slot["size"][1] != v["tiles"]
        yield Error.CHAIN_ORDER, name == "LOAD_ACT" and self.chain is not None

    def _run_checks(self, v: dict) -> Generator[tuple[Error, bool]]:
        cfg, chain, slot = self.cfg, v["chain"], self.slots[v["slot"]]
        before = 0 if v["chain_first"] or self.chain is None else self.chain[1]
        columns = before + v["tiles"] * cfg.cols
        yield Error.BAD_SIZE, chain and columns > cfg.rows_k * cfg.groups
        yield Error.BAD_FLAGS, bool(
            (v["scale"] and not cfg.scale_bits)
            or (not cfg.acc_depth and not (v["acc_first"] and v["acc_last"]))
            or (not v["acc_last"] and (v["host"] or chain))
            or (v["acc_last"] and not v["host"] and not chain)
            or (v["raw"] and chain) or v["silence"] > cfg.window
            or (chain and cfg.cols % cfg.groups and cfg.groups not in (1, 2, 4, 8, 16, 32))
            or (chain and v["buf"] == v["chain_buf"])
            or (chain and v["tokens"] > 1 and not (v["chain_first"] and v["chain_last"]))
            or (not chain and (v["chain_buf"] or v["chain_first"] or v["chain_last"])))
        yield Error.SLOT_EMPTY, not slot["wgt"]
        yield Error.SLOT_MISMATCH, slot["size"] != (v["rows"], v["tiles"])
        yield Error.NO_THRESHOLDS, v["acc_last"] and not v["raw"] and not slot["thr"]
        yield Error.NO_SCALES, v["scale"] and not slot["scale"]
        yield Error.BUF_EMPTY, self.bufs[v["buf"]] is None
        yield Error.BUF_MISMATCH, self.bufs[v["buf"]] != (v["rows"], v["tokens"])
        yield Error.ACC_MISMATCH, not v["acc_first"] and self.sums != (v["tokens"], v["tiles"])
        keeps = not (v["acc_first"] and v["acc_last"])
        yield Error.ACC_FULL, keeps and v["tokens"] * v["tiles"] * cfg.cols > cfg.acc_depth
        open_chain = self.chain is not None
        goes_on = self.chain is not None and self.chain[0] == v["chain_buf"]
        yield Error.CHAIN_ORDER, chain and (open_chain if v["chain_first"] else not goes_on)

    # -- loads ---------------------------------------------------------------------------------

    def _load_wgt(self, v: dict, beats: list[Beat]) -> None:
        slot = self.slots[v["slot"]]
        slot.update(wgt=False, thr=False, scale=False, size=(v["rows"], v["tiles"]))
        self._feed(self._weights(v), beats)
        slot["wgt"] = True

    def _weights(self, v: dict) -> Generator[None, int, None]:
        cfg, done = self.cfg, self.slot_user[v["slot"]]
        bits, inputs = cfg.cols * cfg.wgt_bits, v["rows"] * cfg.groups

        def word(tile: int, k: int, rows: dict[int, int]) -> None:
            row, group = divmod(k, cfg.groups)
            addr = v["slot"] * cfg.slot_rows + tile * v["rows"] + row
            base = group - group % cfg.wgt_beat_rows
            pattern = row % cfg.patterns if cfg.homes > 1 else 0
            self.wgt.append(((addr, base, pattern, rows), done))
            self.loaded += len(rows)

        def row() -> Generator[None, int, int]:
            data = 0
            for part in range(cfg.wgt_row_beats):
                data |= (yield) << part * cfg.bus_bits
            return data

        for tile in range(v["tiles"]):
            if not v["sparse"]:
                for k in range(0, inputs, cfg.wgt_beat_rows):
                    data = yield from row()
                    word(tile, k, {place: data >> place * bits & (1 << bits) - 1
                                   for place in range(cfg.wgt_beat_rows)})
                continue
            step = map_step(cfg)
            for k in range(0, inputs, step):
                if k % 32 == 0:
                    bitmap = yield
                named = [n for n in range(k, k + step) if bitmap >> n % 32 & 1]
                for n in named:
                    data = yield from row()
                    word(tile, n, {n % cfg.wgt_beat_rows: data & (1 << bits) - 1})
                self.skipped += step - len(named)
                self.empty_steps += not named

    def _load_thr(self, v: dict, beats: list[Beat], part: str = "thr") -> None:
        slot = self.slots[v["slot"]]
        slot[part] = False
        self._feed(self._thresholds(v, part), beats)
        slot[part] = True

    def _load_scale(self, v: dict, beats: list[Beat]) -> None:
        self._load_thr(v, beats, "scale")

    def _thresholds(self, v: dict, part: str) -> Generator[None, int, None]:
        cfg = self.cfg
        bits = cfg.theta_bits if part == "thr" else cfg.scale_bits + 5
        for tile in range(v["tiles"]):
            for column in range(cfg.cols):
                value = (yield) & (1 << bits) - 1
                index = v["slot"] * cfg.tiles + tile
                self.thr.append(((value, part == "scale", column, index),
                                 self.slot_user[v["slot"]]))

    def _load_act(self, v: dict, beats: list[Beat]) -> None:
        self.bufs[v["buf"]] = None
        self._open(v["buf"])
        try:
            self._feed(self._tokens(v), beats)
        except Refused:
            self.act.append((None, 1, 1, v["buf"], None))
            raise
        self.bufs[v["buf"]] = v["rows"], v["tokens"]

    def _tokens(self, v: dict) -> Generator[None, int, None]:
        cfg = self.cfg
        for _ in range(v["tokens"]):
            shift = (yield) & (1 << cfg.shift_bits) - 1
            for row in range(v["rows"]):
                data = 0
                for part in range(cfg.act_word_beats):
                    data |= (yield) << part * cfg.bus_bits
                codes = tuple((data >> 16 * g & (1 << cfg.sal_bits) - 1,
                               data >> 16 * g + cfg.sal_bits & (1 << cfg.exp_bits) - 1)
                              for g in range(cfg.groups))
                last = row == v["rows"] - 1
                self.act.append((codes, last, 0, v["buf"], shift))
                if last:
                    self._token(v["buf"])

    def _open(self, buf: int) -> None:
        self.full[buf] = self.number if self.plan.overfull(len(self.opens)) else None
        self.opens.append((buf, self.buf_user[buf]))

    def _token(self, buf: int) -> None:
        if self.full[buf] is not None:
            self.errors.append((Error.TRAIN_FULL, self.full[buf]))
            self.full[buf] = None

    # -- runs ----------------------------------------------------------------------------------

    def _run(self, v: dict) -> None:
        index = len(self.runs)
        dropped, overflow = self.plan.run_ends(index)
        self.errors += [(code, self.number) for code, ends in (
            (Error.BUF_EMPTY, dropped), (Error.V_OVERFLOW, overflow)) if ends]
        if v["host"]:
            self.out.append(("run", index))
        if not v["acc_last"]:
            self.sums = v["tokens"], v["tiles"]
        elif not v["acc_first"]:
            self.sums = None
        if v["chain"]:
            self._chain(v, dropped)
        self.runs.append(v)
        self.slot_user[v["slot"]] = self.buf_user[v["buf"]] = index + 1
        if v["chain"]:
            self.buf_user[v["chain_buf"]] = index + 1

    def _chain(self, v: dict, dropped: bool) -> None:
        buf, before = v["chain_buf"], 0
        if v["chain_first"]:
            self.bufs[buf] = None
            self._open(buf)
        elif self.chain is not None:
            before = self.chain[1]
        columns = before + v["tiles"] * self.cfg.cols
        self.chain = buf, columns
        if dropped:
            self.full[buf] = None
        elif v["chain_last"]:
            self._token(buf)
        if v["chain_last"]:
            self.chain = None
            self.bufs[buf] = -(-columns // self.cfg.groups), v["tokens"]
