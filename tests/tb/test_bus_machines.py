"""The whole machine behind AXI and behind Wishbone, on both simulators, against the golden one."""

import re
from pathlib import Path

import pytest

from sim import cases, runner, tools
from spinteger.config import PRESETS

CONFIGS = {"tiny": PRESETS["tiny"], "narrow": cases.CONFIGS["narrow"],
           "wide": PRESETS["tiny"].with_(bus_bits=128)}
RUNS = [(bus, simulator, "tiny") for bus in ("axi", "wishbone") for simulator in runner.SIMULATORS]
RUNS += [("axi", "icarus", "wide"), ("wishbone", "icarus", "narrow")]


@pytest.mark.parametrize(("bus", "simulator", "name"), RUNS)
def test_random_programs_through(bus: str, simulator: str, name: str) -> None:
    try:
        tools.find(simulator)
    except tools.SimulatorMissing as error:
        pytest.skip(str(error))
    result = runner.run(f"{bus}_machine", simulator, CONFIGS[name])
    assert result.ok, "\n\n".join(f"{name}: {text}" for name, text in result.failed.items())
    source = Path(runner.__file__).parents[1] / f"tb/tb_{bus}_machine.py"
    names = re.findall(r"^@cocotb\.test\(\)\nasync def (\w+)", source.read_text(), re.MULTILINE)
    assert sorted(result.passed) == sorted(names), "not all tests ran"
