"""Balancer: sends each spike of a row to the home lane that has the fewest of its level."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.select import pick
from spinteger.config import Config


def spike_layout(cfg: Config) -> data.StructLayout:
    """A spike on its way into an event queue."""
    return data.StructLayout({"level": cfg.level_bits, "neg": 1})


class Balancer(wiring.Component):
    """Lanes wait for the longest one at every time step, so steps are kept even as they form.

    Each input has `homes` lanes whose banks hold its weights, one in each block of G lanes
    (`Config.home_position`). Of these the one with the fewest events of the spike's level takes
    it, the lowest block where they are equal. A row's groups have different lanes, so all G
    spikes are placed in one cycle. With one home, group g's lane is g.

    On real layers, 16 lanes: 1.42-1.60 x the cycles of a dense array with one home, 0.67-0.96
    with four (`python -m bench.lanes`). Combinational.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "valid": In(cfg.groups),                #: groups that spike
            "spike": In(data.ArrayLayout(spike_layout(cfg), cfg.groups)),   #: ... and how
            "pattern": In(cfg.pattern_bits),        #: row mod patterns
            "offer": Out(data.ArrayLayout(spike_layout(cfg), cfg.rows)),    #: spike per home lane
            "fill": In(data.ArrayLayout(cfg.count_bits, cfg.rows)),    #: events of its level there
            "push": Out(cfg.rows),                  #: lanes that take it
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        if cfg.homes == 1:
            m.d.comb += [self.offer.eq(self.spike), self.push.eq(self.valid)]
            return m

        def permuted(values, home):
            """values[position ^ offset of this home in this row's pattern], per position."""
            return [pick([values[position ^ cfg.home_position(pattern, home)]
                          for pattern in range(cfg.patterns)], self.pattern)
                    for position in range(cfg.groups)]

        spikes = [self.spike[group].as_value() for group in range(cfg.groups)]
        fills = []                    # by home, then by group
        for home in range(cfg.homes):
            lanes = range(home * cfg.groups, (home + 1) * cfg.groups)
            m.d.comb += [self.offer[lane].eq(spike)
                         for lane, spike in zip(lanes, permuted(spikes, home), strict=True)]
            fills.append(permuted([self.fill[lane] for lane in lanes], home))
        chosen = []                   # by group: its home, one hot
        for group in range(cfg.groups):
            best = [(Const(1 << home, cfg.homes), fills[home][group])
                    for home in range(cfg.homes)]
            while len(best) > 1:
                best = [self._fewer(m, *pair) for pair in zip(best[::2], best[1::2], strict=True)]
            chosen.append(Signal(cfg.homes, name=f"chosen_{group}"))
            m.d.comb += chosen[group].eq(Mux(self.valid[group], best[0][0], 0))
        for home in range(cfg.homes):
            mine = permuted([one[home] for one in chosen], home)
            m.d.comb += self.push[home * cfg.groups:(home + 1) * cfg.groups].eq(Cat(mine))
        return m

    def _fewer(self, m, left, right):
        """The emptier of two (home, fill) candidates; the left one if they are equal."""
        takes_right = Signal()
        m.d.comb += takes_right.eq(right[1] < left[1])
        return Mux(takes_right, right[0], left[0]), Mux(takes_right, right[1], left[1])
