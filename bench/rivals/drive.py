"""Runs matrix products on a rival, in Amaranth's simulator and, replayed, in Icarus and Verilator.

The Verilog simulators get the inputs of every cycle that Amaranth's run had, and their outputs are
read as its were: an array that differs in one cycle gives other sums.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from amaranth.sim import Simulator

from bench.rivals.interface import Ints, Job, Rival
from gen.harness import header_ports
from gen.verilog import TOP, to_verilog
from sim import tools
from sim.builds import BenchError, built

#: A product to compute: x [T, K], w [K, N].
Product = tuple[Ints, Ints]
#: Inputs of one cycle, by port of the generated Verilog.
Cycle = dict[str, int]


class Trace:
    """A run: what went in, in every cycle, and each column's sums of each product."""

    def __init__(self, rival: Rival, products: Sequence[Product]):
        self.rival, self.products = rival, products
        self.jobs = [rival.job(x, w) for x, w in products]
        self.cycles: list[Cycle] = []

    def results(self, columns: Sequence[Sequence[int]]) -> list[Ints]:
        """Every product [T, N] from all sums of each column. ValueError if some are amiss."""
        want = sum(job.sums for job in self.jobs)
        if any(len(column) != want for column in columns):
            raise ValueError(f"columns give {[len(column) for column in columns]} sums, not {want}")
        found, first = [], 0
        for (x, w), job in zip(self.products, self.jobs, strict=True):
            part = [column[first:first + job.sums] for column in columns]
            found.append(self.rival.collect(part, len(x), w.shape[1]))
            first += job.sums
        return found


def simulate(rival: Rival, products: Sequence[Product], *, seed: int = 1, gaps: float = 0.0,
             limit: int = 1_000_000) -> tuple[Trace, list[Ints]]:
    """Run the products, each loaded beside the one before; the trace, and what came out.

    `gaps`: share of cycles without a write, without a run offered, and without room for sums.
    Raises ValueError when sums are missing after `limit` cycles.
    """
    trace = Trace(rival, products)
    columns: list[list[int]] = [[] for _ in range(rival.shape.cols)]
    sim = Simulator(rival)
    sim.add_clock(1e-6)

    async def bench(ctx):
        rng = random.Random(seed)
        loaded = started = 0
        writes: deque[Cycle] = deque()
        while True:
            done = min(map(len, columns))
            finished = sum(sum(job.sums for job in trace.jobs[:n + 1]) <= done
                           for n in range(len(trace.jobs)))
            if finished == len(trace.jobs) or len(trace.cycles) > limit:
                break
            # A product is loaded once the one before the last, in the same half, is out.
            if not writes and loaded < len(trace.jobs) and loaded == started \
                    and finished >= loaded - 1:
                writes.extend(_writes(rival, trace.jobs[loaded], loaded % 2))
                loaded += 1
            cycle: Cycle = {"room": rng.random() >= gaps}
            if writes and rng.random() >= gaps:
                cycle |= writes.popleft()
            offer = not writes and started < loaded and rng.random() >= gaps
            if offer:
                cycle |= _run(rival, trace.jobs[started], started % 2)
            _apply(ctx, rival, cycle)
            trace.cycles.append(cycle)
            started += bool(offer and ctx.get(rival.run.ready))
            valid = ctx.get(rival.out_valid)
            for number, column in enumerate(columns):
                if valid >> number & 1:
                    column.append(ctx.get(rival.out_sum[number]))
            await ctx.tick()

    sim.add_testbench(bench)
    sim.run()
    trace.cycles += [{}] * 64                           # nothing may follow
    return trace, trace.results(columns)


def _halves(rival: Rival, half: int) -> tuple[int, int]:
    """Bases of a half of both memories, in their words."""
    return half * rival.shape.act_depth // 2, half * rival.wgt_depth // 2


def _writes(rival: Rival, job: Job, half: int) -> list[Cycle]:
    """The job's memory words; an activation and a weight each, as long as there are both."""
    act, wgt = _halves(rival, half)
    acts: list[Cycle] = [{"act_write": 1, "act_addr": act + place, "act_data": word}
                         for place, word in enumerate(job.acts)]
    wgts: list[Cycle] = [{"wgt_write": 1, "wgt_bank": bank, "wgt_addr": wgt + row,
                          "wgt_data": word} for bank, row, word in job.wgts]
    if len(acts) > rival.shape.act_depth // 2 or any(
            row >= rival.wgt_depth // 2 for _, row, _ in job.wgts):
        raise ValueError("the product does not fit half of the rival's memories")
    longest = max(len(acts), len(wgts))
    pairs = zip(acts + [{}] * (longest - len(acts)), wgts + [{}] * (longest - len(wgts)),
                strict=True)
    return [a | w for a, w in pairs]


