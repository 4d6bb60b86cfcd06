"""What the dispatcher tells the loaders."""

from math import gcd

from amaranth.hdl import Cat, Value
from amaranth.lib import data

from hdl.multiply import times
from spinteger.config import Config

#: Most bits of a sparse load's map that are looked at in one cycle.
MAP_STEP = 4


def map_step(cfg: Config) -> int:
    """Inputs of a sparse load that are looked at together: they share a bank row."""
    return gcd(cfg.groups, MAP_STEP)


def placed(count: int, slot: Value, place: Value) -> Value:
    """A place in a slot, in a memory that has `count` of them per slot."""
    if count & (count - 1) == 0:
        return Cat(place[:count.bit_length() - 1], slot)
    return times(slot, count) + place


def load_layout(cfg: Config) -> data.StructLayout:
    """One load, checked: sizes are within the machine's."""
    return data.StructLayout({
        "op": data.StructLayout({"wgt": 1, "thr": 1, "scale": 1, "act": 1}),    # what, one hot
        "slot": cfg.slot_bits,               # the weight slot to fill
        "rows": range(cfg.rows_k + 1),       # per tile or token
        "tiles": range(cfg.tiles + 1),
        "sparse": 1,                         # weights: only the rows that a bit map names
        "buf": 1,                            # the activation buffer to fill
        "tokens": range(cfg.tokens + 1)})
