"""A small design with everything that the generator has to get right, and ways to look at it."""

import random
import subprocess
from pathlib import Path

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

WORD = data.StructLayout({"a": 4, "b": signed(3), "pair": data.ArrayLayout(2, 2)})


class Kind(enum.Enum, shape=2):
    """An enumeration, for the port map."""

    ZERO = 0
    ONE = 1
    MANY = 3


class Scale(wiring.Component):
    """Combinational: y = x * factor, with a factor that parents may tie to a constant."""

    def __init__(self):
        super().__init__({"x": In(signed(4)), "factor": In(3), "y": Out(signed(8)),
                          "buf": In(1)})        # a Verilog keyword

    def elaborate(self, platform):
        m = Module()
        with m.If(self.buf):
            m.d.comb += self.y.eq(self.x * self.factor)
        return m


class Lane(wiring.Component):
    """A memory, a state machine, an indexed register, and a struct output made of pieces."""

    def __init__(self):
        super().__init__({"word": In(stream.Signature(WORD)), "en": In(1), "nibbles": In(8),
                          "out": Out(stream.Signature(WORD)), "kind": Out(Kind),
                          "spare": Out(3)})

    def elaborate(self, platform):
        m = Module()
        word = self.word.payload
        m.submodules.store = store = memory.Memory(shape=8, depth=16, init=[])
        m.submodules.table = table = memory.Memory(shape=8, depth=4, init=[3, 1, 4, 1])
        write, read = store.write_port(), store.read_port()
        look = table.read_port(domain="comb")
        m.submodules.scale = scale = Scale()
        # Two inputs that are neighbours in one signal, and one made of two pieces.
        m.d.comb += [scale.x.eq(self.nibbles[:4]), scale.factor.eq(self.nibbles[4:7]),
                     scale.buf.eq(self.en), look.addr.eq(word.pair[0])]
        m.d.comb += [write.addr.eq(word.a), write.data.eq(scale.y), write.en.eq(self.en),
                     read.addr.eq(self.nibbles[2:6]), read.en.eq(self.word.valid)]
        bits = [Signal(name=f"bit_{i}") for i in range(4)]
        with m.If(self.word.valid):
            m.d.sync += bits[0].eq(~bits[0])
            with m.Switch(word.a[:2]):
                for i in range(4):
                    with m.Case(i):
                        m.d.sync += bits[i].eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.word.ready.eq(1)
                with m.If(self.word.valid & self.en):
                    m.next = "BUSY"
            with m.State("BUSY"):
                m.d.comb += [self.out.valid.eq(1), self.kind.eq(Kind.MANY)]
                with m.If(self.out.ready):
                    m.next = "IDLE"
        with m.If(self.en):
            m.d.sync += [self.out.payload.a.eq(read.data ^ look.data),
                         self.out.payload.b.eq(word.b)]
        m.d.comb += [self.out.payload.pair[0].eq(bits[1] + bits[2]),
                     self.out.payload.pair[1].eq(word.pair[1]), self.spare.eq(bits[3])]
        return m


class Top(wiring.Component):
    """Three lanes in a row, and one `Scale` more with constants at its inputs."""

    def __init__(self):
        super().__init__({"word": In(stream.Signature(WORD)), "en": In(1), "nibbles": In(8),
                          "out": Out(stream.Signature(WORD)), "kind": Out(Kind),
                          "fixed": Out(signed(8)), "constant": Out(4, init=0)})

    def elaborate(self, platform):
        m = Module()
        source = self.word
        lanes = []
        for i in range(3):
            m.submodules[f"lane_{i}"] = lane = Lane()
            if i == 0:
                wiring.connect(m, wiring.flipped(source), lane.word)
            else:
                wiring.connect(m, source, lane.word)
            m.d.comb += [lane.en.eq(self.en), lane.nibbles.eq(self.nibbles)]
            source = lane.out
            lanes.append(lane)
        wiring.connect(m, source, wiring.flipped(self.out))
        m.submodules.fixed = fixed = Scale()
        m.d.comb += [self.kind.eq(lanes[-1].kind), fixed.x.eq(-3), fixed.factor.eq(2),
                     fixed.buf.eq(1), self.fixed.eq(fixed.y), self.constant.eq(9)]
        return m


