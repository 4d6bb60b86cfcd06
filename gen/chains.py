"""Carry chains of ECP5 that Yosys does not find by itself: adders, named, as CCU2C cells.

A bit of a CCU2C adds A and any f(B, C, D) that is 0 where C = D = 0, in one LUT site. So adding
or subtracting, and adding one of two operands, cost no more than adding; but Yosys infers
neither. The bodies of the modules that mean it (`hdl.addsub`, `hdl.add_select`) are replaced
before synthesis; that nothing but the cells changes is proven by a test (tests/gen/test_chains.py).

A carry-in, even a constant one, would cost two sites at placement (nextpnr inserts a cell to feed
it in). Here it takes one, of the chain itself: a bit whose propagate is 0 puts out its A.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

MODULE = re.compile(r"^module (?P<name>\w+) ?\((?P<ports>.*?)\);.*?^endmodule$", re.M | re.S)
_WIDE = re.compile(r"assign wide_b = (.*);")
_SUM = re.compile(r"assign _1_ = \{ (.*), 1'h1 \} \+ \{ _0_, sub \};")
_CHOICE = re.compile(r"assign _0_ = sel \? (.*) : (.*);")
_CHOSEN = re.compile(r"assign \w+ = (?:\$signed\(a\) \+ \$signed\(_0_\)|a \+ _0_);")
_PART = re.compile(r"(?P<n>\d+)'h(?P<value>[0-9a-f]+)"
                   r"|(?P<name>\w+)(?:\[(?P<high>\d+)(?::(?P<low>\d+))?\])?")
_PORT = re.compile(r"(?P<dir>input|output) wire (?P<signed>signed )?(?:\[(?P<high>\d+):0\] )?"
                   r"(?P<name>\w+)")


@dataclass(frozen=True)
class Port:
    """One port of a Verilog module."""

    width: int
    signed: bool


def _table(function: Callable[[int, int, int, int], int]) -> str:
    """INIT of a LUT4: bit A + 2B + 4C + 8D is its value there."""
    bits = (function(i & 1, i >> 1 & 1, i >> 2 & 1, i >> 3) & 1 for i in range(16))
    return f"16'h{sum(bit << i for i, bit in enumerate(bits)):04x}"


#: A +- B: the propagate; where C = D = 0, A, the generate. D is tied to 1.
_ADDSUB = _table(lambda a, b, c, d: a ^ ((b ^ c) & d))
#: A + (D ? B : C).
_SELECT = _table(lambda a, b, c, d: a ^ (b if d else c))
#: Carry out = A, whatever came in. D is tied to 1.
_CARRY = _table(lambda a, b, c, d: a & ~d)
_ZERO = "16'h0000"


@dataclass(frozen=True)
class _Bit:
    """One bit of a chain: its table and inputs, and where its sum goes."""

    init: str
    inputs: tuple[str, str, str, str]    #: A, B, C, D
    sum: str = ""


def _chain(bits: Iterable[_Bit]) -> str:
    """CCU2C cells, two bits each; an odd last one gets an idle neighbour."""
    bits = list(bits)
    if len(bits) % 2:
        bits.append(_Bit(_ZERO, ("1'b0",) * 4))
    pairs = list(zip(bits[::2], bits[1::2], strict=True))
    lines = [f"  wire [{len(pairs)}:0] carry;"]
    for number, pair in enumerate(pairs):
        # Either end stays unconnected, or nextpnr adds a cell for it. The first bit makes a carry.
        pins = [f".CIN({f'carry[{number}]' if number else ''})",
                f".COUT({f'carry[{number + 1}]' if number + 1 < len(pairs) else ''})"]
        for half, bit in enumerate(pair):
            pins += [f".{pin}{half}({net})" for pin, net in zip("ABCD", bit.inputs, strict=True)]
            pins.append(f".S{half}({bit.sum})")
        lines.append(f"  CCU2C #(.INIT0({pair[0].init}), .INIT1({pair[1].init}), "
                     f'.INJECT1_0("NO"), .INJECT1_1("NO")) chain_{number} ({", ".join(pins)});')
    return "\n".join(lines)


def operand(expression: str, ports: dict[str, Port]) -> list[str] | None:
    """The bits, lowest first, of a constant, a port, a part of one, or several put together.

    The generator makes bits of an operand that are always constant, or always another bit, part of
    the module: so the ports alone do not say what is added. None if it is anything else.
    """
    text = expression.strip()
    if repeated := re.fullmatch(r"\{ *(\d+)(\{.*\}) *\}", text):
        inner = operand(repeated[2], ports)
        return inner and inner * int(repeated[1])
    if text.startswith("{") and text.endswith("}"):
        parts = [operand(part, ports) for part in _split(text[1:-1])]
        return None if None in parts else [bit for part in reversed(parts) for bit in part or ()]
    match = _PART.fullmatch(text)
    if match is None:
        return None
    if match["n"]:
        return [f"1'b{int(match['value'], 16) >> bit & 1}" for bit in range(int(match["n"]))]
    port = ports.get(match["name"])
    if port is None:
        return None
    high = int(match["high"]) if match["high"] else port.width - 1
    low = int(match["low"] or high) if match["high"] else 0
    return [_bit_of(match["name"], port, bit) for bit in range(low, high + 1)]


def _split(text: str) -> list[str]:
    """A list's elements, those in braces whole."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def addsub_operands(body: str, ports: dict[str, Port]) -> tuple[list[str], list[str]] | None:
    """Both operands of an `AddSub`, as wide as its sum; None if its body is not as expected."""
    wide, total = _WIDE.search(body), _SUM.search(body)
    width = ports["y"].width
    if wide is None or total is None or f"wide_b ^ {{{width}{{sub}}}};" not in body:
        return None
    a, b = operand(f"{{{total[1]}}}", ports), operand(wide[1], ports)
    return (a, b) if a and b and len(a) == len(b) == width else None


