"""A board as the host link sees it: the protocol of `hdl.link_port` in plain Python."""

from sim.link_frames import GAP, MARK, OFFSETS, RESEND, RESET, Deframer, Frame, ahead

#: Bytes of a ring, less the piece that is never filled.
ROOM = 1024 - 64
FRAME = 256


class Board:
    """Bytes of the line in (`receive`) and out (`transmit`). `take` and `put` are the machine's
    side: bytes that the host sent, and bytes for it, the last one of each `put` a mark or not."""

    def __init__(self) -> None:
        self.deframer = Deframer()
        self.answer = False
        self.session = 0
        self.power_up()

    def power_up(self) -> None:
        """As after a reset; the host is not told."""
        self.session = self.round = 0
        self.gap = False
        self._start()

    def _start(self) -> None:
        self.commit = self.base = self.sent = 0
        self.arrived = bytearray()              # and not taken yet
        self.ring: list[tuple[int, bool]] = []  # bytes and marks from `base` on
        self.back = False
        self.restarts = getattr(self, "restarts", 0) + 1

    def take(self, count: int) -> bytes:
        """Up to so many bytes of the host's."""
        part = bytes(self.arrived[:count])
        del self.arrived[:count]
        return part

    def room(self) -> int:
        """Bytes that `put` may add."""
        return ROOM - len(self.ring)

    def put(self, data: bytes, mark: int | None = None) -> None:
        """Bytes for the host, and a mark behind them."""
        self.ring += [(byte, False) for byte in data]
        self.ring += [] if mark is None else [(mark, True)]

    def receive(self, data: bytes) -> None:
        """Bytes from the line."""
        for frame in self.deframer.feed(data):
            self.answer = True
            if frame is None:
                self.gap = True
            elif frame.flags & RESET:
                self._start()
                self.session, self.round, self.gap = frame.session, frame.round, False
            else:
                self._frame(frame)

    def _frame(self, frame: Frame) -> None:
        self.round = frame.round
        if frame.session != self.session:
            self.gap = True
            return
        onward = ahead(frame.ack, self.base)
        if 0 <= onward <= len(self.ring):
            self.base, self.ring = frame.ack, self.ring[onward:]
            if ahead(self.sent, self.base) < 0:
                self.sent = self.base
            self.back |= bool(frame.flags & RESEND)
        if self.placed(frame):
            self.commit, self.gap = frame.end, False
            self.arrived += frame.payload
        else:
            self.gap = True

    def placed(self, frame: Frame) -> bool:
        """It follows on, and there is room."""
        return frame.start == self.commit and len(self.arrived) + len(frame.payload) <= ROOM

    def transmit(self) -> bytes:
        """The next frame, if there is anything to say."""
        if self.back:
            self.sent, self.back = self.base, False
        at = ahead(self.sent, self.base)
        part = self.ring[at:at + FRAME]
        if not part and not self.answer:
            return b""
        self.answer = False
        marks = [index for index, (_, mark) in enumerate(part) if mark]
        part = part[:marks[0] + 1] if marks else part
        self.sent = (self.sent + len(part)) % OFFSETS
        return Frame(self.sent, self.session, self.commit,
                     GAP * self.gap | MARK * bool(marks), self.round,
                     bytes(byte for byte, _ in part)).encode()
