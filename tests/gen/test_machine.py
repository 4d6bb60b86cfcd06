"""The generated machine as other tools see it: lint, Icarus, Yosys, netlist, bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gen.cli import generate, main
from gen.netlist import Netlist, Port
from sim import tools
from spinteger.config import PRESETS

ROOT = Path(__file__).parents[2]

#: The shapes that the README promises, all buses, and both firing orders.
CONFIGS = {
    "16x16": ["--pe", "16x16"],
    "1x1": ["--pe", "1x1", "--homes", "1", "--int-lanes", "1"],
    "3x5": ["--pe", "3x5", "--homes", "1", "--int-lanes", "3", "--k", "2046"],
    "4x64": ["--pe", "4x64"],
    "axi": ["--pe", "8x8", "--bus", "axi"],
    "wishbone": ["--pe", "8x8", "--bus", "wishbone", "--bus-bits", "128"],
    "staircase": ["--pe", "8x8", "--fire", "staircase", "--exp-max", "0"],
    "unsigned": ["--pe", "8x8", "--window", "15", "--no-signed", "--exp-max", "0"],
    "no_sums": ["--pe", "8x8", "--acc-depth", "0", "--scale-bits", "0", "--homes", "2",
                "--int-lanes", "1"],
}
#: Where the machine multiplies: salient products, and group scales.
MULTIPLIERS = {"spinteger_integer_lane", "spinteger_scale"}


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
    assert "spinteger_integer_lane" in multipliers
    assert set(multipliers) <= MULTIPLIERS


def test_multiplier_elsewhere_would_be_seen() -> None:
    """The check above can fail: a column that multiplied would show."""
    netlist = Netlist("module spinteger_column(input [3:0] a, b, output [7:0] y);"
                      "assign y = a * b; endmodule", "spinteger_column")
    assert netlist.multipliers() == {"spinteger_column": 1}


def test_ports_of_axi_have_their_standard_names() -> None:
    """As a block design tool looks for them: s_axis_, m_axis_, s_axil_ and the channel's name."""
    netlist = Netlist(generate(PRESETS["tiny"].with_(bus="axi"))[0])
    ports = netlist.ports()
    assert list(ports)[:2] == ["clk", "rst"] and list(ports)[-1] == "irq"
    for bus, source in (("s_axis", "input"), ("m_axis", "output")):
        sink = "output" if source == "input" else "input"
        for name, width in (("tdata", 64), ("tkeep", 8), ("tlast", 1), ("tvalid", 1)):
            assert ports[f"{bus}_{name}"] == Port(source, width, False)
        assert ports[f"{bus}_tready"] == Port(sink, 1, False)
    channels = {"aw": ["addr", "prot"], "w": ["data", "strb"], "b": ["resp"],
                "ar": ["addr", "prot"], "r": ["data", "resp"]}
    for channel, signals in channels.items():
        theirs = channel in ("b", "r")
        for signal in [*signals, "valid"]:
            assert ports[f"s_axil_{channel}{signal}"].direction == "output" if theirs else "input"
        assert ports[f"s_axil_{channel}ready"].direction == "input" if theirs else "output"
    assert len(ports) == 3 + 10 + sum(len(signals) + 2 for signals in channels.values())


def test_same_bytes_whatever_the_hash_seed() -> None:
    """As a user runs it, twice."""
    texts = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-m", "gen", "--preset", "tiny"], cwd=ROOT, env=env,
                              capture_output=True, check=True)
        texts.append(done.stdout)
    assert texts[0] == texts[1] and texts[0].startswith(b"//")
