"""Backend "serial", with pyserial, on a pseudo terminal and on a socket; behind it a soft board.

The board is the protocol's model (`tests.sim.board`), its machine the RTL as a native model. That
the RTL of the link is the model's equal is for `tb.tb_serial_machine` to prove.
"""

import os
import random
import select
import socket
import threading
import tty
from collections.abc import Callable

import numpy as np
import pytest

from hdl.link_format import Kind, identity
from hdl.packets import input_layout
from sim import beats, packets
from sim.accelerator import Accelerator
from sim.backends import Throttle, backend
from sim.beats import port_bytes
from sim.link import LinkError
from sim.native import Native
from sim.serial_backend import LAST, Serial
from spinteger import isa
from spinteger.config import PRESETS, Config
from tb.faulty_line import FaultyLine
from tests.sim.board import Board
from tests.sim.jobs import layer, tokens

TINY = PRESETS["tiny"]
NAMES = {register.address // 4: register.name for register in isa.REGISTERS}


class SoftMachine:
    """Executes a board's commands; a program when its end fence is there."""

    def __init__(self, cfg: Config, board: Board):
        self.cfg, self.board, self.native = cfg, board, Native(cfg)
        self.fence = beats.input_payloads(cfg, [packets.end_fence()])
        self.restarts = board.restarts
        self.forget()

    def forget(self) -> None:
        """As after a reset."""
        self.commands, self.word = bytearray(), 0
        self.beat: list[tuple[int, bool]] = []
        self.beats: list[bytes] = []
        self.out: list[tuple[bytes, int | None]] = []

    def step(self) -> None:
        """Take commands and give answers as far as there is room."""
        if self.restarts != self.board.restarts:
            self.restarts = self.board.restarts
            self.forget()
        self.commands += self.board.take(1 << 20)
        while self._command():
            pass
        while self.out and self.board.room() > len(self.out[0][0]) + 1:
            self.board.put(*self.out.pop(0))

    def _command(self) -> bool:
        """Execute a command if it is complete."""
        code = self.commands[:1]
        if not code:
            return False
        kind, last = Kind(code[0] & 3), bool(code[0] & LAST)
        if code[0] & 0x80:
            self.word = code[0] & 0x7F
            del self.commands[:1]
        elif kind == Kind.READ:
            value = identity(self.cfg) if last else self.native.read(NAMES[self.word])
            self.out.append((value.to_bytes(4, "little"), 1))
            del self.commands[:1]
        else:
            if len(self.commands) < 2:
                return False
            size = self.commands[1] + 1
            have = 0 if kind == Kind.HOLES else size
            if len(self.commands) < 2 + have:
                return False
            data = self.commands[2:2 + have] or bytes(size)
            del self.commands[:2 + have]
            if kind == Kind.WRITE:
                self.native.write(NAMES[self.word], int.from_bytes(data, "little"))
            else:
                self._bytes(data, kind == Kind.BYTES, last)
        return True

    def _bytes(self, data: bytes, kept: bool, last: bool) -> None:
        width, layout = self.cfg.bus_bits // 8, input_layout(self.cfg)
        for at, byte in enumerate(data):
            self.beat.append((byte, kept))
            if len(self.beat) == width:
                ends = last and at == len(data) - 1
                value = sum(byte << 8 * place | keep << layout["keep"].offset + place
                            for place, (byte, keep) in enumerate(self.beat))
                value |= ends << layout["last"].offset
                self.beats.append(value.to_bytes(port_bytes(layout.size), "little"))
                self.beat = []
        if self.beats[-len(self.fence):] == [row.tobytes() for row in self.fence]:
            self._run()

    def _run(self) -> None:
        cfg, width = self.cfg, self.cfg.bus_bits // 8
        self.native.reset()
        self.native.feed(np.frombuffer(b"".join(self.beats), np.uint8).reshape(
            len(self.beats), -1), beats.output_payloads(cfg, [[packets.fence_word(cfg)]]).tobytes())
        self.native.run()
        for row in self.native.output():
            self.out.append((row[:width].tobytes(), 0 if row[width] & 1 else None))
        self.beats = []


class SoftBoard(threading.Thread):
    """A board at the other end of `read` and `write`, until `stop`."""

    def __init__(self, cfg: Config, read: Callable[[], bytes], write: Callable[[bytes], None],
                 faults: float = 0.0):
        super().__init__(daemon=True)
        self.read, self.write, self.done = read, write, threading.Event()
        self.board = Board()
        self.machine = SoftMachine(cfg, self.board)
        self.up, self.down = (FaultyLine(random.Random(seed), faults) for seed in range(2))

    def run(self) -> None:
        while not self.done.is_set():
            self.board.receive(self.up(self.read()))
            self.machine.step()
            data = self.board.transmit()
            if data:
                self.write(self.down(data))

    def stop(self) -> None:
        self.done.set()
        self.join()


@pytest.fixture
def terminal():
    """Starts boards at a pseudo terminal: `terminal(cfg, faults)` gives the port's name."""
    boards, handles = [], []

    def start(cfg: Config, faults: float = 0.0) -> tuple[str, SoftBoard]:
        ours, theirs = os.openpty()
        handles.extend((ours, theirs))
        tty.setraw(theirs)

        def read() -> bytes:
            return os.read(ours, 4096) if select.select([ours], [], [], 0.002)[0] else b""

        board = SoftBoard(cfg, read, lambda data: void(os.write(ours, data)), faults)
        boards.append(board)
        board.start()
        return os.ttyname(theirs), board

    yield start
    for board in boards:
        board.stop()
    for handle in handles:
        os.close(handle)


def void(_: object) -> None:
    """Drop a result."""


def same(cfg: Config, **serial) -> Accelerator:
    """A layer on the board and on the golden model: equal results. The board's accelerator."""
    given, x = layer(cfg, k=24, n=9, seed=1), tokens(cfg, 5, 24, seed=2)
    found = []
    for accelerator in (Accelerator(cfg, "golden"), Accelerator(cfg, "serial", **serial)):
        accelerator.load(given)
        found.append(accelerator.run(x).levels)
    assert (found[0] == found[1]).all() and found[0].abs().max() > 0
    return accelerator


def test_a_layer_through_a_terminal(terminal):
    port, _ = terminal(TINY)
    accelerator = same(TINY, port=port)
    counters = accelerator.counters()
    assert counters["spikes"] > 0 and counters["tokens"] == 5
    assert accelerator.executions[0].cycles is None
    accelerator.run(tokens(TINY, 3, 24, seed=3))        # again, from reset, on the open port
    assert accelerator.counters()["tokens"] == 3
    accelerator.backend.close()
    accelerator.run(tokens(TINY, 2, 24, seed=3))        # and on one opened anew
    accelerator.backend.close()


def test_a_layer_through_a_bad_terminal(terminal):
    port, board = terminal(TINY, faults=0.002)
    stats = same(TINY, port=port, baud=3_000_000).backend.link.stats
    assert stats.retries > 0 and board.up.faults and board.down.faults, stats


def test_a_layer_through_a_socket():
    """As with ser2net, or a simulator that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"

        def serve() -> None:
            with server.accept()[0] as line:
                def read() -> bytes:
                    return line.recv(4096) if select.select([line], [], [], 0.002)[0] else b""

                board = SoftBoard(TINY, read, line.sendall)
                board.done = done
                board.run()

        done = threading.Event()
        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        accelerator = same(TINY, port=port)
        done.set()
        serving.join()
        accelerator.backend.close()


def test_another_configuration_is_refused(terminal):
    port, _ = terminal(TINY)
    with pytest.raises(LinkError, match=f"{port}: .*another configuration"):
        same(TINY.with_(tiles=4), port=port)


def test_a_port_without_a_board():
    """Everything comes back as it was sent: wrong wire, or no board."""
    serial = Serial(TINY, "loop://")
    serial.link.timeout = 0.5
    with pytest.raises(LinkError, match="loop://: no answer from a board"):
        serial.execute([packets.fence(1)])


def test_a_port_that_is_not_there():
    with pytest.raises(LinkError, match="/dev/spinteger-none: .*could not open"):
        Serial(TINY, "/dev/spinteger-none").execute([packets.fence(1)])


def test_what_the_backend_asks_for():
    with pytest.raises(ValueError, match="needs a port"):
        backend("serial", TINY)
    with pytest.raises(ValueError, match="golden: has no port"):
        Accelerator(TINY, "golden", port="/dev/ttyUSB0")
    with pytest.raises(ValueError, match="throttle"):
        Serial(TINY, "loop://").execute([], throttle=Throttle())
