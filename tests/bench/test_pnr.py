"""`python -m bench.pnr`: what is worse is found, and its block named; mistakes cost nothing."""

import json
from dataclasses import asdict, replace

import pytest

from bench import pnr
from bench.pnr import START, Figures, compare, main
from gen.blocks import BLOCKS, COLUMN, GLUE
from gen.place import Placement, Segment
from spinteger.config import PRESETS

pytestmark = pytest.mark.silicon

QUEUES = BLOCKS["event_queue"]
BEFORE = Figures(20.0, 150.0, {COLUMN: 600, QUEUES: 400, GLUE: 280}, [COLUMN, GLUE])


def test_within_the_slack_nothing_is_worse() -> None:
    assert compare(BEFORE, BEFORE) == []
    assert compare(replace(BEFORE, lut_per_lane=20.9, mhz=143.0), BEFORE) == []
    assert compare(replace(BEFORE, lut_per_lane=10.0, mhz=300.0), BEFORE) == []


def test_growth_names_the_blocks_the_largest_first() -> None:
    now = replace(BEFORE, lut_per_lane=22.0,
                  blocks={COLUMN: 610, QUEUES: 500, GLUE: 270, "new": 28})
    line, = compare(now, BEFORE)
    assert "20.0 before, 22.0 now (+10.0%)" in line
    assert line.index(f"{QUEUES} grew by 100 LUT (400 to 500)") < line.index("new grew by 28")
    assert line.index("new grew by 28 LUT (0 to 28)") < line.index(f"{COLUMN} grew by 10")
    assert GLUE not in line


def test_a_slower_clock_names_the_path_and_what_is_new_in_it() -> None:
    line, = compare(replace(BEFORE, mhz=120.0, path=[QUEUES, GLUE]), BEFORE)
    assert "150.0 MHz before, 120.0 MHz now (-20.0%)" in line
    assert line.endswith(f"goes through {QUEUES}, {GLUE}; not before: {QUEUES}")


def made(seed: int, mhz: float) -> Placement:
    """A placement of that Fmax, through the columns."""
    return Placement("LFE5U-85F-6CABGA381", seed, 150.0, "static", "router1", {"clk": mhz},
                     [Segment("logic", 1000 / mhz, COLUMN, "a", "b")], {"LUT": 9, "FF": 9},
                     {"LUT": 10, "FF": 10}, {seed: mhz}, {"nextpnr-ecp5": "fake"})


@pytest.fixture
def fake(monkeypatch) -> dict[int, float]:
    """Fmax by seed, for a place and route that takes no time."""
    fmax: dict[int, float] = {}

    def place(*_: object, seed: int, seeds: int, **__: object) -> Placement:
        return max((made(number, fmax[number]) for number in range(seed, seed + seeds)),
                   key=lambda placement: placement.mhz)

    class Empty:
        netlist = json.dumps({"modules": {"harness": {"cells": {}}}})

    monkeypatch.setattr(pnr, "synthesise", lambda *_: Empty)
    monkeypatch.setattr(pnr, "harness", lambda *_: "")
    monkeypatch.setattr(pnr, "to_verilog", lambda *_: "")
    monkeypatch.setattr(pnr, "place", place)
    return fmax


def test_update_then_check(tmp_path, capsys, fake) -> None:
    baseline = str(tmp_path / "base.json")
    fake.update({1: 100.0, 2: 110.0, 3: 105.0})
    assert main(["--update", "--baseline", baseline]) == 0
    report = json.loads((tmp_path / "base.json").read_text())
    assert report["seed"] == 2 and report["figures"]["mhz"] == 110.0
    assert report["versions"]["nextpnr-ecp5"] == "fake" and report["config"] == START.params()

    fake.clear()
    fake[2] = 104.6         # the best seed of before is good enough: no other is placed
    assert main(["--check", "--baseline", baseline]) == 0
    assert "no worse than the baseline" in capsys.readouterr().out

    fake.update({1: 103.0, 2: 90.0, 3: 106.0})
    assert main(["--check", "--baseline", baseline]) == 0

    fake[3] = 104.0
    assert main(["--check", "--baseline", baseline]) == 1
    err = capsys.readouterr().err
    assert "110.0 MHz before, 104.0 MHz now" in err and COLUMN in err


def test_another_machine_is_not_compared(tmp_path, capsys) -> None:
    path = tmp_path / "base.json"
    path.write_text(json.dumps({"config": PRESETS["tiny"].params(), "seed": 1,
                                "figures": asdict(BEFORE)}))
    assert main(["--check", "--baseline", str(path)]) == 2
    err = capsys.readouterr().err
    assert "another rows, cols" in err and "--update" in err and err.count("\n") == 1


@pytest.mark.parametrize("argv, words", [
    (["--check", "--baseline", "no/such.json"], ["--baseline no/such.json", "--update"]),
    (["--update", "--baseline", "no/such.json"], ["--baseline", "does not exist"]),
    (["--seeds", "0"], ["--seeds 0"]),
    (["--pe", "0x4"], ["--pe 0x4"]),
])
def test_mistakes_are_one_line(argv, words, capsys) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
