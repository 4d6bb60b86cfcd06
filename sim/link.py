"""The host's end of the link to a board: a reliable pipe each way over a line that is not.

Nothing here knows a serial port or a clock: bytes and times come in, bytes go out.

    link = Link("/dev/ttyUSB0")
    link.connect(now)
    link.send(commands)
    while not link.values:
        port.write(link.transmit(now))
        link.receive(port.read(...), now)

docs/link.md has the protocol, `hdl.link_port` is the other end.
"""

import random
from collections import deque
from dataclasses import dataclass, fields

from sim.link_frames import GAP, MARK, OFFSETS, RESEND, RESET, Deframer, Frame, ahead

#: Bytes of payload per frame, unless told otherwise.
FRAME = 256
#: Bytes that may be under way: enough for a line that answers after 17 ms at 1 Mbaud.
WINDOW = OFFSETS // 2 - FRAME
#: Frames handed out before the line has room for them, so that it never idles.
AHEAD = 4


class LinkError(RuntimeError):
    """The board does not answer, or not as it should; the message says what to check."""


@dataclass
class Stats:
    """What it took to get everything across."""

    frames_sent: int = 0
    frames_received: int = 0    #: good ones
    bad_frames: int = 0         #: received with a wrong check
    missing: int = 0            #: times that something was missing before a good frame
    resends_asked: int = 0      #: times that the board was asked to send again
    resends: int = 0            #: times that frames were sent again: asked for by the board, or ..
    timeouts: int = 0           #: .. since no answer came
    bytes_sent: int = 0         #: on the line
    bytes_received: int = 0

    @property
    def retries(self) -> int:
        """Times that either side sent something again."""
        return self.resends + self.resends_asked

    def __str__(self) -> str:
        return ", ".join(f"{spec.name} {getattr(self, spec.name)}" for spec in fields(self))


