"""`python -m gen.fpga`: refusals before place and route, clocks that are reached, a bitstream."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from gen import fpga
from gen.blocks import COLUMN, GLUE
from gen.boards import Board, board
from gen.design import Design, on_board
from gen.display import Display
from gen.fpga import TooSlow, baud_for, build, clock_below, main, pack
from gen.fpga_report import block_table, figures, path_table, short_name
from gen.place import Placement, Segment
from gen.tools import ToolError
from spinteger.config import Config

pytestmark = pytest.mark.silicon

pytest.importorskip("amaranth_boards")

#: Stands for the machine: sends back what it receives.
ECHO = """module spinteger(input wire clk, input wire rst, input wire rx, output reg tx,
                 output wire busy, output wire error);
  reg [3:0] n; assign busy = n[3]; assign error = !tx;
  always @(posedge clk) begin tx <= rst | rx; n <= rst ? 4'd0 : n + rx; end
endmodule
"""
QUIET = Console(quiet=True)


class Sized(Design):
    """A design of 20 LUT per lane, whose netlist is not looked at."""

    @property
    def by_block(self) -> dict[str, dict[str, int]]:        # type: ignore[override]
        lanes = self.cfg.rows * self.cfg.cols
        return {COLUMN: {"LUT": 20 * lanes, "FF": 9, "EBR": 2, "DSP": 0},
                GLUE: {"LUT": 50, "FF": 1, "EBR": 0, "DSP": 0}}

    @property
    def need(self) -> dict[str, int]:                       # type: ignore[override]
        return {name: sum(taken[name] for taken in self.by_block.values())
                for name in ("LUT", "FF", "EBR", "DSP")}


def placed(mhz: float, seed: int = 1) -> Placement:
    return Placement("LFE5U-85F-6CABGA381", seed, 100.0, "static", "router2", {"clk": mhz},
                     [Segment("clk-to-q", .5, GLUE, "core.a_TRELLIS_FF_Q", "core.a_TRELLIS_FF_Q"),
                      Segment("routing", 1.0, GLUE, "core.a_TRELLIS_FF_Q", "core.b_LUT4_Z"),
                      Segment("logic", .25, COLUMN, "core.b_LUT4_Z", "core.b_LUT4_Z")],
                     {"LUT": 60, "FF": 10}, {"LUT": 100, "FF": 100}, {seed: mhz, seed + 1: mhz / 2},
                     {"nextpnr-ecp5": "fake"}, "config")


@pytest.fixture
def fake(monkeypatch) -> list[float]:
    """Clocks that place and route reaches, one a call; synthesis takes no time."""
    reached: list[float] = []

    def synthesise(one: Board, cfg: Config, mhz: float, baud: int) -> Sized:
        return Sized(one, cfg, mhz, baud, "", "")

    monkeypatch.setattr(fpga, "synthesise", synthesise)
    monkeypatch.setattr("gen.design.synthesise", synthesise)
    monkeypatch.setattr(fpga, "place", lambda *_, **__: placed(reached.pop(0)))
    monkeypatch.setattr(fpga, "pack", lambda *_: b"bitstream")
    monkeypatch.setattr(fpga.tools, "find", lambda program: program)
    return reached


def test_bitstream_report_and_json(tmp_path, capsys, fake) -> None:
    fake.append(123.4)
    bit, report = tmp_path / "out.bit", tmp_path / "out.json"
    assert main(["--board", "ulx3s-85f", "--pe", "16x16", "-o", str(bit),
                 "--json", str(report)]) == 0
    assert bit.read_bytes() == b"bitstream"
    out = capsys.readouterr().out
    for word in (COLUMN, "5,120", "placed", "the part holds", "60%", "critical path: 1.75 ns, "
                 "123.4 MHz", "seeds: 1: 123.4 MHz, 2: 61.7 MHz", "seed 1", "nextpnr-ecp5 fake",
                 "clock 50 MHz", "1,000,000 baud", f"openFPGALoader -b ulx3s {bit}"):
        assert word in out, word
    found = json.loads(report.read_text())
    assert found["board"] == "ulx3s-85f" and found["seed"] == 1 and found["clock_mhz"] == 50
    assert found["placement"]["mhz"] == 123.4 and found["blocks"][COLUMN]["LUT"] == 5120
    assert found["lut_per_lane"] == (5120 + 50) / 256
    assert found["versions"]["nextpnr-ecp5"] == "fake" and "yosys (pyosys)" in found["versions"]


def test_a_machine_too_large_is_refused_with_the_largest_that_fits(capsys, fake, tmp_path) -> None:
    bit = tmp_path / "no.bit"
    assert main(["--board", "ulx3s-85f", "--pe", "64x128", "--homes", "16", "--k", "512",
                 "-o", str(bit)]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("gen.fpga: ulx3s-85f holds 83,640 LUT, --pe 64x128 needs 163,890: use "
                          "--pe ")
    rows, cols = map(int, err.split("--pe ")[2].split()[0].split("x"))
    assert 20 * rows * cols <= 83_640 and rows * cols == 2048
    assert not bit.exists() and fake == []


def test_memory_is_refused_before_synthesis(capsys, fake, monkeypatch) -> None:
    monkeypatch.setattr("gen.design.synthesise",
                        lambda one, cfg, *_: Sized(one, cfg, 12.0, 1, "", ""))
    monkeypatch.setattr(fpga, "synthesise", None)
    assert main(["--board", "icebreaker", "--preset", "default"]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert "icebreaker holds 120 kbit of memory, --pe 16x16 needs" in err


def test_without_freq_a_clock_that_is_missed_is_lowered(fake) -> None:
    fake += [80.0, 80.0]
    small = Config(rows=8)
    with Display(QUIET) as display:
        design, placement = build(board("ulx3s-85f"), small, mhz=None, baud=None, seed=1,
                                  seeds=1, display=display)
    assert placement.mhz == 80.0 and 70 <= design.mhz <= 80.0 * fpga.MARGIN
    fake += [80.0, 70.0, 60.0]
    with Display(QUIET) as display, pytest.raises(TooSlow, match="--freq"):
        build(board("ulx3s-85f"), small, mhz=None, baud=None, seed=1, seeds=1, display=display)


def test_a_large_machine_starts_at_a_lower_clock(fake) -> None:
    fake.append(60.0)
    with Display(QUIET) as display:
        design, _ = build(board("ulx3s-85f"), Config(), mhz=None, baud=None, seed=1, seeds=1,
                          display=display)
    assert 45 <= design.mhz <= 50


def test_with_freq_a_clock_that_is_missed_is_an_error(fake, capsys, tmp_path) -> None:
    fake.append(80.0)
    bit = tmp_path / "no.bit"
    assert main(["--board", "ulx3s-85f", "--freq", "90", "-o", str(bit)]) == 1
    err = capsys.readouterr().err
    assert "--freq 90: reached 80.0 MHz with seed 1: use --freq 77" in err and not bit.exists()


def test_nextpnr_is_told_to_reach_more_than_the_clock() -> None:
    text = 'LOCATE COMP "clk" SITE "G2";\nFREQUENCY PORT "clk" 25000000.0 HZ;\n'
    assert fpga.aiming(text) == text.replace("25000000.0", "50000000.0")


def test_clocks_and_rates() -> None:
    assert clock_below(board("ulx3s-85f"), 41.0) == pytest.approx(39.0, abs=1)
    assert clock_below(board("icebreaker"), 7.9) == 6.0
    with pytest.raises(TooSlow):
        clock_below(board("icebreaker"), 0.5)
    assert [baud_for(mhz) for mhz in (100, 8, 6, 3, 12.5)] == [
        1_000_000, 1_000_000, 500_000, 250_000, 500_000]


def test_tools_that_fail_give_one_message(fake, monkeypatch, capsys, tmp_path) -> None:
    def fail(*_: object, **__: object) -> Placement:
        raise ToolError("nextpnr-ecp5 failed (exit code 1): ERROR: no luck")

    monkeypatch.setattr(fpga, "place", fail)
    assert main(["--board", "ulx3s-85f", "-o", str(tmp_path / "no.bit")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == \
        "gen.fpga: nextpnr-ecp5 failed (exit code 1): ERROR: no luck"


@pytest.mark.parametrize("argv, words", [
    ([], ["--board", "ulx3s-85f"]),
    (["--board", "foo"], ["--board foo", "icebreaker"]),
    (["--board", "ulx3s-85f", "--freq", "fast"], ["--freq fast", "1 to 400"]),
    (["--board", "icebreaker", "--freq", "300"], ["300 MHz", "16 to 275", "12 MHz"]),
    (["--board", "ulx3s-85f", "--seeds", "0"], ["--seeds 0"]),
    (["--board", "ulx3s-85f", "--seed", "1.5"], ["--seed 1.5", "whole"]),
    (["--board", "ulx3s-85f", "--pe", "0x4"], ["--pe 0x4"]),
    (["--board", "ulx3s-85f", "-o", "no/such/out.bit"], ["-o", "does not exist"]),
    (["--board", "ulx3s-85f", "--json", "no/such.json"], ["--json", "does not exist"]),
    (["--board"], ["--board"]),
])
def test_mistakes_are_one_line(argv, words, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err


def test_boards_are_listed(capsys) -> None:
    assert main(["--list-boards"]) == 0
    out = capsys.readouterr().out
    for word in ("ulx3s-85f", "orangecrab-85f", "ecpix5-85f", "icebreaker", "colorlight-5a-75b",
                 "LFE5U-85F-6CABGA381", "83,640"):
        assert word in out


def test_short_names() -> None:
    assert short_name("core.machine.psum_TRELLIS_FF_Q_3") == "core.machine.psum"
    assert short_name("core.a.b_LUT4_Z$CCU2_COMB0") == "core.a.b"
    assert short_name("$nextpnr_CCU2C_1") == "$nextpnr_CCU2C_1"


@pytest.mark.slow
@pytest.mark.parametrize("name, mhz, magic", [
    ("ulx3s-12f", 50.0, b"\xff\x00Part: LFE5U-12F"), ("icebreaker", 19.875, b"\xff\x00\x00\xff")])
def test_an_echo_becomes_a_bitstream(name: str, mhz: float, magic: bytes) -> None:
    """Everything but the machine, for real: pins, PLL, reset, synthesis, placement, packing."""
    from gen.boards import TOP
    from gen.place import place

    one = board(name)
    pytest.importorskip(f"yowasp_{one.part.nextpnr.replace('-', '_')}")
    design = on_board(one, ECHO, Config(), mhz, 115_200)
    assert 5 < design.need["LUT"] < 100 and not design.missing
    placement = place(design.netlist, one.part, top=TOP, freq=mhz, routed=True,
                      constraints=design.constraints)
    assert placement.mhz > mhz and placement.used["PLL"] == 1
    assert pack(design, placement).startswith(magic)
    text = Console(width=120, record=True, file=Path("/dev/null").open("w"))
    text.print(block_table(design.by_block, placement))
    text.print(path_table(placement))
    assert "pins, clock, reset" in text.export_text()
    assert figures(design, placement)["placement"]["used"]["LUT"] > 5
