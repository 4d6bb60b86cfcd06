"""Backend "serial": a board's machine behind a serial port, for `Accelerator`.

`session` is the driver's whole conversation with a board; it knows no port, so that benches run
the very same code against the RTL.
"""

from collections.abc import Generator, Sequence
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from hdl.link_format import Kind, identity
from hdl.packets import input_layout
from sim import beats, packets
from sim.backends import READ, Throttle, execution
from sim.link import Link, LinkError
from sim.packets import Execution, Packet
from sim.packing import Bytes
from spinteger import isa
from spinteger.config import Config

BAUD = 1_000_000
#: Bytes of a command's payload.
CHUNK = 256
#: In a command: the packet ends with it; of a READ: the board's identity.
LAST = 4
#: Seconds that the pump waits for a byte.
_TICK = 0.005

T = TypeVar("T")


def beat_commands(cfg: Config, payloads: Bytes) -> bytes:
    """Commands that put these beats into the machine's input; see `hdl.link_commands`."""
    layout, width = input_layout(cfg), cfg.bus_bits // 8
    keep = layout["keep"].offset // 8
    kept = np.unpackbits(payloads[:, keep:keep + -(-width // 8)], axis=1, count=width,
                         bitorder="little").astype(bool)
    last = layout["last"].offset
    ends = (payloads[:, last // 8] >> last % 8 & 1).astype(bool)
    out = bytearray()
    first = 0
    for end in (np.flatnonzero(ends) + 1).tolist():
        for at in range(first, end, CHUNK // width):
            stop = min(end, at + CHUNK // width)
            out += _runs(payloads[at:stop, :width].reshape(-1), kept[at:stop].reshape(-1),
                         stop == end)
        first = end
    return bytes(out)


def _runs(data: Bytes, kept: Any, last: bool) -> bytes:
    """Commands for some beats' bytes: one for each run of bytes that are there, or are not."""
    out = bytearray()
    bounds = [0, *(np.flatnonzero(kept[1:] != kept[:-1]) + 1).tolist(), len(kept)]
    for start, end in zip(bounds, bounds[1:], strict=False):
        kind = Kind.BYTES if kept[start] else Kind.HOLES
        out += bytes([kind | LAST * (last and end == len(kept)), end - start - 1])
        if kept[start]:
            out += data[start:end].tobytes()
    return bytes(out)


def read_command(register: str) -> bytes:
    """The command that asks for a register."""
    return bytes([0x80 | isa.BY_REGISTER[register].address >> 2, Kind.READ])


def write_command(register: str, value: int) -> bytes:
    """The command that writes a register."""
    return bytes([0x80 | isa.BY_REGISTER[register].address >> 2, Kind.WRITE, 3]) \
        + value.to_bytes(4, "little")


def session(cfg: Config, link: Link, payloads: Bytes
            ) -> Generator[None, None, tuple[list[list[int]], dict[str, int]]]:
    """Execute a program that ends with the end fence, on a link just told to `connect`.

    Returns the words of all output packets, and the registers `READ`. Yields whenever bytes must
    move. Raises `LinkError` when the board was built for something else.
    """
    link.send(bytes([Kind.READ | LAST]))
    while not link.values:
        yield
    found = link.values.popleft()
    if found != identity(cfg):
        raise LinkError(
            f"{link.name}: the board's bitstream was built for another configuration (it says "
            f"{found:#010x}, this one is {identity(cfg):#010x}), or by another version of "
            "Spinteger: use the configuration that it was built with, or build it anew")
    link.send(beat_commands(cfg, payloads))
    end = beats.output_payloads(cfg, [[packets.fence_word(cfg)]])[:, :cfg.bus_bits // 8].tobytes()
    got: list[bytes] = []
    while not got or got[-1] != end:
        yield
        while link.packets:
            got.append(link.packets.popleft())
    link.send(write_command("latch", 1))
    copying = 1
    while copying:
        link.send(read_command("latch"))
        while not link.values:
            yield
        copying = link.values.popleft()
    link.send(b"".join(map(read_command, READ)))
    while len(link.values) < len(READ):
        yield
    return [_words(cfg, packet) for packet in got], dict(zip(READ, link.values, strict=True))


def _words(cfg: Config, packet: bytes) -> list[int]:
    """Output words of one packet's bytes."""
    width = cfg.bus_bits // 8
    data = [int.from_bytes(packet[at:at + width], "little") for at in range(0, len(packet), width)]
    words, = packets.read_words(cfg, [(beat, at == len(data) - 1) for at, beat in enumerate(data)])
    return words


class Serial:
    """A board at a serial port: a device's name, or a URL that pyserial knows ("socket://...").

    Every execution resets the board first. The port is opened by the first one and kept until
    `close`. `link.stats` says what went wrong on the line, and was put right.
    """

    name = "serial"

    def __init__(self, cfg: Config, port: str, baud: int = BAUD):
        self._serial: Any = None
        self.cfg, self.port, self.baud = cfg, port, baud
        byte_time = 10 / baud
        patience = 0.04 + 600 * byte_time       # USB's latency; a frame of the board, and ours
        self.link = Link(port, byte_time=byte_time, patience=patience,
                         timeout=max(2.0, 8 * patience))

    def execute(self, program: Sequence[Packet], *, throttle: Throttle | None = None) -> Execution:
        """See `Backend`; cycles are not known. Raises `LinkError`, ValueError for a throttle."""
        if throttle is not None:
            raise ValueError("throttle: a board's streams are as fast as its line")
        cfg = self.cfg
        payloads = beats.input_payloads(cfg, [*program, packets.end_fence()])
        words, registers = self._pump(session(cfg, self.link, payloads))
        return execution(cfg, words, registers, None)

    def close(self) -> None:
        """Give the port back. Closing twice is fine."""
        port, self._serial = self._serial, None
        if port is not None:
            port.close()

    def __del__(self) -> None:
        self.close()

    def _pump(self, steps: Generator[None, None, T]) -> T:
        """Move bytes until the conversation is over."""
        import serial
        try:
            port = self._open()
            self.link.connect(monotonic())
            while True:
                try:
                    next(steps)
                except StopIteration as done:
                    return done.value
                data = self.link.transmit(monotonic())
                if data:
                    port.write(data)
                data = port.read(1)
                self.link.receive(data + port.read(port.in_waiting if data else 0), monotonic())
        except serial.SerialException as error:
            self.close()
            raise LinkError(f"{self.port}: {error}{_others(self.port)}") from error

    def _open(self) -> Any:
        """The port, opened if it is not; what waits there from before is dropped."""
        import serial
        if self._serial is None:
            self._serial = serial.serial_for_url(self.port, baudrate=self.baud, timeout=_TICK,
                                                 write_timeout=self.link.timeout)
        self._serial.reset_input_buffer()
        return self._serial


def _others(port: str) -> str:
    """Which ports there are, when `port` is not one of them."""
    from serial.tools import list_ports
    names = [found.device for found in list_ports.comports()]
    if "://" in port or port in names:
        return ""
    return f" (ports: {', '.join(names)})" if names else " (no serial port was found)"
