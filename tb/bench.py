"""What every bench starts with: the configuration, the seed, a clock, a reset, a deadline."""

import json
import os
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np
from cocotb.clock import Clock
from cocotb.task import Task
from cocotb.triggers import ClockCycles, FallingEdge, SimTimeoutError, with_timeout

from spinteger.config import Config
from tb.streams import Stalls

#: Environment variable with this run's parameters as JSON, set by `sim.runner`.
ENV = "SPINTEGER_BENCH"
PERIOD_NS = 10
T = TypeVar("T")


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
        Clock(self.dut.clk, PERIOD_NS, unit="ns").start()
        await self.reset()

    async def reset(self, cycles: int = 3) -> None:
        """Hold reset for some cycles; everything in flight is lost, memories keep their words."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, cycles)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    def numpy(self) -> np.random.Generator:
        """A numpy generator of its own, seeded from `rng`."""
        return np.random.default_rng(self.rng.getrandbits(32))

    def idle(self, *names: str) -> None:
        """Drive these inputs with 0: on Icarus an input is X until it is driven."""
        for name in names:
            getattr(self.dut, name).value = 0

    async def wait(self, what: str, job: Coroutine[Any, Any, T] | Task[T],
                   cycles: int = 20_000) -> T:
        """Await `job`; fails, saying `what` did not come, after so many cycles."""
        try:
            return await with_timeout(job, cycles * PERIOD_NS, "ns")
        except SimTimeoutError:
            raise AssertionError(f"hangs: no {what} within {cycles} cycles") from None

    async def abort(self, *tasks: Task[Any]) -> None:
        """Cancel tasks in mid-work and reset the DUT; make new sources and sinks afterwards."""
        for task in tasks:
            task.cancel()
        await FallingEdge(self.dut.clk)
        await self.reset()