def _run(rival: Rival, job: Job, half: int) -> Cycle:
    act, wgt = _halves(rival, half)
    return {"run__valid": 1, "run__payload": rival.run.payload.shape().const({
        "words": job.words - 1, "tiles": job.tiles - 1, "tokens": job.tokens - 1,
        "act_base": act // rival.act_unit, "wgt_base": wgt // rival.wgt_unit}).as_bits()}


_INPUTS = ("act_write", "act_addr", "act_data", "wgt_write", "wgt_bank", "wgt_addr", "wgt_data",
           "room", "run__valid", "run__payload")


def _apply(ctx, rival: Rival, cycle: Cycle) -> None:
    for name in _INPUTS:
        port = rival
        for part in name.split("__"):
            port = getattr(port, part)
        value = cycle.get(name, 0)
        ctx.set(port.as_value() if name == "run__payload" else port, value)


# -- Verilog ---------------------------------------------------------------------------------------

_READ = re.compile(r"^(  reg (?:\[\d+:0\] )?read__data);$", re.M)


def replay(trace: Trace, simulator: str, verilog: str | None = None) -> list[Ints]:
    """What comes out of the generated Verilog (or this one) in "icarus" or "verilator".

    Raises `BenchError` when it does not build or end, ValueError when sums are missing.
    """
    # A block RAM's output is not X before its first read: zero activations read nothing, and X
    # times zero is X.
    verilog = _READ.sub(r"\1 = 0;", verilog or to_verilog(trace.rival))
    ports = {port.name: port for port in header_ports(verilog, TOP)}
    names = [name for name in ports if ports[name].direction == "input"
             and name not in ("clk", "rst")]
    width = sum(ports[name].width for name in names)
    tool = tools.find(simulator)

    def make(folder: Path) -> None:
        (folder / "bench.v").write_text(verilog + _bench(ports, names, width))
        if simulator == "icarus":
            (folder / "clock.v").write_text(_CLOCK)
            command = [str(tool.path), "-g2005", "-s", "clocked", "-o", "bench", "bench.v",
                       "clock.v"]
        else:
            (folder / "main.cpp").write_text(_MAIN)
            command = [str(tool.path), "--cc", "--exe", "--build", "-O1", "-Wno-fatal",
                       "-Wno-WIDTH", "--top-module", "bench", "--Mdir", "obj", "-o", "bench",
                       "--output-split", "0", "bench.v", "main.cpp"]
        _command(command, folder, simulator)

    folder, _ = built(simulator, [verilog, _bench(ports, names, width), _MAIN, tool.version], make)
    lines = []
    for cycle in trace.cycles:
        word = at = 0
        for name in names:
            word |= (int(cycle.get(name, 0)) & ((1 << ports[name].width) - 1)) << at
            at += ports[name].width
        lines.append(f"{word:x}")
    program = ["vvp", str(folder / "bench")] if simulator == "icarus" else [
        str(folder / "obj" / "bench")]
    text = _command(program, folder, simulator, "\n".join([str(len(lines)), *lines]) + "\n")
    columns: list[list[int]] = [[] for _ in range(trace.rival.shape.cols)]
    bits = ports["out_sum"].width // len(columns)
    for line in text.splitlines():
        if not line.startswith("sums "):
            continue
        valid, sums = (int(word, 16) for word in line.split()[1:])
        for number, column in enumerate(columns):
            if valid >> number & 1:
                value = sums >> number * bits & ((1 << bits) - 1)
                column.append(value - (value >> bits - 1 << bits))
    return trace.results(columns)


def _bench(ports, names: Sequence[str], width: int) -> str:
    """A module that applies a line of standard input per cycle and prints all sums."""
    wires = "\n".join(f"  wire [{ports[name].width - 1}:0] {name};" for name in names)
    outs = [name for name in ports if ports[name].direction == "output"]
    decl = "\n".join(f"  wire [{ports[name].width - 1}:0] {name};" for name in outs)
    pins = ", ".join([f".{name}({name})" for name in [*names, *outs]]
                     + [".clk(clk)"] * ("clk" in ports) + [".rst(1'b0)"] * ("rst" in ports))
    return f"""
module bench(input clk);
  reg [{width - 1}:0] word, next;
  integer left, got;
{wires}
{decl}
  assign {{{", ".join(reversed(names))}}} = word;
  {TOP} dut({pins});
  initial begin
    got = $fscanf(32'h8000_0000, "%d", left);
    got = $fscanf(32'h8000_0000, "%h", word);
  end
  always @(posedge clk) begin
    if (out_valid != 0) $display("sums %h %h", out_valid, out_sum);
    got = $fscanf(32'h8000_0000, "%h", next);
    word <= next;
    left = left - 1;
    if (left == 0) $finish;
  end
endmodule
"""


#: Icarus has its own clock, Verilator's is in C++.
_CLOCK = """
module clocked;
  reg clk = 0;
  always #5 clk = ~clk;
  bench bench(clk);
endmodule
"""
_MAIN = """#include "Vbench.h"
#include "verilated.h"
int main() {
    VerilatedContext context;
    Vbench bench{&context};
    while (!context.gotFinish()) {
        bench.clk = 0;
        bench.eval();
        bench.clk = 1;
        bench.eval();
    }
    return 0;
}
"""


def _command(command: Sequence[str], folder: Path, simulator: str, given: str = "") -> str:
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True,
                          env=tools.environment(simulator), check=False)
    if done.returncode:
        raise BenchError(f"{simulator}: {(done.stdout + done.stderr)[-1500:]}")
    return done.stdout