#: Inputs and outputs of `Top`, and the inputs' widths.
INPUTS = {"word__payload": 11, "word__valid": 1, "en": 1, "nibbles": 8, "out__ready": 1}
OUTPUTS = ("word__ready", "out__payload", "out__valid", "kind", "fixed", "constant")


def stimuli(cycles: int, seed: int = 1) -> list[dict[str, int]]:
    """Random inputs for `Top`."""
    rng = random.Random(seed)
    return [{name: rng.getrandbits(width) for name, width in INPUTS.items()}
            for _ in range(cycles)]


def amaranth_outputs(inputs: list[dict[str, int]]) -> list[list[int]]:
    """What Amaranth's own simulator makes of them, sampled before each clock edge."""
    top = Top()
    signals = {}
    for path, _, value in top.signature.flatten(top):
        signals["__".join(map(str, path))] = value.as_value() if hasattr(value, "as_value") \
            else value
    seen: list[list[int]] = []

    async def bench(ctx):
        for given in inputs:
            for name, value in given.items():
                ctx.set(signals[name].as_unsigned() if signals[name].shape().signed
                        else signals[name], value)
            await ctx.delay(0)
            seen.append([ctx.get(signals[name].as_unsigned()) for name in OUTPUTS])
            await ctx.tick()

    sim = Simulator(top)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return seen


def icarus(folder: Path, verilog: str, bench: str, generation: str) -> str:
    """Compile with Icarus and run; stdout."""
    (folder / "design.v").write_text(verilog)
    (folder / "bench.v").write_text(bench)
    subprocess.run(["iverilog", f"-g{generation}", "-o", "a.out", "-s", "bench", "design.v",
                    "bench.v"], cwd=folder, check=True, capture_output=True, text=True)
    return subprocess.run(["vvp", "-n", "a.out"], cwd=folder, check=True, capture_output=True,
                          text=True).stdout


def icarus_outputs(folder: Path, verilog: str, inputs: list[dict[str, int]],
                   generation: str) -> list[list[str]]:
    """What Icarus makes of the generated Verilog, as bits."""
    regs = "".join(f"  reg [{width - 1}:0] {name} = 0;\n" for name, width in INPUTS.items())
    wires = "".join(f"  wire [{'10' if 'payload' in name else '7'}:0] {name};\n"
                    for name in OUTPUTS)
    steps = "".join(
        "    " + " ".join(f"{name} = {value};" for name, value in given.items())
        + ' #4 $display("' + " ".join(["%b"] * len(OUTPUTS)) + f'", {", ".join(OUTPUTS)});'
        " #1 clk = 1; #5 clk = 0;\n" for given in inputs)
    ports = ", ".join(f".{name}({name})" for name in ("clk", "rst", *INPUTS, *OUTPUTS))
    bench = (f"module bench;\n  reg clk = 0, rst = 0;\n{regs}{wires}  top dut ({ports});\n"
             f"  initial begin\n{steps}    $finish;\n  end\nendmodule\n")
    out = icarus(folder, verilog, bench, generation)
    widths = {"word__ready": 1, "out__payload": 11, "out__valid": 1, "kind": 2, "fixed": 8,
              "constant": 4}
    return [[word[-widths[name]:] for name, word in zip(OUTPUTS, line.split(), strict=True)]
            for line in out.splitlines() if line.strip()]


def differences(expected: list[list[int]], seen: list[list[str]], settled: int = 50) -> list[str]:
    """Where two simulations differ. A memory's output is unknown (x) until its first read."""
    found = []
    for cycle, (row, bits) in enumerate(zip(expected, seen, strict=True)):
        for name, value, word in zip(OUTPUTS, row, bits, strict=True):
            known = f"{value:0{len(word)}b}"
            if cycle < settled:
                known = "".join("x" if b == "x" else a for a, b in zip(known, word, strict=True))
            if known != word:
                found.append(f"cycle {cycle}: {name} is {word}, should be {known}")
    return found
