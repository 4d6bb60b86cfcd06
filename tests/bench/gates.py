"""A standard-cell library small enough to check by hand, for the tests of bench.gates."""

from pathlib import Path

from bench.gates import liberty
from bench.gates.cells import CellLibrary

TEXT = (Path(__file__).parent / "tiny.lib").read_text()


def tiny(**changes) -> CellLibrary:
    """2 V, round numbers (tiny.lib)."""
    roles = dict(buffer="BUF", clock_buffer="BUF", latch="LATCH", gate="AND2",
                 full_adder="FA fa (.A(A), .B(B), .C(C), .S(SUM), .CO(CARRY));",
                 dont_use=("LATCH", "FA"), wire=0.001, limit=1.0, buffer_limit=1.0,
                 clock_fanout=16, slew=0.1, origin="tiny")
    return CellLibrary(liberty.read(TEXT), TEXT, **{**roles, **changes})
