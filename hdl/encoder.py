"""Encoder: sorts a token's codes into spikes for the event queues and salient lists."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.balancer import Balancer, spike_layout
from hdl.payloads import act_layout, coded_layout, salient_layout
from hdl.select import lowest, one_hot_or, pick
from spinteger.config import Config


class Encoder(wiring.Component):
    """Spike matrix hybridisation (Kirin): few-bit values become single spikes, the rest integers.

    Takes a row of G codes a cycle. Silent codes leave no trace; spikes go to their least filled
    home lane at once; salient codes go to the integer lanes' lists, one per cycle, so a row
    takes as many cycles as it has salient codes, at least one. With several homes the lists take
    turns, starting with the first at each token; with one home an input's list is its bank's.

    A complete token is announced to the recorder, which empties the queues while the next
    token fills their other half. Takes ceil(K/G) + 1 cycles per token at best. Latency: token
    complete 2 cycles after its last row (plus waiting salients). The sender keeps tokens to K.
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
        fresh = Signal()
        done = Signal()
        queue = Signal()                             # half that the token fills
        free = Signal()                              # it is empty
        row = Signal(cfg.row_bits)

        # Take and decode a row.
        m.d.comb += self.act.ready.eq(free & (~busy | (done & ~word.last)))
        with m.If(done):
            m.d.sync += [busy.eq(0), row.eq(row + 1)]
            with m.If(word.last):
                m.d.sync += [row.eq(0), queue.eq(~queue)]
        m.d.sync += fresh.eq(0)
        with m.If(self.act.valid & self.act.ready):
            m.d.sync += [busy.eq(1), fresh.eq(1), word.eq(self.act.payload)]
            for group in range(cfg.groups):
                spike, salient, level, neg = self._decode(self.act.payload.code[group])
                m.d.sync += [valid[group].eq(spike), spikes[group].level.eq(level),
                             spikes[group].neg.eq(neg), waiting[group].eq(salient)]

        # Spikes, all in the row's first cycle.
        m.submodules.balancer = balancer = Balancer(cfg)
        pattern = Signal(cfg.pattern_bits)
        m.d.comb += [
            pattern.eq(row), balancer.pattern.eq(pattern), balancer.fill.eq(self.fill),
            balancer.spike.eq(spikes), balancer.valid.eq(Mux(fresh, valid, 0)),
            self.offer.eq(balancer.offer), self.push.eq(balancer.push),
            self.push_row.eq(row), self.push_queue.eq(queue),
        ]

        longest, counts, start, full = self._lists(m, word, waiting, busy, pattern, row)
        left = Signal(cfg.groups)
        m.d.comb += [left.eq(waiting & ~lowest(waiting)), done.eq(busy & (left == 0))]
        with m.If(busy & ~done):
            m.d.sync += waiting.eq(left)
        with m.If(fresh):
            m.d.comb += [self.spiking.eq(_count(valid)),
                         self.silent.eq(_count(~valid & ~waiting))]
        m.d.comb += self.salient.eq(busy & waiting.any())

        self._hand_over(m, word, done & word.last, queue, free, counts, start, full)
        with m.If(done & word.last):                 # the next token's lists start after these
            m.d.sync += [count.eq(0) for count in counts] + [longest.eq(0), full.eq(0)]
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

    def _lists(self, m, word, waiting, busy, pattern, row):
        """Store one salient code per cycle, the lowest group first."""
        cfg = self.cfg
        counts = [Signal(cfg.list_worst.bit_length(), name=f"count_{lane}")
                  for lane in range(cfg.int_lanes)]
        longest = Signal.like(counts[0])
        starts = [Signal(cfg.list_bits + 1, name=f"list_start_{buf}") for buf in range(2)]
        start = Mux(word.buf, starts[1], starts[0])
        full = Signal()
        one = lowest(waiting)
        target = Signal(cfg.int_lanes, init=1)       # whose turn it is, one hot
        entry = self.list_entry
        codes = [word.code[group] for group in range(cfg.groups)]
        m.d.comb += [entry.row.eq(row), self.list_buf.eq(word.buf),
                     entry.q.eq(one_hot_or([code.q.as_unsigned() for code in codes], one))]
        if cfg.exp_bits:
            m.d.comb += entry.e.eq(one_hot_or([code.e for code in codes], one))
        turn = Signal(cfg.int_lanes)
        if cfg.homes > 1:
            m.d.comb += turn.eq(target)
            if cfg.group > 1:
                places = []          # of each group's bank in the block of the list's turn
                for group in range(cfg.groups):
                    by_home = [pick([group ^ cfg.home_position(p, home) | cfg.groups
                                     for p in range(cfg.patterns)], pattern)
                               for home in range(cfg.int_lanes)]
                    places.append(one_hot_or(by_home, target)[:len(entry.lane)])
                m.d.comb += entry.lane.eq(one_hot_or(places, one))
        else:
            m.d.comb += turn.eq(Cat(one[lane * cfg.group:(lane + 1) * cfg.group].any()
                                    for lane in range(cfg.int_lanes)))
            if cfg.group > 1:
                places = [Cat((group % cfg.group) >> bit & 1 for bit in range(len(entry.lane)))
                          for group in range(cfg.groups)]
                m.d.comb += entry.lane.eq(one_hot_or(places, one))
        place = Signal(cfg.list_bits + 1)
        count = Signal.like(longest)
        go = Signal()
        fits = Signal()
        m.d.comb += [
            go.eq(busy & waiting.any()), count.eq(one_hot_or(counts, turn)),
            place.eq(start + count), fits.eq(place < cfg.list_depth),
            self.list_place.eq(place), self.list.eq(Mux(go & fits & ~full, turn, 0)),
        ]
        with m.If(go):
            m.d.sync += [full.eq(full | ~fits), longest.eq(longest + (count == longest))]
            if cfg.int_lanes > 1 and cfg.homes > 1:
                m.d.sync += target.eq(target.rotate_left(1))
            for lane, kept in enumerate(counts):
                with m.If(turn[lane]):
                    m.d.sync += kept.eq(kept + 1)
        with m.If(busy & word.last & ~(waiting & ~one).any()):
            m.d.sync += target.eq(1)
            for buf in range(2):
                with m.If((word.buf == buf) & ~full & ~(go & ~fits)):
                    m.d.sync += starts[buf].eq(start + longest + (go & (count == longest)))
        for buf in range(2):
            with m.If(self.open[buf]):
                m.d.sync += starts[buf].eq(0)
        return longest, counts, start, full

    def _hand_over(self, m, word, complete, queue, free, counts, start, full):
        """Announce complete tokens; the halves are used in turn, so the recorder's is known."""
        cfg = self.cfg
        in_use = Signal(2)                  # halves that hold a complete token
        heads = [Signal(coded_layout(cfg), name=f"head_{half}") for half in range(2)]
        levels = [Signal(cfg.window, name=f"levels_{half}") for half in range(2)]
        oldest = Signal()
        token = self.coded.payload
        partial = Signal()
        m.d.comb += [
            free.eq(~in_use.bit_select(queue, 1)),
            self.coded.valid.eq(in_use.bit_select(oldest, 1)),
            token.eq(Mux(oldest, heads[1].as_value(), heads[0].as_value())),
            token.queue.eq(oldest), token.levels.eq(Mux(oldest, levels[1], levels[0])),
        ]
        turn_full = Signal()      # a salient input of the last row that does not fit
        m.d.comb += turn_full.eq(self.salient & ~self.list.any())
        for half in range(2):
            fired = Cat(Cat(self.push[lane] & (self.offer[lane].level == level)
                            for lane in range(cfg.rows)).any()
                        for level in range(1, cfg.window + 1))
            head = heads[half]
            with m.If(queue == half):
                m.d.sync += levels[half].eq(levels[half] | fired)
                with m.If(complete):
                    m.d.sync += [
                        in_use[half].eq(1), head.buf.eq(word.buf), head.shift.eq(word.shift),
                        head.fail.eq(word.fail), head.full.eq(full | turn_full),
                        head.list_start.eq(start)]
                    m.d.sync += [head.count[lane].eq(count + self.list[lane])
                                 for lane, count in enumerate(counts)]
            with m.If(self.coded.valid & self.coded.ready & (oldest == half)):
                m.d.sync += [in_use[half].eq(0), levels[half].eq(0), oldest.eq(~oldest)]
        with m.If(self.act.valid & self.act.ready):
            m.d.sync += partial.eq(1)
        with m.Elif(complete):
            m.d.sync += partial.eq(0)
        for buf in range(2):
            m.d.comb += self.encoding[buf].eq(
                (partial & (word.buf == buf))
                | Cat(in_use[half] & (heads[half].buf == buf) for half in range(2)).any())


def _count(bits):
    """How many bits are set."""
    return sum(bits[1:], bits[0])
