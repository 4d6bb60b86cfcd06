"""Plays a program on the machine: `sim.backends` makes the job and reads the answer.

The job (options "job", .npz) holds `beats`, input payloads as bytes [n, bytes]. The answer goes to
options "answer": `output`, output payloads as bytes; registers and cycles go to "result".
"""

import json
import random
import time
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge
from cocotb.utils import get_sim_time

from sim import packets
from sim.backends import READ, Throttle
from sim.beats import output_payloads, port_bytes
from spinteger import isa
from tb.bench import PERIOD_NS, Bench
from tb.streams import NEVER, Sink, Source, Stalls


class Every(Stalls):
    """Stalls so that a beat goes at most every `cycles` cycles, and by the random pattern."""

    def __init__(self, rng: random.Random, rate: float, cycles: int):
        super().__init__(rng, rate)
        self.cycles, self.left = cycles, 0

    def __call__(self) -> bool:
        self.left -= 1
        if self.left > 0 or super().__call__():
            return True
        self.left = self.cycles
        return False


class MachineBench(Bench):
    """The machine with its ports idle; programs in, answers out."""

    def __init__(self, dut: Any, test: str, throttle: Throttle | None = None):
        super().__init__(dut, test)
        throttle = throttle or Throttle(**self.options.get("throttle", {}))
        rng = random.Random(throttle.seed)
        self.source = Source(dut, "input", NEVER if not throttle.input_stall
                             and throttle.input_every == 1 else
                             Every(rng, throttle.input_stall, throttle.input_every))
        self.sink = Sink(dut, "output", Stalls(rng, throttle.output_stall)
                         if throttle.output_stall else NEVER)
        self.idle("reg_addr", "reg_write", "reg_wdata")

    async def read(self, register: str) -> int:
        """A control register, two cycles later."""
        self.dut.reg_addr.value = isa.BY_REGISTER[register].address
        await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        return int(self.dut.reg_rdata.value)

    async def write(self, register: str, value: int) -> None:
        """Write a control register."""
        self.dut.reg_addr.value = isa.BY_REGISTER[register].address
        self.dut.reg_wdata.value, self.dut.reg_write.value = value, 1
        await FallingEdge(self.dut.clk)
        self.dut.reg_write.value = 0

    async def play(self, beats: list[int]) -> tuple[list[int], int]:
        """Feed a program that ends with the end fence; output payloads and cycles."""
        cfg = self.cfg
        end = [int.from_bytes(row.tobytes(), "little")
               for row in output_payloads(cfg, [[packets.fence_word(cfg)]])]
        last = 1 << cfg.bus_bits

        def ended(words: list[int]) -> bool:
            return words[-len(end):] == end and (
                len(words) == len(end) or bool(words[-len(end) - 1] & last))

        start = self._now()
        sending = cocotb.start_soon(self.source.send(beats))
        words = await self.wait("end of the program", self.sink.receive(ended),
                                cycles=int(self.options.get("limit", 2_000_000)))
        cycles = self._now() - start
        await sending
        return words, cycles

    def _now(self) -> int:
        return round(get_sim_time("ns")) // PERIOD_NS


@cocotb.test()
async def job(dut):
    """Play the job that the options name."""
    bench = MachineBench(dut, "job")
    await bench.start()
    with np.load(bench.options["job"]) as given:
        beats = [int.from_bytes(row.tobytes(), "little") for row in given["beats"]]
    cpu = time.process_time()
    words, cycles = await bench.play(beats)
    seconds = time.process_time() - cpu
    await bench.write("latch", 1)
    while await bench.read("latch"):
        pass
    registers = {name: await bench.read(name) for name in READ}
    width = port_bytes(bench.cfg.bus_bits + 1)
    output = np.frombuffer(b"".join(word.to_bytes(width, "little") for word in words), np.uint8)
    np.savez(bench.options["answer"], output=output.reshape(-1, width))
    Path(bench.options["result"]).write_text(json.dumps(
        {"registers": registers, "cycles": cycles, "seconds": seconds}))
