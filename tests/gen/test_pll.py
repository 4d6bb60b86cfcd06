"""PLL settings: inside the limits, near what was asked for, and what they say they make."""

import pytest

from gen import pll
from gen.board_top import clock_for


def inside(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


@pytest.mark.parametrize("source", [25.0, 48.0, 100.0])
@pytest.mark.parametrize("wanted", [10, 33.3, 50, 87, 100, 125, 150, 200])
def test_ecp5(source: float, wanted: float) -> None:
    setting = pll.ecp5(source, wanted)
    p = setting.parameters
    assert setting.mhz == source / p["CLKI_DIV"] * p["CLKFB_DIV"]
    assert abs(setting.mhz - wanted) <= 0.05 * wanted
    detector, oscillator, output = pll.ECP5_LIMITS
    assert inside(source / p["CLKI_DIV"], detector) and inside(setting.mhz, output)
    assert inside(setting.mhz * p["CLKOP_DIV"], oscillator)


@pytest.mark.parametrize("wanted", [16, 18, 20, 24, 30, 48])
def test_ice40(wanted: float) -> None:
    setting = pll.ice40(12.0, wanted)
    p = setting.parameters
    made = 12.0 / (p["DIVR"] + 1) * (p["DIVF"] + 1)
    assert inside(made, pll.ICE40_LIMITS[1])
    assert setting.mhz == made / (1 << p["DIVQ"]) and abs(setting.mhz - wanted) <= 0.02 * wanted


def test_what_ecppll_and_icepll_choose() -> None:
    assert pll.ecp5(25, 100).parameters == {"CLKI_DIV": 1, "CLKFB_DIV": 4, "CLKOP_DIV": 6,
                                            "CLKOP_CPHASE": 5, "CLKOP_FPHASE": 0}
    assert pll.ice40(12, 20) == pll.Setting(19.875, {})
    assert pll.ice40(12, 20).parameters == {"DIVR": 0, "DIVF": 52, "DIVQ": 5, "FILTER_RANGE": 1}


def test_out_of_reach() -> None:
    with pytest.raises(ValueError, match="500 MHz"):
        pll.ecp5(25, 500)
    with pytest.raises(ValueError, match="16 to 275"):
        pll.ice40(12, 5)


def test_a_board_divides_or_keeps_its_clock_where_it_can() -> None:
    assert clock_for("ice40", 12, 12) == (12, "board")
    assert clock_for("ice40", 12, 3) == (3, "divided")
    assert clock_for("ecp5", 25, 12.5) == (12.5, "divided")
    assert clock_for("ecp5", 25, 100) == (100, "pll")
    with pytest.raises(ValueError):
        clock_for("ice40", 12, 7)
