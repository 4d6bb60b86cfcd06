"""Balancer: sends each spike of a row to the home lane that has the fewest of its level."""

import itertools

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.select import pick
from spinteger.config import Config


def spike_layout(cfg: Config) -> data.StructLayout:
    """A spike on its way into an event queue."""
    return data.StructLayout({"level": cfg.level_bits, "neg": 1})


def row_cycles(cfg: Config) -> int:
    """Cycles that a row of codes takes at least: until the next one's counts include it, or until
    the encoder knows that it is done."""
    return 3 if cfg.homes > 1 else 2


class Balancer(wiring.Component):
    """Lanes wait for the longest one at every time step, so steps are kept even as they form.

    Each input has `homes` lanes whose banks hold its weights, one in each block of G lanes
    (`Config.home_position`). Of these the one with the fewest events of the spike's level takes
    it, the lowest block where they are equal. A row's groups have different lanes, so all G
    spikes are placed at once. With one home, group g's lane is g.

    On real layers, 16 lanes: 1.42-1.60 x the cycles of a dense array with one home, 0.67-0.96
    with four (`python -m bench.lanes`).

    Spikes are on offer from the cycle after they came, and placed at the end of the third cycle
    of that: one to look up the counts, one to compare them, one to store (one home: at the end of
    the first). The inputs hold still for two cycles after that of `valid`. A row comes every
    `row_cycles` cycles, for its counts must include the row before: three times slower than it
    could be if they did not, and still not in the way, since a token is encoded once and replayed
    for every column tile.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "valid": In(cfg.groups),                #: groups of a row that spike; for one cycle
            "spike": In(data.ArrayLayout(spike_layout(cfg), cfg.groups)),   #: ... and how
            "pattern": In(cfg.pattern_bits),        #: row mod patterns
            "offer": Out(data.ArrayLayout(spike_layout(cfg), cfg.rows)),    #: a cycle later: spike
                                                    #: per home lane
            "fill": In(data.ArrayLayout(cfg.count_bits, cfg.rows)),    #: events of its level there
            "push": Out(cfg.rows),                  #: lanes that take it
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        valid = Signal(cfg.groups)             # of the row whose spikes are on offer
        m.d.sync += valid.eq(self.valid)
        spikes = [self.spike[group].as_value() for group in range(cfg.groups)]
        if cfg.homes == 1:
            m.d.sync += [offer.eq(spike) for offer, spike in zip(self.offer, spikes, strict=True)]
            m.d.comb += self.push.eq(valid)
            return m

        # Look up: the lanes answer to what is on offer.
        fills = []                             # by home, then by group; registered
        offsets = []                           # by home: a group's lane is `group` XOR this
        for home in range(cfg.homes):
            lanes = range(home * cfg.groups, (home + 1) * cfg.groups)
            offset = pick([Const(cfg.home_position(pattern, home), cfg.group_bits)
                           for pattern in range(cfg.patterns)], self.pattern)
            kept = Signal(cfg.group_bits, name=f"offset_{home}")
            m.d.sync += [kept.eq(offset), *(
                self.offer[lane].eq(spike)
                for lane, spike in zip(lanes, self._permuted(spikes, offset), strict=True))]
            answers = self._permuted([self.fill[lane] for lane in lanes], kept)
            fills.append([Signal(cfg.count_bits, name=f"fill_{home}_{group}")
                          for group in range(cfg.groups)])
            m.d.sync += [reg.eq(answer) for reg, answer in zip(fills[home], answers, strict=True)]
            offsets.append(kept)
        looked_up = Signal(cfg.groups)
        m.d.sync += looked_up.eq(valid)

        # Compare all pairs at once: a home is chosen if no lower one is as empty, no higher one
        # emptier.
        chosen = [Signal(cfg.homes, name=f"chosen_{group}") for group in range(cfg.groups)]
        for group, choice in enumerate(chosen):
            emptier = {}                       # (lower, higher): the higher home is the emptier
            for low, high in itertools.combinations(range(cfg.homes), 2):
                emptier[low, high] = Signal(name=f"emptier_{group}_{low}_{high}")
                m.d.comb += emptier[low, high].eq(fills[high][group] < fills[low][group])
            m.d.sync += choice.eq(Cat(
                looked_up[group] & Cat(emptier[low, home] for low in range(home)).all()
                & ~Cat(emptier[home, high] for high in range(home + 1, cfg.homes)).any()
                for home in range(cfg.homes)))

        # Store.
        for home in range(cfg.homes):
            mine = self._permuted([one[home] for one in chosen], offsets[home])
            m.d.comb += self.push[home * cfg.groups:(home + 1) * cfg.groups].eq(Cat(mine))
        return m

    def _permuted(self, values, offset):
        """values[position ^ offset], per position.

        A bit of the offset swaps neighbours 2^bit apart: two LUTs a value where choosing one of
        four takes three.
        """
        for bit in range((self.cfg.groups - 1).bit_length()):
            values = [Mux(offset[bit], values[position ^ 1 << bit], values[position])
                      for position in range(self.cfg.groups)]
        return values
