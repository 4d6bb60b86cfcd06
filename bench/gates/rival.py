"""Rival arrays as gates: weights and activations loaded, one run, sums checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.gates import netlist
from bench.gates.cells import CellLibrary
from bench.gates.machine import MachineError, repeated
from bench.gates.mapping import Recipe, map_design
from bench.gates.netlist import Netlist
from bench.gates.plain_tree import PlainTree
from bench.gates.simulate import Simulator, Toggles
from bench.rivals.interface import Ints, Rival, Shape, run_layout
from bench.rivals.systolic import Systolic
from bench.rivals.systolic_plain import PlainSystolic
from bench.rivals.tree import Tree
from gen.verilog import to_verilog

TOP = "rival"
#: Cycles without a sum that count as a hang.
QUIET = 20_000

#: What feeds an array is not compared: ours has its player, addresses and memories for it.
RULES = ((r"^sequencer|\.sequencer|^acts\.|addr|live_|^valid|^last", "control, addresses"),
         (r"^bank_\d+\.data|^wgts\.data|^code_|^act_|^wgt_", "operand registers"),
         (r"product|^column_\d+\.p_", "products"),
         (r"running|\.sum$|^out_", "accumulators"))
FEEDING = ("control, addresses", "ports")


@dataclass(frozen=True)
class Kind:
    """One way to build a rival; `bits` of its activations."""

    name: str
    bits: int
    make: Callable[[Shape], Rival]
    multiplies: bool = False    #: has multipliers: Booth's recoding is tried too
    by_rows: bool = False       #: a tile is as many tokens as the array has rows


KINDS = (
    Kind("adder tree, planes of activations", 4, Tree),
    Kind("adder tree, planes of weights", 4, lambda shape: Tree(shape, "wgt")),
    Kind("adder tree, multipliers", 4, PlainTree, True),
    Kind("adder tree, multipliers, few registers", 4, lambda shape: PlainTree(shape, 0), True),
    Kind("systolic", 4, Systolic, by_rows=True),
    Kind("systolic, plain", 4, PlainSystolic, True, by_rows=True),
    Kind("adder tree, planes of weights", 8, lambda shape: Tree(shape, "wgt")),
    Kind("adder tree, multipliers", 8, PlainTree, True),
    Kind("adder tree, multipliers, few registers", 8, lambda shape: PlainTree(shape, 0), True),
    Kind("systolic", 8, Systolic, by_rows=True),
    Kind("systolic, plain", 8, PlainSystolic, True, by_rows=True),
)


@dataclass(frozen=True)
class Window:
    """A run as simulated."""

    sim: Simulator
    counted: Toggles


def simulate(kind: Kind, rows: int, cols: int, library: CellLibrary, recipe: Recipe, x: Ints,
             w: Ints) -> Window:
    """Run x [T, K] @ w [K, N] on the netlist of a rival; activations are clipped to its range.

    Raises `MachineError` when it hangs or a sum is wrong.
    """
    depth = 1 << max(6, (x.size // rows + 2 * len(x)).bit_length())
    rival = kind.make(Shape(rows, cols, k=x.shape[1], act_bits=kind.bits, act_depth=depth))
    allowed = rival.shape.act_range
    x = np.clip(x, allowed[0], allowed[-1])
    verilog = to_verilog(rival, TOP)
    net = netlist.build(map_design(verilog, TOP, library, recipe, repeated(verilog)), library)
    netlist.assign_blocks(net, RULES, "sums")
    sim, job = Simulator(net), rival.job(x, w)
    for at, word in enumerate(job.acts):
        sim.cycle({"act_write": 1, "act_addr": at, "act_data": word})
    sim.cycle({"act_write": 0})
    for bank, row, word in job.wgts:
        sim.cycle({"wgt_write": 1, "wgt_bank": bank, "wgt_addr": row, "wgt_data": word})
    run = run_layout(rival.shape, rival.shape.act_depth, rival.wgt_depth)
    start = run.const({"words": job.words - 1, "tiles": job.tiles - 1, "tokens": job.tokens - 1,
                       "act_base": 0, "wgt_base": 0}).as_value().value
    sim.cycle({"wgt_write": 0, "room": 1})
    return _run(rival, net, sim, start, job.sums, x, w)


def _run(rival: Rival, net: Netlist, sim: Simulator, start: int, sums: int, x: Ints,
         w: Ints) -> Window:
    columns: list[list[int]] = [[] for _ in range(rival.shape.cols)]
    width = len(net.ports["out_sum"]) // rival.shape.cols
    before, quiet, taken = sim.counts(), 0, False
    while any(len(column) < sums for column in columns):
        sim.cycle({"run__valid": int(not taken), "run__payload": start})
        taken = taken or bool(sim.get("run__ready"))
        valid, quiet = sim.get("out_valid"), quiet + 1
        if valid:
            word, quiet = sim.get("out_sum"), 0
            for number, column in enumerate(columns):
                if valid >> number & 1:
                    value = word >> (number * width) & ((1 << width) - 1)
                    column.append(value - (value >> (width - 1) << width))
        if quiet > QUIET:
            raise MachineError("the rival's netlist hangs")
    counted = sim.counts() - before
    if not np.array_equal(rival.collect(columns, len(x), w.shape[1]), x @ w):
        raise MachineError("the rival's netlist gives wrong sums")
    return Window(sim, counted)
