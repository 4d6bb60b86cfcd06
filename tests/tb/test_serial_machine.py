"""The machine behind its UART and the driver's own code, on both simulators."""

import re
from pathlib import Path

import pytest

from sim import runner, tools
from spinteger.config import PRESETS

#: On Icarus, which is much slower, only what shows that it simulates the same.
TESTS = {"verilator": None, "icarus": ["layers_over_faulty_lines"]}


@pytest.mark.slow
@pytest.mark.parametrize("simulator", runner.SIMULATORS)
def test_the_driver_over_serial_lines(simulator: str) -> None:
    try:
        tools.find(simulator)
    except tools.SimulatorMissing as error:
        pytest.skip(str(error))
    result = runner.run("serial_machine", simulator, PRESETS["tiny"], tests=TESTS[simulator])
    assert result.ok, "\n\n".join(f"{name}: {text}" for name, text in result.failed.items())
    source = Path(runner.__file__).parents[1] / "tb/tb_serial_machine.py"
    names = TESTS[simulator] or re.findall(r"^@cocotb\.test\(\)\nasync def (\w+)",
                                           source.read_text(), re.MULTILINE)
    assert sorted(result.passed) == sorted(names), "not all tests ran"
