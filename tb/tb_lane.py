"""Bench of a spike lane: every cycle of both bank ports against a model of their registers.

The model knows no Amaranth: an event becomes an address, a weight row, the same row a register
later, an output, one enabled cycle each; the second port reads in the same way under its own
enable, or stores a row in any cycle.
"""

from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import FallingEdge

from spinteger.config import Config
from tb.bench import Bench

INPUTS = ("en_next", "valid", "row", "neg", "base", "write", "write_row", "read_en", "read", "addr")


@dataclass
class Model:
    """What the lane's registers hold. Rows are packed words; None is a row never written."""

    cfg: Config
    bank: dict[int, int | None] = field(default_factory=dict)
    en: int = 1
    at_addr: tuple[int, int] | None = None            #: (bank row, sign) of an event
    at_row: tuple[int | None, int] = (0, 0)           #: (its weight row, sign); zeros if none
    fetched: tuple[int | None, int] = (0, 0)          #: ... a register later
    # The registers of the rows have no reset.
    wgt: int | None = None
    read: list[int | None] = field(default_factory=lambda: [None] * 3)  #: rows read, newest first

    @property
    def wgt_neg(self) -> int:
        """The sign is out one enabled cycle before the row."""
        return self.fetched[1]

    @property
    def read_row(self) -> int | None:
        """What the integer lane gets."""
        return self.read[-1]

    def edge(self, given: dict[str, int]) -> None:
        """One clock edge with these inputs."""
        if self.en:
            self.wgt, self.fetched = self.fetched[0], self.at_row
            self.at_row = (0, 0)
            if self.at_addr is not None:
                # A row that is being written while it is read has no promised value.
                clash = given["write"] and given["addr"] == self.at_addr[0]
                self.at_row = (None if clash else self.bank.get(self.at_addr[0]), self.at_addr[1])
            self.at_addr = (given["base"] + given["row"], given["neg"]) if given["valid"] else None
        if given["read_en"]:
            row = self.bank.get(given["addr"]) if given["read"] else 0
            self.read = [row, *self.read[:-1]]
        if given["write"]:
            self.bank[given["addr"]] = given["write_row"]
        self.en = given["en_next"]

    def reset(self) -> None:
        """The pipeline forgets, the bank does not."""
        self.en, self.at_addr = 1, None
        self.at_row = self.fetched = (0, 0)
        self.wgt, self.read = None, [None] * 3


class LaneBench(Bench):
    """The lane beside its model, cycle by cycle."""

    def __init__(self, dut, test: str):
        super().__init__(dut, test)
        self.idle(*INPUTS)
        self.model = Model(self.cfg)

    def random_row(self) -> int:
        """A weight row, packed."""
        return self.rng.getrandbits(self.cfg.cols * self.cfg.wgt_bits)

    async def cycle(self, **given: int) -> None:
        """One cycle with these inputs, the others 0; all outputs compared after it."""
        every = dict.fromkeys(INPUTS, 0) | given
        for name, value in every.items():
            getattr(self.dut, name).value = value
        await FallingEdge(self.dut.clk)
        self.model.edge(every)
        for name in ("wgt", "wgt_neg", "read_row"):
            want, got = getattr(self.model, name), getattr(self.dut, name).value
            if want is not None:
                assert got.is_resolvable and int(got) == want, (
                    f"{name} is {got}, must be {want:b}, after {every}")

    async def fill(self) -> None:
        """Write every bank row, while the spike pipeline is stopped or idle."""
        for addr in range(self.cfg.bank_depth):
            await self.cycle(write=1, addr=addr, write_row=self.random_row(),
                             en_next=self.rng.getrandbits(1))

    def event(self) -> dict[str, int]:
        """A random event: any row of any tile."""
        addr = self.rng.randrange(self.cfg.bank_depth)
        row = self.rng.randint(0, min(self.cfg.rows_k - 1, addr))
        return {"valid": 1, "base": addr - row, "row": row, "neg": self.rng.getrandbits(1)}

    def second_port(self) -> dict[str, int]:
        """A random store, read, or nothing; never both at once."""
        kind = self.rng.choice(("write", "read", "none"))
        port = {"addr": self.rng.randrange(self.cfg.bank_depth), "write_row": self.random_row(),
                "read_en": self.rng.getrandbits(1)}
        return port if kind == "none" else {kind: 1, **port}


