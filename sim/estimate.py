"""Cycles of a program, predicted without simulating it: the machine's pipeline as recurrences.

    estimate(packets, cfg).cycles       # as `Execution.cycles` of an RTL backend

The golden machine executes the program, since levels decide how many words leave and what a
chained token is. Beside it run the times of what can hold up what: input beats, the dispatcher and
its hazards, encoder and recorder token by token, spike lanes, V's adder and IF bank tile by tile.
The terms are those of the components' docstrings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from golden.trains import classify
from hdl.accumulate import drain_latency
from hdl.balancer import row_cycles
from hdl.encoder import announce_latency
from hdl.frontend import RUN_QUEUE
from hdl.if_bank import fire_latency
from hdl.integer_lane import INTEGER_LATENCY
from hdl.integer_unit import LIST_LATENCY, sum_stages
from hdl.lane import LANE_LATENCY
from hdl.player import PLAY_LATENCY
from hdl.run_log import RUNS
from hdl.sizes import SIZES
from hdl.tile_queue import tiles_inside
from hdl.tree import tree_depth
from sim import packets as pk
from sim.costs import Tile, Token, encoding, tiles_of, tokens_of
from sim.packets import Packet
from sim.reference import Reference
from spinteger import isa
from spinteger.config import Config

#: From a descriptor that is offered to its start, if nothing holds it up.
CHECK_CYCLES = 20
#: From a start until what it leaves is written down, which the next packet waits for.
STORE_CYCLES = SIZES + 2
#: From a token's last row until the encoder takes the next token, more than a row's own cycles.
ENCODE_CYCLES = 6
#: Words that have left their tile and wait for a slow output: in the IF bank, and in two registers.
OUTPUT_WORDS = 3
#: From a token that is ready until its first tile plays.
VISIT_CYCLES = 4
#: From a row's last beat until the encoder is offered it, more than without a queue.
QUEUE_CYCLES = 3


@dataclass(frozen=True)
class Estimate:
    """The whole program, to its last word."""

    cycles: int
    by_cause: dict[str, int]    #: of `isa.CAUSES`; they add up to `cycles`


def estimate(program: Sequence[Packet], cfg: Config, beat_every: int = 1) -> Estimate:
    """Cycles from the first beat offered to the last word out, and where they go.

    `beat_every`: an input beat at most every so many cycles. The output is taken at once. A
    program ends with the fence that RTL backends add.
    """
    timeline = Timeline(cfg, beat_every)
    for packet in [*program, pk.end_fence()]:
        timeline.packet(packet)
    return timeline.result()


class Timeline:
    """The machine's times after the packets so far; time 0 is the first beat."""

    def __init__(self, cfg: Config, beat_every: int = 1):
        self.cfg, self.every = cfg, beat_every
        self.reference = Reference(cfg)
        self.beat = 0               # the next input beat can be taken
        self.idle = 0               # the next descriptor can be gathered
        self.slots = [0] * cfg.slots                    # free of runs
        self.bufs = [0, 0]
        self.encoded = [0, 0]                           # no token of it is being encoded
        self.tokens: list[list[Token]] = [[], []]
        self.ready: list[list[int]] = [[], []]          # each token can be visited
        self.recorded = [0, 0]                          # the last two tokens
        self.entered: list[int] = []                    # each run is in the array
        self.ended: list[int] = []                      # ... and complete
        # The last tile: its last word is at the adder of S, its V is complete ("closed"), its
        # columns are drained, its levels collected, its last word is out.
        self.tail = self.drained = self.collected = self.out = 0
        self.closed = -cfg.cols
        self.left: list[int] = []                       # each tile has left the IF bank's queue
        self.firing = 0                                 # the firing pipeline is empty
        self.reading: list[tuple[int, int, int]] = []   # from, to: products of a token's tiles
        self.causes = Causes(cfg)

    def result(self) -> Estimate:
        """The estimate, after the last packet."""
        return Estimate(self.out, self.causes.result(self.out))

    # -- front end -------------------------------------------------------------------------------

    def packet(self, packet: Packet) -> None:
        """Take one more packet."""
        cfg = self.cfg
        size, head = len(packet.words(cfg)), max(1, isa.DESCRIPTOR_BITS // cfg.bus_bits)
        gathered = max(self.beat + 1, self.idle)
        for _ in range(head - 1):
            self.beat = max(gathered, self.beat + self.every)
            gathered = self.beat + 1
        offered = gathered + 1
        self.beat = max(gathered, self.beat + self.every)
        wait = max(0, cfg.tiles.bit_length() - 3)       # for a product, in the midst of checks
        check = offered + CHECK_CYCLES + wait
        op, values = isa.decode(packet.descriptor)
        result = self.reference.execute([packet])
        if op is None or refused(self.reference, op.name, values, result):
            code = min((code for code, _ in result.errors), default=0)
            failed = offered + 4 + code + (wait if code > isa.Error.BAD_SLOT else 0)
            if size > head:                             # swallowed
                self.beat = max(failed + 1, self.beat + 1) + (size - head - 1) * self.every
            self.idle = max(failed + 1, self.beat + 1) + 2
        elif op.name == "RUN":
            self._run(values, check)
        elif op.name == "FENCE":
            start = max(check, *(time + 2 for time in self.encoded),
                        *(end + 5 for end in self.ended[-1:]))
            self.out = max(self.out, start + 2) + pk.word_beats(cfg)
            self.idle = start + 4
        else:
            self._load(op.name, values, check, size - head)

    def _load(self, name: str, values: dict[str, int], check: int, beats: int) -> None:
        """A load waits until nothing uses its target; then a beat per cycle."""
        if name == "LOAD_ACT":
            buf = values["buf"]
            start = max(check, self.bufs[buf] + 2, self.encoded[buf] + 2)
            begin = max(start, self.beat) + 1
            end = max(self._encode(buf, begin), begin + (beats - 1) * self.every)
            self.causes.loads.append((check - 2, max(end + 4, self.encoded[buf] + 2), "acts"))
        else:
            start = max(check, self.slots[values["slot"]] + 2)
            end = max(start, self.beat) + 1 + (beats - 1) * self.every
            if name == "LOAD_WGT":
                end = self._write(end - (beats - 1) * self.every, beats)
            self.causes.loads.append((check - 2, end + 4, "weights"))
        stored = start if name in ("LOAD_THR", "LOAD_SCALE") else start + STORE_CYCLES
        self.beat, self.idle = end - 1 + self.every, max(end + 4, stored) + 2

    def _write(self, begin: int, beats: int) -> int:
        """Weight rows from `begin` on; returns when the last beat comes.

        A beat waits while a lane that it goes to still holds the row before, because an integer
        lane has read its bank in every cycle since. That was `gap` cycles ago, and an integer lane
        that is busy reads one of its banks at random.
        """
        cfg = self.cfg
        cycles, rows = cfg.wgt_row_beats * self.every, beats / cfg.wgt_row_beats
        gap = cfg.groups // cfg.wgt_beat_rows * cycles
        now = float(begin)
        for since, until, reads in self.reading:
            if until <= now or rows <= 0:
                continue
            free = min(rows, max(0, since - now) / cycles)
            now, rows = now + free * cycles, rows - free
            bank = min(1.0, reads / (until - since)) / cfg.group
            held = min(1.0, cfg.wgt_beat_rows * bank ** gap)
            waits = 1 - (1 - held) ** cfg.int_lanes
            each = max(cycles, 1 + waits / (1 - bank) if bank < 1 else 100)
            slow = min(rows, max(0, until - now) / each)
            now, rows = now + slow * each, rows - slow
        return max(begin + (beats - 1) * self.every, round(now + rows * cycles) - self.every)

    # -- encoder and recorder ----------------------------------------------------------------------

    def _encode(self, buf: int, beat: int) -> int:
        """Tokens of a load whose first beat comes at `beat`; returns when its last one can be
        taken, which a full queue holds up."""
        cfg, data = self.cfg, self.reference.state.bufs[buf]
        row = cfg.act_word_beats * self.every
        self.tokens[buf], self.ready[buf] = tokens_of(cfg, data, row), []
        if not self.tokens[buf]:
            return beat
        rows = data.q.shape[1] // cfg.groups
        each = (1 + rows * cfg.act_word_beats) * self.every
        taken: list[float] = []                         # every row that the encoder took
        free = 0
        queued = encoding(cfg, classify(data.q, data.e, cfg)[1]).tolist()
        for number, (token, cycles) in enumerate(zip(self.tokens[buf], queued, strict=True)):
            comes = beat + number * each + row + QUEUE_CYCLES
            start = max(comes, free, self.recorded[0])
            # Rows that wait are encoded one after the other, else as they come.
            end = 1 + ENCODE_CYCLES + max(
                start + 1 + cycles,
                comes + token.encode + row_cycles(cfg) - max(row, row_cycles(cfg)))
            taken += [start + row * cycles / rows for row in range(rows)]
            self._record(buf, token, end)
            free = end
        return round(taken[-cfg.act_queue - 1]) if len(taken) > cfg.act_queue else beat

    def _record(self, buf: int, token: Token, encoded: int) -> None:
        """The token, `encoded` by then, becomes a train."""
        end = max(encoded, self.recorded[1]) + 1 + token.words + token.levels
        self.recorded = [self.recorded[1], end + 1]
        self.ready[buf].append(end + 3)
        self.encoded[buf] = end + 3

    # -- runs --------------------------------------------------------------------------------------

    def _run(self, run: dict[str, int], check: int) -> None:
        """A run waits to fill a buffer, for a place in the queue, and for one in the array."""
        number, start = len(self.ended), check
        if number >= RUNS:
            start = max(start, self.ended[number - RUNS] + 5)
        filled = run["chain_buf"]
        if run["chain"] and run["chain_first"]:
            start = max(start, self.bufs[filled] + 2, self.encoded[filled] + 2)
        queued = start + 1
        if number >= RUN_QUEUE:
            queued = max(queued, self.entered[number - RUN_QUEUE])
        self.idle = queued + 3
        if run["chain"] or not run["acc_last"]:
            self.idle = max(self.idle, start + STORE_CYCLES + 2)
        self.entered.append(max(queued + 2, self.ended[number - 2] + 2 if number > 1 else 0))
        self._tiles(run, self.entered[-1])
        end = self.out if run["acc_last"] else self.drained + drain_latency(self.cfg) + 5
        self.ended.append(end)
        self.causes.spans.append((self.entered[-1], end))
        self.slots[run["slot"]] = self.bufs[run["buf"]] = end + 1
        if run["chain"]:
            self.bufs[filled] = end + 1
            self.causes.loads.append((end, self.encoded[filled], "acts"))

    def _tiles(self, run: dict[str, int], entered: int) -> None:
        """Every tile of every token, through lanes, V, IF bank and output."""
        cfg, count = self.cfg, self.reference.delivered
        latency = PLAY_LATENCY - 1 + LANE_LATENCY + tree_depth(cfg)
        costs = iter(tiles_of(cfg, run, self.reference.fired, self.reference.sums, count,
                              pk.word_beats(cfg)))
        filled: list[Token] = []
        if run["chain"] and run["chain_last"]:
            filled = tokens_of(cfg, self.reference.state.bufs[run["chain_buf"]], 1)
            self.tokens[run["chain_buf"]], self.ready[run["chain_buf"]] = filled, []
        loaded = list(zip(self.tokens[run["buf"]], self.ready[run["buf"]], strict=True))[:count]
        if count < run["tokens"]:                       # an abandoned run ends with one empty word
            fails = [*self.ready[run["buf"]][count:], self.encoded[run["buf"]]][0]
            loaded.append((Token(1, 0, 1, 0, 0, 0, 0, 1, 0), fails))
        for number, (token, ready) in enumerate(loaded):
            known = max(entered, ready) + 4             # its first tile can be taken
            products = (known + 1 + LIST_LATENCY + INTEGER_LATENCY + sum_stages(cfg) + token.top
                        + token.products)
            before = self.closed
            for _ in range(run["tiles"] if number < count else 1):
                # The lanes go on without a gap; they wait to complete a step while V is not free.
                start = max(self.tail, known + latency)
                first = max(start + token.first, self.closed)
                self.causes.tile(token, self.tail, start, first, entered + 4 + latency)
                self.tail = first + token.rest
                # V is complete with its last add, if the place it moves to is free.
                adds = max(self.tail + max(1, token.tail), products,
                           self.closed + token.top + token.products)
                free = self.drained + 1
                self.causes.waits = "integer" if adds > free else "firing"
                self.closed = max(adds, free)
                if number < count:
                    self._leave(run, next(costs))
                else:
                    self.out = max(self.out + 1, self.closed + 5)
                    self.drained = self.closed + 1
            if token.products > 1:
                self.reading.append((before, self.closed, run["tiles"] * token.products))
            if number < len(filled):
                last = self.out if cfg.fire == "staircase" else self.left[-1] + 1
                whole = announce_latency(cfg) + max(
                    last, self.recorded[0] + filled[number].encode - 1 - row_cycles(cfg))
                self._record(run["chain_buf"], filled[number], whole)

    def _leave(self, run: dict[str, int], tile: Tile) -> None:
        """The tile that just closed: its columns are drained, fired, and put out."""
        cfg, cycles = self.cfg, pk.word_beats(self.cfg)
        begin, last = self.closed + 1, self.out
        if len(self.left) >= tiles_inside(cfg):         # it waits for a place in the queue
            begin = max(begin, self.left[-tiles_inside(cfg)] + 3)
        if run["raw"] and run["acc_last"]:
            begin = max(begin, self.firing)
        self.drained = begin + cfg.cols - 1
        sums = self.drained + drain_latency(cfg)
        left = sums
        if not run["acc_last"]:
            left = max([begin, *self.left[-1:]]) + 2
        elif run["raw"]:
            left = max(last + (cfg.cols + 1) * cycles, sums + 3 + 2 * cycles)
            self.out = left
            self.causes.blocked += (cfg.cols + 1) * (cycles - 1)
        elif cfg.fire == "staircase":
            left = max(sums + 3, last + cfg.cols - 2)
            self.out = left + 1 + tile.fire + 1
        else:
            # Columns are collected; a tile's spikes and END leave while the next is, up to its
            # first salient column, which leaves at once.
            self.firing = self.drained + fire_latency(cfg) + 1
            last -= OUTPUT_WORDS * (cycles - 1)
            left = max(sums + fire_latency(cfg) + 3, self.collected + tile.collect,
                       last + (tile.held - 1 if tile.held else 1 - cycles))
            self.out = left + 1 + (tile.steps > 0) + (tile.steps + 1) * cycles
            self.collected = left
            self.causes.blocked += (tile.salients + tile.steps + 1) * (cycles - 1)
        self.left.append(left)
        if run["chain"] and cfg.fire == "staircase":
            whole = cfg.cols % cfg.groups == 0
            self.out += cfg.cols // cfg.groups - 1 if whole else cfg.cols + cfg.cols // cfg.groups


#: A load may end so, a run may go on in spite of the others.
_FAULTS = {isa.Error.TLAST_EARLY, isa.Error.TLAST_LATE, isa.Error.BAD_KEEP}
_GOES_ON = {isa.Error.TRAIN_FULL, isa.Error.V_OVERFLOW}


def refused(reference: Reference, op: str, values: dict[str, int], result: pk.Execution) -> bool:
    """Whether a packet had no effect. A load that ended badly had one, and a dropped run."""
    codes = {error for error, _ in result.errors} - _GOES_ON
    if op.startswith("LOAD"):
        return bool(codes - _FAULTS)
    if op == "RUN" and isa.Error.BUF_EMPTY in codes:
        return not reference.state.bufs[values["buf"]].loaded
    return bool(codes)


class Causes:
    """Charges cycles to causes, as `hdl.counters` does."""

    def __init__(self, cfg: Config):
        self.cfg = cfg
        self.counts = dict.fromkeys((name for name, _ in isa.CAUSES), 0)
        self.words = self.events = 0
        self.blocked = 0                                # cycles in which a word waits
        self.waits = "firing"                           # what kept the last tile's V
        self.loads: list[tuple[int, int, str]] = []     # from, to, cause
        self.spans: list[tuple[int, int]] = []          # runs in the array

    def tile(self, token: Token, before: int, start: int, first: int, entered: int) -> None:
        """A tile whose first word could come at `before`, came at `start`; `first`: see Token."""
        self.words += token.words
        self.events += token.events
        # It is not waited for any more when it is on its way from the walk to the lanes.
        self.counts["acts"] += max(0, start - VISIT_CYCLES - max(before, entered))
        self.counts["ramp"] += token.rest - (token.words - token.first)
        self.counts[self.waits] += first - start - token.first

    def result(self, cycles: int) -> dict[str, int]:
        """All cycles, by cause."""
        counts, lanes = self.counts, self.cfg.rows
        counts["longest_lane"] = (lanes * self.words - self.events) // lanes
        counts["events"] = self.words - counts["longest_lane"]
        # Outside of runs: what loads, if anything does. Inside: the rest is draining.
        outside = np.zeros(cycles, np.uint8)
        for mark, cause in enumerate(("acts", "weights"), 1):
            for begin, end, what in self.loads:
                if what == cause:
                    outside[begin:end] = mark
        for begin, end in self.spans:
            outside[begin:end] = 3
        found = np.bincount(outside, minlength=4).tolist()
        counts["idle"], counts["weights"] = found[0], counts["weights"] + found[2]
        counts["acts"] += found[1]
        counts["firing"] += cycles - sum(counts.values())
        counts["output"] = min(self.blocked, counts["firing"])
        counts["firing"] -= counts["output"]
        return counts