class Link:
    """A host's end. `name` is the port's, for messages.

    `byte_time`: seconds that a byte takes on the line; no more is handed out than the line takes,
    since what waits in a driver's buffer cannot be taken back. `patience`: seconds without an
    answer after which frames are sent again; it should be longer than an answer takes, and the
    board may be at a frame of 266 bytes. `timeout`: seconds of silence that are an error;
    `stall`: seconds in which the board answers but nothing moves on. `frame`: bytes of payload
    per frame; shorter ones suit a bad line. Raises `LinkError`.
    """

    def __init__(self, name: str, *, byte_time: float = 0.0, patience: float = 0.1,
                 timeout: float = 2.0, stall: float = 30.0, frame: int = FRAME,
                 seed: int | None = None):
        self.name, self.byte_time, self.frame = name, byte_time, frame
        self.patience, self.timeout, self.stall = patience, timeout, stall
        self.stats = Stats()
        self.packets: deque[bytes] = deque()    #: output packets, as bytes of beats
        self.values: deque[int] = deque()       #: registers' values
        self._random = random.Random(seed)
        self._deframer = Deframer()
        self._hellos: list[int] = []            # sessions that the board has yet to take up
        self._session = 0
        self.connect(0.0)

    # -- sessions ------------------------------------------------------------------------------

    def connect(self, now: float) -> None:
        """Reset the board and start anew, whatever state either side is in.

        Two sessions are begun, one after the other: an answer that is still on its way from an
        earlier host can be mistaken for the first one's, never for the second's.
        """
        sessions = [session for session in range(1, 16) if session != self._session]
        self._hellos = self._random.sample(sessions, 2)
        self._session = self._hellos[0]
        self._out = bytearray()         # from `_base` on
        self._base = self._next = self._round = 0
        self._most = 0                  # the furthest that was ever sent, from `_base`
        self._probing = False
        self._expected = 0
        self._asked = False             # for what is missing, since there was progress
        self._asked_at = now            # ... when that had left
        self._seen: int | None = None   # end of the last frame beyond a gap
        self._ask = self._told = False  # to be sent: the question, an acknowledgement
        self._in = bytearray()
        self.packets.clear()
        self.values.clear()
        self._sent_at = self._hello_at = self._free_at = float("-inf")
        self._heard_at = self._moved_at = self._polled_at = now

    @property
    def connected(self) -> bool:
        """The board has started anew."""
        return not self._hellos

    def send(self, data: bytes) -> None:
        """Queue bytes for the board."""
        self._out += data

    @property
    def queued(self) -> int:
        """Bytes that the board has yet to take."""
        return len(self._out)

    # -- to the line ---------------------------------------------------------------------------

    def transmit(self, now: float) -> bytes:
        """What to send now: some frames or none. Call it often, at least every `patience`/4."""
        if now - self._heard_at > self.timeout:
            raise LinkError(self._silence())
        if self._hellos:
            if now - self._hello_at < self.patience:
                return b""
            self._hello_at = now
            return self._frame(Frame(0, self._session, 0, RESET), now)
        if now - self._moved_at > self.stall:
            raise LinkError(
                f"{self.name}: the board answers, but for {self.stall:g} s has neither taken a "
                f"byte ({self.queued} wait) nor sent a result: the machine hangs; its `status` "
                "and `error` registers may say why")
        if self._in_flight and now - max(self._sent_at, self._free_at) > self.patience:
            self.stats.timeouts += 1
            self._go_back(now)
        silent = now - max(self._heard_at, self._polled_at, self._free_at) > self.patience
        # Heard or not: answers to what is sent meanwhile say nothing about what was asked for.
        in_vain = self._asked and not self._ask and now - self._asked_at > self.patience
        if silent or in_vain:
            self._polled_at, self._asked, self._seen = now, False, None
            self._lost()
        out = bytearray()
        window = self.frame if self._probing else WINDOW
        while self._in_flight < min(window, len(self._out)) and self._room(now):
            part = bytes(self._out[self._in_flight:self._in_flight + self.frame])
            self._next = (self._next + len(part)) % OFFSETS
            self._most = max(self._most, self._in_flight)
            out += self._data(part, now)
        if (self._ask or self._told) and self._room(now):
            out += self._data(b"", now)
        return bytes(out)

    def _room(self, now: float) -> bool:
        """The line will soon have sent what was handed out."""
        return self._free_at - now <= AHEAD * self.frame * self.byte_time

    @property
    def _in_flight(self) -> int:
        return ahead(self._next, self._base)

    def _data(self, payload: bytes, now: float) -> bytes:
        asks, self._ask, self._told = self._ask, False, False
        data = self._frame(Frame(self._next, self._session, self._expected, RESEND * asks,
                                 self._round, payload), now)
        if asks:
            self._asked_at = self._free_at
        return data

    def _frame(self, frame: Frame, now: float) -> bytes:
        data = frame.encode()
        self._free_at = max(now, self._free_at) + len(data) * self.byte_time
        self.stats.frames_sent += 1
        self.stats.bytes_sent += len(data)
        return data

    def _go_back(self, now: float) -> None:
        """Send from the first byte again that the board lacks: one frame, until it is taken."""
        self._next, self._probing, self._sent_at = self._base, True, now
        self._round = (self._round + 1) % 4
        self.stats.resends += 1

    def _silence(self) -> str:
        never = "" if self.stats.frames_received else "; it never has"
        return (f"{self.name}: no answer from a board for {self.timeout:g} s{never}. Is it "
                "powered, does it hold a bitstream with a serial link (SerialTop), are the baud "
                "rates the same, RX and TX not swapped, and is this the right port?")

    # -- from the line -------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes that came from the line."""
        self.stats.bytes_received += len(data)
        for frame in self._deframer.feed(data):
            if frame is None:
                self.stats.bad_frames += 1
                self._lost()
            else:
                self._take(frame, now)

    def _take(self, frame: Frame, now: float) -> None:
        if self._hellos:
            # A reset has closed all gaps; with one, it is our own frame that comes back.
            if frame.session == self._hellos[0] and not frame.flags & GAP:
                self._hellos.pop(0)
                self._session = self._hellos[0] if self._hellos else self._session
                self._hello_at = float("-inf")
                self._heard_at = self._moved_at = self._polled_at = now
                self.stats.frames_received += 1
            return
        if frame.session == 0:
            raise LinkError(f"{self.name}: the board was reset, or lost power, in mid-run")
        if frame.session != self._session:      # of a session before
            return
        self.stats.frames_received += 1
        self._heard_at = now
        self._acknowledged(frame, now)
        self._payload(frame, now)

    def _acknowledged(self, frame: Frame, now: float) -> None:
        """Drop what the board has; go back if it says that something is missing."""
        taken = ahead(frame.ack, self._base)
        if 0 < taken <= self._most:
            del self._out[:taken]
            self._most -= taken
            if taken > self._in_flight:         # more than this round has sent again
                self._next = frame.ack
            self._base, self._probing = frame.ack, False
            self._sent_at = self._moved_at = now
            if frame.round != self._round:
                # It had taken what was sent again. Copies will look like gaps: a new round, so
                # that what it says about them is not mistaken for news.
                self._round = (self._round + 1) % 4
        if frame.flags & GAP and frame.round == self._round and frame.ack == self._base \
                and self._in_flight:
            self._go_back(now)

    def _payload(self, frame: Frame, now: float) -> None:
        """Take what follows on; anything else is a copy, or comes behind a gap."""
        known = ahead(self._expected, frame.start)
        if known < 0:
            self._beyond(frame)
        elif frame.end == self._expected:       # nothing is missing
            self._asked, self._seen = False, None
        self._told |= bool(frame.payload)
        if not 0 <= known < len(frame.payload):
            return
        self._expected, self._moved_at = frame.end, now
        self._asked, self._seen = False, None
        self._in += frame.payload[known:]
        if frame.flags & MARK:
            mark = self._in.pop()
            if mark & 1:
                self.values.append(int.from_bytes(self._in[-4:], "little"))
                del self._in[-4:]
            else:
                self.packets.append(bytes(self._in))
                self._in.clear()

    def _beyond(self, frame: Frame) -> None:
        """A good frame came, but not the bytes before it."""
        if self._seen is not None and ahead(frame.start, self._seen) < 0:
            self._asked = False         # the board had gone back, and the first frame is missing
        self.stats.missing += not self._asked
        self._seen = frame.end
        self._lost()

    def _lost(self) -> None:
        """Ask for all from the first missing byte, once."""
        if not self._asked and not self._hellos:
            self._asked = self._ask = True
            self.stats.resends_asked += 1
