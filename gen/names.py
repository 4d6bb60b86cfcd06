"""Readable names: prepares an Amaranth design so that its netlist keeps the names of its source.

Amaranth names a wire once per module, first come first served. Seen from a parent, the ports of
sixteen lanes are then `y$19`, `y$20`, ..., and a lane's own port may be called after whatever
internal signal shares its nets. Here every module prefers the names of its own interface, then
its local signals, and calls the interface of a submodule `<submodule>__<port>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, Value, ValueCastable, _ast, _ir
from amaranth.lib import wiring

#: Elaboratables that say nothing about what a module is.
_ANONYMOUS = (Module, _ir.Fragment)
#: Reserved words of Verilog-2005, and those of SystemVerilog that make likely names.
KEYWORDS = frozenset("""
    always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config
    deassign default defparam design disable edge else end endcase endconfig endfunction
    endgenerate endmodule endprimitive endspecify endtable endtask event for force forever fork
    function generate genvar highz0 highz1 if ifnone incdir include initial inout input instance
    integer join large liblist library localparam macromodule medium module nand negedge nmos
    nor noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1
    pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg release
    repeat rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify
    specparam strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1
    triand trior trireg unsigned use uwire vectored wait wand weak0 weak1 while wire wor xnor
    xor alias always_comb always_ff always_latch assert assume bind bit break byte chandle class
    clocking const constraint context continue cover do enum export extends extern final foreach
    iff import int inside interface local logic longint modport new null package packed priority
    program property protected pure rand randc ref return sequence shortint shortreal static
    string struct super tagged this throughout timeprecision timeunit type typedef union unique
    var virtual void with within
""".split())


@dataclass(frozen=True)
class ModuleName:
    """What is known of one module instance before conversion."""

    stem: str               #: what it is, from its class: `spike_lane`
    ports: dict[str, bool]  #: names of its interface in the order of its signature; is it an input


@dataclass(frozen=True)
class NamedDesign:
    """An Amaranth design with readable signal names, and what its modules are called."""

    design: Any                       #: `amaranth.hdl._ir.Design`
    modules: dict[str, ModuleName]    #: by dotted hierarchical name, as in the RTLIL text


def snake(name: str) -> str:
    """`SpikeLane` -> `spike_lane`, `SyncFIFOBuffered` -> `sync_fifo_buffered`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def identifier(name: str) -> str:
    """`name` as a plain Verilog identifier, so that nothing needs escaping."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "sig"
    if name[0].isdigit():
        name = "n" + name
    return name + "_" if name in KEYWORDS else name


def uncounted(name: str) -> str:
    """`name` without the counter that Amaranth appends when a name is taken: `fixed$45`."""
    return re.sub(r"(?<=.)\$\d+$", "", name)


def fresh(name: str, taken: set[str]) -> str:
    """`name`, or `name_2`, `name_3`... when it is taken; the answer is then taken too."""
    result, count = name, 1
    while result in taken:
        count += 1
        result = f"{name}_{count}"
    taken.add(result)
    return result


def interface(component: wiring.Component) -> Iterator[tuple[str, wiring.Member, Signal]]:
    """Every port of a component: name as in the Verilog, signature member, signal."""
    for path, member, value in component.signature.flatten(component):
        signal = Value.cast(value) if isinstance(value, ValueCastable) else value
        if isinstance(signal, Signal):
            yield identifier("__".join(map(str, path))), member, signal


def prepare(component: wiring.Component, name: str) -> NamedDesign:
    """Elaborate `component` as a top module called `name`, and name everything in it."""
    ports: dict[str, Any] = {}
    for port, member, signal in interface(component):
        flow = _ir.PortDirection.Input if member.flow == wiring.In else _ir.PortDirection.Output
        ports[port] = (signal, flow)
    design = _ir.Fragment.get(component, None).prepare(ports=ports, hierarchy=(name,))
    modules: dict[str, ModuleName] = {}
    for fragment, info in design.fragments.items():
        if type(fragment) is not _ir.Fragment:
            continue            # memories and vendor instances are cells, not modules
        own = _origin(fragment)
        own_ports = list(interface(own)) if isinstance(own, wiring.Component) else []
        modules[".".join(info.name)] = ModuleName(
            stem=snake(type(own).__name__) if own is not None else unnumbered(info.name[-1]),
            ports={port: member.flow == wiring.In for port, member, _ in own_ports})
        info.signal_names = _names(design, fragment, info, own_ports)
    return NamedDesign(design, modules)


def _origin(fragment: Any) -> Elaboratable | None:
    """The object that a fragment was made from, if it says what the fragment is."""
    for origin in fragment.origins or ():
        if isinstance(origin, Elaboratable) and not isinstance(origin, _ANONYMOUS) \
                and not type(origin).__module__.startswith("amaranth.hdl"):
            return origin
    return None


def unnumbered(instance: str) -> str:
    """The stem of a module known by its instance name only: `left_3` -> `left`."""
    return identifier(re.sub(r"[_$]?\d+$", "", instance) or "block").lower()


def _names(design: Any, fragment: Any, info: Any,
           own_ports: Iterable[tuple[str, wiring.Member, Signal]]) -> Any:
    """Names of the signals that a fragment uses, the preferred ones first.

    Amaranth calls nets that several signals share by the first of them.
    """
    used = info.signal_names
    top = info.parent is None
    # The submodules' cells share the name space of the signals.
    taken = {design.fragments[sub].name[-1] for sub, _, _ in fragment.subfragments}
    wanted: list[tuple[Signal, str]] = []
    if top:
        # Ports were given their names by the caller; clocks and resets among them.
        taken.update(port for port, _, _ in design.ports)
        names = _ast.SignalDict((signal, port) for port, signal, _ in design.ports
                                if signal in used)
    else:
        names = _ast.SignalDict()
        wanted += [(signal, port) for port, _, signal in own_ports]
    child_names = list(_child_names(design, fragment))
    children = _ast.SignalDict(child_names)
    local = [signal for signal in used if signal not in children]
    wanted += [(signal, signal.name) for signal in local if not _poor(signal.name)]
    wanted += child_names
    wanted += [(signal, signal.name) for signal in local if _poor(signal.name)]
    for signal, wish in wanted:
        if signal in used and signal not in names:
            names[signal] = fresh(identifier(wish), taken)
    return names


def _poor(name: str) -> bool:
    """Whether Amaranth made a name up: nobody called the signal anything."""
    return name.startswith(("$", "signature__"))


def _child_names(design: Any, fragment: Any) -> Iterator[tuple[Signal, str]]:
    """Names for the submodules' interfaces, outputs first: they are what drives a net."""
    found: list[tuple[bool, Signal, str]] = []
    for sub, _, _ in fragment.subfragments:
        child = _origin(sub)
        if isinstance(child, wiring.Component):
            instance = uncounted(design.fragments[sub].name[-1])
            for port, member, signal in interface(child):
                found.append((member.flow == wiring.In, signal, f"{instance}__{port}"))
    for _, signal, name in sorted(found, key=lambda item: item[0]):
        yield signal, name
