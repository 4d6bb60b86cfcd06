"""The machine and the golden machine side by side: the same packets, and what must be the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType

from sim import beats, packets
from sim.backends import Throttle
from sim.native import Native, NativeError
from sim.packets import Execution, Packet, PacketError
from sim.reference import Reference
from spinteger import isa
from spinteger.config import Config
from spinteger.isa import Error

#: Cycles without a beat in or out that are a hang. No program here waits for so long.
QUIET = 50_000
#: Errors that runs and tokens cause while later packets are looked at.
LATE = {Error.BUF_EMPTY, Error.TRAIN_FULL, Error.V_OVERFLOW}
BUSY = 1


class Twin:
    """The RTL as a native model, and the reference. Both keep their state from program to program.

    Close it, or use it as a context manager. Raises as `native.build`.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.machine = Native(cfg)
        self.reference = Reference(cfg)
        self.packets = 0            #: since reset
        self.taken = 0              #: output beats compared since reset

    def __enter__(self) -> Twin:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.machine.close()

    def reset(self) -> None:
        """Reset both; memories keep what they hold."""
        self.machine.reset()
        self.reference.reset()
        self.packets = self.taken = 0

    def throttle(self, throttle: Throttle | None = None) -> None:
        """From now on the machine's streams stall so; without one, not at all."""
        self.machine.throttle(**asdict(throttle or Throttle()))

    def feed(self, program: Sequence[Packet]) -> None:
        """Offer a program, and an end fence, to the machine. Clears its errors first."""
        self.machine.write("clear", 2)
        self.machine.feed(beats.input_payloads(self.cfg, [*program, packets.end_fence()]),
                          beats.output_payloads(self.cfg, [[packets.fence_word(self.cfg)]])
                          .tobytes())

    def execute(self, program: Sequence[Packet], throttle: Throttle | None = None,
                look_every: int = 0) -> str:
        """Both execute a program; what is wrong with the outcome, "" if nothing.

        `look_every`: cycles between looks at the counters, which clear them (0: only at the end).
        """
        self.throttle(throttle)
        self.feed(program)
        try:
            while not self.machine.run(limit=look_every or None, quiet=QUIET):
                wrong = self._counters()
                if wrong:
                    return wrong
                self.machine.write("clear", 4)
        except NativeError as error:
            return str(error)
        return self.compare(program)

    def compare(self, program: Sequence[Packet]) -> str:
        """The machine has executed what it was fed, `program`: what is wrong, "" if nothing."""
        want = self.reference.execute([*program, packets.end_fence()])
        self.packets += len(program) + 1
        output = self.machine.output()
        mine, self.taken = output[self.taken:], len(output)
        try:
            got = beats.output_packets(self.cfg, mine)
        except PacketError as error:
            return str(error)
        return (different(got, want.packets) or self._registers(want) or self._counters())

    def _registers(self, want: Execution) -> str:
        read = self.machine.read
        for name, value in (("error_count", want.error_count), ("packets", self.packets),
                            ("fence_tag", packets.END_TAG)):
            if read(name) != value:
                return f"{name}: {read(name)}, not {value}; errors {_text(want.errors)}"
        if read("status") & (BUSY | 0xFF00):
            return f"status {read('status'):#x}: busy after the end fence"
        error = read("error")
        if not want.errors:
            return f"error {error:#x}, not 0" if error else ""
        first = error & 0xFF, error >> 8
        if first not in possible(want.errors):
            return f"error {_text([first])}, not one of {_text(possible(want.errors))}"
        return ""

    def _counters(self) -> str:
        read = self.machine.read
        self.machine.write("latch", 1)
        while read("latch"):
            pass
        values = {name: read(f"{name}_low") | read(f"{name}_high") << 32
                  for name in ("cycles", *(name for name, _ in isa.CAUSES))}
        cycles = values.pop("cycles")
        if sum(values.values()) != cycles:
            return f"causes {values} are {sum(values.values())} cycles, not {cycles}"
        return ""


def possible(errors: Sequence[tuple[Error, int]]) -> list[tuple[int, int]]:
    """Which of all errors, in order of their packets, a machine may have recorded first.

    Packets are checked in order, so it is the first that was refused, or one that a packet before
    it caused later on.
    """
    refused = [number for error, number in errors if error not in LATE]
    return [(int(error), number) for error, number in errors
            if not refused or number <= refused[0]]


def different(got: list[list[int]], want: list[list[int]]) -> str:
    """Where output packets begin to differ, "" if nowhere."""
    for number, (mine, right) in enumerate(zip(got, want, strict=False)):
        if mine != right:
            at = next((at for at, (word, other) in enumerate(zip(mine, right, strict=False))
                       if word != other), min(len(mine), len(right)))
            words = [f"{words[at]:#x}" if at < len(words) else "nothing"
                     for words in (mine, right)]
            return f"output packet {number}, word {at}: {words[0]}, not {words[1]}"
    return "" if len(got) == len(want) else f"{len(got)} output packets, not {len(want)}"


def _text(errors: Sequence[tuple[int, int]]) -> str:
    names = [code.name for code in Error]
    return ", ".join(f"{names[code] if code < len(names) else code} of packet {number}"
                     for code, number in errors) or "none"
