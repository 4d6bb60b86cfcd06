"""Clocks that a board's PLL can make, and the settings that make them.

ECP5 (EHXPLLL, feedback from its output): input / I * F, the oscillator at D times that.
iCE40 (SB_PLL40, simple feedback): input * F / (R * 2^Q). Limits are those of the data sheets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

#: MHz: phase detector, oscillator, output.
ECP5_LIMITS = ((3.125, 400.0), (400.0, 800.0), (3.125, 400.0))
ICE40_LIMITS = ((10.0, 133.0), (533.0, 1066.0), (16.0, 275.0))
#: Loop filter of the iCE40's PLL, by the frequency of its phase detector.
_FILTERS = ((17, 1), (26, 2), (44, 3), (66, 4), (101, 5), (134, 6))


@dataclass(frozen=True)
class Setting:
    """What to set a PLL to."""

    mhz: float                  #: the clock it makes
    parameters: dict[str, int] = field(compare=False)     #: of the cell


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _nearest(clocks: Iterator[tuple[float, int, int, int]], wanted: float,
             output: tuple[float, float]) -> tuple[float, int, int, int]:
    """The clock that comes closest to `wanted` MHz. Raises ValueError when none is within 5 %."""
    best = min(clocks, key=lambda clock: (abs(clock[0] - wanted), clock), default=None)
    if best is None or abs(best[0] - wanted) > 0.05 * wanted:
        raise ValueError(f"{wanted:g} MHz: the PLL makes {output[0]:g} to {output[1]:g} MHz")
    return best


def ecp5(source: float, wanted: float) -> Setting:
    """The setting of EHXPLLL that comes closest to `wanted` MHz from `source` MHz.

    Raises ValueError when the PLL cannot make anything near: 3.125 to 400 MHz.
    """
    detector, oscillator, output = ECP5_LIMITS

    def clocks() -> Iterator[tuple[float, int, int, int]]:
        for divide in range(1, 129):
            for multiply in range(1, 81) if _within(source / divide, detector) else ():
                made = source / divide * multiply
                if _within(made, output):
                    # The oscillator as near to its middle as it gets.
                    post = max(1, min(128, round(sum(oscillator) / 2 / made)))
                    if _within(made * post, oscillator):
                        yield made, divide, multiply, post

    made, divide, multiply, post = _nearest(clocks(), wanted, output)
    return Setting(made, {"CLKI_DIV": divide, "CLKFB_DIV": multiply, "CLKOP_DIV": post,
                          "CLKOP_CPHASE": post - 1, "CLKOP_FPHASE": 0})


def ice40(source: float, wanted: float) -> Setting:
    """The setting of SB_PLL40 that comes closest to `wanted` MHz from `source` MHz.

    Raises ValueError when the PLL cannot make anything near: 16 to 275 MHz.
    """
    detector, oscillator, output = ICE40_LIMITS

    def clocks() -> Iterator[tuple[float, int, int, int]]:
        for divide in range(1, 17):
            for multiply in range(1, 129) if _within(source / divide, detector) else ():
                for power in range(1, 7):
                    made = source / divide * multiply / (1 << power)
                    if _within(source / divide * multiply, oscillator) and _within(made, output):
                        yield made, divide, multiply, power

    made, divide, multiply, power = _nearest(clocks(), wanted, output)
    range_ = next(number for limit, number in _FILTERS if source / divide < limit)
    return Setting(made, {"DIVR": divide - 1, "DIVF": multiply - 1, "DIVQ": power,
                          "FILTER_RANGE": range_})
