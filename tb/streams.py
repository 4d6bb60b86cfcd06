"""Stream drivers and monitors for cocotb: words as integers, stalls at random.

All inputs change at the falling edge and all handshakes are sampled after they have settled,
before the rising edge that carries them out: the same on Verilator and Icarus, whose
callbacks come at different moments of a rising edge.
"""

import random
from collections.abc import Callable, Iterable

from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge


class Stalls:
    """A random stall pattern: bursts of go and bursts of wait, with a given share of waiting.

    `rate` is that share; 0 never stalls. The choice is made anew with probability 1 - burst a
    cycle, which makes both the one-cycle hiccup and the pause that outlasts every buffer.
    """

    def __init__(self, rng: random.Random, rate: float = 0.3, burst: float = 0.6):
        self.rng, self.rate, self.burst = rng, rate, burst
        self._stalled = False

    def __call__(self) -> bool:
        """True if this cycle is a stall."""
        if self.rate and self.rng.random() >= self.burst:
            self._stalled = self.rng.random() < self.rate
        return self._stalled


class Late(Stalls):
    """Stalls for a number of cycles, then never again."""

    def __init__(self, cycles: int):
        super().__init__(random.Random(0), 0.0)
        self.left = cycles

    def __call__(self) -> bool:
        self.left -= 1
        return self.left >= 0


NEVER = Stalls(random.Random(0), 0.0)


class Source:
    """Drives one stream input of the DUT: `<name>__payload`, `__valid`, `__ready`."""

    def __init__(self, dut, name: str, stalls: Stalls = NEVER):
        self.clk = dut.clk
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.stalls = stalls
        self.sent = 0            #: words taken so far
        self.valid.value = 0
        self.payload.value = 0

    async def send(self, words: Iterable[int]) -> None:
        """Send words; returns at the falling edge after the last was taken."""
        await FallingEdge(self.clk)
        for word in words:
            while self.stalls():
                self.valid.value = 0
                await FallingEdge(self.clk)
            self.payload.value = word
            self.valid.value = 1
            while True:
                await ReadOnly()
                taken = bool(self.ready.value)
                if not taken and self.stalls is NEVER:
                    await RisingEdge(self.ready)    # sleeps through the wait; looked at again
                await FallingEdge(self.clk)
                if taken:
                    break
            self.sent += 1
        self.valid.value = 0


class Sink:
    """Takes words from one stream output of the DUT, refusing some cycles.

    Checks the stream contract: a word that was refused must still be there, unchanged.
    """

    def __init__(self, dut, name: str, stalls: Stalls = NEVER):
        self.name = name
        self.clk = dut.clk
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.stalls = stalls
        self.words: list[int] = []
        self.ready.value = 0

    async def receive(self, until: Callable[[list[int]], bool]) -> list[int]:
        """Take words until `until(words)`, which is asked after each."""
        refused: int | None = None
        await FallingEdge(self.clk)
        while not until(self.words):
            take = not self.stalls()
            self.ready.value = int(take)
            await ReadOnly()
            if bool(self.valid.value):
                value = self.payload.value
                assert value.is_resolvable, f"{self.name}: undefined bits in {value}"
                word = int(value)
                assert refused is None or word == refused, (
                    f"{self.name}: refused word {refused:#x} became {word:#x}")
                refused = None if take else word
                if take:
                    self.words.append(word)
            else:
                assert refused is None, f"{self.name}: refused word {refused:#x} was withdrawn"
                if self.stalls is NEVER:
                    await RisingEdge(self.valid)    # sleeps through the wait
            await FallingEdge(self.clk)
        self.ready.value = 0
        return self.words

    async def take(self, count: int) -> list[int]:
        """Take `count` more words and return them."""
        start = len(self.words)
        await self.receive(lambda words: len(words) >= start + count)
        return self.words[start:]
