"""`python -m bench.results`: the page holds what the files hold, whole or not at all.

The files are written by the benchmarks' own code from made-up figures, so that a format that
changes is noticed here.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from bench import energy, fpga, pnr, results, results_text
from bench.energy import Design
from bench.fpga_report import Row
from bench.fpga_report import report as bench_report
from bench.gates.energy import Parts
from bench.report import write_json
from bench.results import BENCHMARKS, main
from bench.results_energy import gain, saving
from bench.results_fpga import front
from bench.rivals import RIVALS
from bench.rivals.measure import Measured
from gen import explore, fpga_report
from gen.event_energy import Events
from gen.parts import PARTS
from gen.place import Placement, Segment
from gen.sweep import Area, Result
from golden import evaluate
from sim.layers import LayerRow
from sim.predict import Prediction
from spinteger.config import Config, preset

COMMITTED = Path(__file__).parents[2] / "docs" / "results"
CFG = Config()
QUIET = Console(quiet=True)


# -- samples ---------------------------------------------------------------------------------------

def cycles(folder: Path) -> None:
    rows = [LayerRow("blk.15.q_proj", "verilator", 576, 576, 16, 0.10, 0.79, 31_000, 18_661,
                     20_736, 30_000, {"cycles": 31_000}, 0),
            LayerRow("blk.2.up_proj", "verilator", 576, 64, 16, 0.0264, 0.80, 31_000, 22_809,
                     20_736, 30_000, {"cycles": 31_000}, 0)]
    write_json(str(folder / "cycles.json"), "cycles", CFG.with_(bus_bits=256),
               {"layers": [row.as_json() for row in rows]})


def rivals(folder: Path) -> None:
    path = [("event queues", 7.5), ("column data path", 2.5)]
    rows = [Row(name, RIVALS[name].title if name in RIVALS else "ours", level,
                Measured(lut, 4321, 12, 0, 100.0, 1, {1: 100.0}, path, "static, router2"), 256,
                {"dense": 100.0, "50% zeros": 50.0}, {"dense": gops, "50% zeros": 2 * gops},
                100.0, name != "systolic", 1000)
            for name, lut, gops in (("ours", 8000, 96.0), ("systolic", 10_000, 20.0),
                                    ("tree-w4a8", 10_000, 50.0))
            for level in ("array", "machine")]
    work = SimpleNamespace(name="dense", layers=[SimpleNamespace(name="blk.15.q_proj")])
    zeros = SimpleNamespace(name="50% zeros", layers=work.layers)
    bench_report(QUIET, rows, [work, zeros], PARTS["LFE5U-85F"], CFG, Namespace(
        quick=False, seeds=3, json=str(folder / "fpga-16x16.json")))


def design(name: str, bits: str, array: Parts, control: float) -> Design:
    return Design(name, bits, "adders", {"tree": array, "control": Parts(clock=control)}, array,
                  memory_bits=4.0, cycles_per_mac=1.0, area=1000.0, path=4.0)


def energies(folder: Path, patch: pytest.MonkeyPatch) -> None:
    mine = design("ours, 16x16", "W4 A4+8", Parts(0.5, 0.2, 0.3, 0.2), 2.0)     # 1.0 + 2.0
    theirs = [design("adder tree, planes", "W4 A4", Parts(0.5, 0.1, 0.5, 1.0), 0.1),
              design("adder tree, multipliers", "W4 A4", Parts(0.2, 0.1, 0.2, 0.4), 0.1),
              design("systolic", "W4 A4", Parts(0.1), 0.1),
              design("adder tree, multipliers", "W4 A8", Parts(1.0, 0.1, 1.0, 2.0), 0.1)]
    counts = {"spikes": 1200, "salients": 100, "v_adds": 24, "outputs": 64, "inputs": 2000,
              "weight_bits": 9}
    details = {"counts": counts, "phases": {},
               "events": {"idle_cycle": 384.0, "spike_column": 0.5}}
    layer = SimpleNamespace(name="blk.15.q_proj", k=576, live=0.6, salient=0.05, silent=0.35)
    patch.setattr(energy.cells, "load", lambda _: SimpleNamespace(origin="made-up cells"))
    patch.setattr(energy, "load_named", lambda *_: [layer])
    patch.setattr(energy, "ours", lambda *_: (mine, details))
    patch.setattr(energy, "rivals", lambda *_: theirs)
    assert energy.main(["--library", "sky130", "--col-tiles", "1", "--json",
                        str(folder / "energy-16x16-sky130.json")]) == 0


PLACED = Placement("LFE5U-85F-6CABGA381", 2, 100.0, "static", "router2", {"clk": 104.2},
                   [Segment("clk-to-q", 0.5, "event queues", "a", "b"),
                    Segment("routing", 1.25, "event queues", "b", "c"),
                    Segment("carry", 2.0, "column data path", "c", "d"),
                    Segment("setup", 0.0, "column data path", "d", "e")],
                   {"LUT": 42_000, "FF": 20_000, "EBR": 180, "DSP": 69},
                   {"LUT": 84_000, "FF": 84_000, "EBR": 208, "DSP": 156}, {1: 99.0, 2: 104.2},
                   {"nextpnr-ecp5": "0.99"})


def bitstream(folder: Path) -> None:
    blocks = {"event queues": {"LUT": 976, "FF": 5, "EBR": 32, "DSP": 0},
              "column data path": {"LUT": 2521, "FF": 9, "EBR": 0, "DSP": 1}}
    made: Any = SimpleNamespace(board=SimpleNamespace(name="ulx3s-85f"), mhz=100.0, baud=10**6,
                                cfg=CFG, by_block=blocks,
                                need={"LUT": 3497, "FF": 14, "EBR": 32, "DSP": 1})
    write_json(str(folder / "bitstream.json"), "fpga", CFG, fpga_report.figures(made, PLACED),
               PLACED.seed, fpga_report.tool_versions(PLACED))


def regression(folder: Path, patch: pytest.MonkeyPatch) -> None:
    figures = pnr.Figures(28.5, 131.5, {"event queues": 976}, ["event queues"])
    blocks = {"event queues": {"LUT": 976, "FF": 5, "EBR": 32, "DSP": 0}}
    patch.setattr(pnr, "measure", lambda *_: (figures, blocks, PLACED))
    assert pnr.main(["--update", "--baseline", str(folder / "pnr-baseline.json")]) == 0


def result(shape: int, lut: int, cycles: int) -> Result:
    one = Prediction("blk.15.q_proj", 16, 10**6, 2 * cycles, cycles, 5000, 1, 1, 1, 1, 1)
    return Result(Config(rows=shape, cols=shape), Area(lut, 99, 9, 9, 100.0), [one])


def exploration(folder: Path) -> None:
    placed = result(16, 9000, 4000)
    explore.report([result(8, 3000, 16_000), replace(placed, placed=Area(9000, 99, 9, 9, 80.0)),
                    result(8, 4000, 17_000)], ["blk.15.q_proj"],
                   Events("8x8, osu018", 64, 1.0, 1.0, 1.0, 1.0, 64.0, 0.5),
                   Namespace(batch=16, json=str(folder / "explore.json"), plot=None), QUIET)


def evaluation(folder: Path) -> None:
    plain = {"recipe": "unquantised", "ppl": 40.0, "bits_per_byte": 1.2, "more": 0.0,
             "more_error": 0.0}
    hybrid = {"recipe": "W4A4&8 k_mad 3", "ppl": 41.0, "bits_per_byte": 1.21, "salient": 0.041,
              "more": 0.025, "more_error": 0.004,
              "salient_by_mac": 0.05, "zeros": 0.18, "energy_opcount": 0.042,
              "energy_movement": 7.4, "cycles": 3000.0, "cycles_dense": 1000.0}
    write_json(str(folder / "evaluate-smollm2.json"), "evaluate", CFG, {
        "model": "smollm2", "baseline": "as shipped", "tokens": 8176, "length": 512,
        "recipes": [plain, hybrid]})


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    """A file of every kind; energy and FPGA of one size only."""
    folder: Path = tmp_path_factory.mktemp("samples")
    for name in ("area", "block", "lanes", "simspeed"):
        shutil.copy(COMMITTED / f"{name}.json", folder)
    with pytest.MonkeyPatch.context() as patch:
        cycles(folder)
        rivals(folder)
        energies(folder, patch)
        bitstream(folder)
        regression(folder, patch)
        exploration(folder)
        evaluation(folder)
    return folder


def made(folder: Path, out: Path) -> str:
    out.mkdir(exist_ok=True)
    assert main(["--from", str(folder), "--out", str(out)]) == 0
    return (out / "results.md").read_text()


@pytest.fixture(scope="module")
def built(samples, tmp_path_factory) -> Path:
    out: Path = tmp_path_factory.mktemp("out")
    made(samples, out)
    return out


@pytest.fixture(scope="module")
def page(built) -> str:
    return (built / "results.md").read_text()


def row(page: str, start: str) -> list[str]:
    """The cells of the first row that begins so."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


