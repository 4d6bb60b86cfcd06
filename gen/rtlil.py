"""RTLIL text as Amaranth writes it, taken apart just far enough to rename and merge modules.

Only the shapes that `amaranth.back.rtlil` emits are understood (flat concatenations, wires of
offset 0). A signal's bits are `(wire, index)` pairs, a constant's bits the characters 0, 1, x.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Bit = tuple[str, int] | str
Bits = list[Bit]

_CHUNK = re.compile(r"(?P<wire>(?:\\|\$)\S+)(?: \[(?P<hi>\d+)(?::(?P<lo>\d+))?\])?"
                    r"|\d+'(?P<const>[01xzm-]*)")
#: The part of a line that holds signals: what follows the keyword, and in cells the port name.
_SIGNALS = re.compile(r"(?P<head>\s*(?:assign |switch |connect (?:\\\S+ )?))(?P<rest>.*)")


@dataclass
class Wire:
    """A wire; `port` is "input", "output", "inout" or empty."""

    name: str
    width: int
    signed: bool = False
    port: str = ""
    attrs: dict[str, str] = field(default_factory=dict)

    @property
    def bits(self) -> Bits:
        """All bits, least significant first."""
        return [(self.name, index) for index in range(self.width)]

    def text(self, port_id: int) -> list[str]:
        """RTLIL lines that declare the wire; `port_id` counts from 1."""
        port = f" {self.port} {port_id}" if self.port else ""
        sign = " signed" if self.signed else ""
        return [*(f"  attribute {key} {value}" for key, value in self.attrs.items()),
                f"  wire width {self.width}{port}{sign} {self.name}"]


@dataclass
class Cell:
    """A cell whose type is another module of the design."""

    kind: str
    name: str
    ports: dict[str, Bits]


@dataclass
class Module:
    """One module. `blocks` holds memories, processes and cells other than submodules, as text."""

    name: str
    wires: dict[str, Wire] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    blocks: list[list[str]] = field(default_factory=list)
    connects: list[tuple[Bits, Bits]] = field(default_factory=list)

    def bits(self, text: str) -> Bits:
        """The bits of a signal in RTLIL notation, least significant first."""
        found: list[Bits] = []
        for match in _CHUNK.finditer(text):
            if match["wire"] is None:
                found.append(list(reversed(match["const"])))
                continue
            width = self.wires[match["wire"]].width
            high = int(match["hi"]) if match["hi"] else width - 1
            low = int(match["lo"] or high) if match["hi"] else 0
            found.append([(match["wire"], index) for index in range(low, high + 1)])
        return [bit for chunk in reversed(found) for bit in chunk]

    def replace(self, old: Mapping[str, Sequence[Bit]]) -> None:
        """Put other bits in the place of whole wires, wherever they are read or driven."""
        if not old:
            return

        def bits(value: Bits) -> Bits:
            return [old[bit[0]][bit[1]] if isinstance(bit, tuple) and bit[0] in old else bit
                    for bit in value]

        def line(text: str) -> str:
            match = _SIGNALS.fullmatch(text)
            if match is None or not any(chunk["wire"] in old
                                        for chunk in _CHUNK.finditer(match["rest"])):
                return text
            if "assign " in match["head"]:      # two signals side by side
                cut = _cut(match["rest"])
                parts = [match["rest"][:cut], match["rest"][cut:]]
            else:
                parts = [match["rest"]]
            return match["head"] + " ".join(spec(bits(self.bits(part))) for part in parts)

        self.blocks = [[line(text) for text in block] for block in self.blocks]
        self.connects = [(bits(lhs), bits(rhs)) for lhs, rhs in self.connects]
        for cell in self.cells:
            cell.ports = {port: bits(value) for port, value in cell.ports.items()}

    def text(self, port_order: Iterable[str] = ()) -> str:
        """The module as RTLIL; ports are numbered in the given order, the rest after them."""
        order = list(port_order)
        order += [name for name, wire in self.wires.items() if wire.port and name not in order]
        ids = {name: index for index, name in enumerate(order, start=1)}
        lines = [f"module {self.name}"]
        for wire in self.wires.values():
            lines += wire.text(ids.get(wire.name, 0))
        for cell in self.cells:
            lines.append(f"  cell {cell.kind} {cell.name}")
            lines += [f"    connect {port} {spec(value)}" for port, value in cell.ports.items()]
            lines.append("  end")
        for block in self.blocks:
            lines += block
        lines += [f"  connect {spec(lhs)} {spec(rhs)}" for lhs, rhs in self.connects]
        return "\n".join([*lines, "end", ""])


def spec(bits: Sequence[Bit]) -> str:
    """Bits in RTLIL notation."""
    chunks: list[str] = []
    start = 0
    while start < len(bits):
        end = start + 1
        first = bits[start]
        if isinstance(first, str):
            while end < len(bits) and isinstance(bits[end], str):
                end += 1
            value = "".join(str(bit) for bit in reversed(bits[start:end]))
            chunks.append(f"{end - start}'{value}")
        else:
            wire, low = first
            while end < len(bits) and bits[end] == (wire, low + end - start):
                end += 1
            high = low + end - start - 1
            chunks.append(f"{wire} [{low}]" if high == low else f"{wire} [{high}:{low}]")
        start = end
    return chunks[0] if len(chunks) == 1 else "{ " + " ".join(reversed(chunks)) + " }"


def _cut(text: str) -> int:
    """Where the second of two signals begins."""
    if text.startswith("{"):
        return text.index("}") + 2
    match = _CHUNK.match(text)
    assert match is not None, text
    return match.end() + 1


def parse(text: str) -> list[Module]:
    """The modules of an RTLIL text, parents before children, without source attributes."""
    modules: list[Module] = []
    lines = iter(text.splitlines())
    kinds = set(re.findall(r"^module (\S+)$", text, re.MULTILINE))
    for line in lines:
        if line.startswith("module "):
            modules.append(_parse_module(line.split()[1], lines, kinds))
    return modules


def _parse_module(name: str, lines: Iterable[str], kinds: set[str]) -> Module:
    module = Module(name)
    attrs: dict[str, str] = {}
    block: list[str] = []
    for line in lines:
        words = line.split()
        if block:
            block.append(line)
            if line == "  end":
                _add_block(module, block, kinds)
                block = []
        elif not words:
            continue
        elif line == "end":
            break
        elif words[0] == "attribute":
            if not re.match(r"\\(generator|src|top|enum_\w+)$", words[1]):
                attrs[words[1]] = line.split(None, 2)[2]
        elif words[0] == "wire":
            port = next((word for word in words if word in ("input", "output", "inout")), "")
            module.wires[words[-1]] = Wire(words[-1], int(words[2]), "signed" in words, port, attrs)
            attrs = {}
        elif words[0] == "connect":
            value = line.split(None, 1)[1]
            cut = _cut(value)
            module.connects.append((module.bits(value[:cut]), module.bits(value[cut:])))
        else:
            block = [*(f"  attribute {key} {value}" for key, value in attrs.items()), line]
            attrs = {}
            if words[0] == "memory":
                module.blocks.append(block)
                block = []
    return module


def _add_block(module: Module, block: list[str], kinds: set[str]) -> None:
    words = block[0].split()
    if words[0] == "cell" and words[1] in kinds:
        ports = {}
        for line in block[1:-1]:
            _, port, value = line.split(None, 2)
            ports[port] = module.bits(value)
        module.cells.append(Cell(words[1], words[2], ports))
    elif words[0] == "process":
        if any(line.strip().startswith("switch ") for line in block):
            module.blocks.append(_without_empty_cases(block))
        else:
            _connect(module, block)
    else:
        module.blocks.append(block)


def _connect(module: Module, block: list[str]) -> None:
    """A process without conditions is a connection; of two assignments to a bit the last counts."""
    values: dict[Bit, Bit] = {}
    for line in block:
        _, _, pair = line.strip().partition("assign ")
        if pair:
            cut = _cut(pair)
            values.update(zip(module.bits(pair[:cut]), module.bits(pair[cut:]), strict=True))
    module.connects.append((list(values), list(values.values())))


def _without_empty_cases(block: list[str]) -> list[str]:
    """A process without the cases that do nothing, where the order of cases does not matter.

    An indexed assignment has a register for every index, and in each one's process a case for
    every index.
    """
    result: list[str] = []
    index = 0
    while index < len(block):
        line = block[index]
        if line.strip().startswith("switch "):
            indent = line[:len(line) - len(line.lstrip())]
            end = block.index(indent + "end", index)
            inner = _without_empty_cases(block[index + 1:end])
            starts = [i for i, text in enumerate(inner)
                      if text == f"{indent}  case" or text.startswith(f"{indent}  case ")]
            exact = all(re.fullmatch(r"\s+case \d+'[01]+(, \d+'[01]+)*", inner[i]) for i in starts)
            if exact:
                ends = [*starts[1:], len(inner)]
                inner = [text for i, j in zip(starts, ends, strict=True) if j > i + 1
                         for text in inner[i:j]]
            result += [line, *inner, indent + "end"]
            index = end + 1
        else:
            result.append(line)
            index += 1
    return result
