"""Reads Liberty files: areas, pin capacitances, functions, delay and energy tables of cells."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z0-9_.+\-*/!&|^\'\[\]<>]+|[(){},:;]', re.S)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\\\s*\n", re.S)


class LibertyError(ValueError):
    """A library that cannot be read, or lacks what the flow needs."""


@dataclass
class Group:
    """One Liberty group, as it stands: `name (args) { attributes, groups }`."""

    name: str
    args: list[str]
    attributes: dict[str, list[str]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def first(self, name: str) -> Group | None:
        """The first group of that name inside."""
        return next(self.each(name), None)

    def each(self, name: str) -> Iterator[Group]:
        """All groups of that name inside."""
        return (group for group in self.groups if group.name == name)

    def text(self, name: str, default: str = "") -> str:
        """A simple attribute."""
        return self.attributes.get(name, [default])[0]

    def number(self, name: str, default: float = 0.0) -> float:
        """A numeric attribute."""
        return float(self.attributes[name][0]) if name in self.attributes else default


def parse(text: str) -> Group:
    """The library group of a file. Raises `LibertyError` where the text is not Liberty."""
    tokens = _TOKEN.findall(_COMMENT.sub(" ", text))
    root = Group("", [])
    at = _body(tokens, 0, root)
    if at < len(tokens) or len(root.groups) != 1 or root.groups[0].name != "library":
        raise LibertyError("not one library group")
    return root.groups[0]


def _body(tokens: Sequence[str], at: int, into: Group) -> int:
    """Statements until the closing brace (or the end); the place after it."""
    while at < len(tokens) and tokens[at] != "}":
        if tokens[at] == ";":
            at += 1
            continue
        name = tokens[at]
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if following == ":":
            end = at + 2
            while end < len(tokens) and tokens[end] not in ";}":
                end += 1
            into.attributes[name] = [" ".join(map(_bare, tokens[at + 2:end]))]
            at = end
        elif following == "(":
            end = tokens.index(")", at)
            args = [_bare(token) for token in tokens[at + 2:end] if token != ","]
            at = end + 1
            if at < len(tokens) and tokens[at] == "{":
                group = Group(name, args)
                at = _body(tokens, at + 1, group) + 1
                into.groups.append(group)
            else:
                into.attributes[name] = args
        else:
            raise LibertyError(f"after {name!r}: expected ':' or '(', found {following!r}")
    return at


def _bare(token: str) -> str:
    return token[1:-1] if token.startswith('"') else token


@dataclass(frozen=True)
class Table:
    """A value over output load [pF] and input transition [ns]; held constant beyond the edges
    of the transition, extended as a straight line over the load."""

    loads: tuple[float, ...]            #: empty: does not depend on the load
    slews: tuple[float, ...]            #: empty: does not depend on the transition
    values: tuple[tuple[float, ...], ...]   #: [load][slew]

    def at(self, load: float, slew: float) -> float:
        """The value, interpolated in both directions."""
        rows = [_line(self.slews, row, slew, clamp=True) for row in self.values]
        return _line(self.loads, rows, load, clamp=False)


def _line(points: Sequence[float], values: Sequence[float], at: float, clamp: bool) -> float:
    if len(values) == 1:
        return values[0]
    if clamp:
        at = min(max(at, points[0]), points[-1])
    low = min(max(bisect_right(points, at) - 1, 0), len(points) - 2)
    share = (at - points[low]) / (points[low + 1] - points[low])
    return values[low] + share * (values[low + 1] - values[low])


_FLAT = Table((), (), ((0.0,),))


@dataclass(frozen=True)
class Arc:
    """From one input pin to an output: delay [ns], output transition [ns], and internal energy
    [pJ], which leaves out what charges the load; for a rising and a falling output."""

    delay: tuple[Table, Table] = (_FLAT, _FLAT)
    slew: tuple[Table, Table] = (_FLAT, _FLAT)
    energy: tuple[Table, Table] = (_FLAT, _FLAT)


@dataclass(frozen=True)
class Pin:
    """One pin of a cell."""

    name: str
    output: bool
    cap: float                          #: [pF]
    function: str = ""                  #: of an output
    arcs: dict[str, Arc] = field(default_factory=dict)      #: of an output, by input pin
    #: of an input: energy [pJ] when it rises and falls, whatever the outputs do
    energy: tuple[Table, Table] = (_FLAT, _FLAT)


@dataclass(frozen=True)
class Cell:
    """One standard cell."""

    name: str
    area: float                         #: [um^2]
    leakage: float                      #: [nW]
    pins: dict[str, Pin]
    clock: str = ""                     #: clock pin of a flip-flop, enable of a latch
    data: str = ""                      #: data pin of one
    kind: str = "gate"                  #: "gate", "ff", "latch" or "clock gate"

    @cached_property
    def inputs(self) -> list[str]:
        """Input pins, in the file's order."""
        return [pin.name for pin in self.pins.values() if not pin.output]

    @cached_property
    def outputs(self) -> list[str]:
        """Output pins, in the file's order."""
        return [pin.name for pin in self.pins.values() if pin.output]

    @cached_property
    def tables(self) -> dict[str, int]:
        """Truth table of each output: bit i is the value when input j is bit j of i."""
        return {name: truth_table(self.pins[name].function, self.inputs)
                for name in self.outputs}


@dataclass(frozen=True)
class Library:
    """A library's cells; capacitances in pF, times in ns, energies in pJ."""

    name: str
    voltage: float
    cells: dict[str, Cell]


