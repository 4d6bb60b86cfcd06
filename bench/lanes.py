"""`python -m bench.lanes`: the model behind lane balancing, ideas side by side on real inputs.

Lanes share one running sum S, so all wait for the longest at every time step. Each idea below
shortens that wait; the model counts cycles from the events alone, in seconds. What was built is the
idea marked `built`; `bench.cycles` measures it on the RTL.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.report import versions_line, write_json
from gen.files import check_target
from gen.options import OneLineParser
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.realdata import BLOCKS, KINDS, RealLayer, load_named
from golden.trains import Bools, Ints, balance, classify, home_table
from spinteger.config import Config, ConfigError

ALL = [f"blk.{block}.{kind}" for block in BLOCKS for kind in KINDS]
R, C, L = 16, 16, 7
#: The goal: at most so many of the dense array's cycles, and of the share of inputs that spike.
DENSE, LIVE = 1.00, 1.20


@dataclass(frozen=True)
class Tokens:
    """Inputs of a layer by class: spike levels, or 0, and salients, both [T, K]."""

    levels: Ints
    salient: Bools


@dataclass(frozen=True)
class Idea:
    """One way to let lanes wait less."""

    name: str
    steps: Callable[[Tokens], Ints]     #: cycles of each level's events, [T, L + 1], or [T, 1]
    copies: float                       #: of every weight
    why: str                            #: what it takes beside them
    lut: float | None = None            #: LUT per lane and column more than one home, if known
    lists: int = R                      #: most integer lanes that find a weight port
    dealt: bool = True                  #: salients go to integer lanes in turn; else to their bank
    ramps: int = 1                      #: running sums that V must add, one after the other


# -- ideas -----------------------------------------------------------------------------------------

def identity() -> Ints:
    """One home: lane = group."""
    return np.arange(R).reshape(1, R, 1)


def fixed(homes: int) -> Ints:
    """The same lane in every block of R / homes."""
    return np.arange(R).reshape(1, homes, R // homes).transpose(0, 2, 1)


def rows_and_columns() -> Ints:
    """Four homes: the rows, then the columns of a 4 x 4 grid of lanes."""
    grid = np.arange(R).reshape(4, 4)
    return np.stack([grid, grid.T])


def patterns(homes: int, lanes: int = R) -> Ints:
    """As built: blocks, in each a lane that depends on the row (`Config.home_position`)."""
    return home_table(Config(rows=lanes, homes=homes, int_lanes=1, k=R, list_depth=R))


def among(table: Ints, ports: int = 1) -> Callable[[Tokens], Ints]:
    """Events go to the emptiest of their homes; a bank gives `ports` events per cycle."""
    def steps(tokens: Tokens) -> Ints:
        return -(-balance(tokens.levels, table, L)[1].max(axis=1) // ports)
    return steps


def perfect(tokens: Tokens) -> Ints:
    """Every level spread evenly over all lanes."""
    counts = np.stack([(tokens.levels == level).sum(axis=1) for level in range(L + 1)], axis=1)
    counts[:, 0] = 0
    return -(-counts // R)


def two_sums(tokens: Tokens) -> Ints:
    """Two halves with an S each walk time at their own pace, and wait at the tile's end."""
    counts = balance(tokens.levels, identity(), L)[1]
    halves = counts.reshape(len(counts), 2, R // 2, L + 1).max(axis=2).sum(axis=2)
    return halves.max(axis=1, keepdims=True)


def own_sums(tokens: Tokens) -> Ints:
    """Every lane walks time at its own pace and waits at the tile's end only."""
    return balance(tokens.levels, identity(), L)[1].sum(axis=2).max(axis=1, keepdims=True)


def reordered(tokens: Tokens) -> Ints:
    """Inputs sorted by their mean level over these very tokens, then dealt out to the lanes."""
    order = np.argsort(-tokens.levels.mean(axis=0), kind="stable")
    return among(identity())(Tokens(tokens.levels[:, order], tokens.salient))


BALANCER = "%s; comparing fills and permuting: the Balancer alone in LUT (Yosys, ECP5, 16x16)"
IDEAS = (
    Idea("one home", among(identity()), 1, "nothing", 0, dealt=False),
    Idea("one home, sorted inputs", reordered, 1, "inputs permuted by the host, once; measured on "
         "the tokens it was calibrated on", 0, dealt=False),
    Idea("two sums S, 8 lanes each", two_sums, 1, "a second S (14 bits) with its adder, and a "
         "second operand for V, per column", 1.9, dealt=False, ramps=2),
    Idea("S and V per lane", own_sums, 1, "two accumulators per lane and column instead of one "
         "adder of a tree: most of what sharing S saves", None, dealt=False),
    Idea("two ports, one home", among(patterns(1, 8), 2), 1, "8 banks give 2 rows a cycle, queues "
         "pop 2: no port left for loading and integer lanes (one is counted)", None, lists=1),
    Idea("two ports, two homes", among(patterns(2, 8), 2), 2, "the same, banks of double size",
         None, lists=1),
    Idea("two homes, fixed pairs", among(fixed(2)), 2, "comparing fills", None, lists=2),
    Idea("two homes, XOR patterns", among(patterns(2)), 2, BALANCER % "8 patterns", 1.6, lists=2),
    Idea("four homes, fixed", among(fixed(4)), 4, "comparing fills", None, lists=4),
    Idea("four homes, rows and columns", among(rows_and_columns()), 4, "2 patterns; no block "
         "structure for integer lanes", None, lists=4),
    Idea("four homes, affine plane (built)", among(patterns(4)), 4, BALANCER % "4 patterns", 2.0,
         lists=4),
    Idea("eight homes", among(patterns(8)), 8, BALANCER % "8 patterns; 2 codes encoded a cycle",
         1.7, lists=8),
    Idea("perfect balance", perfect, R, "the floor: every lane holds everything", None),
)


# -- model -----------------------------------------------------------------------------------------

def cycles(idea: Idea, tokens: Tokens, int_lanes: int) -> Ints:
    """Cycles per column tile of each token, [T]: the longest of three.

    * events, step by step; a step also lasts as long as V still adds S of the one before
    * V's adder: S once per time step from the highest level on, and the salient products
    * C + 1, the IF bank
    """
    top = tokens.levels.max(axis=1)
    return np.maximum(np.maximum(events(idea, tokens), C + 1),
                      top * idea.ramps + np.maximum(1, lists(idea, tokens, int_lanes)))


def events(idea: Idea, tokens: Tokens) -> Ints:
    """The first of these, [T]."""
    steps = idea.steps(tokens)
    if steps.shape[1] == 1:                         # lanes that do not wait at time steps
        return steps[:, 0]
    total = np.zeros(len(steps), np.int64)
    left = np.zeros_like(total)                     # adds of S that are still to come
    for level in range(L, 0, -1):
        total += np.maximum(steps[:, level], np.where(steps[:, level], left, 0))
        left = np.where(steps[:, level], 1, left + (left > 0))
    return total


def lists(idea: Idea, tokens: Tokens, int_lanes: int) -> Ints:
    """Longest salient list of each token, [T]."""
    lanes = min(int_lanes, idea.lists)
    if idea.dealt:
        return -(-tokens.salient.sum(axis=1) // lanes)
    group = np.arange(tokens.salient.shape[1]) % R // (R // lanes)
    return np.stack([tokens.salient[:, group == n].sum(axis=1) for n in range(lanes)]).max(axis=0)


@dataclass(frozen=True)
class Row:
    """An idea's ratios to the dense array, one per layer."""

    idea: Idea
    ratios: list[float]
    events: float       #: mean of the ratios if events were all that takes time
    dense: int          #: layers that meet `DENSE`
    live: int           #: layers that meet `LIVE`

    def as_json(self, layers: Sequence[RealLayer]) -> dict[str, Any]:
        """The row as plain values."""
        return {"idea": self.idea.name, "weight_copies": self.idea.copies,
                "lut_per_lane": self.idea.lut, "needs": self.idea.why,
                "ratio": dict(zip((y.name for y in layers), self.ratios, strict=True)),
                "mean": float(np.mean(self.ratios)), "mean_of_events": self.events,
                "layers_within_dense": self.dense, "layers_within_live": self.live}


def classed(layer: RealLayer) -> Tokens:
    """The layer's inputs by class."""
    return Tokens(*classify(layer.q.astype(np.int64), layer.e.astype(np.int64), Config()))


def rows(layers: Sequence[RealLayer], int_lanes: int) -> list[Row]:
    """All ideas on all layers: cycles over those of a dense R x C array, mean over the tokens."""
    inputs = [classed(layer) for layer in layers]
    out = []
    for idea in IDEAS:
        ratios = [float(cycles(idea, tokens, int_lanes).mean()) / -(-layer.k // R)
                  for layer, tokens in zip(layers, inputs, strict=True)]
        alone = [float(events(idea, tokens).mean()) / -(-layer.k // R)
                 for layer, tokens in zip(layers, inputs, strict=True)]
        out.append(Row(idea, ratios, float(np.mean(alone)), sum(ratio <= DENSE for ratio in ratios),
                       sum(ratio <= LIVE * layer.live
                           for ratio, layer in zip(ratios, layers, strict=True))))
    return out


# -- command ---------------------------------------------------------------------------------------

def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.lanes", formatter_class=argparse.RawTextHelpFormatter,
        description="Compare ways to balance 16 spike lanes, by a model of the events of real "
                    "layers.\nFigures are cycles over those of a dense 16x16 array, ceil(K/16) "
                    "per column tile.")
    p.add_argument("--layers", nargs="+", default=ALL, metavar="LAYER", choices=ALL,
                   help=f"layers such as {ALL[0]} (default: {len(ALL)} of blocks "
                        f"{', '.join(map(str, BLOCKS))})")
    p.add_argument("--int-lanes", type=int, default=4, metavar="N",
                   help="integer lanes, as far as an idea has ports for them: 1, 2, 4, 8 or 16 "
                        "(default %(default)s)")
    p.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    return p


def table(found: Sequence[Row], layers: Sequence[RealLayer]) -> Table:
    """Ideas down, layers across; green meets both goals."""
    out = Table(title="Cycles relative to dense, 16 lanes", box=None, header_style="bold",
                title_justify="left", padding=(0, 1, 0, 0))
    out.add_column("idea", no_wrap=True)
    for layer in layers:
        _, block, kind = layer.name.split(".")
        out.add_column(f"{block}\n{kind.removesuffix('_proj')}", justify="right")
    for name in ("mean", "events\nalone", "weight\ncopies", "LUT\nper lane", f"within\n{DENSE:.2f}",
                 f"within\n{LIVE:.1f} live"):
        out.add_column(name, justify="right")
    for row in found:
        idea = row.idea
        out.add_row(idea.name, *(
            f"[green]{ratio:.2f}[/]" if ratio <= DENSE and ratio <= LIVE * layer.live
            else f"{ratio:.2f}" for ratio, layer in zip(row.ratios, layers, strict=True)),
            f"[bold]{np.mean(row.ratios):.3f}[/]", f"{row.events:.3f}", f"{idea.copies:g}",
            "" if idea.lut is None else f"+{idea.lut:g}",
            *(f"{'[green]' if met == len(layers) else ''}{met}/{len(layers)}"
              for met in (row.dense, row.live)))
    live = [layer.live for layer in layers]
    out.add_row("share of inputs that spike", *(f"{share:.2f}" for share in live),
                f"{np.mean(live):.3f}", style="dim")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Run the model; 0 when done, 1 when there is no data, 2 on bad arguments."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        args = parser().parse_args(argv)
        check_target("--json", args.json)
        if args.int_lanes not in (1, 2, 4, 8, 16):
            raise ConfigError(f"--int-lanes {args.int_lanes}: must be 1, 2, 4, 8 or 16")
        layers = load_named(args.layers)
        with console.status("counting events"):
            found = rows(layers, args.int_lanes)
    except ConfigError as error:
        print(f"bench.lanes: {error}", file=sys.stderr)
        return 2
    except (RealDataUnavailable, HashMismatch) as error:
        print(f"bench.lanes: {error}", file=sys.stderr)
        return 1
    console.print(table(found, layers))
    console.print("\nWhat each takes beside the copies:")
    for row in found:
        console.print(f"  {row.idea.name}: {row.idea.why}", highlight=False)
    console.print(f"\nmodel: longest of events, V's adder (highest level + longest of "
                  f"{args.int_lanes} salient lists) and {C} + 1\n{versions_line()}",
                  highlight=False)
    if args.json:
        write_json(args.json, "lanes", Config(), {
            "int_lanes": args.int_lanes, "goal": {"dense": DENSE, "live": LIVE},
            "live": {layer.name: layer.live for layer in layers},
            "ideas": [row.as_json(layers) for row in found]})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
