"""Netlists, their simulation and their energy, on circuits that can be worked out by hand."""

import random
import shutil
import subprocess

import pytest

from bench.gates import energy, netlist
from bench.gates.mapping import Recipe, map_design
from bench.gates.netlist import NetlistError, assign_blocks, build
from bench.gates.simulate import Simulator
from gen.yosys import YosysError
from tests.bench.gates import tiny


def cell(kind, **pins):
    return {"type": kind, "parameters": {}, "connections": {
        name: bits if isinstance(bits, list) else [bits] for name, bits in pins.items()}}


def module(cells, ports, names=None):
    """A module as Yosys' JSON has it."""
    return {"ports": {name: {"direction": direction, "bits": bits}
                      for name, (direction, bits) in ports.items()},
            "cells": cells, "netnames": names or {}}


def mapped(verilog, recipe=None, **changes):
    library = tiny(**changes)
    return build(map_design(verilog, "top", library, recipe or Recipe()), library)


# -- energy by hand ------------------------------------------------------------------------------

def test_energy_of_two_inverters():
    """a -> INV -> m -> INV -> y, ten rises and ten falls of a.

    m: 0.01 pF and 1 fF of wire, y: nothing. A toggle of m costs C V^2 / 2 = 0.011 * 4 / 2 pJ.
    """
    net = build(module({"one": cell("INV", A=2, Y=3), "two": cell("INV", A=3, Y=4)},
                       {"a": ("input", [2]), "y": ("output", [4])}), tiny())
    sim = Simulator(net)
    assert sim.get("y") == 0
    start = sim.counts()
    for number in range(20):
        sim.cycle({"a": 1 - number % 2})
        assert sim.get("y") == 1 - number % 2
    counted = sim.counts() - start
    assert counted.cycles == 20 and counted.events == 3 * 20
    blocks = energy.breakdown(sim, counted)
    net_toggle = 0.011 * 4 / 2
    assert blocks[energy.PORTS].total == pytest.approx(20 * net_toggle)
    inverters = blocks[""]
    assert inverters.logic == pytest.approx(2 * 10 * (0.003 + 0.001) + 20 * net_toggle)
    assert inverters.glitches == inverters.registers == inverters.clock == 0
    assert inverters.leakage == 2 * 3
    # Delay: 0.1 ns and 1 ns per pF; the input comes 0.2 ns after the edge.
    assert counted.latest == 200 + 111 + 100


def test_an_input_that_changes_nothing_costs_its_passive_energy():
    net = build(module({"one": cell("NAND2", A=2, B=3, Y=4)},
                       {"a": ("input", [2]), "b": ("input", [3]), "y": ("output", [4])}), tiny())
    sim = Simulator(net)
    for number in range(10):
        sim.cycle({"b": 1 - number % 2})      # a is 0
    assert energy.breakdown(sim, sim.counts())[""].logic == pytest.approx(10 * 0.0005)


def test_a_glitch_is_counted():
    """y = a ^ a-delayed-by-two-inverters: nothing in the end, two toggles on the way."""
    net = build(module({"one": cell("INV", A=2, Y=3), "two": cell("INV", A=3, Y=4),
                        "xor": cell("XOR2", A=2, B=4, Y=5)},
                       {"a": ("input", [2]), "y": ("output", [5])}), tiny())
    sim = Simulator(net)
    sim.cycle({"a": 1})
    counted = sim.counts()
    assert counted.nets[net.ports["y"][0]].tolist() == [1, 1]
    assert counted.settled[net.ports["y"][0]] == 0
    assert energy.breakdown(sim, counted)[""].glitches == pytest.approx(2 * 0.005)


def test_a_pulse_shorter_than_a_gate_is_none():
    """The same with one BUF of 0.05 ns: the XOR, of 0.15 ns, never shows it."""
    library = tiny()
    fast = library.library.cells["BUF"].pins["Y"].arcs["A"].delay
    assert fast[0].at(0, 0) == 0.2        # too slow for this test, so only the INV is used
    net = build(module({"one": cell("INV", A=2, Y=3), "xor": cell("XOR2", A=2, B=3, Y=5)},
                       {"a": ("input", [2]), "y": ("output", [5])}), library)
    sim = Simulator(net)
    sim.cycle({"a": 1})
    assert sim.counts().nets[net.ports["y"][0]].sum() == 0


