"""Which packets the machine refuses, and why: the golden machine's state and its checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from golden.trains import Ints
from spinteger import isa
from spinteger.config import Config
from spinteger.isa import Error


def _nothing(*shape: int) -> Ints:
    return np.zeros(shape, np.int64)


@dataclass
class Slot:
    """What the front end knows of a weight slot."""

    valid: bool = False
    rows: int = 0
    tiles: int = 0
    thr_valid: bool = False
    scale_valid: bool = False


@dataclass
class Buffer:
    """An activation buffer: what the front end knows of it, and its tokens as inputs [T, K]."""

    loaded: bool = False
    rows: int = 0
    tokens: int = 0
    ready: int = 0              #: leading tokens that came whole and fit; fewer: the buffer is bad
    q: Ints = field(default_factory=lambda: _nothing(0, 0))
    e: Ints = field(default_factory=lambda: _nothing(0, 0))
    shift: Ints = field(default_factory=lambda: _nothing(0))


@dataclass
class Chain:
    """An activation buffer being filled by runs: its columns so far, [tokens, columns]."""

    buf: int
    q: Ints
    e: Ints
    failed: bool = False


@dataclass
class State:
    """What decides whether a packet is carried out."""

    slots: list[Slot]
    bufs: list[Buffer] = field(default_factory=lambda: [Buffer(), Buffer()])
    chain: Chain | None = None
    sums: tuple[int, int] | None = None     #: tokens and tiles of the sums that are kept


def refusal(cfg: Config, state: State, descriptor: int) -> Error:
    """The first reason, in the order of `isa.Error`, not to carry a packet out; NONE: go on."""
    op, values = isa.decode(descriptor)
    if op is None:
        return Error.BAD_OPCODE
    if descriptor & ~op.used:
        return Error.BAD_RESERVED
    if values.get("slot", 0) >= cfg.slots:
        return Error.BAD_SLOT
    if bad_size(cfg, state, op.name, values):
        return Error.BAD_SIZE
    if bad_flags(cfg, op.name, values):
        return Error.BAD_FLAGS
    slot = state.slots[values["slot"]] if "slot" in values else Slot()
    checks = {"LOAD_THR": _slot, "LOAD_SCALE": _slot, "RUN": _run, "LOAD_ACT": _load_act}
    if op.name in checks:
        for fails, error in checks[op.name](cfg, state, slot, values):
            if fails:
                return error
    return Error.NONE


def bad_size(cfg: Config, state: State, op: str, values: dict[str, int]) -> bool:
    """A number of rows, tiles or tokens that the machine cannot hold."""
    limits = {"rows": cfg.rows_k, "tiles": cfg.tiles, "tokens": cfg.tokens}
    if any(not 1 <= values[name] <= limit for name, limit in limits.items() if name in values):
        return True
    if op == "LOAD_WGT" and values["rows"] * values["tiles"] > cfg.slot_rows:
        return True
    if op != "RUN" or not values["chain"]:
        return False
    before = 0 if values["chain_first"] or state.chain is None else state.chain.q.shape[1]
    return before + values["tiles"] * cfg.cols > cfg.rows_k * cfg.groups


def bad_flags(cfg: Config, op: str, values: dict[str, int]) -> bool:
    """Flags that contradict each other, or ask for what is not built."""
    if op == "LOAD_SCALE":
        return not cfg.scale_bits
    if op != "RUN":
        return False
    run = values
    return any((
        run["scale"] and not cfg.scale_bits,
        not (run["acc_first"] and run["acc_last"]) and not cfg.acc_depth,
        bool(run["acc_last"]) != bool(run["host"] or run["chain"]),
        run["raw"] and run["chain"],
        run["silence"] > cfg.window,
        run["chain"] and cfg.cols % cfg.groups and cfg.groups & (cfg.groups - 1),
        run["chain"] and run["chain_buf"] == run["buf"],
        run["chain"] and run["tokens"] > 1 and not (run["chain_first"] and run["chain_last"]),
        not run["chain"] and (run["chain_buf"] or run["chain_first"] or run["chain_last"])))


#: What may be wrong, in order, and what it is then.
_Checks = Iterator[tuple[object, Error]]


def _slot(cfg: Config, state: State, slot: Slot, values: dict[str, int]) -> _Checks:
    yield not slot.valid, Error.SLOT_EMPTY
    yield (slot.tiles != values["tiles"] or slot.rows != values.get("rows", slot.rows),
           Error.SLOT_MISMATCH)


def _load_act(cfg: Config, state: State, slot: Slot, values: dict[str, int]) -> _Checks:
    yield state.chain is not None, Error.CHAIN_ORDER


def _run(cfg: Config, state: State, slot: Slot, run: dict[str, int]) -> _Checks:
    yield from _slot(cfg, state, slot, run)
    yield run["acc_last"] and not run["raw"] and not slot.thr_valid, Error.NO_THRESHOLDS
    yield run["scale"] and not slot.scale_valid, Error.NO_SCALES
    buf, shape = state.bufs[run["buf"]], (run["tokens"], run["tiles"])
    yield not buf.loaded, Error.BUF_EMPTY
    yield (buf.rows, buf.tokens) != (run["rows"], run["tokens"]), Error.BUF_MISMATCH
    yield not run["acc_first"] and state.sums != shape, Error.ACC_MISMATCH
    yield (not (run["acc_first"] and run["acc_last"])
           and run["tokens"] * run["tiles"] * cfg.cols > cfg.acc_depth, Error.ACC_FULL)
    open_buf = state.chain.buf if state.chain is not None else None
    yield (run["chain"] and open_buf != (None if run["chain_first"] else run["chain_buf"]),
           Error.CHAIN_ORDER)
