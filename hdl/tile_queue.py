"""Tile queue: columns and tiles between the pipelines of the IF bank and what sends them on."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.payloads import tile_layout
from spinteger.config import Config

#: Steps of a linear feedback register: bits -> the two whose sum is shifted in. (Any reference.)
_TAPS = {9: (8, 4), 10: (9, 6)}


def entry_bits(cfg: Config) -> int:
    """Bits of a column's address: one block memory of ECP5, or two where tiles are wide."""
    return 9 if cfg.cols <= 128 else 10


def tile_places(cfg: Config) -> int:
    """Tiles kept: a row of distributed memory, or two where many are in the pipelines at once."""
    return 16 if cfg.cols > 2 else 32


def tiles_inside(cfg: Config) -> int:
    """Tiles that there is room for: their columns all have a place."""
    return min(((1 << entry_bits(cfg)) - 1) // cfg.cols, tile_places(cfg) - 3)


class TileQueue(wiring.Component):
    """Tiles enter, then their columns come, at some time and in order; both leave in order.

    A place for all of its columns is kept for a tile that enters, so nothing behind it need ever
    wait. Room for `tiles_inside`, 13 where C = 16. One column per cycle; it can be taken 3 cycles
    after it came, a tile 1 cycle after it entered. A tile that was taken is inside until it is
    `done`. Addresses count without carries, by shifting.
    """

    def __init__(self, cfg: Config, shape):
        self.cfg, self._shape = cfg, shape
        super().__init__({
            "room": Out(1),                     #: a tile may enter
            "enter": In(1),                     #: ... it does
            "enter_tile": In(tile_layout(cfg)),    #: ... this one
            "push": In(1),                      #: the next column comes
            "push_entry": In(shape),            #: ... which is this
            "tile": Out(stream.Signature(tile_layout(cfg))),    #: the oldest tile
            "done": In(1),                      #: the oldest tile has left
            "entry": Out(stream.Signature(shape)),              #: the oldest column
            "empty": Out(1),                    #: no tile is inside
        })

    def elaborate(self, platform):
        m = Module()
        self._tiles(m)

        # Read on while the register behind the memory can move.
        m.submodules.entries = entries = Memory(shape=self._shape, init=[],
                                                depth=1 << entry_bits(self.cfg))
        write, read = entries.write_port(), entries.read_port()
        bits = entry_bits(self.cfg)
        pushed, popped = Signal(bits, init=1), Signal(bits, init=1)
        read_valid = Signal()                   # the memory's own register has a column
        move, fetch = Signal(), Signal()
        m.d.comb += [
            write.addr.eq(pushed), write.data.eq(self.push_entry), write.en.eq(self.push),
            read.addr.eq(popped), read.en.eq(fetch),
            move.eq(~self.entry.valid | self.entry.ready), fetch.eq(~read_valid | move),
        ]
        with m.If(self.push):
            m.d.sync += pushed.eq(_after(pushed))
        kept = Signal(self._shape, reset_less=True)
        with m.If(fetch):
            m.d.sync += read_valid.eq(pushed != popped)
            with m.If(pushed != popped):
                m.d.sync += popped.eq(_after(popped))
        with m.If(move):
            m.d.sync += [Value.cast(kept).eq(read.data), self.entry.valid.eq(read_valid)]
        m.d.comb += self.entry.payload.eq(kept)
        return m

    def _tiles(self, m):
        """The tiles, in a small memory."""
        cfg = self.cfg
        m.submodules.tiles = tiles = Memory(shape=tile_layout(cfg), depth=tile_places(cfg), init=[])
        write, read = tiles.write_port(), tiles.read_port(domain="comb")
        entered, taken = Signal(range(tile_places(cfg))), Signal(range(tile_places(cfg)))
        count = Signal(range(tile_places(cfg)))            # inside
        m.d.comb += [
            write.addr.eq(entered), write.data.eq(self.enter_tile), write.en.eq(self.enter),
            read.addr.eq(taken), self.tile.valid.eq(entered != taken),
            self.tile.payload.eq(read.data), self.empty.eq(count == 0),
        ]
        with m.If(self.enter):
            m.d.sync += entered.eq(entered + 1)
        with m.If(self.tile.valid & self.tile.ready):
            m.d.sync += taken.eq(taken + 1)
        # Room is told of a cycle late: tiles that come sooner have hardly any columns.
        with m.If(self.enter != self.done):
            m.d.sync += count.eq(count + Mux(self.enter, 1, -1))
        m.d.sync += self.room.eq(count < tiles_inside(cfg))


def _after(address):
    """The address after this one; all but 0 have their turn."""
    high, low = _TAPS[len(address)]
    return Cat(address[high] ^ address[low], address[:-1])
