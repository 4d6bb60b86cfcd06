"""Cleans up one module of Amaranth's RTLIL: what is said twice, and names that count.

What depends on where in the design a module stands goes, so that equal modules look equal.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from gen.names import fresh, identifier, uncounted
from gen.rtlil import Bit, Bits, Module, Wire, spec

_AUTO = re.compile(r"\$\d+\b")


def module(module: Module) -> None:
    """Everything below, in order; a module's submodules come before it."""
    _skip_anonymous(module)
    _share_operators(module)
    _use_aliases(module)
    _drop_aliases(module)
    _drop_operators(module)
    _drop_initial_values(module)
    _plain_names(module)
    _renumber(module)


def _operator_output(block: list[str]) -> str:
    """The anonymous wire that a block drives, if the block is an operator that does so."""
    kind = block[0].split()
    output = block[-2].split() if len(block) > 2 else []
    if kind[0] != "cell" or kind[1] in ("$dff", "$adff") or not kind[1].startswith("$") \
            or len(output) != 3 or output[:2] != ["connect", "\\Y"]:
        return ""
    return output[2] if output[2].startswith("$") else ""


def _share_operators(module: Module) -> None:
    """Keep one of several equal operators with anonymous results."""
    while True:
        seen: dict[tuple[str, ...], str] = {}
        same: dict[str, str] = {}
        kept: list[list[str]] = []
        for block in module.blocks:
            output = _operator_output(block)
            if output:
                first = seen.setdefault((block[0].split()[1], *block[1:-2]), output)
                if first != output and module.wires[first] == replace(
                        module.wires[output], name=first):
                    same[output] = first
                    continue
            kept.append(block)
        if not same:
            return
        module.blocks = kept
        module.replace({old: module.wires[new].bits for old, new in same.items()})
        for old in same:
            del module.wires[old]


def drop_fields(module: Module) -> None:
    """Remove the wires that only repeat a field of a struct, which nothing ever reads, and those
    without a bit, which Verilog cannot say."""
    empty: dict[str, Bits] = {name: [] for name, wire in module.wires.items()
                              if not wire.width and not wire.port}
    module.replace(empty)
    fields = {name for name in module.wires if name in empty or re.search(r"[.\[]", name)}
    module.wires = {name: wire for name, wire in module.wires.items() if name not in fields}
    module.connects = [(lhs, rhs) for lhs, rhs in module.connects
                       if lhs and not (isinstance(lhs[0], tuple) and lhs[0][0] in fields)]


def _skip_anonymous(module: Module) -> None:
    """Read what is behind an anonymous wire that only stands between other wires."""
    behind = {left: right for lhs, rhs in module.connects
              for left, right in zip(lhs, rhs, strict=True)
              if isinstance(left, tuple) and left[0].startswith("$")}
    skipped = {wire.name for wire in module.wires.values()
               if wire.name.startswith("$") and all(bit in behind for bit in wire.bits)}

    def source(bit: Bit) -> Bit:
        while isinstance(bit, tuple) and bit[0] in skipped:
            bit = behind[bit]
        return bit

    module.connects = [
        ([left for left, _ in pairs], [right for _, right in pairs])
        for lhs, rhs in module.connects
        if (pairs := [(left, right) for left, right in zip(lhs, rhs, strict=True)
                      if isinstance(left, str) or left[0] not in skipped])]
    module.replace({name: [source(bit) for bit in module.wires[name].bits] for name in skipped})
    for name in skipped:
        del module.wires[name]


def _use_aliases(module: Module) -> None:
    """Say `psum` where a wire of that name is made of the pieces that are read."""
    aliases: dict[str, Wire] = {}
    for lhs, rhs in module.connects:
        text = spec(rhs)
        if isinstance(lhs[0], tuple) and text.startswith("{") and any(
                isinstance(bit, tuple) for bit in rhs):
            wire = module.wires[lhs[0][0]]
            if lhs == wire.bits and not wire.name.startswith("$"):
                aliases.setdefault(text, wire)
    for cell in module.cells:
        cell.ports = {port: aliases[text].bits if (text := spec(bits)) in aliases else bits
                      for port, bits in cell.ports.items()}
    names = {text: spec(wire.bits) for text, wire in aliases.items()}
    for block in module.blocks:
        for index, line in enumerate(block):
            cut = line.find("{ ")
            if cut >= 0 and line[cut:] in names:
                block[index] = line[:cut] + names[line[cut:]]


def _mentioned(module: Module) -> set[str]:
    """Names of all wires but those that are only connected to something."""
    found: set[str] = set()
    for lines in module.blocks:
        for line in lines:
            found.update(re.findall(r"[\\$]\S+", line))
    for cell in module.cells:
        found.update(bit[0] for bits in cell.ports.values() for bit in bits
                     if isinstance(bit, tuple))
    for _, rhs in module.connects:
        found.update(bit[0] for bit in rhs if isinstance(bit, tuple))
    return found