# -- page ------------------------------------------------------------------------------------------

def test_every_section_and_plot_is_there(page, built):
    for title in ("How it was made", "Cycles on real layers", "A whole block", "Area by block",
                  "FPGA", "Our bitstream", "Ours and rivals", "Energy", "Exploration",
                  "The papers' operation counts beside what was measured",
                  "What is not claimed", "Method in short"):
        assert f"# {title}\n" in page, title
    plots = sorted(path.name for path in (built / "results").iterdir())
    assert plots == ["area.svg", "cycles.svg", "energy-16x16-sky130.svg", "explore.svg",
                     "fpga-16x16.svg"]
    assert all(f"(results/{name})" in page for name in plots)
    assert "(results/evaluate-smollm2.svg)" in page, "golden.evaluate draws it"
    assert all((built / "results" / name).read_bytes().startswith(b"<?xml") for name in plots)


def test_figures_are_those_of_the_files(page, samples):
    assert row(page, "blk.2.up_proj | 576")[4:] == ["22,809", "20,736", "**1.10**", "1.37", "1.49"]
    assert "1 of 2 layers" in page and "golden model: **0**" in page
    block = json.loads((samples / "block.json").read_text())
    assert f"**{block['cycles']:,} cycles** all in" in page
    area = json.loads((samples / "area.json").read_text())
    assert row(page, "**whole machine**")[1] == f"{area['total']['lut']:,}"