def read(text: str) -> Library:
    """Read a library. Raises `LibertyError` when it is not one, or its units are unusual."""
    root = parse(text)
    if root.text("time_unit", "1ns") != "1ns":
        raise LibertyError(f"time_unit {root.text('time_unit')}: only 1ns is understood")
    scale, unit = root.attributes.get("capacitive_load_unit", ["1", "pf"])
    to_pf = float(scale) * {"pf": 1.0, "ff": 1e-3}[unit.lower()]
    order = {group.args[0]: group.text("variable_1") for group in root.groups
             if group.name in ("lu_table_template", "power_lut_template")}
    reader = _Reader(order, to_pf)
    cells = [reader.cell(group) for group in root.each("cell")]
    return Library(root.args[0], root.number("nom_voltage"), {cell.name: cell for cell in cells})


@dataclass(frozen=True)
class _Reader:
    order: dict[str, str]               #: template -> its first variable
    to_pf: float

    def table(self, group: Group | None) -> Table:
        """A lookup table, load first."""
        if group is None:
            return _FLAT
        def index(name: str) -> tuple[float, ...]:
            return tuple(map(float, re.split(r"[,\s]+", group.text(name).strip()))) \
                if name in group.attributes else ()
        rows = [tuple(map(float, re.split(r"[,\s]+", row.strip())))
                for row in group.attributes["values"]]
        first, second = index("index_1"), index("index_2")
        if group.args and "capacitance" not in self.order.get(group.args[0], "capacitance"):
            if len(rows) > 1:           # transition by load
                rows, first, second = list(zip(*rows, strict=True)), second, first
            else:
                first, second = (), first
        elif not second and len(rows) == 1 and len(rows[0]) > 1:
            rows = [(value,) for value in rows[0]]
        # pJ = capacitance unit * V^2
        return Table(tuple(load * self.to_pf for load in first), second, tuple(rows))

    def pair(self, group: Group | None, rise: str, fall: str) -> tuple[Table, Table]:
        """Tables of a rising and a falling edge."""
        if group is None:
            return _FLAT, _FLAT
        return self.table(group.first(rise)), self.table(group.first(fall))

    def cell(self, group: Group) -> Cell:
        """One cell."""
        pins = {}
        for pin in group.each("pin"):
            output = pin.text("direction") == "output"
            power: dict[str, Group] = {}
            for entry in pin.each("internal_power"):
                for related in entry.text("related_pin").split() or [""]:
                    power.setdefault(related, entry)
            arcs: dict[str, Arc] = {}
            for timing in pin.each("timing"):
                if output and timing.first("cell_rise"):
                    for related in timing.text("related_pin").split():
                        arcs.setdefault(related, Arc(
                            self.pair(timing, "cell_rise", "cell_fall"),
                            self.pair(timing, "rise_transition", "fall_transition"),
                            self.pair(power.get(related), "rise_power", "fall_power")))
            name = pin.args[0]
            pins[name] = Pin(name, output, pin.number("capacitance") * self.to_pf,
                             pin.text("function"), arcs,
                             self.pair(power.get(""), "rise_power", "fall_power"))
        ff, latch = group.first("ff"), group.first("latch")
        kind = ("ff" if ff else "latch" if latch else
                "clock gate" if "clock_gating_integrated_cell" in group.attributes else "gate")
        clock = ff.text("clocked_on") if ff else latch.text("enable") if latch else ""
        data = ff.text("next_state") if ff else latch.text("data_in") if latch else ""
        if kind == "clock gate":
            clock = next(pin.args[0] for pin in group.each("pin") if pin.text("clock") == "true")
            data = next(pin.name for pin in pins.values() if not pin.output and pin.name != clock)
        return Cell(group.args[0], group.number("area"), group.number("cell_leakage_power"), pins,
                    clock, data, kind)


def truth_table(function: str, inputs: Sequence[str]) -> int:
    """Truth table of a Liberty expression: bit i is its value when input j is bit j of i.

    Understands ! ' & * juxtaposition ^ | + and parentheses. Raises `LibertyError`.
    """
    tokens = re.findall(r"[A-Za-z_][A-Za-z0-9_]*|[01!'&*^|+()]", function)
    size = 1 << len(inputs)
    ones = (1 << size) - 1
    value = {"0": 0, "1": ones}
    for number, name in enumerate(inputs):
        value[name] = sum(1 << row for row in range(size) if row >> number & 1)
    at = 0

    def peek() -> str:
        return tokens[at] if at < len(tokens) else ""

    def take() -> str:
        nonlocal at
        at += 1
        return tokens[at - 1]

    def factor() -> int:
        if peek() == "!":
            take()
            return ones ^ factor()
        if peek() == "(":
            take()
            result = either()
            if peek() != ")":
                raise LibertyError(f"function {function!r}: missing ')'")
            take()
        elif peek() in value:
            result = value[take()]
        else:
            raise LibertyError(f"function {function!r}: unknown {peek()!r}")
        while peek() == "'":
            take()
            result ^= ones
        return result

    def exclusive() -> int:
        result = factor()
        while peek() == "^":
            take()
            result ^= factor()
        return result

    def both() -> int:
        result = exclusive()
        while peek() and peek() not in "|+)^":
            if peek() in "&*":
                take()
            result &= exclusive()
        return result

    def either() -> int:
        result = both()
        while peek() and peek() in "|+":
            take()
            result |= both()
        return result

    result = either()
    if at < len(tokens):
        raise LibertyError(f"function {function!r}: unexpected {peek()!r}")
    return result
