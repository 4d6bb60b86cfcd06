"""Merges identical modules of an RTLIL design and names what is left.

Amaranth emits one module per instance: a 16 x 16 array has hundreds, of which a dozen differ.
Merged, the Verilog is short enough to read, and simulators and synthesis are many times faster.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from gen import clean
from gen.interface import restore
from gen.names import ModuleName, fresh, unnumbered
from gen.rtlil import Module, Wire, parse

_UNNAMED = ModuleName("block", {})


@dataclass(eq=False)
class _Group:
    """Instances whose modules are the same once their submodules are."""

    stem: str
    module: Module
    order: list[str]                                     # its ports
    kind: str                                            # stands for `name` until that is known
    instances: set[str] = field(default_factory=set)     # their names, numbers stripped
    name: str = ""


def merge(text: str, names: Mapping[str, ModuleName], top: str) -> str:
    """RTLIL with every module emitted once, called `<top>_<stem>` after its class.

    Where instances of a class differ, `_<instance>` follows if that tells the variants apart,
    a number otherwise.
    """
    modules = {module.name: module for module in parse(text)}
    for module in modules.values():
        clean.drop_fields(module)
        for cell in module.cells:
            known = names.get(cell.kind[1:], _UNNAMED)
            restore(module, cell, modules[cell.kind], known.ports)
    _export_alike(modules, names)
    groups: dict[tuple[str, str], _Group] = {}
    group_of: dict[str, _Group] = {}
    renamed: dict[str, dict[str, str]] = {}              # stray ports by module
    for name, module in reversed(modules.items()):       # children before parents
        known = names.get(name[1:], _UNNAMED)
        for cell in module.cells:
            child, stray = group_of[cell.kind], renamed[cell.kind]
            child.instances.add(unnumbered(cell.name[1:]))
            ports = {stray.get(port, port): bits for port, bits in cell.ports.items()}
            cell.ports = {port: ports[port] for port in child.order}
            cell.kind = child.kind
        renamed[name] = clean.name_stray_ports(module)
        clean.module(module)
        order = _port_order(module, known)
        body = module.text(order).split("\n", 1)[1]
        group_of[name] = groups.setdefault(
            (known.stem, body), _Group(known.stem, module, order, f"\\@{len(groups)}"))
    ordered = list(reversed(groups.values()))       # parents first, so the top module
    _name_groups(ordered, top)
    kinds = {group.kind: group.name for group in ordered}
    for group in ordered:
        group.module.name = group.name
        for cell in group.module.cells:
            cell.kind = kinds[cell.kind]
    return "\n".join(group.module.text(group.order) for group in ordered)


def _export_alike(modules: Mapping[str, Module], names: Mapping[str, ModuleName]) -> None:
    """Give all instances of a class the outputs that some of them have.

    Amaranth leaves out the outputs that a parent does not use.
    """
    exported = {(names[name[1:]].stem, port) for name, module in modules.items()
                for port, wire in module.wires.items()
                if wire.port == "output" and name[1:] in names}
    for module in modules.values():
        for cell in module.cells:
            child, known = modules[cell.kind], names.get(cell.kind[1:], _UNNAMED)
            for port, is_input in known.ports.items():
                wire = child.wires.get("\\" + port)
                if wire is None or wire.port or is_input or (known.stem, wire.name) not in exported:
                    continue
                wire.port = "output"
                outer = fresh(f"{cell.name}__{port}", set(module.wires))
                module.wires[outer] = Wire(outer, wire.width, wire.signed)
                cell.ports[wire.name] = module.wires[outer].bits


def _port_order(module: Module, known: ModuleName) -> list[str]:
    """Clocks and resets, then the signature's ports in its order, then strays."""
    ports = [name for name, wire in module.wires.items() if wire.port]
    own = [f"\\{name}" for name in known.ports]
    strays = sorted(set(ports) - set(own))
    clocks = [name for name in strays if re.search(r"(^\\|_)(clk|rst)$", name)]
    return [*clocks, *(name for name in own if name in ports),
            *(name for name in strays if name not in clocks)]


def _name_groups(groups: list[_Group], top: str) -> None:
    """Name the variants; `groups` begins with the top module."""
    taken = {"\\" + top}
    groups[0].name = "\\" + top
    by_stem: dict[str, list[_Group]] = defaultdict(list)
    for group in groups[1:]:
        by_stem[group.stem].append(group)
    for stem, variants in by_stem.items():
        for group, suffix in zip(variants, _suffixes(variants), strict=True):
            group.name = fresh(f"\\{top}_{stem}{suffix}", taken)


def _suffixes(variants: list[_Group]) -> list[str]:
    """What tells the variants of one class apart."""
    if len(variants) == 1:
        return [""]
    uses = ["_" + "".join(group.instances) if len(group.instances) == 1 else ""
            for group in variants]
    widths = ["".join(f"_{wire.width}" for port in group.order
                      if (wire := group.module.wires[port]).width > 1) for group in variants]
    for suffixes in (uses, widths):
        if all(suffixes) and len(set(suffixes)) == len(variants) and len(max(suffixes)) < 20:
            return suffixes
    return [f"_{index + 1}" for index in range(len(variants))]
