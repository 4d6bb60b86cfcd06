"""Sequencer: walks a token's levels downwards, tile by tile, keeping all lanes in step."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import fire_layout, token_layout
from spinteger.config import Config


def step_layout(cfg: Config) -> data.StructLayout:
    """One time step of one tile that has events (or an empty one, if the tile has none)."""
    return data.StructLayout({
        "buf": 1, "level": cfg.level_bits, "base": cfg.addr_bits,
        "dt": cfg.level_bits,    # time steps until the tile's next events, or its end
        "tile_end": 1, "token_end": 1, "fire": fire_layout(cfg)})


class Sequencer(wiring.Component):
    """Issues the steps of time t = L - level that have events; the others are skipped.

    A step lasts as long as the lane with most events in it (at least one cycle); `dt` tells V how
    many skipped steps its S stands for. Steps, tiles
    and tokens follow each other without a gap: the next step is planned while the current one
    runs. `snap` marks a step's last cycle.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "token": In(stream.Signature(token_layout(cfg))),    #: complete tokens
            "done": Out(2),                      #: the spike lanes are done with buffer 0, 1
            "en": In(1),                         #: spike pipeline enable
            "load": Out(1),                      #: lanes: start on a bucket
            "load_buf": Out(1),                  #: ... of this buffer
            "load_level": Out(cfg.level_bits),   #: ... and this level
            "lanes_last": In(1),                 #: no lane has an event after this cycle's
            "base": Out(cfg.addr_bits),          #: the tile's first bank row, with the events
            "snap": Out(1),                      #: this cycle's events complete a step
            "step": Out(step_layout(cfg)),       #: the step, valid with `snap`
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        plan = Signal(step_layout(cfg))
        plan_valid = Signal()
        plan_taken = Signal()
        busy = Signal()

        # Plan: the highest level left in this tile, then the tiles, then the next token.
        token, run = self.token.payload, self.token.payload.run
        started = Signal()
        rest = Signal(cfg.window)
        tile = Signal(cfg.tile_bits)
        base = Signal(cfg.addr_bits)
        todo = Signal(cfg.window)
        after = Signal(cfg.window)
        level = Signal(cfg.level_bits)
        next_level = Signal(cfg.level_bits)
        tile_end = Signal()
        token_end = Signal()
        m.d.comb += [
            todo.eq(Mux(started, rest, token.levels)),
            after.eq(todo),
            tile_end.eq(after == 0),
            token_end.eq(tile_end & (tile == run.tile_last)),
        ]
        for index in range(cfg.window):      # the last match, the highest level, wins
            with m.If(todo[index]):
                m.d.comb += [level.eq(index + 1), after.eq(todo & ((1 << index) - 1))]
            with m.If(after[index]):
                m.d.comb += next_level.eq(index + 1)
        with m.If(self.token.valid & (~plan_valid | plan_taken)):
            m.d.comb += self.token.ready.eq(token_end)
            m.d.sync += [
                plan_valid.eq(1),
                plan.buf.eq(token.buf), plan.level.eq(level), plan.base.eq(base),
                plan.dt.eq(level - next_level),
                plan.tile_end.eq(tile_end), plan.token_end.eq(token_end),
                plan.fire.tile.eq(tile), plan.fire.last.eq(tile == run.tile_last),
                plan.fire.raw.eq(run.raw), plan.fire.unsigned.eq(run.unsigned),
                plan.fire.spikes_only.eq(run.spikes_only), plan.fire.silence.eq(run.silence),
                started.eq(~tile_end), rest.eq(after),
            ]
            with m.If(tile_end):
                m.d.sync += [tile.eq(tile + 1), base.eq(base + run.stride)]
                with m.If(token_end):
                    m.d.sync += [tile.eq(0), base.eq(0)]
        with m.Elif(plan_taken):
            m.d.sync += plan_valid.eq(0)

        # Run: hand the planned step to the lanes when they finish the current one.
        m.d.comb += [
            plan_taken.eq(self.en & plan_valid & (~busy | self.lanes_last)),
            self.load.eq(plan_taken), self.load_buf.eq(plan.buf), self.load_level.eq(plan.level),
            self.snap.eq(busy & self.lanes_last),
            self.done.eq(Mux(self.en & self.snap & self.step.token_end,
                             Cat(~self.step.buf, self.step.buf), 0)),
        ]
        with m.If(self.en):
            m.d.sync += self.base.eq(self.step.base)
            with m.If(plan_taken):
                m.d.sync += [self.step.eq(plan), busy.eq(1)]
            with m.Elif(self.lanes_last):
                m.d.sync += busy.eq(0)
        return m
