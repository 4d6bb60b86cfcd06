"""An array that computes nothing: takes what the front end sends, at random times, and holds it
to its promises. How runs end and which buffers overflow is as planned.
"""

import random
from collections import deque
from dataclasses import dataclass, field

from amaranth.hdl import Value

from hdl.payloads import OutKind, out_layout
from spinteger.config import Config
from tests.hdl.front_model import Plan

STREAMS = ("wgt", "thr", "act", "run")


def run_words(cfg: Config, plan: Plan, index: int) -> list[int]:
    """The output words of a run."""
    rng, layout = random.Random(f"words {plan.seed} {index}"), out_layout(cfg)
    kinds = [OutKind.RAW] * rng.randrange(3) + [OutKind.END]
    words = []
    for at, kind in enumerate(kinds):
        word = rng.getrandbits(layout.size)
        for name, value in (("kind", kind.value), ("run_end", at == len(kinds) - 1)):
            part = layout[name]
            word &= ~(((1 << part.width) - 1) << part.offset)
            word |= int(value) << part.offset
        words.append(word)
    return words


@dataclass
class FakeArray:
    """Plays the array to a `Frontend`; its streams that `dut` lacks are left out.

    `stall`: how often it refuses or hesitates; `slow`: longest time of a run, or of encoding.
    """

    cfg: Config
    dut: object
    plan: Plan
    rng: random.Random
    stall: float = 0.3
    slow: int = 40
    hold: bool = False              #: no run ends, and nothing is taken from `frozen` streams
    frozen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.streams = [name for name in STREAMS if hasattr(self.dut, name)]
        self.reset()

    def reset(self) -> None:
        self.done = 0                                   # runs
        self.got: dict[str, list] = {name: [] for name in self.streams}    # (word, done)
        self.opens: list[tuple] = []                    # (buffer, done)
        self.errors: list[tuple[int, int]] = []
        self.passed: list[int] = []
        self.loaded = self.skipped = 0
        self.flight: deque = deque()
        self.words: deque = deque()
        self.half = [False, False]                      # a token is half delivered
        self.inside: list[list] = [[], []]      # complete tokens: cycles left, will it overflow
        self.bad = [False, False]
        self.overfull = [False, False]                  # to overflow with its first token
        self.full = [False, False]
        self.left = 0                                   # cycles of the oldest run
        self.late: list = []                            # effects of a run, one cycle after it

    async def process(self, ctx):
        dut, rng = self.dut, self.rng
        names = [(getattr(dut, name), name) for name in self.streams]
        sampled = [signal for stream, _ in names
                   for signal in (stream.valid, stream.ready, stream.payload)]
        extra = [dut.open, Value.cast(dut.error), *([dut.rows_loaded, dut.rows_skipped,
                 Value.cast(dut.fence), dut.words.valid, dut.words.ready]
                 if hasattr(dut, "words") else [0, 0, 0, 0, 0])]
        async for _, reset, *values in ctx.tick().sample(*sampled, *extra):
            if reset:
                self.reset()
            else:
                self._see(dict(zip([name for _, name in names],
                                   zip(*[iter(values)] * 3, strict=False), strict=False)),
                          *values[len(sampled):])
            self._drive(ctx, rng)

    def _see(self, streams, opened, error, loaded, skipped, fence, valid, ready):
        """What happened in the cycle that ends now."""
        if error & 1:
            self.errors.append((error >> 1 & 0xFF, error >> 9))
        if fence & 1:
            self.passed.append(fence >> 1)
        self.loaded, self.skipped = self.loaded + loaded, self.skipped + skipped
        for late in self.late:
            late()
        self.late = []
        for buf in range(2):
            left = [(cycles - 1, overflows) for cycles, overflows in self.inside[buf]]
            self.full[buf] |= (0, True) in left
            self.inside[buf] = [token for token in left if token[0]]
            if opened >> buf & 1:
                assert not self._encoding(buf), "opened while tokens are encoded"
                assert not any(buf in run["uses"] for run in self.flight), "opened while in use"
                self.overfull[buf] = self.plan.overfull(len(self.opens))
                self.bad[buf], self.full[buf] = False, False
                self.opens.append((buf, self.done))
        if valid and ready:
            self.words.popleft()
        for name, (here, taken, word) in streams.items():
            if here and taken:
                self.got[name].append((word, self.done))
                getattr(self, f"_{name}", lambda _: None)(word)

    def _act(self, word) -> None:
        self.half[word.buf] = not word.last
        if word.last:
            self._token(word.buf, word.fail)

    def _token(self, buf: int, fail: bool) -> None:
        self.bad[buf] |= bool(fail)
        overflows = self.overfull[buf] and not self.bad[buf]
        self.overfull[buf] = False
        self.inside[buf].append((self.rng.randint(1, self.slow), overflows))

    def _run(self, run) -> None:
        fire, index = run.fire, self.done + len(self.flight)
        self.flight.append({
            "index": index, "uses": {run.buf} | ({fire.chain_buf} if fire.chain else set()),
            "chain": fire.chain_buf if fire.chain else None, "last": fire.chain_last,
            "words": run_words(self.cfg, self.plan, index) if fire.host else []})
        if len(self.flight) == 1:
            self._begin()

    def _begin(self) -> None:
        self.left = self.rng.randint(1, self.slow)
        self.words.extend(self.flight[0]["words"] if hasattr(self.dut, "words") else [])

    def _encoding(self, buf: int) -> bool:
        return self.half[buf] or bool(self.inside[buf])

    def _drive(self, ctx, rng) -> None:
        """What is up in the cycle that begins now."""
        dut = self.dut
        self.left -= not self.hold
        finish = bool(self.flight) and self.left <= 0 and not self.words and not self.hold
        dropped, overflow = self.plan.run_ends(self.done) if finish else (0, 0)
        ctx.set(dut.run_done, finish)
        ctx.set(dut.run_dropped, dropped)
        ctx.set(dut.run_overflow, overflow)
        if finish:
            run = self.flight.popleft()
            self.done += 1
            if run["chain"] is not None:
                self.late.append(lambda: self._chained(run, bool(dropped)))
            if self.flight:
                self._begin()
        for name in self.streams:
            room = name != "run" or len(self.flight) < 2
            ctx.set(getattr(dut, name).ready,
                    room and name not in self.frozen and rng.random() >= self.stall)
        ctx.set(dut.encoding, self._encoding(0) | self._encoding(1) << 1)
        ctx.set(dut.full, self.full[0] | self.full[1] << 1)
        if hasattr(dut, "words"):
            ctx.set(dut.words.valid, bool(self.words))
            if self.words:
                ctx.set(Value.cast(dut.words.payload), self.words[0])

    def _chained(self, run: dict, dropped: bool) -> None:
        self.half[run["chain"]] = not run["last"]
        if dropped:
            self.bad[run["chain"]] = True
        if run["last"]:
            self._token(run["chain"], dropped)
