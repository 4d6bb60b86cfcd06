"""Registers: the whole address space, interrupts, the first error, nothing lost when cleared."""

import random

import pytest

from hdl.counters import ADDR_BITS
from hdl.registers import Registers
from spinteger import isa
from spinteger.config import PRESETS
from tests.hdl.streams import Bench, simulate

TINY = PRESETS["tiny"]
ADDRESS = {register.name: register.address for register in isa.REGISTERS}
SPACE = 1 << isa.REGISTER_ADDR_BITS
CLEAR_IRQ, CLEAR_ERROR, CLEAR_COUNTERS = 1, 2, 4
IRQ_FENCE, IRQ_ERROR = 1, 2
QUIET = {"write": 0, "wdata": 0, "fence": 0, "error": None}


def copies() -> list[int]:
    """A value for every word of the copy, all different; 0 past the last counter."""
    space = 1 << ADDR_BITS
    return [(n + 1) * 0x0123_4567 & 0xFFFF_FFFF for n in range(2 * len(isa.COUNTERS))] + [
        0] * (space - 2 * len(isa.COUNTERS))


class Model:
    """What the registers hold, cycle by cycle."""

    def __init__(self) -> None:
        self.control = self.irq = self.failed = self.error = self.errors = self.tag = 0
        self.rdata, self.addr = 0, 0x80          # no register yet
        self.word = 0                # of the copy, for the address one cycle ago

    def read(self, at: int, now: dict) -> int:
        """What an address reads in this cycle."""
        name = next((name for name, address in ADDRESS.items() if address == at), None)
        if name is None or name == "clear":
            return 0
        if name.endswith(("_low", "_high")):
            counter, half = name.rsplit("_", 1)
            return copies()[2 * isa.COUNTERS.index(counter) + (half == "high")]
        status = now["busy"] | self.irq << 1 | self.failed << 2 | now["waiting"] << 8
        return {"id": isa.ID_VALUE, "control": self.control, "status": status,
                "error": self.error, "error_count": self.errors, "packets": now["packets"],
                "fence_tag": self.tag, "latch": now["copying"]}[name]

    def cycle(self, now: dict) -> None:
        """One clock edge."""
        self.rdata = self.read(self.addr & ~3, now)    # one cycle after the address
        self.addr = now["addr"]
        at = now["addr"] & ~3 if now["write"] else None
        control = self.control
        if at == ADDRESS["control"]:
            self.control = now["wdata"] & 3
        if at == ADDRESS["clear"]:
            if now["wdata"] & CLEAR_IRQ:
                self.irq = 0
            if now["wdata"] & CLEAR_ERROR:
                self.failed = self.error = self.errors = 0
        if now["error"]:
            code, number = now["error"]
            if not self.failed:
                self.error = code | number << 8
            self.failed, self.errors = 1, (self.errors + 1) % (1 << isa.ERROR_COUNT_BITS)
        if now["fence"]:
            self.tag = now["fence_tag"]
        if now["fence"] and control & IRQ_FENCE or now["error"] and control & IRQ_ERROR:
            self.irq = 1


async def step(ctx, dut: Registers, model: Model, **now) -> None:
    """Drive one cycle and compare all outputs. The counters answer two cycles after the address."""
    now = {"addr": 0, "fence_tag": 0, "packets": 0, "busy": 0, "waiting": 0, "copying": 0,
           **QUIET, **now}
    for name in ("addr", "write", "wdata", "packets", "busy", "waiting", "copying"):
        ctx.set(getattr(dut, name), now[name])
    code, number = now["error"] or (0, 0)
    ctx.set(dut.error, {"valid": now["error"] is not None, "code": code, "number": number})
    ctx.set(dut.fence, {"valid": now["fence"], "tag": now["fence_tag"]})
    written = now["addr"] & ~3 if now["write"] else None
    assert ctx.get(dut.latch) == (written == ADDRESS["latch"])
    assert ctx.get(dut.clear_counters) == (
        written == ADDRESS["clear"] and bool(now["wdata"] & CLEAR_COUNTERS))
    word = copies()[ctx.get(dut.counter_addr)]
    await ctx.tick()
    ctx.set(dut.counter, model.word)
    model.word = word
    model.cycle(now)
    assert ctx.get(dut.rdata) == model.rdata, f"address {now['addr']:#x}"
    assert ctx.get(dut.irq) == model.irq


def run(job) -> None:
    """Run `job(ctx, dut, model)` on fresh registers."""
    dut = Registers(TINY)

    async def testbench(ctx):
        await job(ctx, dut, Model())

    simulate(Bench(dut), testbench)


