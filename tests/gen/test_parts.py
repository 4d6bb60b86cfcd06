"""The table of parts: what nextpnr is told, what fits."""

import pytest

from gen.parts import PARTS, part


def test_flags_name_device_package_and_speed() -> None:
    assert part("LFE5U-85F").flags == ["--85k", "--package", "CABGA381", "--speed", "6"]
    small = part("LFE5U-25F", "CABGA256", "8")
    assert small.flags == ["--25k", "--package", "CABGA256", "--speed", "8"]
    assert small.name == "LFE5U-25F-8CABGA256"
    assert part("iCE40UP5K").flags == ["--up5k", "--package", "sg48"]
    assert part("iCE40UP5K").nextpnr == "nextpnr-ice40"


def test_unknown_part_lists_the_others() -> None:
    with pytest.raises(ValueError, match="LFE5U-85F"):
        part("XC7A35T")


def test_missing_says_how_much() -> None:
    chip = PARTS["iCE40UP5K"]
    assert chip.missing({"LUT": 5280, "EBR": 30}) == {}
    assert chip.missing({"LUT": 6000, "EBR": 31, "DSP": 8}) == {"LUT": 720, "EBR": 1}
