"""The host's end of the link against a model of the board's, over lines with every fault."""

import random
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import link_frames
from sim.link import WINDOW, Link, LinkError
from sim.link_frames import ESCAPE, FLAG, OFFSETS, Deframer, Frame, ahead
from tb.faulty_line import FaultyLine
from tests.sim.board import Board

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: Byte times.
PATIENCE = 1200.0


class Line:
    """Bytes on their way: one per unit of time, then `delay` more."""

    def __init__(self, fault: FaultyLine, delay: int):
        self.fault, self.delay = fault, delay
        self.queue: list[tuple[float, int]] = []
        self.free = 0.0

    def put(self, data: bytes, now: float) -> None:
        for byte in self.fault(data):
            self.free = max(now, self.free) + 1
            self.queue.append((self.free + self.delay, byte))

    def get(self, now: float) -> bytes:
        here = [byte for at, byte in self.queue if at <= now]
        del self.queue[:len(here)]
        return bytes(here)


class World:
    """A host, a board that sends back what it gets, and the lines between them."""

    def __init__(self, seed: int, rate: float = 0.0, delay: int = 0, board: Board | None = None,
                 **options):
        self.rng = random.Random(seed)
        self.board = board or Board()
        self.up, self.down = (Line(FaultyLine(random.Random(self.rng.random()), rate), delay)
                              for _ in range(2))
        self.link = Link("the board", **{"byte_time": 1.0, "patience": PATIENCE + 2 * delay,
                                         "timeout": 1e5, "stall": 1e6, "seed": seed, **options})
        self.now = 0.0
        self.link.connect(0.0)
        self.taken = bytearray()
        self.echo = True
        self.slow = 0.0         #: share of moments at which the board does nothing

    def step(self, ticks: int = 20) -> None:
        """Let some time pass."""
        board = self.board
        self.up.put(self.link.transmit(self.now), self.now)
        self.now += ticks
        board.receive(self.up.get(self.now))
        if self.down.free <= self.now:
            self.down.put(board.transmit(), self.now)
        if self.rng.random() >= self.slow:
            part = board.take(min(self.rng.randint(1, 300), max(0, board.room() - 1)))
            if part:
                self.taken += part
                if self.echo:
                    board.put(part, 0)
        self.link.receive(self.down.get(self.now), self.now)

    def carry(self, data: bytes, steps: int = 200_000) -> None:
        """Send bytes and wait until they are back."""
        self.link.send(data)
        back = sum(map(len, self.link.packets)) + len(data)
        for _ in range(steps):
            if sum(map(len, self.link.packets)) >= back:
                return
            self.step()
        raise AssertionError(f"stuck: {self.link.stats}")

    def same(self, data: bytes) -> bool:
        """Both directions carried exactly these bytes."""
        return bytes(self.taken) == data == b"".join(self.link.packets)


def payload(rng: random.Random, size: int) -> bytes:
    """Random bytes, rich in those that are special on the line."""
    return bytes(rng.choice((FLAG, ESCAPE, 0x20, rng.randrange(256))) for _ in range(size))


@given(st.binary(max_size=300), st.integers(0, OFFSETS - 1), st.integers(0, 15),
       st.integers(0, OFFSETS - 1), st.integers(0, 3), st.integers(0, 3), st.binary(max_size=9))
@QUICK
def test_a_frame_survives_whatever_came_before(data, end, session, ack, flags, turn, junk):
    frame = Frame(end, session, ack, flags, turn, data)
    encoded = frame.encode()
    assert encoded[0] == encoded[-1] == FLAG and FLAG not in encoded[1:-1]
    *before, last = Deframer().feed(junk + encoded)
    assert last == frame and set(before) <= {None}
    assert Frame(end, 0, 0, payload=data).start == (end - len(data)) % OFFSETS


@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=40))
@QUICK
def test_any_single_fault_is_seen(seed, data):
    rng = random.Random(seed)
    encoded = bytearray(Frame(7, 3, 9, payload=data).encode())
    line = FaultyLine(rng, 1.0)
    at = rng.randrange(1, len(encoded) - 1)
    encoded[at:at + 1] = line(encoded[at:at + 1])
    good = [frame for frame in Deframer().feed(bytes(encoded)) if frame is not None]
    # What was only made longer by a flag is whole between other flags.
    assert all(frame == Frame(7, 3, 9, payload=data) for frame in good)


def test_bytes_may_come_one_at_a_time():
    frame = Frame(1, 2, 3, payload=bytes([FLAG, ESCAPE, FLAG]))
    deframer = Deframer()
    assert [found for byte in frame.encode() for found in deframer.feed(bytes([byte]))] == [frame]


def test_offsets_wrap():
    assert ahead(3, OFFSETS - 2) == 5 and ahead(OFFSETS - 2, 3) == -5


def test_a_good_line_carries_every_byte_once():
    world, data = World(1), payload(random.Random(1), 20_000)
    world.carry(data)
    assert world.same(data)
    stats = world.link.stats
    # Only that the way back is slower, by its marks, makes the board refuse some.
    assert (stats.resends_asked, stats.timeouts, stats.bad_frames) == (0, 0, 0), stats