def _drop_operators(module: Module) -> None:
    """Remove operators whose result nothing reads."""
    while True:
        uses: Counter[str] = Counter()
        for block in module.blocks:
            for line in block:
                uses.update(re.findall(r"\$\d+\b", line))
        uses.update(_mentioned(replace(module, blocks=[])))
        dead = {output for block in module.blocks
                if (output := _operator_output(block)) and uses[output] == 1}
        if not dead:
            return
        module.blocks = [block for block in module.blocks if _operator_output(block) not in dead]
        for name in dead:
            del module.wires[name]


def _drop_initial_values(module: Module) -> None:
    """Keep initial values with registers; Amaranth repeats them on all that is connected to one."""
    registers: set[str] = set()
    for block in module.blocks:
        if re.match(r"\s*cell \$a?dff ", block[0]):
            registers.update(line.split()[2] for line in block
                             if line.startswith("    connect \\Q "))
    for wire in module.wires.values():
        if wire.name not in registers:
            wire.attrs.pop("\\init", None)


def _plain_names(module: Module) -> None:
    """Names of submodules and memories that need no escaping and have no counter."""
    taken = {name[1:] for name in module.wires}
    for cell in module.cells:
        cell.name = "\\" + fresh(identifier(uncounted(cell.name[1:])), taken)
    for block in module.blocks:
        if block[-1].split()[0] == "memory":
            old = block[-1].split()[-1][1:]
            new = fresh(identifier(uncounted(old)), taken)
            if new != old:
                block[-1] = block[-1].replace("\\" + old, "\\" + new)
                for other in module.blocks:
                    other[:] = [line.replace(f'\\MEMID "\\\\{old}"', f'\\MEMID "\\\\{new}"')
                                for line in other]


def _drop_aliases(module: Module) -> None:
    """Remove wires that are connected to something, but read by nothing."""
    read = _mentioned(module)
    kept: list[tuple[list[Bit], list[Bit]]] = []
    for lhs, rhs in module.connects:
        pairs = [(left, right) for left, right in zip(lhs, rhs, strict=True)
                 if isinstance(left, str) or left[0] in read or module.wires[left[0]].port]
        if pairs:
            kept.append(([left for left, _ in pairs], [right for _, right in pairs]))
    if kept == module.connects:
        return
    module.connects = kept
    used = read | {bit[0] for lhs, _ in kept for bit in lhs if isinstance(bit, tuple)}
    module.wires = {name: wire for name, wire in module.wires.items()
                    if wire.port or name in used}


def name_stray_ports(module: Module) -> dict[str, str]:
    """Name the ports that belong to no interface after what they are connected to inside."""
    hints: dict[str, str] = {}
    for lhs, rhs in module.connects:
        for bit, source in zip(lhs, rhs, strict=True):
            if isinstance(source, tuple) and isinstance(bit, tuple):
                hints.setdefault(source[0], f"{bit[0]}__{bit[1]}")
    taken = set(module.wires)
    names = {port: fresh(hints.get(port, "\\port"), taken)
             for port in _in_order_of_use(module) if port.startswith("\\port$")}
    for old, new in names.items():
        module.wires[new] = replace(module.wires[old], name=new)
    module.replace({old: module.wires[new].bits for old, new in names.items()})
    for old in names:
        del module.wires[old]
    return names


def _in_order_of_use(module: Module) -> list[str]:
    """The module's ports in the order of their first use: the same for equal modules."""
    text = "\n".join(line for block in module.blocks for line in block)
    text += "".join(f" {spec(bits)}" for cell in module.cells for bits in cell.ports.values())
    text += "".join(f" {spec(rhs)} {spec(lhs)}" for lhs, rhs in module.connects)
    used = dict.fromkeys(re.findall(r"\\\S+", text))
    ports = [name for name, wire in module.wires.items() if wire.port]
    return [name for name in used if name in ports] + [name for name in ports if name not in used]


def _renumber(module: Module) -> None:
    """Bring everything whose order or number depends on the rest of the design into one form."""
    module.connects.sort(key=lambda pair: spec(pair[0]))
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return numbers.setdefault(match[0], f"${len(numbers) + 1}")

    for block in module.blocks:
        block[:] = [_AUTO.sub(number, line) for line in block]
    for cell in module.cells:
        for bits in cell.ports.values():
            bits[:] = [_renamed(bit, number) for bit in bits]
    module.connects = [([_renamed(bit, number) for bit in lhs], [_renamed(bit, number)
                       for bit in rhs]) for lhs, rhs in module.connects]
    for wire in module.wires.values():
        wire.name = _AUTO.sub(number, wire.name)
    module.wires = {wire.name: wire for wire in
                    sorted(module.wires.values(), key=lambda wire: wire.name)}


def _renamed(bit: Bit, number: object) -> Bit:
    return bit if isinstance(bit, str) else (_AUTO.sub(number, bit[0]), bit[1])  # type: ignore
