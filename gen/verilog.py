"""From an Amaranth component to one file of Verilog-2005: readable, and the same every time."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil as amaranth_rtlil
from amaranth.lib import wiring

from gen import layout, yosys
from gen.merge import merge
from gen.names import prepare

TOP = "spinteger"


def to_rtlil(component: wiring.Component, name: str = TOP) -> str:
    """RTLIL of a component: identical modules merged, modules and wires named after the source."""
    with _rare_collections():
        named = prepare(component, name)
        text, _ = amaranth_rtlil.convert_fragment(named.design, (), name, emit_src=False)
        return merge(text, named.modules, name)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Rare garbage collection: it looks through a million objects that stay in use, which takes a
    third of the time. None at all would need twice the memory."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def to_verilog(component: wiring.Component, name: str = TOP, header: Sequence[str] = (),
               notes: Mapping[str, str] | None = None) -> str:
    """Verilog of a component. `header` becomes the leading comment, `notes` comments on ports.

    Readable by Icarus (-g2005 and later), Verilator and Yosys. The same component gives the
    same bytes on every run.
    """
    return rtlil_to_verilog(to_rtlil(component, name), header, notes)


def rtlil_to_verilog(rtlil: str, header: Sequence[str] = (),
                     notes: Mapping[str, str] | None = None) -> str:
    """Verilog of an RTLIL design; see `to_verilog`."""
    commands = ["read_rtlil design.il", "proc -nomux -norom", "memory_collect",
                "write_verilog design.v"]
    results, _ = yosys.run(commands, {"design.il": rtlil}, ["design.v"])
    return layout.comment(header) + layout.tidy(results["design.v"], notes)


def _emit_memory(self: Any, cell_idx: int, cell: Any) -> None:
    """As Amaranth's, but an all-zero memory in one stroke: bit by bit takes 4 s for 16x16."""
    if any(cell.init):
        _amaranth_emit_memory(self, cell_idx, cell)
        return
    bits = cell.width * cell.depth
    self.builder.cell("$meminit_v2", ports={
        "ADDR": self.sigspec(),
        "DATA": f"{bits}'{'0' * bits}",
        "EN": f"{cell.width}'{'1' * cell.width}",
    }, parameters={
        "MEMID": self.memories[cell_idx].memid, "ABITS": 0, "WIDTH": cell.width,
        "WORDS": cell.depth, "PRIORITY": 0,
    })


_amaranth_emit_memory = amaranth_rtlil.ModuleEmitter.emit_memory
# Once, at import: benches generate in threads. The text is the same, only sooner.
amaranth_rtlil.ModuleEmitter.emit_memory = _emit_memory