def test_energy_of_a_flip_flop_and_its_clock():
    """Toggles every cycle: 8 cycles, 4 rises and 4 falls of Q; the tree is one buffer."""
    net = build(module({"inv": cell("INV", A=3, Y=4), "ff": cell("DFF", CLK=2, D=4, Q=3)},
                       {"clk": ("input", [2]), "q": ("output", [3])},
                       {"q": {"bits": [3], "init": "0"}}), tiny())
    sim = Simulator(net)
    seen = []
    for _ in range(8):
        sim.cycle({})
        seen.append(sim.get("q"))
    assert seen == [1, 0] * 4
    block = energy.breakdown(sim, sim.counts())[""]
    q_net, d_net = 0.011 * 2, 0.011 * 2
    assert block.registers == pytest.approx(
        4 * (0.007 + 0.009) + 8 * q_net + 4 * (0.001 + 0.002))
    assert block.logic == pytest.approx(4 * 0.004 + 8 * d_net)
    pin = 0.01 + 0.02 + 0.021 * 4
    tree = 0.004 * 2 + 0.011 * 4
    assert block.clock == pytest.approx(8 * (pin + tree))


COUNTER = """module top(input clk, en, input [7:0] d, output reg [7:0] q);
  initial q = 3; always @(posedge clk) if (en) q <= d; endmodule"""


def test_a_clock_gate_stops_the_clock():
    net = mapped(COUNTER)
    assert len(net.clock_gates) == 1 and {ff.domain for ff in net.ffs} == {1}
    sim = Simulator(net)
    assert sim.get("q") == 3                    # initial value
    sim.set("d", 0x5A)
    sim.settle()
    for _ in range(5):
        sim.cycle({})
    assert sim.get("q") == 3 and sim.counts().clocks.tolist() == [5, 0]
    closed = energy.breakdown(sim, sim.counts())[""].clock
    gate = 0.01 + 0.01 + 0.021 * 4 + 0.011 * 4          # latch, its pin, the AND's
    assert closed == pytest.approx(5 * gate)
    sim.cycle({"en": 1})
    before = sim.counts()
    sim.cycle({})
    assert sim.get("q") == 0x5A
    opened = energy.breakdown(sim, sim.counts() - before)[""].clock
    assert opened == pytest.approx(gate + 8 * (0.03 + 0.021 * 4) + 0.012)


def test_without_clock_gates_every_register_is_clocked():
    net = mapped(COUNTER, Recipe(gated=False))
    assert not net.clock_gates and {ff.domain for ff in net.ffs} == {0}


# -- function ------------------------------------------------------------------------------------

SUMS = """module top(input clk, input signed [5:0] a, b, c, output reg signed [11:0] y);
  initial y = 0; always @(posedge clk) y <= a * b + c - (a & c); endmodule"""


@pytest.mark.parametrize("recipe", [Recipe(), Recipe("ripple"), Recipe("tree"),
                                    Recipe(booth=True), Recipe(gated=False)], ids=str)
def test_mapped_arithmetic_is_right(recipe):
    net = mapped(SUMS, recipe)
    if recipe.adders == "cells":
        assert any(gate.cell.name == "FA" for gate in net.gates)
    sim, rng = Simulator(net), random.Random(2)
    for _ in range(60):
        a, b, c = (rng.randrange(-32, 32) for _ in range(3))
        sim.cycle({name: value & 63 for name, value in (("a", a), ("b", b), ("c", c))})
        sim.cycle({})
        assert sim.get("y") == (a * b + c - (a & c)) & 0xFFF


MEMORY = """module top(input clk, we, re, input [6:0] wa, ra, input [3:0] d, output reg [3:0] q);
  reg [3:0] m [0:99]; integer i; initial for (i = 0; i < 100; i = i + 1) m[i] = 0;
  always @(posedge clk) begin if (we) m[wa] <= d; if (re) q <= m[ra]; end endmodule"""


def test_a_memory_keeps_what_is_written_and_its_accesses_are_counted():
    net = mapped(MEMORY)
    assert [(memory.width, memory.depth) for memory in net.memories] == [(4, 100)]
    sim = Simulator(net)
    sim.cycle({"we": 1, "wa": 77, "d": 9})
    sim.cycle({"we": 0, "re": 1, "ra": 77})     # takes the write
    sim.cycle({"re": 0})
    assert sim.get("q") == 9
    sim.cycle({"ra": 3})
    assert sim.get("q") == 9
    assert sim.counts().memory.tolist() == [1, 1]       # read port, write port


def test_loads_are_split_over_buffers_without_changing_the_function():
    verilog = """module top(input [15:0] a, input s, output [15:0] y);
      assign y = a ^ {16{s}}; endmodule"""
    plain, split = mapped(verilog), mapped(verilog, limit=0.1, buffer_limit=0.1)
    assert sum(gate.cell.name == "BUF" for gate in plain.gates) == 0
    assert sum(gate.cell.name == "BUF" for gate in split.gates) == 4 + 0
    assert split.load.max() <= 0.1 + 1e-9
    sim = Simulator(split)
    sim.cycle({"a": 0x1234, "s": 1})
    assert sim.get("y") == 0x1234 ^ 0xFFFF


