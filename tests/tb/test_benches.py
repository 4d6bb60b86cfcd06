"""Every bench on both simulators; the configurations beyond `tiny` on Icarus, which needs no
compiler."""

import re
from pathlib import Path

import pytest

from sim import runner, tools
from sim.benches import CONFIGS
from tb.tops import TOPS

BENCHES = ("encoder", "lane", "column", "integer_lane", "if_bank", "axi", "wishbone", "array")
#: Configurations that matter to a bench besides `tiny`; `unsigned` and `single` also reach
#: another firing order or another adder tree, `odd` shapes that are no powers of two.
OTHERS = {
    "encoder": ("unsigned", "odd", "one_home", "four_homes", "single"),
    "lane": ("odd", "single"),
    "column": ("unsigned", "odd", "single"),
    "integer_lane": ("unsigned", "odd", "one_home", "four_homes", "single"),
    "if_bank": ("unsigned", "staircase", "odd", "single"),
    "axi": (), "wishbone": (),      # protocol only: no arithmetic to vary
    "array": ("unsigned", "staircase", "odd", "one_home", "four_homes", "single"),
}
RUNS = [(bench, simulator, "tiny") for bench in BENCHES for simulator in runner.SIMULATORS]
RUNS += [(bench, "icarus", config) for bench in BENCHES for config in OTHERS[bench]]


def names_of(bench: str) -> set[str]:
    """Names of the cocotb tests in a bench's file."""
    text = (Path(runner.__file__).parents[1] / f"tb/tb_{bench}.py").read_text()
    return set(re.findall(r"^@cocotb\.test\(\)\nasync def (\w+)", text, re.MULTILINE))


@pytest.mark.parametrize(("bench", "simulator", "config"), RUNS)
def test_bench(bench: str, simulator: str, config: str) -> None:
    try:
        tools.find(simulator)
    except tools.SimulatorMissing as error:
        pytest.skip(str(error))
    result = runner.run(bench, simulator, CONFIGS[config])
    assert result.ok, "\n\n".join(f"{name}: {text}" for name, text in result.failed.items())
    assert set(result.passed) == names_of(bench), "not all tests ran"


def test_every_block_has_a_bench() -> None:
    # The whole machine, behind each of its buses, plays programs: tests/sim.
    assert set(TOPS) - set(BENCHES) == {name for name in TOPS if name.endswith("machine")}
    assert all(len(names_of(bench)) >= 5 for bench in BENCHES)


def test_another_seed_is_another_run() -> None:
    assert runner.run("lane", "icarus", CONFIGS["tiny"], seed=2).ok