def test_fpga(page):
    assert "**Fmax 104.2 MHz**" in page and "seed 2 (tried: 1: 99.0 MHz, 2: 104.2 MHz)" in page
    assert row(page, "**placed**") == ["**placed**", "42,000", "20,000", "180", "69"]
    assert row(page, "used")[1] == "50%"
    assert row(page, "event queues | 0.50") == ["event queues", "0.50", "0.00", "1.25"]
    assert "nextpnr-ecp5 0.99" in page
    assert row(page, "**ours** | 8,000") == [
        "**ours**", "8,000", "4,321", "12", "0", "100", "31.2", "51.2", "96.0, 12.00",
        "192.0, 24.00", "static, router2"]
    assert row(page, "systolic \\*")[1] == "10,000"
    assert row(page, "array | the systolic W4A4 array")[2:] == ["6.00×", "5×",
                                                                "reached, 1.20× of it"]
    assert row(page, "machine | the best LUT-only rival")[2:] == ["2.40×", "3×",
                                                                  "**missed by 1.25×**"]
    assert "28.5 LUT per lane, 131.5 MHz" in page


def test_energy(page):
    assert row(page, "**ours, 16x16**") == ["**ours, 16x16**", "W4 A4+8", "1.00", "", "3.00",
                                            "7.22"]
    assert row(page, "adder tree, multipliers | W4 A4")[2:4] == ["0.80", "1.25×"]
    assert row(page, "control | 2.000") == ["control", "2.000", "2.000"]
    goals = [line for line in page.splitlines() if "the best W4A" in line]
    assert "| 1.25× | 0.40× | **missed by 3.12×** |" in goals[0]
    assert "| 0.25× | 0.20× | **missed by 1.25×** |" in goals[1]
    # 1.0 pJ at a live share of 60 %, 0.5 pJ a spike: 0.7 + 0.5 share < 0.8.
    assert goals[2].endswith("| 60% | 0.50 | 0.70 | 0.80 | 20% | 48% |")
    assert goals[3].endswith("| 60% | 0.50 | 0.70 | 4.00 | always | always |")
    assert "50% on blk.15.q_proj" in page