async def started(dut, test: str) -> LaneBench:
    """A bench with its clock running and every bank row written."""
    bench = LaneBench(dut, test)
    await bench.start()
    await bench.fill()
    return bench


@cocotb.test()
async def every_row(dut):
    """All rows, by both ports, one a cycle; an address is base + row."""
    bench = await started(dut, "every_row")
    for addr in range(bench.cfg.bank_depth):
        row = min(addr, bench.cfg.rows_k - 1) if addr % 2 else 0
        await bench.cycle(en_next=1, valid=1, base=addr - row, row=row, neg=addr % 3 == 0,
                          read_en=1, read=1, addr=bench.cfg.bank_depth - 1 - addr)
    for _ in range(5):
        await bench.cycle(en_next=1, read_en=1)


@cocotb.test()
async def random_traffic(dut):
    """Events, stalls, stores and reads at random; the pauses from none to very long."""
    bench = await started(dut, "random_traffic")
    for stall in (0.0, 0.1, 0.5, 0.9):
        stalls, quiet = bench.stalls(stall), bench.stalls()
        for _ in range(300):
            event = {} if quiet() else bench.event()
            await bench.cycle(en_next=not stalls(), **event, **bench.second_port())


@cocotb.test()
async def gating(dut):
    """No event, no code: an idle lane is a plain zero, whatever the idle inputs say."""
    bench = await started(dut, "gating")
    for pattern in range(64):
        for bit in range(6):
            noise = bench.event() | {"valid": pattern >> bit & 1}
            await bench.cycle(en_next=1, **noise)
    for _ in range(4):
        await bench.cycle(en_next=1, neg=1)
    assert not int(dut.wgt.value) and not int(dut.wgt_neg.value)


@cocotb.test()
async def long_stall(dut):
    """Stopped for 2,000 cycles with events in every stage; the second port works on."""
    bench = await started(dut, "long_stall")
    for _ in range(8):
        await bench.cycle(en_next=1, **bench.event())
    for _ in range(2_000):
        await bench.cycle(en_next=0, **bench.event(), **bench.second_port())
    for _ in range(8):
        await bench.cycle(en_next=1, **bench.event())


@cocotb.test()
async def read_row_stays(dut):
    """A row read for the integer lane stays while its pipeline stands, through stores and events,
    and gives way to zeros."""
    bench = await started(dut, "read_row_stays")
    for _ in range(20):
        addr = bench.rng.randrange(bench.cfg.bank_depth)
        await bench.cycle(read_en=1, read=1, addr=addr)
        for _ in range(2):
            await bench.cycle(read_en=1)
        kept = int(dut.read_row.value)
        for _ in range(bench.rng.randint(0, 10)):
            await bench.cycle(en_next=1, write=1, addr=addr, write_row=bench.random_row(),
                              **bench.event())
        assert int(dut.read_row.value) == kept
        await bench.cycle(read_en=1)
        assert int(dut.read_row.value) == 0


@cocotb.test()
async def reset_in_mid_run(dut):
    """Reset forgets the events in flight and keeps the weights."""
    bench = await started(dut, "reset_in_mid_run")
    for _ in range(20):
        for _ in range(bench.rng.randint(1, 8)):
            await bench.cycle(en_next=1, **bench.event())
        bench.idle(*INPUTS)
        await bench.reset(bench.rng.randint(1, 3))
        bench.model.reset()
        await bench.cycle()
    for addr in range(bench.cfg.bank_depth):
        await bench.cycle(en_next=1, read_en=1, read=1, addr=addr)
