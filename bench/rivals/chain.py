"""Adders whose second operand is a small function for free: what a carry chain of ECP5 can do.

A CCU2C adds A + f(B, C, D) in one LUT per bit if f(B, 0, 0) = 0: its LUT gives A ^ f, and the
carry of a bit that does not propagate is A, looked up in the LUT's own rows for C = D = 0.
Yosys never infers this, so `map_chains` replaces the body of each `Chain` by the cells it means,
as `gen.ecp5` does with our add-subtracts. That both are the same is proven (tests/bench).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Kind -> f(B, C, D) of one bit, which ports are one bit for the whole word, carry into bit 0.
#:   rows: (b ^ d) & c     rows of a product            neg: b ^ d, and +d     add or subtract
#:   merge: b & d | c      two sources in turn          mux: d ? b : c
#:   count: b, and +(c&d)  two counts and one more product of bits
_BIT: dict[str, Callable[[int, int, int], int]] = {
    "rows": lambda b, c, d: (b ^ d) & c,
    "merge": lambda b, c, d: b & d | c,
    "mux": lambda b, c, d: b if d else c,
    "neg": lambda b, c, d: b ^ c,
    "count": lambda b, c, d: b,
}
_SCALAR = {"rows": "d", "merge": "d", "mux": "d", "neg": "d", "count": "cd"}


class Chain(wiring.Component):
    """y = a + f(b, c, d), modulo 2^width; see the table above. Combinational.

    `a` and `b` (and `c`, in merge and mux) are extended to `width` by their own signs. In "rows",
    `a` and y are fields side by side, as many as `c` has bits: b goes into field i if c[i].
    All is unsigned there, and y's fields must be wide enough.
    """

    def __init__(self, kind: str, a: Shape, b: Shape, width: int, c: Shape | None = None):
        self._kind, self._width = kind, width
        ports = {"a": In(a), "b": In(b)}
        if kind != "neg":
            ports["c"] = In(1 if kind == "count" else c or b)
        shape = unsigned if kind in ("rows", "count") else signed
        ports |= {"d": In(1), f"y_{kind}": Out(shape(width))}
        super().__init__(ports)

    @property
    def y(self) -> Value:
        """The sum."""
        return getattr(self, f"y_{self._kind}")

    def elaborate(self, platform):
        m = Module()
        a, b, c = (Signal(signed(self._width), name=f"wide_{name}") for name in "abc")
        if self._kind == "rows":
            fields = len(self.c)
            part, wide = len(self.a) // fields, self._width // fields
            word = self.b ^ self.d.replicate(len(self.b))
            m.d.comb += [self.y[i * wide:(i + 1) * wide].eq(
                self.a[i * part:(i + 1) * part] + (word & self.c[i].replicate(len(word))))
                for i in range(fields)]
            return m
        m.d.comb += [a.eq(self.a), b.eq(self.b)]
        if self._kind == "neg":
            m.d.comb += self.y.eq(Mux(self.d, a - b, a + b))
        elif self._kind == "count":
            m.d.comb += self.y.eq(a + b + (self.c & self.d))
        else:
            m.d.comb += c.eq(self.c)
            m.d.comb += self.y.eq(a + (b & self.d.replicate(self._width) | c
                                       if self._kind == "merge" else Mux(self.d, b, c)))
        return m


_MODULE = re.compile(r"^module (?P<name>\w+) ?\((?P<ports>.*?)\);.*?^endmodule$", re.M | re.S)
_PORT = re.compile(r"(?P<dir>input|output) wire (?P<signed>signed )?(?:\[(?P<high>\d+):0\] )?"
                   r"(?P<name>\w+)")


def map_chains(verilog: str) -> tuple[str, list[str]]:
    """The design with every `Chain` as CCU2C cells, and the names of those modules.

    A `d`, or in merge a `c`, that is constantly 0 is no port, and is taken as 0.
    """
    mapped = []

    def replace(match: re.Match[str]) -> str:
        ports = {port["name"]: (int(port["high"] or 0) + 1, bool(port["signed"]))
                 for port in _PORT.finditer(match["ports"])}
        kinds = [name[2:] for name in ports if name[:2] == "y_" and name[2:] in _SCALAR]
        if not kinds:
            return match[0]
        needs = {"a", "b", f"y_{kinds[0]}"} | {
            "neg": {"d"}, "count": {"c", "d"}, "merge": {"d"}}.get(kinds[0], {"c"})
        if not needs <= set(ports) <= needs | {"c", "d"}:
            raise ValueError(f"{match['name']}: a chain with ports {sorted(ports)}")
        mapped.append(match["name"])
        return _cells(match["name"], kinds[0], ports)

    return _MODULE.sub(replace, verilog), mapped


def _table(kind: str) -> int:
    """INIT of one bit, input A the lowest bit of the index."""
    init = 0
    for index in range(16):
        a, b, c, d = (index >> bit & 1 for bit in range(4))
        # neg and count have D tied to 1, so that the rows of D = 0 only serve the carry.
        init |= (a if not (c or d) else a ^ _BIT[kind](b, c, d)) << index
    return init


def _cells(name: str, kind: str, ports: dict[str, tuple[int, bool]]) -> str:
    """A chain as a Verilog module of CCU2C cells."""
    width = ports[f"y_{kind}"][0]

    def bit(port: str, place: int) -> str:
        if port not in ports:
            return "1'b0"
        bits, sign = ports[port]
        if port in _SCALAR[kind]:
            return port
        if place < bits:
            return f"{port}[{place}]" if bits > 1 else port
        return (f"{port}[{bits - 1}]" if bits > 1 else port) if sign else "1'b0"

    # One site (A, B, C, D, INIT, bit of y) per bit; `neg` and `count` start with one that makes
    # their carry: while D is 1 nothing propagates, and the carry comes from its rows C = D = 0.
    table = f"16'h{_table(kind):04x}"
    sites: list[tuple[str, str, str, str, str, int | None]]
    if kind == "rows":
        fields = ports["c"][0]
        part, wide, bits = ports["a"][0] // fields, width // fields, ports["b"][0]
        sites = [(f"a[{i * part + j}]" if j < part else "1'b0",
                  *((bit("b", j), bit("c", i), bit("d", 0)) if j < bits else ("1'b0",) * 3),
                  table, i * wide + j) for i in range(fields) for j in range(wide)]
    elif kind == "neg":
        sites = [("d", "1'b0", "1'b0", "1'b1", "16'h00aa", None)]
        sites += [(bit("a", i), bit("b", i), "d", "1'b1", table, i) for i in range(width)]
    elif kind == "count":
        sites = [("c", "d", "1'b0", "1'b1", "16'h0008", None)]
        sites += [(bit("a", i), bit("b", i), "1'b0", "1'b1", table, i) for i in range(width)]
    else:
        sites = [(bit("a", i), bit("b", i), bit("c", i), bit("d", i), table, i)
                 for i in range(width)]
    if len(sites) % 2:
        sites.append(("1'b0",) * 4 + ("16'h0000", None))
    heads = [f"{'output' if port.startswith('y_') else 'input'} {'signed ' * sign}"
             f"[{bits - 1}:0] {port}" for port, (bits, sign) in ports.items()]
    lines = [f"module {name} ({', '.join(heads)});"]
    carry = "1'bx" if kind in ("neg", "count") else "1'b0"
    for pair in range(len(sites) // 2):
        pins = [f".CIN({carry})", f".COUT(co{pair})"]
        inits = []
        lines.append(f"  wire co{pair};")
        for half, (a, b, c, d, init, place) in enumerate(sites[2 * pair:2 * pair + 2]):
            pins += [f".A{half}({a})", f".B{half}({b})", f".C{half}({c})", f".D{half}({d})"]
            if place is not None:
                pins.append(f".S{half}(y_{kind}[{place}])")
            inits += [f".INIT{half}({init})", f'.INJECT1_{half}("NO")']
        lines.append(f"  CCU2C #({', '.join(inits)}) c{pair} ({', '.join(pins)});")
        carry = f"co{pair}"
    return "\n".join([*lines, "endmodule"])
