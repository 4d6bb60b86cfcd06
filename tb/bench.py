"""What every bench starts with: the configuration, the seed, a clock, a reset, a deadline."""

import json
import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

from spinteger.config import Config
from tb.streams import Stalls

#: Environment variable with this run's parameters as JSON, set by `sim.runner`.
ENV = "SPINTEGER_BENCH"
PERIOD_NS = 10


class Bench:
    """Parameters of this run and the DUT under clock. `rng` is seeded per run and test."""

    def __init__(self, dut: Any, test: str):
        given = json.loads(os.environ.get(ENV, "{}"))
        self.dut = dut
        self.cfg = Config(**given.get("config", {}))
        self.seed = int(given.get("seed", 1))
        self.options: dict[str, Any] = given.get("options", {})
        self.rng = random.Random(f"{self.seed}/{test}")

    def stalls(self, rate: float | None = None) -> Stalls:
        """A stall pattern of its own; a random rate unless one is given."""
        rate = self.rng.choice((0.0, 0.1, 0.3, 0.7)) if rate is None else rate
        return Stalls(random.Random(self.rng.random()), rate)

    async def start(self) -> None:
        """Start the clock and reset the DUT. Drive inputs before or after, as you like."""
        cocotb.start_soon(Clock(self.dut.clk, PERIOD_NS, unit="ns").start())
        await self.reset()

    async def reset(self, cycles: int = 3) -> None:
        """Hold reset for some cycles; everything in flight is lost, memories keep their words."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, cycles)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
