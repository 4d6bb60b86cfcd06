"""Our whole machine as gates: it executes packets, phase by phase, and is checked word by word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.gates import netlist
from bench.gates.cells import CellLibrary
from bench.gates.mapping import Recipe, map_design
from bench.gates.netlist import Netlist
from bench.gates.simulate import Simulator, Toggles
from gen.verilog import TOP
from golden.realdata import RealLayer
from hdl.machine import Machine
from sim import beats, builds, packets
from sim.packets import Packet
from sim.reference import Reference
from spinteger.config import Config

#: Cycles without a beat in or out that count as a hang.
QUIET = 20_000

#: Blocks by source names, for `netlist.assign_blocks`.
RULES = (
    (r"weight_bank\.lane_\d+\.wgt", "lane registers"),
    (r"column_bank\.column_\d+\.tree", "tree"),
    (r"column_bank\.column_\d+\.running", "S"),
    (r"column_bank\.column_\d+\.hold", "hold"),
    (r"column_bank\.column_\d+\.", "V"),
    (r"column_bank\.signs", "column control"), (r"column_bank", "column control"),
    (r"weight_bank\.lane_\d+\.wgt", "lane registers"),
    (r"weight_bank\.lane_\d+\.", "lane addresses"),
    (r"weight_bank", "weight loading"),
    (r"integer_unit", "integer lanes"), (r"salient_list", "salient lists"),
    (r"integer_walk", "integer lanes"),
    (r"event_queue", "encoder"), (r"recorder", "encoder"), (r"encoder", "encoder"),
    (r"act_(arbiter|queue)", "encoder"),
    (r"player", "player"), (r"trains", "player"), (r"spike_walk", "player"),
    (r"if_bank", "IF bank"), (r"frontend", "front end"),
    (r"counters|registers", "counters, registers"),
)
#: The blocks that a plain array has too: what the goals compare.
ARRAY = ("tree", "S", "hold", "V", "column control", "lane registers", "integer lanes")


class MachineError(RuntimeError):
    """The netlist hung, or its output differs from the golden model's."""


def repeated(verilog: str) -> list[str]:
    """Modules that a design has more than once: mapped once each. Add-subtracts are opened."""
    modules = set(re.findall(r"^module (\w+)", verilog, re.M))
    uses = Counter(name for name in re.findall(r"^  (\w+) \w+ \($", verilog, re.M)
                   if name in modules)
    return sorted(name for name, count in uses.items() if count > 1 and "add_sub" not in name)


def machine(cfg: Config, library: CellLibrary, recipe: Recipe) -> Netlist:
    """The netlist of the machine, blocks assigned."""
    verilog = builds.verilog(Machine, cfg)
    net = netlist.build(map_design(verilog, TOP, library, recipe, repeated(verilog)), library)
    netlist.assign_blocks(net, RULES, "control")
    return net


class Runner:
    """A machine in simulation, fed with packets, its output taken at once."""

    def __init__(self, cfg: Config, net: Netlist):
        self.cfg, self.sim = cfg, Simulator(net)
        self.program: list[Packet] = []
        self.output: list[bytes] = []
        self._idle = {"output__ready": 1, "reg_addr": 0, "reg_write": 0, "reg_wdata": 0,
                      "input__valid": 0}
        for port, value in self._idle.items():
            self.sim.set(port, value)
        self.sim.settle()

    def idle(self, cycles: int) -> Toggles:
        """Do nothing; what was counted meanwhile."""
        before = self.sim.counts()
        for _ in range(cycles):
            self.sim.cycle({})
        return self.sim.counts() - before

    def phase(self, program: Sequence[Packet]) -> Toggles:
        """Execute packets to the last word of their output; what was counted meanwhile.

        Raises `MachineError` when nothing moves any more.
        """
        ended = [*program, packets.fence(len(self.program) + 1)]
        self.program += ended
        payloads = beats.input_payloads(self.cfg, ended)
        before, sim = self.sim.counts(), self.sim
        done, quiet, at, count = False, 0, 0, packets.word_beats(self.cfg)
        word = packets.fence_word(self.cfg, len(self.program) - len(ended) + 1)
        end = beats.output_payloads(self.cfg, [[word]]).tobytes()
        while not done:
            sim.edge()
            given = at < len(payloads)
            if given:
                sim.set("input__payload", int.from_bytes(payloads[at].tobytes(), "little"))
            sim.set("input__valid", int(given))
            sim.settle()
            quiet += 1
            if given and sim.get("input__ready"):
                at, quiet = at + 1, 0
            if sim.get("output__valid"):
                beat = sim.get("output__payload").to_bytes(len(end) // count, "little")
                self.output.append(beat)
                done, quiet = b"".join(self.output[-count:]) == end, 0
            if quiet > QUIET:
                raise MachineError(f"the netlist hangs after {sim.counts().cycles} cycles")
        return sim.counts() - before

    def check(self) -> None:
        """Compare all output so far with the golden model's. Raises `MachineError`."""
        want = Reference(self.cfg).execute([*self.program, packets.end_fence()])
        if want.error is not None:          # nothing was computed: there is nothing to measure
            error, number = want.error
            raise MachineError(f"the machine refuses packet {number} of the program: {error.name}")
        raw = np.frombuffer(b"".join(self.output), np.uint8).reshape(len(self.output), -1)
        got = beats.output_packets(self.cfg, raw)
        if want.packets[:len(got)] != got:
            raise MachineError("the netlist's output differs from the golden model's")


@dataclass(frozen=True)
class Work:
    """What a window of a real layer computes."""

    layer: RealLayer
    tokens: int
    tiles: int

    def packets(self, cfg: Config) -> dict[str, list[Packet]]:
        """The packets of each phase."""
        layer, n = self.layer, self.tiles * cfg.cols
        rows = cfg.tile_rows(layer.k)
        return {
            "load": [packets.load_wgt(cfg, 0, layer.w[:, :n]),
                     packets.load_thr(cfg, 0, layer.theta[:n])],
            "encode": [packets.load_act(cfg, 0, layer.q[:self.tokens], layer.e[:self.tokens])],
            "compute": [packets.run(cfg, slot=0, buf=0, rows=rows, tiles=self.tiles,
                                    tokens=self.tokens, acc_first=1, acc_last=1, host=1)],
        }