@pytest.mark.parametrize("delay", [0, 600])
def test_the_line_is_nearly_always_busy(delay):
    """Frames take 10 bytes more than their payload, and escapes: no more is lost."""
    data = bytes(40_000)
    world = World(2, delay=delay)
    world.echo = False
    world.link.send(data)
    while len(world.taken) < len(data):
        world.step()
    assert world.now < 1.05 * len(data) + 6 * delay + 1000 and not world.link.stats.resends


@given(st.integers(0, 2**32), st.sampled_from([0.0005, 0.003, 0.01]),
       st.sampled_from([0, 50, 700]), st.sampled_from([0.0, 0.5, 0.97]))
@QUICK
def test_no_fault_changes_a_byte(seed, rate, delay, slow):
    world = World(seed, rate, delay, frame=64)
    world.slow = slow
    data = payload(world.rng, world.rng.randint(1, 4000))
    world.carry(data)
    assert world.same(data)


def test_a_very_bad_line_to_a_very_slow_machine():
    """The board's results fill its ring, and hardly a frame of them comes through: the host asks
    again and again, although the board answers all else that it is sent."""
    world = World(48, 0.01, frame=64)
    world.slow = 0.97
    data = payload(world.rng, world.rng.randint(1, 4000))
    world.carry(data)
    assert world.same(data)


def test_every_kind_of_retry_happens():
    world = World(5, 0.001)
    data = world.rng.randbytes(30_000)
    world.carry(data)
    stats = world.link.stats
    assert world.same(data)
    assert stats.bad_frames > 10 and stats.missing and stats.resends > 10
    assert stats.resends_asked > 10 and stats.timeouts, stats
    # Most faults cost a round trip, not a timeout.
    assert stats.timeouts < stats.resends / 3 and world.now < 10 * len(data), (stats, world.now)


@given(st.integers(0, 2**32))
@settings(QUICK, max_examples=20)
def test_a_host_may_restart_at_any_moment(seed):
    """Whatever the one before left behind, on the board and on its way."""
    world = World(seed, delay=200)
    for _ in range(3):
        world.link.send(payload(world.rng, 3000))
        for _ in range(world.rng.randint(0, 120)):
            world.step()
        if world.rng.random() < 0.5:
            world.board.power_up()
        world.link = Link("the board", byte_time=1.0, patience=PATIENCE, timeout=1e5,
                          stall=1e6)
        world.link.connect(world.now)
        while not world.link.connected:
            world.step()
        world.taken.clear()
        data = payload(world.rng, 500)
        world.carry(data)
        assert world.same(data)


def test_a_stalled_machine_loses_nothing_and_is_an_error_in_the_end():
    world = World(3, stall=20_000.0)
    data = payload(world.rng, 4000)
    world.link.send(data)
    world.slow = 1.0
    for _ in range(800):
        world.step()
    assert world.link.queued > 2000             # what the board has no room for is still here
    world.slow = 0.0
    world.carry(b"")
    while not world.same(data):
        world.step()
    world.slow = 1.0
    world.link.send(bytes(2000))
    with pytest.raises(LinkError, match="the board: the board answers.*hangs"):
        for _ in range(4000):
            world.step()


def test_silence_is_an_error_that_names_the_port():
    link = Link("/dev/ttyUSB9", timeout=2.0)
    link.connect(10.0)
    assert link.transmit(10.0)
    with pytest.raises(LinkError, match="/dev/ttyUSB9: no answer .* never has.*baud"):
        link.transmit(12.1)


def test_a_board_that_was_reset_is_an_error():
    world = World(4)
    world.carry(b"abc")
    world.board.power_up()
    with pytest.raises(LinkError, match="was reset"):
        world.carry(b"def")


def test_the_window_leaves_offsets_unambiguous():
    assert WINDOW + 2 * 256 <= OFFSETS // 2 + 256


# -- the tests above must be able to fail ---------------------------------------------------------

def failures(seeds: int, board: type[Board], **options) -> int:
    """In how many worlds something is lost, changed or stuck."""
    wrong = 0
    for seed in range(seeds):
        world = World(seed, 0.004, board=board(), frame=64, **options)
        data = payload(world.rng, 3000)
        try:
            world.carry(data, 20_000)
            wrong += not world.same(data)
        except (AssertionError, LinkError):
            wrong += 1
    return wrong


def test_nothing_fails_unspoilt():
    assert failures(8, Board) == 0


def test_a_check_that_is_ignored_is_noticed(monkeypatch):
    """CRC-32 made constant on both ends; every byte of a damaged frame is believed."""
    monkeypatch.setattr(link_frames.zlib, "crc32", lambda data: 0)
    assert failures(8, Board) == 8


def test_a_sequence_that_is_ignored_is_noticed():
    class Careless(Board):
        def placed(self, frame: Frame) -> bool:
            return True

    assert failures(8, Careless) == 8


def test_a_host_that_ignores_the_sequence_is_noticed(monkeypatch):
    def careless(self, frame, now):
        frame = Frame((self._expected + len(frame.payload)) % OFFSETS, frame.session, frame.ack,
                      frame.flags, frame.round, frame.payload)
        return kept(self, frame, now)

    kept = Link._payload
    monkeypatch.setattr(Link, "_payload", careless)
    assert failures(8, Board) == 8


def test_the_check_is_that_of_zlib():
    encoded = Frame(0, 0, 0, payload=b"spike").encode()
    assert zlib.crc32(encoded[1:-5]) == int.from_bytes(encoded[-5:-1], "little")
