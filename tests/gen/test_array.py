"""The generated array as other tools see it: lint, Icarus, Yosys, netlist, time, bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gen.cli import main
from gen.netlist import Netlist
from sim import tools

ROOT = Path(__file__).parents[2]

#: The shapes that the README promises, and both firing orders.
CONFIGS = {
    "16x16": ["--pe", "16x16"],
    "1x1": ["--pe", "1x1"],
    "3x5": ["--pe", "3x5"],
    "4x64": ["--pe", "4x64"],
    "staircase": ["--pe", "8x8", "--fire", "staircase", "--exp-max", "0"],
    "unsigned": ["--pe", "8x8", "--window", "15", "--no-signed", "--exp-max", "0"],
    "int_lanes": ["--pe", "8x8", "--int-lanes", "4", "--exp-max", "4"],
}


@pytest.fixture(scope="module", params=CONFIGS, ids=list(CONFIGS))
def accel(request, tmp_path_factory) -> Path:
    """A generated Verilog file."""
    path = tmp_path_factory.mktemp("accel") / "accel.v"
    assert main([*CONFIGS[request.param], "-o", str(path)]) == 0
    return path


def test_lint_is_clean_but_for_the_waivers(accel: Path) -> None:
    done = subprocess.run(
        [str(tools.verilator().path), "--lint-only", "-Wall", "--top-module", "spinteger",
         str(ROOT / "gen" / "lint.vlt"), str(accel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr[:3000]


def test_icarus_takes_it_as_verilog_2005(accel: Path) -> None:
    done = subprocess.run(["iverilog", "-g2005", "-t", "null", str(accel)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr[:3000]


def test_netlist(accel: Path) -> None:
    """No latch, no combinational loop, no wire without a driver, multipliers where they belong."""
    netlist = Netlist(accel.read_text())
    assert netlist.latches() == []
    assert netlist.problems() == []
    multipliers = netlist.multipliers()
    assert multipliers, "the integer lanes multiply"
    assert all(name.startswith("spinteger_integer_lane") for name in multipliers), multipliers


def test_multiplier_elsewhere_would_be_seen() -> None:
    """The check above can fail: a column that multiplied would show."""
    netlist = Netlist("module spinteger_column(input [3:0] a, b, output [7:0] y);"
                      "assign y = a * b; endmodule", "spinteger_column")
    assert netlist.multipliers() == {"spinteger_column": 1}


def test_same_bytes_whatever_the_hash_seed() -> None:
    """As a user runs it, twice."""
    texts = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-m", "gen", "--pe", "16x16"], cwd=ROOT, env=env,
                              capture_output=True, check=True)
        texts.append(done.stdout)
    assert texts[0] == texts[1] and texts[0].startswith(b"//")
