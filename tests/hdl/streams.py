"""Stream helpers for Amaranth's own simulator: put and get words with random stalls."""

import random
from collections.abc import Callable, Iterable

from amaranth.sim import Simulator


async def put(ctx, port, words: Iterable, rng: random.Random | None = None,
              stall: float = 0.3) -> None:
    """Send `words`; before each, wait a random number of cycles (mean stall/(1-stall))."""
    for word in words:
        while rng is not None and rng.random() < stall:
            await ctx.tick()
        ctx.set(port.payload, word)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)


async def get(ctx, port, until: Callable[[list], bool], rng: random.Random | None = None,
              stall: float = 0.3) -> list:
    """Receive words until `until(words)`, refusing some cycles at random."""
    words: list = []
    while not until(words):
        while rng is not None and rng.random() < stall:
            await ctx.tick()
        ctx.set(port.ready, 1)
        payload, = await ctx.tick().sample(port.payload).until(port.valid)
        ctx.set(port.ready, 0)
        words.append(payload)
    return words


def simulate(dut, *testbenches, deadline: int = 200_000, vcd: str | None = None) -> None:
    """Run testbenches on `dut` until all are done; `deadline` cycles is a hang."""
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for bench in testbenches:
        sim.add_testbench(bench)

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
