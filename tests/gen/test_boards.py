"""Boards: each has a known FPGA, a clock, pins for the host link; designs that do not fit."""

import re

import pytest

from gen import blocks, design
from gen.board_top import clock_for
from gen.boards import BOARDS, TOP, Board, board
from gen.design import Design, excess, largest, memory_bits, scaled, shortage, smaller
from spinteger.config import Config, ConfigError

pytest.importorskip("amaranth_boards")


@pytest.mark.parametrize("name", BOARDS)
def test_pins_and_clock(name: str) -> None:
    one = board(name)
    part = one.part
    mhz, how = clock_for(part.family, one.clock, one.start_mhz(Config(**one.options)))
    verilog, constraints = one.around("spinteger", mhz)
    assert re.search(r"^module top\b", verilog, re.M) and "spinteger  *core" not in verilog
    assert re.search(r"^  spinteger core \(", verilog, re.M)
    assert ("EHXPLLL" in verilog) == (how == "pll" and part.family == "ecp5")
    pins = re.findall(r'LOCATE COMP "(\S+)" SITE|^set_io (\S+)', constraints, re.M)
    names = {first or second for first, second in pins}
    assert {"uart_0__rx__io", "uart_0__tx__io"} <= names
    assert len(names) == len(re.findall(r"^  (?:input|output|inout) ", verilog.split(
        "endmodule")[0], re.M))
    assert re.search(r"FREQUENCY PORT|set_frequency", constraints)
    Config(**one.options)


def test_pins_are_the_boards_own() -> None:
    _, ulx3s = board("ulx3s-85f").around("spinteger", 25.0)
    assert 'LOCATE COMP "uart_0__rx__io" SITE "M1"' in ulx3s
    assert 'LOCATE COMP "uart_0__tx__io" SITE "L4"' in ulx3s
    _, crab = board("orangecrab-85f").around("spinteger", 48.0)
    assert 'LOCATE COMP "uart_0__rx__io" SITE "N17"' in crab
    _, breaker = board("icebreaker").around("spinteger", 12.0)
    assert "set_io uart_0__rx__io 6" in breaker


@pytest.mark.parametrize("name, mhz, cell", [
    ("icebreaker", 19.875, "SB_PLL40_PAD"), ("icebreaker", 3.0, "SB_GB_IO"),
    ("ulx3s-12f", 100.0, "EHXPLLL"), ("ulx3s-12f", 12.5, "IB")])
def test_clocks(name: str, mhz: float, cell: str) -> None:
    verilog, _ = board(name).around("spinteger", mhz)
    assert re.search(rf"^  {cell} ", verilog, re.M)


def test_unknown_board_lists_the_others() -> None:
    with pytest.raises(ConfigError, match="--board foo: unknown, choose from ulx3s-12f"):
        board("foo")


# -- what fits ---------------------------------------------------------------------------------

class Sized(Design):
    """A design whose size is a formula: 30 LUT per lane and 2,000 more."""

    @property
    def by_block(self) -> dict[str, dict[str, int]]:        # type: ignore[override]
        cfg = self.cfg
        return {blocks.COLUMN: {"LUT": 30 * cfg.rows * cfg.cols, "FF": 0, "EBR": 0, "DSP": 0},
                blocks.GLUE: {"LUT": 2000, "FF": 10, "EBR": 4, "DSP": 0},
                blocks.BLOCKS["weight_bank"]: {"LUT": 0, "FF": 0, "DSP": 0,
                                               "EBR": -(-memory_bits(cfg) // 18_000)}}

    @property
    def need(self) -> dict[str, int]:                       # type: ignore[override]
        return {name: sum(taken[name] for taken in self.by_block.values())
                for name in ("LUT", "FF", "EBR", "DSP")}


def sized(one: Board, cfg: Config, mhz: float = 25.0, baud: int = 1) -> Sized:
    return Sized(one, cfg, mhz, baud, "", "")


SMALL = Config(**BOARDS["ulx3s-25f"].options)


def test_shortage_is_found_without_synthesis() -> None:
    assert shortage(board("ulx3s-85f"), Config()) == ""
    words = shortage(board("icebreaker"), Config())
    assert words.startswith("icebreaker holds 120 kbit of memory, --pe 16x16 needs ")
    assert words.endswith("kbit or more")


def test_excess_names_the_scarcest_resource() -> None:
    one = board("ulx3s-25f")
    assert excess(sized(one, SMALL)) == ""
    assert excess(sized(one, SMALL.with_(rows=32, cols=32, homes=8, k=512))) == \
        "ulx3s-25f holds 24,288 LUT, --pe 32x32 needs 32,720"


def test_smaller_machines_are_valid_and_in_order() -> None:
    found = smaller(Config())
    lanes = [cfg.rows * cfg.cols for cfg in found]
    assert lanes == sorted(lanes, reverse=True) and lanes[0] == 128 and found[-1].rows == 1
    assert all(cfg.int_lanes <= max(cfg.homes, 1) for cfg in found)


def test_scaling_to_the_same_shape_changes_nothing() -> None:
    it = sized(board("ulx3s-85f"), Config())
    assert scaled(it, Config()) == it.need
    assert scaled(it, Config(cols=32))["LUT"] == 2000 + 30 * 512


def test_the_largest_that_fits_is_named_after_synthesis(monkeypatch) -> None:
    made: list[Config] = []

    def synthesise(one: Board, cfg: Config, mhz: float, baud: int) -> Sized:
        made.append(cfg)
        return sized(one, cfg)

    monkeypatch.setattr(design, "synthesise", synthesise)
    one, asked = board("ulx3s-25f"), SMALL.with_(rows=32, cols=64, homes=8, k=512)
    fits = largest(one, asked, 25.0, 1_000_000, sized(one, asked))
    assert fits is not None and fits.rows * fits.cols == 512 and made == [fits]
    assert largest(board("icebreaker"), SMALL, 12.0, 1_000_000) is None \
        or made[-1].rows * made[-1].cols < 110


def test_top_is_the_name_that_place_and_route_gets() -> None:
    assert TOP == "top"
