"""Stream helpers for Amaranth's own simulator: put and get words with random stalls."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal, Value
from amaranth.sim import Simulator


class Bench(Elaboratable):
    """A design under test with a cycle counter, which a reset does not touch, and a reset.

    Sample `cycle` at a clock edge to learn in which cycle something happened.
    """

    def __init__(self, dut: Elaboratable):
        self.dut = dut
        self.cycle = Signal(32, reset_less=True)
        self.domain = ClockDomain("sync")
        self.rst = self.domain.rst

    def elaborate(self, platform):
        m = Module()
        m.domains += self.domain
        m.submodules.dut = self.dut
        m.d.sync += self.cycle.eq(self.cycle + 1)
        return m


async def put(ctx, port, words: Iterable, rng: random.Random | None = None,
              stall: float = 0.3, cycle: Signal | None = None) -> list[int]:
    """Send `words`; before each, wait a random number of cycles (mean stall/(1-stall)).

    Returns the cycles in which they were taken, if given the bench's `cycle`.
    """
    taken: list[int] = []
    for word in words:
        while rng is not None and rng.random() < stall:
            await ctx.tick()
        ctx.set(port.payload, word)
        ctx.set(port.valid, 1)
        sampled = await ctx.tick().sample(*([] if cycle is None else [cycle])).until(port.ready)
        taken += sampled
        ctx.set(port.valid, 0)
    return taken


async def get(ctx, port, until: Callable[[list], bool], rng: random.Random | None = None,
              stall: float = 0.3, cycle: Signal | None = None) -> list:
    """Receive words until `until(words)`, refusing some cycles at random.

    Returns the words, or pairs (word, cycle it came in) if given the bench's `cycle`.
    """
    words: list = []
    stamped: list = []
    while not until(words):
        while rng is not None and rng.random() < stall:
            await ctx.tick()
        ctx.set(port.ready, 1)
        word, *at = await ctx.tick().sample(
            port.payload, *([] if cycle is None else [cycle])).until(port.valid)
        ctx.set(port.ready, 0)
        words.append(word)
        stamped.append((word, *at))
    return words if cycle is None else stamped


def check_stream(port) -> Callable:
    """A process that fails when a word is withdrawn or changed before it is taken."""
    async def process(ctx):
        waiting: int | None = None
        sampled = [port.valid, port.ready, Value.cast(port.payload)]
        async for _, reset, valid, ready, payload in ctx.tick().sample(*sampled):
            if waiting is not None and not reset:
                assert valid, f"word {waiting:#x} was withdrawn"
                assert payload == waiting, f"word {waiting:#x} became {payload:#x}"
            waiting = payload if valid and not ready and not reset else None
    return process


def simulate(dut: Elaboratable, *testbenches: Callable, deadline: int = 50_000,
             watch: Sequence[Any] = (), processes: Sequence[Callable] = (),
             vcd: str | None = None) -> None:
    """Run testbenches on `dut` (or its `Bench`) until all are done; `deadline` cycles is a hang.

    The streams in `watch` are held to the stream contract on the way. `processes` may go on for
    ever, and see every clock edge before the testbenches do.
    """
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for bench in testbenches:
        sim.add_testbench(bench)
    for process in (*map(check_stream, watch), *processes):
        sim.add_process(process)

    async def watchdog(ctx):
        for _ in range(deadline):
            await ctx.tick()
        raise TimeoutError(f"still waiting after {deadline} cycles")

    sim.add_process(watchdog)
    if vcd is None:
        sim.run()
    else:
        with sim.write_vcd(vcd):
            sim.run()


def settle(dut: Elaboratable, testbench: Callable) -> None:
    """Run a testbench on a design without a clock: set inputs, read outputs."""
    sim = Simulator(dut)
    sim.add_testbench(testbench)
    sim.run()