def test_every_address_reads() -> None:
    """The whole address space, bytes within words too, after something has happened."""
    async def job(ctx, dut, model):
        await step(ctx, dut, model, addr=ADDRESS["control"], write=1, wdata=3)
        await step(ctx, dut, model, error=(17, 0xABCDEF), fence=1, fence_tag=0x8765_4321)
        for addr in range(SPACE):
            await step(ctx, dut, model, addr=addr, packets=0xDC_BA98, busy=1, waiting=0xA5,
                       copying=1)

    run(job)


@pytest.mark.parametrize("wdata", (0, 0xFFFF_FFFF))
def test_every_address_writes(wdata: int) -> None:
    """Only what may be written changes, and nothing else happens."""
    async def job(ctx, dut, model):
        for control in (0, 3):
            for addr in range(0, SPACE, 2):
                await step(ctx, dut, model, addr=ADDRESS["control"], write=1, wdata=control)
                await step(ctx, dut, model, error=(5, addr), fence=1, fence_tag=addr)
                await step(ctx, dut, model, addr=addr, write=1, wdata=wdata)
                for name in ("control", "status", "error", "error_count", "fence_tag"):
                    await step(ctx, dut, model, addr=ADDRESS[name])

    run(job)


@pytest.mark.parametrize("seed", range(4))
def test_random_traffic(seed: int) -> None:
    """Events and accesses of all kinds at random, most of them to registers that matter."""
    rng = random.Random(seed)

    def random_step() -> dict:
        name = rng.choice(("control", "clear", "status", "error", "error_count", "fence_tag"))
        addr = ADDRESS[name] if rng.random() < 0.8 else rng.randrange(SPACE)
        wdata = rng.choice((rng.getrandbits(3), rng.getrandbits(32)))
        failed = rng.randint(1, max(isa.Error)), rng.getrandbits(24)
        error = failed if rng.random() < 0.2 else None
        return {"addr": addr | rng.getrandbits(2), "write": rng.random() < 0.4, "wdata": wdata,
                "error": error, "fence": rng.random() < 0.2, "fence_tag": rng.getrandbits(32),
                "packets": rng.getrandbits(24), "busy": rng.getrandbits(1),
                "copying": rng.getrandbits(1),
                "waiting": rng.getrandbits(8)}

    async def job(ctx, dut, model):
        for _ in range(1500):
            await step(ctx, dut, model, **random_step())

    run(job)


def test_what_happens_while_it_is_cleared_is_kept() -> None:
    """An error and a fence in the cycle that clears them: both are seen afterwards."""
    async def job(ctx, dut, model):
        await step(ctx, dut, model, addr=ADDRESS["control"], write=1, wdata=3)
        await step(ctx, dut, model, error=(1, 1))
        await step(ctx, dut, model, error=(2, 2))
        await step(ctx, dut, model, addr=ADDRESS["clear"], write=1, wdata=3, error=(3, 3))
        assert (model.irq, model.failed, model.errors, model.error) == (1, 1, 1, 3 | 3 << 8)
        for name in ("status", "error", "error_count"):
            await step(ctx, dut, model, addr=ADDRESS[name])
        await step(ctx, dut, model, addr=ADDRESS["clear"], write=1, wdata=3)
        assert not ctx.get(dut.irq)
        await step(ctx, dut, model, addr=ADDRESS["clear"], write=1, wdata=1, fence=1)
        assert ctx.get(dut.irq)

    run(job)


def test_reset() -> None:
    """Reset forgets control, errors, interrupt and tag."""
    dut = Registers(TINY)
    bench = Bench(dut)

    async def testbench(ctx):
        model = Model()
        await step(ctx, dut, model, addr=ADDRESS["control"], write=1, wdata=3)
        await step(ctx, dut, model, error=(9, 9), fence=1, fence_tag=77)
        ctx.set(bench.rst, 1)
        await ctx.tick()
        ctx.set(bench.rst, 0)
        model = Model()
        for name in ("control", "status", "error", "error_count", "fence_tag", "id"):
            await step(ctx, dut, model, addr=ADDRESS[name])

    simulate(bench, testbench)


def test_tables_agree() -> None:
    """Addresses are whole words, no two registers share one, and the id comes first."""
    addresses = [register.address for register in isa.REGISTERS]
    assert len(set(addresses)) == len(addresses) and all(at % 4 == 0 for at in addresses)
    assert max(addresses) + 4 <= SPACE and ADDRESS["id"] == 0
    counters = [ADDRESS[f"{name}_{half}"] for name in isa.COUNTERS for half in ("low", "high")]
    assert counters == list(range(counters[0], counters[0] + 4 * len(counters), 4))