def test_exploration_marks_the_front(page, samples):
    assert row(page, "16×16 \\*")[1:6] == ["9,000", "99", "9", "9", "80"]
    assert row(page, "8×8 \\*")[5:] == ["100?", "3.20×", "12.5", "4.17", "1.0", "0.0"]
    assert row(page, "8×8 |")[1] == "4,000"
    points = json.loads((samples / "explore.json").read_text())["points"]
    assert [one["area"]["lut"] for one in front(points)] == [3000, 9000]


def test_language_models(page):
    assert row(page, "W4A4&8 k_mad 3") == ["W4A4&8 k_mad 3", "41.00", "+2.5% ± 0.4", "1.210",
                                           "4.1%", "5.0%", "18.0%", "3,000 (3.00×)", "0.042",
                                           "7.40"]
    assert "8,176 predicted tokens in windows of 512" in page and "is as shipped." in page


def test_operation_counts_stand_beside_what_was_measured(page):
    assert f"{saving(0.0264):.2%}" == "84.66%" and f"{gain(0.10):.2f}" == "4.60"
    assert "84.66% at" in page and "4.60× at" in page
    assert row(page, "blk.15.q_proj | 10.00%")[2:] == ["78.3%", "4.60×", "0.80×, 4.00×"]
    assert row(page, "blk.2.up_proj | 2.64%")[2:] == ["84.7%", "6.52×", "–"]


def test_same_files_same_bytes(built, samples, tmp_path):
    made(samples, tmp_path / "again")
    for path in [path for path in built.rglob("*") if path.is_file()]:
        assert (tmp_path / "again" / path.relative_to(built)).read_bytes() == path.read_bytes()


# -- what is missing or wrong ----------------------------------------------------------------------

