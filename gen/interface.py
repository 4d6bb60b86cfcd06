"""Gives submodules back the ports of their signatures.

Amaranth's netlist routes nets, not ports: an input that its parent makes of four pieces becomes
four ports, two inputs that are slices of one register become one, and the names carry counters
(`port$35$0`). So the same component gets another port list at every place of use. Here the
pieces are put together again under the name of the signature, which reads better and lets equal
modules be recognised as equal.
"""

from __future__ import annotations

from collections.abc import Mapping

from gen.names import fresh
from gen.rtlil import Bit, Bits, Cell, Module, Wire


def restore(parent: Module, cell: Cell, child: Module, own: Mapping[str, bool]) -> None:
    """Rebuild the ports `own` (name -> is it an input) of `child`, used as `cell` in `parent`."""
    _Restore(parent, cell, child, {"\\" + name: flow for name, flow in own.items()}).run()


class _Restore:
    def __init__(self, parent: Module, cell: Cell, child: Module, own: Mapping[str, bool]):
        self.parent, self.cell, self.child, self.own = parent, cell, child, own
        #: What a bit of one of the child's ports is in the parent.
        self.outside: dict[Bit, Bit] = {
            bit: outer for port, outers in cell.ports.items()
            for bit, outer in zip(child.wires[port].bits, outers, strict=True)}
        #: Ports that are not in the signature, so may go.
        self.spare = {port for port in cell.ports if port not in own}
        self.claims: dict[Bit, Bit] = {}    # bit of a spare port -> bit of the restored one

    def run(self) -> None:
        sources: dict[str, Bits] = {
            bits[0][0]: source for bits, source in self.child.connects
            if bits and isinstance(bits[0], tuple) and bits == self.child.wires[bits[0][0]].bits}
        # A spare output repeats something that has a name inside: see that as the output.
        exported: dict[Bit, Bit] = {
            bit: target for port in sorted(self.spare & set(sources))
            for target, bit in zip(self.child.wires[port].bits, sources[port], strict=True)
            if isinstance(bit, tuple)}
        sources = {name: [exported.get(bit, bit) for bit in source]
                   for name, source in sources.items() if name not in self.spare}
        restored: list[Wire] = []
        for name, is_input in self.own.items():
            wire = self.child.wires.get(name)
            if wire is None or wire.port or name not in sources:
                continue
            if self._restorable(sources[name], is_input):
                wire.port = "input" if is_input else "output"
                restored.append(wire)
                for bit, target in zip(sources[name], wire.bits, strict=True):
                    if self._spare(bit):
                        self.claims.setdefault(bit, target)
        self._keep_partly_claimed_outputs()
        for wire in restored:
            if wire.port == "input":
                self._disconnect(self.child, wire)
                self.cell.ports[wire.name] = [self._outer(bit) for bit in sources[wire.name]]
            else:
                self._restore_output(wire, sources[wire.name])
        self._remove_spare_ports()

    def _spare(self, bit: Bit) -> bool:
        return isinstance(bit, tuple) and bit[0] in self.spare

    def _outer(self, bit: Bit) -> Bit:
        return bit if isinstance(bit, str) else self.outside[bit]

    def _restorable(self, source: Bits, is_input: bool) -> bool:
        """Whether a signal's bits all pass through ports, at least one of them a spare port."""
        if not any(self._spare(bit) for bit in source):
            return False
        return all(isinstance(bit, str) or bit in self.outside for bit in source) or not is_input

    def _keep_partly_claimed_outputs(self) -> None:
        """An output can only move as a whole; of an input, the rest may stay behind."""
        for port in sorted(self.spare):
            wire = self.child.wires[port]
            if wire.port == "output" and any(bit not in self.claims for bit in wire.bits):
                for bit in wire.bits:
                    self.claims.pop(bit, None)

    def _restore_output(self, wire: Wire, source: Bits) -> None:
        """Drive `wire` in the child, and what was driven by its pieces in the parent from it."""
        self._disconnect(self.child, wire)
        rest = [(target, bit) for target, bit in zip(wire.bits, source, strict=True)
                if isinstance(bit, str) or self.claims.get(bit) != target]
        if rest:
            self.child.connects.append(([target for target, _ in rest], [bit for _, bit in rest]))
        outer = self._outer_wire(wire, source)
        self.cell.ports[wire.name] = outer.bits
        moved = [(self.outside[bit], new) for bit, target, new
                 in zip(source, wire.bits, outer.bits, strict=True)
                 if isinstance(bit, tuple) and self.claims.get(bit) == target]
        if moved:
            self.parent.connects.append(([old for old, _ in moved], [new for _, new in moved]))

    def _outer_wire(self, wire: Wire, source: Bits) -> Wire:
        """The parent's wire for a restored output: `\\<instance>__<port>`, made if missing."""
        name = f"{self.cell.name}__{wire.name[1:]}"
        found = self.parent.wires.get(name)
        if found is not None:
            expected = [self._outer(bit) if isinstance(bit, str) or bit in self.outside else None
                        for bit in source]
            if (found.bits, expected) in self.parent.connects:
                self._disconnect(self.parent, found)
                return found
        name = fresh(name, set(self.parent.wires) | {cell.name for cell in self.parent.cells})
        self.parent.wires[name] = Wire(name, wire.width, wire.signed)
        return self.parent.wires[name]

    @staticmethod
    def _disconnect(module: Module, wire: Wire) -> None:
        bits = wire.bits
        module.connects = [(lhs, rhs) for lhs, rhs in module.connects if lhs != bits]

    def _remove_spare_ports(self) -> None:
        """Turn claimed ports into plain wires: aliases that a later pass removes."""
        gone: dict[str, Bits] = {}
        for port in sorted(self.spare):
            wire = self.child.wires[port]
            if any(bit not in self.claims for bit in wire.bits):
                continue
            targets = [self.claims[bit] for bit in wire.bits]
            del self.cell.ports[port]
            if self._nameless(port):
                gone[port] = targets
            elif wire.port == "input":
                wire.port = ""
                self.child.connects.append((wire.bits, targets))
            else:
                wire.port = ""
                self.child.connects.append((targets, wire.bits))
        self.child.replace(gone)
        for port in gone:
            del self.child.wires[port]

    def _nameless(self, port: str) -> bool:
        """Whether a port is named by a counter, or only after the submodule that it feeds."""
        return port.startswith("\\port$") or any(
            port.startswith(f"{cell.name}__") for cell in self.child.cells)