def _bit_of(name: str, port: Port, index: int, first: int = 0, width: int = 0) -> str:
    """Bit `index` of a port, or of the `width` bits from `first` on; extended by sign or zero."""
    width = width or port.width
    if index >= width:
        if not port.signed:
            return "1'b0"
        index = width - 1
    return name if port.width == 1 else f"{name}[{first + index}]"


def _addsub(body: str, ports: dict[str, Port], modules: dict[str, str]) -> str | None:
    """y = a +- b; or several of them side by side, a bit of `sub` each, on one chain."""
    if not ports["y"].signed:
        return _addsub_row(body, ports, modules)
    operands = addsub_operands(body, ports)
    if operands is None:
        return None
    return _chain([_Bit(_CARRY, ("sub", "1'b0", "1'b0", "1'b1")), *(
        _Bit(_ADDSUB, (a, b, "sub", "1'b1"), _bit_of("y", ports["y"], index))
        for index, (a, b) in enumerate(zip(*operands, strict=True)))])


def _addsub_row(body: str, ports: dict[str, Port], modules: dict[str, str]) -> str | None:
    """The row's add-subtracts are other modules: each must add its ports, and nothing else."""
    count = ports["sub"].width
    widths = {name: ports[name].width // count for name in "aby"}
    plain = {name: Port(widths[name], True) for name in "aby"} | {"sub": Port(1, False)}
    want = tuple([_bit_of(name, plain[name], bit) for bit in range(widths["y"])] for name in "ab")
    kinds = re.findall(r"^  (\w+) add_\d+ \(", body, re.M)
    if len(kinds) != count or any(addsub_operands(modules.get(kind, ""), plain) != want
                                  for kind in kinds):
        return None
    bits = []
    for number in range(count):
        for name in ("a", "b", "sub"):
            port, width = ports[name], widths.get(name, 1)
            first = number * width
            mine = (name if port.width == width else
                    f"{name}[{first}]" if width == 1 else f"{name}[{first + width - 1}:{first}]")
            if not re.search(rf"add_{number} \((?:\n.*)*?\.{name}\({re.escape(mine)}\)", body):
                return None
        sub = _bit_of("sub", ports["sub"], number)
        bits.append(_Bit(_CARRY, (sub, "1'b0", "1'b0", "1'b1")))
        for index in range(widths["y"]):
            a, b, y = (_bit_of(name, Port(ports[name].width, True), index, number * widths[name],
                               widths[name]) for name in "aby")
            bits.append(_Bit(_ADDSUB, (a, b, sub, "1'b1"), y))
    return _chain(bits)


def _add_select(body: str, ports: dict[str, Port], modules: dict[str, str]) -> str | None:
    """y = a + (sel ? b : c)."""
    choice = _CHOICE.search(body)
    chosen = _CHOSEN.search(body)
    width = max(ports["b"].width, ports["c"].width)
    if choice is None or chosen is None or ("$" not in chosen[0] and width < ports["y"].width):
        return None
    for name, expression in zip("bc", choice.groups(), strict=True):
        if operand(expression, ports) != [_bit_of(name, ports[name], bit) for bit in range(width)]:
            return None
    return _chain([_Bit(_CARRY, ("1'b0", "1'b0", "1'b0", "1'b1")), *(
        _Bit(_SELECT, (_bit_of("a", ports["a"], index), _bit_of("b", ports["b"], index),
                       _bit_of("c", ports["c"], index), "sel"),
             _bit_of("y", ports["y"], index)) for index in range(ports["y"].width))])


_BODIES = {frozenset({"a", "b", "sub", "y"}): _addsub,
           frozenset({"a", "b", "c", "sel", "y"}): _add_select}


def map_chains(verilog: str) -> tuple[str, list[str]]:
    """The design with every such adder as CCU2C cells, and the names of those modules.

    A module is told by its ports and its body; one that is not as expected is left alone.
    """
    mapped = []
    modules = {match["name"]: match[0] for match in MODULE.finditer(verilog)}

    def replace(match: re.Match[str]) -> str:
        ports = parse_ports(match["ports"])
        make = _BODIES.get(frozenset(ports))
        body = make and make(match[0], ports, modules)
        if not body:
            return match[0]
        mapped.append(match["name"])
        return f"module {match['name']} ({match['ports']});\n{body}\nendmodule"

    return MODULE.sub(replace, verilog), mapped


def parse_ports(text: str) -> dict[str, Port]:
    """The ports in a generated module's header, by name."""
    return {match["name"]: Port(int(match["high"] or 0) + 1, bool(match["signed"]))
            for match in _PORT.finditer(text)}