def test_missing_files_leave_their_sections_out(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    shutil.copy(COMMITTED / "block.json", tmp_path / "in")
    page, said = made(tmp_path / "in", tmp_path / "out"), capsys.readouterr().out
    for one in BENCHMARKS:
        absent = one.name != "block"
        assert (f": not measured: `{one.command(tmp_path / 'in')}`\n" in page) == absent
        assert (f"not measured: {one.title}: {one.command(tmp_path / 'in')}\n" in said) == absent
    assert "25 products" in page and "![" not in page


def test_disagreement_is_said(page, samples, tmp_path):
    """Bus width and memories in the samples; here a version too."""
    assert "**The files disagree on the configuration**" in page
    assert row(page, "cycles of real layers")[2] == "16×16, bus_bits 256"
    assert "nextpnr-ecp5 is 0.99 in pnr-baseline and bitstream" in page
    (tmp_path / "in").mkdir()
    for name, version in (("block", "0.5.10"), ("lanes", "0.6.0")):
        report = json.loads((samples / f"{name}.json").read_text())
        report["versions"]["amaranth"] = version
        report["config"]["bus_bits"] = 64
        (tmp_path / "in" / f"{name}.json").write_text(json.dumps(report))
    page = made(tmp_path / "in", tmp_path / "out")
    assert "versions**: amaranth is 0.5.10 in block, 0.6.0 in lanes." in page
    assert "disagree on the configuration" not in page


@pytest.mark.parametrize("name, change, words", [
    ("block", lambda text: text[:len(text) // 2], "cannot be read"),
    ("block", lambda text: "[]", "is no report of bench.block"),
    ("block", lambda text: text.replace('"block"', '"area"', 1), "is no report of bench.block"),
    ("block", lambda text: text.replace('"dense_cycles"', '"dense"'), "has no dense_cycles"),
    ("lanes", lambda text: text.replace('"versions": {', '"versions": 7, "x": {'), "not as expec"),
    ("area", lambda text: text.replace('"lut": ', '"lut": null, "was": '), "not as expected"),
])
def test_a_damaged_file_is_one_line_and_nothing_is_written(name, change, words, samples, tmp_path,
                                                           capsys):
    text = (samples / f"{name}.json").read_text()
    (tmp_path / f"{name}.json").write_text(change(text))
    (tmp_path / "out").mkdir()
    assert main(["--from", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err and f"{name}.json" in err
    assert f"make it anew: python -m bench.{name}" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_without_matplotlib_nothing_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "bench.results_plots", raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("measured"))
    assert main(["--from", str(tmp_path), "--out", str(tmp_path), "--run"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "pip install -e .[explore]" in err


# -- command ---------------------------------------------------------------------------------------

def test_list_has_every_benchmark(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(BENCHMARKS)
    for line, one in zip(lines[1:], BENCHMARKS, strict=True):
        assert line.startswith(one.name) and one.takes in line and one.file in line
        assert line.endswith(one.command(Path("docs/results")))


def test_commands_are_accepted_by_their_parsers():
    parsers: dict[str, Any] = {
        "golden.evaluate": evaluate, "bench.energy": energy, "bench.fpga": fpga, "bench.pnr": pnr,
        "gen.explore": explore}
    for one in BENCHMARKS:
        if one.argv[0] in parsers:
            parsers[one.argv[0]].parser().parse_args(one.arguments(Path("x"))[2:])


@pytest.mark.parametrize("argv, words", [
    (["--run", "cycles,speed"], ["--run speed", "pnr-baseline"]),
    (["--run", ""], ["--run (empty)", "cycles"]),
    (["--from", "no/such"], ["--from no/such", "docs/results"]),
    (["--out", "no/such"], ["--out", "mkdir -p no/such"]),
    (["--out"], ["--out (nothing)"]),
    (["--runs"], ["--runs", "did you mean --run?"]),
])
def test_mistakes_are_one_line(argv, words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err


@pytest.fixture
def called(monkeypatch, tmp_path) -> list[list[str]]:
    """Commands that --run ran; those of `bench.lanes` fail with 3."""
    commands: list[list[str]] = []

    def run(command: list[str], check: bool) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=3 * ("bench.lanes" in command))

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_run_measures_in_order_what_the_page_says(called, tmp_path, capsys):
    assert main(["--from", str(tmp_path), "--out", str(tmp_path), "--run", "area,cycles"]) == 0
    assert [command[2] for command in called] == ["bench.cycles", "bench.area"]
    page = (tmp_path / "results.md").read_text()
    for command in called:
        assert command[0] == sys.executable
        assert f"`{' '.join(['python', *command[1:]])}`" in page


def test_run_stops_at_a_failure_with_its_code(called, tmp_path, capsys):
    assert main(["--from", str(tmp_path), "--out", str(tmp_path), "--run"]) == 3
    assert [command[2] for command in called] == ["bench.cycles", "bench.block", "bench.lanes"]
    assert "lanes failed, exit code 3" in capsys.readouterr().err
    assert not (tmp_path / "results.md").exists()


def test_ctrl_c_waits_for_the_benchmark_and_stops(monkeypatch, tmp_path):
    done = []

    def run(command: list[str], check: bool) -> SimpleNamespace:
        signal.raise_signal(signal.SIGINT)
        done.append(command)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(subprocess, "run", run)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        main(["--from", str(tmp_path), "--out", str(tmp_path), "--run"])
    assert len(done) == 1 and signal.getsignal(signal.SIGINT) is before
    assert results.chosen_from(None) == []


def test_tiny_machines_are_other_configurations(tmp_path):
    """What differs from most files is named, whichever they are."""
    for name, cfg in (("a", CFG), ("b", CFG), ("c", preset("tiny"))):
        write_json(str(tmp_path / f"{name}.json"), "lanes", cfg, {})
    reports = [json.loads((tmp_path / f"{name}.json").read_text()) for name in "abc"]
    sources = {name: results.Source(name, name, name, "", report)
               for name, report in zip("abc", reports, strict=True)}
    text = results_text.made(sources)
    assert row(text, "a |")[2] == "16×16" and row(text, "c |")[2].startswith("4×4, ")