def test_blocks_follow_the_registers_that_gates_feed():
    net = mapped("""module top(input clk, input [3:0] a, b, output reg [3:0] s, p);
      initial begin s = 0; p = 0; end
      always @(posedge clk) begin s <= a + b; p <= a & b; end endmodule""")
    assign_blocks(net, [(r"^s$", "sum"), (r"^p$", "product")])
    assert {ff.block for ff in net.ffs} == {"sum", "product"}
    assert {gate.block for gate in net.gates if gate.cell.name in ("FA", "XOR2")} == {"sum"}


def test_what_cannot_be_simulated_is_refused():
    with pytest.raises(NetlistError, match="NOPE"):
        build(module({"x": cell("NOPE", A=2)}, {"a": ("input", [2])}), tiny())
    with pytest.raises(NetlistError, match="LATCH"):
        build(module({"x": cell("LATCH", D=2, G=3, Q=4)}, {"a": ("input", [2, 3])}), tiny())
    with pytest.raises(YosysError):
        mapped("module top(input a; endmodule")


# -- against Icarus ------------------------------------------------------------------------------

def icarus(net: netlist.Netlist, vectors, tmp_path) -> dict[int, int]:
    """Toggles of every gate's output as Icarus sees them: same delays, same inputs."""
    sim = Simulator(net)
    note = sim.note
    lines = ["`timescale 1ps/1ps", "module bench;"]
    lines += [f"  reg i{bit} = 0;" for bit in sum((net.ports[n] for n in net.inputs), [])]
    inputs = set(sum((net.ports[name] for name in net.inputs), []))

    def name(bit):
        return f"1'b{bit}" if bit < 2 else f"i{bit}" if bit in inputs else f"n{bit}"

    outs = [int(out) for out in note.out]
    for place, out in enumerate(outs):
        pins = [int(bit) for bit in note.inputs[place] if bit >= 0]
        index = ", ".join(name(bit) for bit in reversed(pins))
        rise, fall = (round(note.delay[place, 0, edge] * 1000) for edge in (1, 0))
        size = 1 << len(pins)
        lines += [f"  wire n{out}; wire [{size - 1}:0] t{out} = {size}'d{int(note.table[place])};",
                  f"  assign #({rise}, {fall}) n{out} = t{out}[{{{index}}}];",
                  f"  integer c{out} = 0; reg on{out} = 0;",
                  f"  always @(n{out}) if (go) c{out} = c{out} + 1;"]
    lines.insert(2, "  reg go = 0;")
    lines.append("  initial begin #50000 go = 1;")
    for vector in vectors:
        for port, value in vector.items():
            lines += [f"    i{bit} = {value >> place & 1};"
                      for place, bit in enumerate(net.ports[port])]
        lines.append("    #50000;")
    lines += [f'    $display("{out} %0d", c{out});' for out in outs] + ["  end", "endmodule"]
    source = tmp_path / "bench.v"
    source.write_text("\n".join(lines))
    subprocess.run(["iverilog", "-g2012", "-o", str(tmp_path / "bench"), str(source)], check=True)
    text = subprocess.run(["vvp", "-n", str(tmp_path / "bench")], check=True, text=True,
                          capture_output=True).stdout
    return {int(out): int(count) for out, count in map(str.split, text.splitlines())}


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_icarus_counts_the_same_toggles(tmp_path):
    """Glitches included: an 8-bit sum of products, 100 random vectors, all nets."""
    net = mapped("""module top(input [3:0] a, b, c, d, output [8:0] y);
      assign y = a * b + c * d; endmodule""")
    rng = random.Random(5)
    vectors = [{port: rng.getrandbits(4) for port in "abcd"} for _ in range(100)]
    want = icarus(net, vectors, tmp_path)
    sim = Simulator(net)
    for vector in vectors:
        sim.edge()
        for port, value in vector.items():
            sim.set(port, value)
        sim.settle()
        assert sim.get("y") == vector["a"] * vector["b"] + vector["c"] * vector["d"]
    got = {out: int(sim.counts().nets[out].sum()) for out in want}
    assert sum(want.values()) > 2000
    different = [out for out in want if got[out] != want[out]]
    # Events of one instant come in another order: a pulse of no width may or may not be seen.
    assert sum(abs(got[out] - want[out]) for out in different) <= 0.03 * sum(want.values())
