"""Control that all rivals share: walks a run word by word and gives the memories' addresses."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from bench.rivals.interface import COUNT_BITS, Shape, bits_for, run_layout


class Sequencer(wiring.Component):
    """For each token, tile, pass and word: an activation address and a weight address.

    One word per cycle in which `step` is up, registered. A tile's words lie one after the other
    in both memories; every tile rereads its token's. `passes` times over in a row (bit-serial).
    A tile's last word waits for `room` and for the tile before to be `done`: there is at most
    one tile between last word and sum. Then follow `gap` cycles without words.
    """

    def __init__(self, shape: Shape, wgt_depth: int, *, passes: int = 1, gap: int = 0):
        self._layout = run_layout(shape, shape.act_depth, wgt_depth)
        self._passes, self._gap = passes, gap
        super().__init__({
            "run": In(stream.Signature(self._layout)),          #: what to walk
            "step": In(1),                                      #: the word is taken
            "room": In(1),                                      #: the sink takes one more tile
            "done": In(1),                                      #: a tile's sums leave
            "valid": Out(1),                                    #: a word
            "act_addr": Out(bits_for(shape.act_depth)),         #: ... of the activation memory
            "wgt_addr": Out(bits_for(wgt_depth)),               #: ... of the weight memory
            "number": Out(bits_for(passes)),                    #: ... in this pass
            "end": Out(1),                                      #: ... the last of its pass
            "last": Out(1),                                     #: ... and of its tile
        })

    def elaborate(self, platform):
        m = Module()
        run = Signal(self._layout)
        busy, begin, ready, pending = Signal(), Signal(), Signal(), Signal()
        word, tile, token = (Signal(COUNT_BITS, name=name) for name in ("word", "tile", "token"))
        number = Signal.like(self.number)
        act, act_token = (Signal.like(self.act_addr, name=n) for n in ("act", "act_token"))
        wgt, wgt_tile = (Signal.like(self.wgt_addr, name=n) for n in ("wgt", "wgt_tile"))
        rest, rests = Signal(range(self._gap + 1)), Signal()
        end, last, issue, go = Signal(), Signal(), Signal(), Signal()
        counts = word, tile, token
        limits = [run[name] for name in ("words", "tiles", "tokens")]
        wraps, tile_wraps, token_wraps = (      # these counters are at their ends
            Signal(name=f"{count.name}_wraps") for count in counts)
        once = one_word, one_tile, one_token = [    # ... and never anywhere else
            Signal(name=f"one_{count.name}") for count in counts]
        before = word_before, tile_before, token_before = [
            Signal(COUNT_BITS, name=f"{count.name}_before") for count in counts]
        m.d.comb += [
            self.run.ready.eq(~busy & ~begin & ~ready),
            end.eq(wraps), last.eq(end & (number == self._passes - 1)),
            go.eq(busy & self.step & ~rests),
            issue.eq(go & ~(last & (pending | ~self.room))),
        ]
        with m.If(self.step):
            m.d.sync += [
                self.valid.eq(issue), self.act_addr.eq(act), self.wgt_addr.eq(wgt),
                self.number.eq(number), self.end.eq(end), self.last.eq(last),
            ]
        if self._gap:
            m.d.sync += rest.eq(rest - 1)
            with m.If(rest == 2):
                m.d.sync += rests.eq(0)
        with m.If(self.done):
            m.d.sync += pending.eq(0)
        # Counters count up to the run's numbers; their resets are free. That one is at its end is
        # known a word before.
        m.d.sync += [signal.eq(limit - 1) for signal, limit in zip(before, limits, strict=True)]
        m.d.sync += [signal.eq(limit == 0) for signal, limit in zip(once, limits, strict=True)]
        with m.If(issue):
            m.d.sync += [word.eq(word + 1), wraps.eq((word == word_before) | one_word),
                         act.eq(Mux(end, act_token, act + 1)),
                         wgt.eq(Mux(end, wgt_tile, wgt + 1))]
            if self._passes > 1:
                m.d.sync += number.eq(number + end)
            with m.If(end):
                m.d.sync += [word.eq(0), wraps.eq(one_word)]
            with m.If(last):
                m.d.sync += [pending.eq(1), tile.eq(tile + 1),
                             tile_wraps.eq((tile == tile_before) | one_tile)]
                if self._gap:
                    m.d.sync += [rest.eq(self._gap), rests.eq(1)]
                m.d.sync += [signal.eq(Mux(tile_wraps, run.wgt_base, wgt + 1))
                             for signal in (wgt, wgt_tile)]
                with m.If(tile_wraps):
                    m.d.sync += [tile.eq(0), tile_wraps.eq(one_tile), token.eq(token + 1),
                                 token_wraps.eq((token == token_before) | one_token),
                                 act.eq(act + 1), act_token.eq(act + 1)]
                    with m.If(token_wraps):
                        m.d.sync += busy.eq(0)
        m.d.sync += [begin.eq(self.run.valid & self.run.ready), ready.eq(begin)]
        with m.If(self.run.valid & self.run.ready):
            m.d.sync += run.eq(self.run.payload)
        with m.If(ready):
            m.d.sync += [
                busy.eq(1), word.eq(0), wraps.eq(one_word), tile.eq(0),
                tile_wraps.eq(one_tile), token.eq(0),
                token_wraps.eq(one_token), act.eq(run.act_base),
                act_token.eq(run.act_base), wgt.eq(run.wgt_base), wgt_tile.eq(run.wgt_base),
            ]
        return m
