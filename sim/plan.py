"""How a layer is cut to fit the machine: passes over K, tile groups over N, batches of tokens.

Pure arithmetic on a `Config`; `sim.compiler` makes packets of it. Arrays are numpy int64.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl.payloads import SCALE_SHIFT_BITS
from sim.packing import Ints
from spinteger.config import Config

Range = tuple[int, int]


class CompileError(ValueError):
    """A layer that this machine cannot run. `str()` is one line that names the layer."""


@dataclass(frozen=True, eq=False)
class Group:
    """Inputs start..stop-1 of a layer and their scale: V * mul[n] * 2^shift[n] adds to the sum."""

    start: int
    stop: int
    mul: Any        #: int64 array [N], made of whatever is given
    shift: Any      #: ditto

    def __post_init__(self) -> None:
        for name in ("mul", "shift"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64))


@dataclass(frozen=True, eq=False)
class Layer:
    """One linear layer and how its results leave. Takes torch tensors too, and makes arrays."""

    w: Any                          #: weight codes, int64 array [K, N]
    theta: Any = None               #: thresholds, int64 array [N]; None: raw V
    groups: Sequence[Group] = ()    #: scales of groups of inputs, from 0 to K without gaps
    unsigned: bool = False          #: negative V stays silent (a fused ReLU)
    spikes_only: bool = False       #: levels clamp at the window
    silence: int = 0                #: levels up to this are dropped
    raw: bool = False               #: raw V in spite of theta
    name: str = "layer"

    def __post_init__(self) -> None:
        object.__setattr__(self, "w", np.asarray(self.w, np.int64))
        if self.theta is not None:
            object.__setattr__(self, "theta", np.asarray(self.theta, np.int64))

    @property
    def k(self) -> int:
        """Inputs."""
        return int(self.w.shape[0])

    @property
    def n(self) -> int:
        """Outputs."""
        return int(self.w.shape[1])

    @property
    def fires(self) -> bool:
        """Codes leave, not raw V."""
        return self.theta is not None and not self.raw


@dataclass(frozen=True, eq=False)
class Pass:
    """Inputs start..stop-1, computed at once."""

    start: int
    stop: int
    group: Group | None     #: its scale, if any

    @property
    def inputs(self) -> int:
        """How many."""
        return self.stop - self.start


def check(cfg: Config, layer: Layer) -> None:
    """Raise `CompileError` for what no splitting can help."""
    def need(ok: bool, text: str) -> None:
        if not ok:
            raise CompileError(f"{layer.name}: {text}")

    need(layer.w.ndim == 2 and layer.w.size > 0, f"weights {list(layer.w.shape)} must be [K, N]")
    n = layer.n
    need(layer.theta is None or layer.theta.shape == (n,),
         f"theta {[] if layer.theta is None else list(layer.theta.shape)} must be [{n}], as wide "
         "as the weights")
    need(0 <= layer.silence <= cfg.window, f"silence {layer.silence} must be 0..{cfg.window}")
    need(not layer.groups or cfg.scale_bits > 0, "has group scales but --scale-bits is 0")
    at = 0
    for group in layer.groups:
        need(group.start == at < group.stop, f"scale group {group.start}..{group.stop} must start "
             f"at input {at}")
        need(group.mul.shape == group.shift.shape == (n,), f"scales of inputs {at} and up, "
             f"{list(group.mul.shape)} and {list(group.shift.shape)}, must both be [{n}]")
        for what, values, top in (("scale", group.mul, (1 << cfg.scale_bits) - 1),
                                  ("scale shift", group.shift, (1 << SCALE_SHIFT_BITS) - 1)):
            need(bool((values >= 0).all() and (values <= top).all()), f"{what} of inputs {at} and "
                 f"up: {int(values.min())}..{int(values.max())}, must be 0..{top}")
        at = group.stop
    need(not layer.groups or at == layer.k, f"scale groups end at input {at}, not {layer.k}")
    need(len(passes(cfg, layer)) == 1 or cfg.acc_depth > 0,
         f"K = {layer.k} takes {len(passes(cfg, layer))} passes but --acc-depth is 0")
    low, high = int(layer.w.min()), int(layer.w.max())
    need(-cfg.wgt_max <= low and high < cfg.wgt_max,
         f"weights {low}..{high} must be {-cfg.wgt_max}..{cfg.wgt_max - 1}")
    if layer.theta is not None:
        low, high = int(layer.theta.min()), int(layer.theta.max())
        need(1 <= low and high < 1 << cfg.theta_bits,
             f"theta {low}..{high} must be 1..{(1 << cfg.theta_bits) - 1}")


def passes(cfg: Config, layer: Layer) -> list[Pass]:
    """The layer's inputs in passes that the machine can do, of about equal size."""
    most = cfg.rows_k * cfg.groups
    found = []
    for group in layer.groups or (None,):
        start, stop = (group.start, group.stop) if group else (0, layer.k)
        count = -(-(stop - start) // most)
        size = -(-(stop - start) // count)
        size += -size % cfg.groups
        found += [Pass(first, min(first + size, stop), group)
                  for first in range(start, stop, size)]
    return found


def resident(cfg: Config, layer: Layer, inputs: int | None = None) -> int:
    """Column tiles of the layer that a slot holds at once (of `inputs` inputs: chained ones)."""
    rows = max(cfg.tile_rows(one.inputs) for one in passes(cfg, layer))
    if inputs is not None:
        rows = cfg.tile_rows(inputs)
    return min(cfg.tiles, cfg.slot_rows // rows)


def tile_groups(cfg: Config, layer: Layer, most: int) -> list[Range]:
    """The layer's column tiles in groups of at most `most`, of about equal size."""
    tiles = cfg.col_tiles(layer.n)
    size = -(-tiles // -(-tiles // most))
    return [(first, min(first + size, tiles)) for first in range(0, tiles, size)]


def worst_train(cfg: Config, inputs: int) -> int:
    """Most train words of a token of so many inputs (as `Config.train_worst`)."""
    rows = cfg.tile_rows(inputs)
    spread = rows * cfg.groups + cfg.window * (cfg.homes - 1)
    return max(1, min(-(-spread // cfg.homes), cfg.window * rows))


def worst_list(cfg: Config, inputs: int) -> int:
    """Longest salient list of a token of so many inputs (as `Config.list_worst`)."""
    rows = cfg.tile_rows(inputs)
    return -(-rows * cfg.groups // cfg.int_lanes) if cfg.homes > 1 else cfg.group * rows


def chained_tokens(cfg: Config, inputs: int) -> int:
    """Tokens of chained inputs that should fit a buffer. A guess: their codes are not known.

    All inputs spike on lanes that share them evenly, and an eighth are salient; never less than
    one, which always fits.
    """
    train = min(worst_train(cfg, inputs), -(-inputs // cfg.rows) + cfg.window)
    listed = min(worst_list(cfg, inputs), -(-inputs // (8 * cfg.int_lanes)) + 1)
    return max(1, min(cfg.train_depth // train, cfg.list_depth // listed, cfg.tokens))


def batches(cfg: Config, tokens: int, most: int, train: Iterable[Ints],
            lists: Iterable[Ints]) -> list[Range]:
    """Tokens 0..tokens-1 in batches of at most `most` that fit an activation buffer.

    train, lists: per pass, the words [T] and list places [T] that each token takes.
    """
    ends = [(np.cumsum(lengths), depth) for kind, depth in
            ((train, cfg.train_depth), (lists, cfg.list_depth)) for lengths in kind]
    found, first = [], 0
    while first < tokens:
        last = min(first + most, cfg.tokens + first, tokens)
        for total, depth in ends:
            base = int(total[first - 1]) if first else 0
            last = min(last, int(np.searchsorted(total, base + depth, side="right")))
        last = max(last, first + 1)
        found.append((first, last))
        first = last
    return found


def group_sizes(cfg: Config, layer: Layer, tokens: int, fit: int) -> list[int]:
    """Tiles per group worth trying: as many as fit, or where partial sums have to be kept the
    three sizes that load fewest beats, those first.

    More tiles at once mean fewer tokens (their sums share `acc_depth`), so weights are loaded
    more often; fewer tiles mean that tokens are. `fit`: tokens that fit a buffer.
    """
    most, steps = resident(cfg, layer), passes(cfg, layer)
    if len(steps) == 1:
        return [most]
    tiles = cfg.col_tiles(layer.n)
    per_tile = sum(cfg.tile_rows(one.inputs) for one in steps) * cfg.groups \
        // cfg.wgt_beat_rows * cfg.wgt_row_beats
    per_token = sum(1 + cfg.tile_rows(one.inputs) * cfg.act_word_beats for one in steps)

    def cost(size: int) -> int:
        batch = min(cfg.acc_depth // (size * cfg.cols), fit, tokens)
        return -(-tokens // batch) * tiles * per_tile + -(-tiles // size) * tokens * per_token

    return sorted(range(1, min(most, cfg.acc_depth // cfg.cols) + 1), key=cost)[:3]


def why_not_chain(cfg: Config, layer: Layer, after: Layer, tokens: int,
                  inputs: int | None = None) -> str | None:
    """Why `layer`'s codes cannot go to `after` on chip; None when they can.

    `inputs`: what `layer` itself reads, if chained and so padded.
    """
    tiles = cfg.col_tiles(layer.n)
    columns = tiles * cfg.cols
    if not layer.fires:
        return f"{layer.name} leaves raw V"
    if cfg.cols % cfg.groups and cfg.groups & (cfg.groups - 1):
        return f"{cfg.groups} groups of inputs neither divide {cfg.cols} columns nor are a " \
               "power of two"
    if len(passes(cfg, after)) > 1:
        return f"{after.name} takes {len(passes(cfg, after))} passes"
    if cfg.tile_rows(columns) > cfg.rows_k:
        return f"{after.name} would read {columns} columns, padding included, more than --k"
    if cfg.tile_rows(columns) > cfg.slot_rows:
        return f"{after.name} would not fit a weight slot with its padding"
    one_run = tiles <= resident(cfg, layer, inputs) and (
        len(passes(cfg, layer)) == 1 or tiles * cfg.cols <= cfg.acc_depth)
    if not one_run and tokens > 1:
        return f"{layer.name} has {tiles} column tiles, more than one run does for " \
               f"{tokens} tokens"
    if not one_run and len(passes(cfg, layer)) > 1:
        return f"{layer.name} takes several passes and several tile groups"
    return None
