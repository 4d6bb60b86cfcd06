"""Selecting one of many values: as a tree of two-way choices, which maps to a LUT's own muxes."""

from collections.abc import Sequence

from amaranth.hdl import Mux, Value
from amaranth.lib import data


def pick(values: Sequence[Value], index: Value) -> Value:
    """values[index], any value if `index` is past the end. A Switch costs three times the LUTs."""
    values = list(values)
    bit = 0
    while len(values) > 1:
        odd = values[-1:] if len(values) % 2 else []
        values = [Mux(index[bit], high, low)
                  for low, high in zip(values[::2], values[1::2], strict=False)] + odd
        bit += 1
    return values[0]


def setting(settings: data.View, run: Value, name: str) -> Value:
    """One setting of the run, 0 or 1, that a word belongs to. `settings` has those of both."""
    return Mux(run, settings[1][name], settings[0][name])


def lowest(bits: Value) -> Value:
    """One-hot of the lowest set bit; zero if none is."""
    return (bits & -bits.as_unsigned())[:len(bits)]


def one_hot_or(values: Sequence[Value], selected: Value) -> Value:
    """The value whose bit of one-hot `selected` is set; zero if none is."""
    total = None
    for value, bit in zip(values, selected, strict=True):
        bits = value & bit.replicate(len(value))
        total = bits if total is None else total | bits
    assert total is not None
    return total
