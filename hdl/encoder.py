"""Encoder: sorts a token's codes into spikes for the event queues and salient lists."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.balancer import Balancer, row_cycles, spike_layout
from hdl.payloads import act_layout, coded_layout, salient_layout
from hdl.select import lowest, one_hot_or, pick
from spinteger.config import Config


def announce_latency(cfg: Config) -> int:
    """Cycles from taking a token's last row to announcing the token, salients apart."""
    return row_cycles(cfg) + cfg.window + 2


class Encoder(wiring.Component):
    """Spike matrix hybridisation (Kirin): few-bit values become single spikes, the rest integers.

    Takes a row of G codes every three cycles (`row_cycles`; one home: two). Silent codes
    leave no trace; spikes go to their least filled home lane; salient codes go to the integer
    lanes' lists, one per cycle, so a row with more of them takes longer. With several homes the
    lists take turns, starting with the first at each token; with one home an input's list is its
    bank's.

    After a token's last row the queues hand over its counts, level by level. Then the token is
    announced to the recorder, which empties its half of the queues while the next token fills
    the other. Takes row_cycles * ceil(K/G) + L + 1 cycles per token at best. Latency: token
    announced `announce_latency` cycles after its last row (plus waiting salients). The sender
    keeps tokens to K.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "act": In(stream.Signature(act_layout(cfg))),       #: a token's codes, row by row
            "open": In(2),              #: buffer 0, 1 starts anew: its lists are empty
            "coded": Out(stream.Signature(coded_layout(cfg))),  #: complete tokens
            "encoding": Out(2),         #: a token of buffer 0, 1 is in here
            "offer": Out(data.ArrayLayout(spike_layout(cfg), cfg.rows)),    #: a spike per lane
            "push": Out(cfg.rows),              #: ... and the lanes that take theirs
            "push_row": Out(cfg.row_bits),      #: their weight row
            "push_queue": Out(1),               #: their half of the event queues
            "move": Out(1),                     #: all lanes: the level on offer is complete
            "fill": In(data.ArrayLayout(cfg.count_bits, cfg.rows)),    #: the queues' answer
            "list": Out(cfg.int_lanes),         #: store a salient entry in this list
            "list_buf": Out(1),                 #: ... of this buffer
            "list_place": Out(cfg.list_bits),   #: ... at this place
            "list_entry": Out(salient_layout(cfg)),     #: the entry
            "silent": Out(cfg.groups.bit_length()),     #: silent inputs among this cycle's
            "spiking": Out(cfg.groups.bit_length()),    #: spikes
            "salient": Out(1),                          #: a salient input
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        word = Signal(self.act.payload.shape())      # the row being stored
        valid = Signal(cfg.groups)                   # its spikes
        spikes = Signal(data.ArrayLayout(spike_layout(cfg), cfg.groups))
        waiting = Signal(cfg.groups)                 # its salient codes still to store
        busy = Signal()
        fresh = Signal()                             # its first cycle
        rest = Signal(range(row_cycles(cfg)))        # ... cycles that it takes at least, after it
        done = Signal()                              # its last cycle, known a cycle before
        queue = Signal()                             # half that the token fills
        in_use = Signal(2)                           # halves that hold a complete token
        free = Signal()                              # the token's is empty
        row = Signal(cfg.row_bits)
        moving = Signal(init=1)                      # once after a reset, too
        move = Signal(cfg.level_bits, init=cfg.window)    # the level that is handed over
        moved = Signal()                             # ... the last one

        # Take and decode a row.
        done_next = Signal()
        takes = Signal()
        m.d.comb += [
            takes.eq(self.act.valid & self.act.ready), moved.eq(moving & (move == 1)),
            free.eq(~in_use.bit_select(queue ^ moved, 1)),
        ]
        # Ready is a register: known when the row before, or the token before, is about to end.
        m.d.sync += self.act.ready.eq(free & Mux(
            busy, done_next & ~word.last, moved | (~moving & ~takes)))
        m.d.sync += [fresh.eq(0), valid.eq(0)]
        with m.If(done):
            m.d.sync += [busy.eq(0), row.eq(row + 1)]
            with m.If(word.last):
                m.d.sync += [row.eq(0), moving.eq(1)]
        with m.Elif(rest != 0):
            m.d.sync += rest.eq(rest - 1)
        with m.If(moving):
            m.d.sync += move.eq(move - 1)
        with m.If(moved):
            m.d.sync += [moving.eq(0), move.eq(cfg.window)]
        with m.If(takes):
            m.d.sync += [busy.eq(1), fresh.eq(1), word.eq(self.act.payload),
                         rest.eq(row_cycles(cfg) - 1)]
            for group in range(cfg.groups):
                spike, salient, level, neg = self._decode(self.act.payload.code[group])
                m.d.sync += [valid[group].eq(spike), spikes[group].level.eq(level),
                             spikes[group].neg.eq(neg), waiting[group].eq(salient)]

        # Spikes, all in the row's first cycle, and moves behind them.
        m.submodules.balancer = balancer = Balancer(cfg)
        pattern = Signal(cfg.pattern_bits)
        m.d.comb += [
            pattern.eq(row), balancer.pattern.eq(pattern), balancer.fill.eq(self.fill),
            balancer.valid.eq(valid), self.offer.eq(balancer.offer), self.push.eq(balancer.push),
        ]
        m.d.sync += [self.move.eq(moving), self.push_row.eq(row), self.push_queue.eq(queue)]
        for group in range(cfg.groups):
            m.d.comb += [balancer.spike[group].level.eq(Mux(moving, move, spikes[group].level)),
                         balancer.spike[group].neg.eq(spikes[group].neg)]

        left = Signal(cfg.groups)
        m.d.comb += left.eq(waiting & ~lowest(waiting))
        m.d.comb += done_next.eq(busy & ~done & (rest <= 1) & ((left & ~lowest(left)) == 0))
        m.d.sync += done.eq(done_next)
        with m.If(~takes):
            m.d.sync += waiting.eq(left)
        with m.If(fresh):
            m.d.comb += self.silent.eq(_count(~valid & ~waiting))
        m.d.comb += [self.spiking.eq(_count(valid)), self.salient.eq(waiting.any())]

        lists = self._lists(m, word, waiting, done & word.last, moved, pattern, row)
        self._hand_over(m, word, moved, queue, in_use, valid, spikes, lists)
        return m

    def _decode(self, code):
        """Class, level and sign of one code. Returns (is spike, is salient, level, sign).

        L + 1 is a power of two, so |q| <= L shows in the bits above the level's.
        """
        cfg = self.cfg
        low, high, neg = code.q[:cfg.level_bits], code.q[cfg.level_bits:], code.q[-1]
        if cfg.signed:
            small = ~high.any() | (high.all() & low.any())
        else:          # no sign in the spike path: a negative code stays an integer
            small = ~high.any()
        if cfg.exp_bits:
            small = small & (code.e == 0)
        return small & low.any(), ~small & code.q.any(), Mux(neg, -low, low)[:cfg.level_bits], neg

    def _lists(self, m, word, waiting, complete, moved, pattern, row):
        """Store one salient code per cycle, the lowest group first.

        Returns where the token's lists start, how long they are, and whether they do not fit.
        """
        cfg = self.cfg
        counts = [Signal(cfg.list_worst.bit_length(), name=f"count_{lane}")
                  for lane in range(cfg.int_lanes)]
        starts = [Signal(cfg.list_bits + 1, name=f"list_start_{buf}") for buf in range(2)]
        start = Signal(cfg.list_bits + 1)
        place = Signal(cfg.list_bits + 1)
        full = Signal()
        go = Signal()
        fits = Signal()
        one = lowest(waiting)
        if cfg.homes > 1:
            length, turn, lane = self._deal(m, one, go, complete, moved, pattern, counts)
        else:
            length, turn, lane = self._by_bank(m, one, go, moved, counts)
        m.d.comb += [
            go.eq(waiting.any()), start.eq(Mux(word.buf, starts[1], starts[0])),
            place.eq(start + length), fits.eq(place < cfg.list_depth),
            self.list.eq(Mux(go & fits & ~full, turn, 0)), self.list_buf.eq(word.buf),
            self.list_place.eq(place),
        ]

        entry = self.list_entry
        codes = [word.code[group] for group in range(cfg.groups)]
        m.d.comb += [entry.row.eq(row),
                     entry.q.eq(one_hot_or([code.q.as_unsigned() for code in codes], one))]
        if cfg.exp_bits:
            m.d.comb += entry.e.eq(one_hot_or([code.e for code in codes], one))
        if cfg.group > 1:
            m.d.comb += entry.lane.eq(lane)

        with m.If(go & ~fits):
            m.d.sync += full.eq(1)
        with m.If(moved):                            # the next token's lists start after these
            m.d.sync += [full.eq(0), *(count.eq(0) for count in counts)]
        for buf in range(2):
            with m.If(moved & ~full & (word.buf == buf)):
                m.d.sync += starts[buf].eq(place)
            with m.If(self.open[buf]):
                m.d.sync += starts[buf].eq(0)
        return start, counts, full

    def _deal(self, m, one, go, complete, moved, pattern, counts):
        """Several homes: the lists take turns. Returns the round, which is also the number of
        places that a complete token takes, the list whose turn it is, and the bank there."""
        cfg = self.cfg
        turn = Signal(cfg.int_lanes, init=1)         # one hot
        number = Signal.like(counts[0])
        next_number = Signal.like(number)
        m.d.comb += next_number.eq(number + 1)
        with m.If(go):
            if cfg.int_lanes > 1:
                m.d.sync += turn.eq(turn.rotate_left(1))
            for bit, count in zip(turn, counts, strict=True):
                with m.If(bit):
                    m.d.sync += count.eq(next_number)
        with m.If(Mux(complete, go | ~turn[0], go & turn[-1])):
            m.d.sync += number.eq(next_number)
        with m.If(moved):
            m.d.sync += [turn.eq(1), number.eq(0)]
        offsets = [pick([Const(cfg.home_position(p, home), cfg.group_bits)
                         for p in range(cfg.patterns)], pattern) for home in range(cfg.int_lanes)]
        return number, turn, _index(one) ^ one_hot_or(offsets, turn)

    def _by_bank(self, m, one, go, moved, counts):
        """One home: an input's list is its bank's. Returns what `_deal` does."""
        cfg = self.cfg
        turn = Signal(cfg.int_lanes)
        longest = Signal.like(counts[0])
        count = Signal.like(longest)
        m.d.comb += [turn.eq(Cat(one[lane * cfg.group:(lane + 1) * cfg.group].any()
                                 for lane in range(cfg.int_lanes))),
                     count.eq(one_hot_or(counts, turn))]
        with m.If(go):
            m.d.sync += longest.eq(longest + (count == longest))
            for bit, kept in zip(turn, counts, strict=True):
                with m.If(bit):
                    m.d.sync += kept.eq(kept + 1)
        with m.If(moved):
            m.d.sync += longest.eq(0)
        places = [one[place::cfg.group].any() for place in range(cfg.group)]
        return Mux(moved, longest, count), turn, _index(places)

    def _hand_over(self, m, word, moved, queue, in_use, valid, spikes, lists):
        """Announce complete tokens; the halves are used in turn."""
        cfg = self.cfg
        start, counts, full = lists
        partial = Signal()                  # a token is being encoded
        levels = Signal(cfg.window)         # ... its levels so far
        waits = Signal()                    # a complete one behind `coded`
        head = Signal(coded_layout(cfg))
        coded = self.coded
        m.d.sync += levels.eq(levels | Cat(
            Cat(spike & (spikes[group].level == level) for group, spike in enumerate(valid)).any()
            for level in range(1, cfg.window + 1)))
        with m.If(self.act.valid & self.act.ready):
            m.d.sync += partial.eq(1)
        with m.Elif(moved):
            m.d.sync += partial.eq(0)
        with m.If(coded.valid & coded.ready):
            m.d.sync += in_use.bit_select(coded.payload.queue, 1).eq(0)
        with m.If(~coded.valid | coded.ready):
            m.d.sync += [coded.valid.eq(waits), coded.payload.eq(head), waits.eq(0)]
        with m.If(moved):
            m.d.sync += [
                levels.eq(0), head.queue.eq(queue), head.levels.eq(levels), head.buf.eq(word.buf),
                head.shift.eq(word.shift), head.fail.eq(word.fail), head.full.eq(full),
                head.list_start.eq(start),
                *(head.count[lane].eq(count) for lane, count in enumerate(counts))]
            with m.If(partial):             # else it is the one after a reset
                m.d.sync += [waits.eq(1), queue.eq(~queue), in_use.bit_select(queue, 1).eq(1)]
        m.d.comb += [self.encoding[buf].eq(
            (partial & (word.buf == buf)) | (waits & (head.buf == buf))
            | (coded.valid & (coded.payload.buf == buf))) for buf in range(2)]


def _index(one_hot):
    """Number of the bit that is set."""
    bits = list(one_hot)
    return Cat(Cat(bit for number, bit in enumerate(bits) if number >> place & 1).any()
               for place in range(max(1, (len(bits) - 1).bit_length())))


def _count(bits):
    """How many bits are set."""
    return sum(bits[1:], bits[0])
