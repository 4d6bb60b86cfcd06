"""What the IF bank must put out for a tile's sums, by the golden model."""

from dataclasses import dataclass
from typing import Any

import torch

from golden.codes import Codes, is_salient, is_spike, recode
from golden.fire import fire_closed
from hdl.payloads import OutKind, out_layout
from sim import words
from sim.words import Ints
from spinteger.config import Config

#: mypy takes the members of an Amaranth enum for plain integers.
KIND: Any = OutKind


@dataclass
class Sums:
    """One tile's V [C] and how to fire it."""

    v: Ints
    tile: int = 0
    last: bool = False
    raw: bool = False
    unsigned: bool = False
    spikes_only: bool = False
    silence: int = 0


def v_max(cfg: Config) -> int:
    """The largest |V| that any token can make: every input salient, q = -128, w = -8."""
    return max(cfg.window, 1 << (cfg.sal_bits - 1 + cfg.exp_max)) * (
        cfg.rows * cfg.rows_k * cfg.wgt_max)


def golden_tile(cfg: Config, sums: Sums, theta: Ints) -> words.Tile:
    """What must leave for these sums: the golden model's levels, coded, in time order."""
    if sums.raw:
        return words.Tile(dict(enumerate(sums.v.tolist())), {}, [], sums.last)
    levels = fire_closed(torch.tensor(sums.v), torch.tensor(theta),
                         cfg.window if sums.spikes_only else cfg.level_max, cfg.frac_bits,
                         sums.unsigned, sums.silence)
    codes: Codes = recode(levels, cfg)
    q, e = codes.q.tolist(), codes.e.tolist()
    salients = {n: (q[n], e[n]) for n in is_salient(codes, cfg).nonzero().flatten().tolist()}
    spikes = [(cfg.window - abs(q[n]), n, 1 if q[n] > 0 else -1)
              for n in is_spike(codes, cfg).nonzero().flatten().tolist()]
    return words.Tile({}, salients, sorted(spikes), sums.last)


def check_order(cfg: Config, received: list[int]) -> None:
    """Within a tile: salients, then spikes with at most one word per step, then END."""
    kinds = words.unpack(out_layout(cfg), "kind", received).tolist()
    steps = words.unpack(out_layout(cfg), "step", received).tolist()
    spike, end = KIND.SPIKE.value, KIND.END.value
    before = (0, 0)
    for index, (kind, step) in enumerate(zip(kinds, steps, strict=True)):
        now = (kind, step if kind == spike else 0)
        assert now >= before and (kind != spike or now > before), (
            f"word {index}: kind and step {now} after {before}")
        before = (0, 0) if kind == end else now
