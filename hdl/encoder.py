"""Encoder: bucket-sorts a token's codes into the lanes' event queues and salient lists."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import act_layout, run_layout, salient_layout, salients_layout, token_layout
from hdl.select import lowest, one_hot_or
from spinteger.config import Config


def push_layout(cfg: Config) -> data.StructLayout:
    """A spike on its way into a lane's event queue."""
    return data.StructLayout({"valid": 1, "level": cfg.level_bits, "neg": 1})


class Encoder(wiring.Component):
    """Spike matrix hybridisation (Kirin): few-bit values become single spikes, the rest integers.

    Takes R codes a cycle, one per lane. Silent codes leave no trace. Spikes go to their lane's
    bucket at once; salient codes of one word go to their integer lane's list one per cycle, so
    a word takes as many cycles as its fullest group has salient codes, at least one. A token
    (words up to `last`) is announced to both consumers when complete; the other buffer fills
    meanwhile. Takes ceil(K/R) + 1 cycles per token at best. Words past the largest K are
    dropped, and `overflow` stays up until reset.

    Latency: token complete 2 cycles after its last word (plus waiting salients).
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "act": In(stream.Signature(act_layout(cfg))),       #: a token's codes, row by row
            "run": In(run_layout(cfg)),                         #: sampled with the last word
            "token": Out(stream.Signature(token_layout(cfg))),  #: complete tokens, for spikes
            "salients": Out(stream.Signature(salients_layout(cfg))),    #: ... and for integers
            "spikes_done": In(2),       #: the spike lanes are done with buffer 0, 1
            "overflow": Out(1),         #: a token was longer than the largest K
            "push": Out(data.ArrayLayout(push_layout(cfg), cfg.rows)),  #: spikes, one per lane
            "push_row": Out(cfg.row_bits),      #: their weight row
            "push_buf": Out(1),                 #: their buffer
            "push_salient": Out(data.ArrayLayout(       #: salient entries, one per group
                data.StructLayout({"valid": 1, "entry": salient_layout(cfg)}), cfg.int_lanes)),
            "forget_salients": Out(2),          #: the integer lanes are done with buffer 0, 1
            "count_buf": Out(1),                #: buffer whose lists are counted
            "count": In(data.ArrayLayout(cfg.salient_depth.bit_length(), cfg.int_lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        word = Signal(self.act.payload.shape())      # the word being stored
        spikes = Signal(self.push.shape())           # its decoded spikes
        waiting = Signal(cfg.rows)                   # its salient codes still to store
        busy = Signal()
        fresh = Signal()
        done = Signal()
        fill = Signal()                              # buffer of the token being stored
        row = Signal(range(cfg.rows_k + 1))
        fits = row < cfg.rows_k
        complete = Signal()
        runs = [Signal(run_layout(cfg), name=f"run_{buf}") for buf in range(2)]

        # Take and decode a word.
        free = Signal()
        m.d.comb += self.act.ready.eq(free & (~busy | (done & ~word.last)))
        with m.If(done):
            m.d.sync += [busy.eq(0), row.eq(row + fits)]
            with m.If(word.last):
                m.d.sync += [row.eq(0), fill.eq(~fill)]
        m.d.sync += fresh.eq(0)
        with m.If(self.act.valid & self.act.ready):
            m.d.sync += [busy.eq(1), fresh.eq(1), word.eq(self.act.payload)]
            for lane in range(cfg.rows):
                spike, salient, level, neg = self._decode(self.act.payload.code[lane])
                m.d.sync += [spikes[lane].valid.eq(spike), spikes[lane].level.eq(level),
                             spikes[lane].neg.eq(neg), waiting[lane].eq(salient)]
            with m.If(self.act.payload.last):
                for buf in range(2):
                    with m.If(fill == buf):
                        m.d.sync += runs[buf].eq(self.run)

        # Store it: all spikes in its first cycle, one salient per group in each.
        m.d.comb += [self.push_row.eq(row), self.push_buf.eq(fill)]
        for lane in range(cfg.rows):
            m.d.comb += [self.push[lane].eq(spikes[lane]),
                         self.push[lane].valid.eq(spikes[lane].valid & busy & fresh & fits)]
        left = Signal(cfg.rows)                      # salients waiting after this cycle
        for group in range(cfg.int_lanes):
            first = group * cfg.group
            mine = waiting[first:first + cfg.group]
            port = self.push_salient[group]
            codes = [word.code[first + index] for index in range(cfg.group)]
            one = Signal(cfg.group, name=f"one_{group}")         # the lowest lane goes first
            m.d.comb += [
                one.eq(lowest(mine)), left[first:first + cfg.group].eq(mine & ~one),
                port.valid.eq(busy & mine.any() & fits), port.entry.row.eq(row),
                port.entry.q.eq(one_hot_or([code.q.as_unsigned() for code in codes], one)),
            ]
            if cfg.exp_bits:
                m.d.comb += port.entry.e.eq(one_hot_or([code.e for code in codes], one))
            if cfg.group > 1:
                numbers = [Const(index, len(port.entry.lane)) for index in range(cfg.group)]
                m.d.comb += port.entry.lane.eq(one_hot_or(numbers, one))
        m.d.comb += [done.eq(busy & ((left == 0) | ~fits)), complete.eq(done & word.last)]
        with m.If(busy & ~done):
            m.d.sync += waiting.eq(left)
        with m.If(busy & ~fits):
            m.d.sync += self.overflow.eq(1)

        self._hand_over(m, fill, complete, free, runs)
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

    def _hand_over(self, m, fill, complete, free, runs):
        """Announce complete tokens; buffers are used in turn, so each consumer keeps a pointer."""
        cfg = self.cfg
        levels = [Signal(cfg.window, name=f"levels_{buf}") for buf in range(2)]
        waits = Signal(2)               # not yet taken by the sequencer
        spikes_busy = Signal(2)         # not yet done with by the spike lanes
        salients_busy = Signal(2)       # ... by the integer lanes
        next_token = Signal()
        next_salients = Signal()
        m.d.comb += [
            free.eq(~((spikes_busy | salients_busy).bit_select(fill, 1))),
            self.token.valid.eq(waits.bit_select(next_token, 1)),
            self.token.payload.buf.eq(next_token),
            self.salients.valid.eq(salients_busy.bit_select(next_salients, 1)),
            self.salients.payload.buf.eq(next_salients),
            self.salients.payload.count.eq(self.count),
            self.count_buf.eq(next_salients),
        ]
        for buf in range(2):
            fired = Cat(Cat(self.push[lane].valid & (self.push[lane].level == level)
                            for lane in range(cfg.rows)).any()
                        for level in range(1, cfg.window + 1))
            with m.If(fill == buf):
                m.d.sync += levels[buf].eq(levels[buf] | fired)
                with m.If(complete):
                    m.d.sync += [waits[buf].eq(1), spikes_busy[buf].eq(1),
                                 salients_busy[buf].eq(1)]
            with m.If(next_token == buf):
                m.d.comb += [self.token.payload.levels.eq(levels[buf]),
                             self.token.payload.run.eq(runs[buf])]
                with m.If(self.token.valid & self.token.ready):
                    m.d.sync += [waits[buf].eq(0), next_token.eq(~next_token)]
            with m.If(next_salients == buf):
                m.d.comb += [self.salients.payload.tile_last.eq(runs[buf].tile_last),
                             self.salients.payload.stride.eq(runs[buf].stride)]
                with m.If(self.salients.valid & self.salients.ready):
                    m.d.comb += self.forget_salients[buf].eq(1)
                    m.d.sync += [salients_busy[buf].eq(0), next_salients.eq(~next_salients)]
            with m.If(self.spikes_done[buf]):
                m.d.sync += [spikes_busy[buf].eq(0), levels[buf].eq(0)]
        return m
