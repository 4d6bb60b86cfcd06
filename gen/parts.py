"""The FPGAs that we place on: what nextpnr calls them, and what they hold.

Capacities are those of the die as nextpnr sees it. The LFE5U-12F is sold with half the logic of
the LFE5U-25F; it is the same die, and the open tools use all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Part:
    """One FPGA in a package, at a speed grade."""

    device: str                 #: as its maker names it: LFE5U-85F
    family: str                 #: "ecp5" or "ice40": synthesis flow, nextpnr and packer
    flag: str                   #: nextpnr's option for the device
    package: str                #: as nextpnr names it
    speed: str                  #: speed grade, "" where the family has none
    lut: int                    #: LUT4 sites; a carry chain's LUTs are among them
    ff: int                     #: registers
    ebr: int                    #: block RAMs: 18 kbit on ECP5, 4 kbit on iCE40
    dsp: int                    #: multipliers: 18x18 on ECP5, 16x16 on iCE40
    spram: int = 0              #: single-port RAMs of 256 kbit (iCE40 UltraPlus)

    @property
    def name(self) -> str:
        """Device, speed and package in one word: LFE5U-85F-6CABGA381."""
        return f"{self.device}{'-' + self.speed if self.speed else '-'}{self.package.upper()}"

    @property
    def nextpnr(self) -> str:
        """The placer of the family: "nextpnr-ecp5"."""
        return f"nextpnr-{self.family}"

    @property
    def flags(self) -> list[str]:
        """Options that make nextpnr place on this part."""
        return [self.flag, "--package", self.package,
                *(["--speed", self.speed] if self.speed else [])]

    @property
    def holds(self) -> dict[str, int]:
        """What it holds, by the names of a report: LUT, FF, EBR, DSP, SPRAM."""
        return {"LUT": self.lut, "FF": self.ff, "EBR": self.ebr, "DSP": self.dsp,
                **({"SPRAM": self.spram} if self.spram else {})}

    def missing(self, need: Mapping[str, int]) -> dict[str, int]:
        """What `need` asks for beyond what the part holds, by name; empty when all fits."""
        return {name: need[name] - held for name, held in self.holds.items()
                if need.get(name, 0) > held}


def _ecp5(device: str, flag: str, lut: int, ebr: int, dsp: int, speed: str = "6") -> Part:
    return Part(device, "ecp5", flag, "CABGA381", speed, lut, lut, ebr, dsp)


#: Every part that a board or a benchmark asks for, by device; package and speed are the usual.
PARTS: dict[str, Part] = {part.device: part for part in (
    _ecp5("LFE5U-12F", "--12k", 24_288, 56, 28),
    _ecp5("LFE5U-25F", "--25k", 24_288, 56, 28),
    _ecp5("LFE5U-45F", "--45k", 43_848, 108, 72),
    _ecp5("LFE5U-85F", "--85k", 83_640, 208, 156),
    _ecp5("LFE5UM5G-45F", "--um5g-45k", 43_848, 108, 72, "8"),
    _ecp5("LFE5UM5G-85F", "--um5g-85k", 83_640, 208, 156, "8"),
    Part("iCE40UP5K", "ice40", "--up5k", "sg48", "", 5_280, 5_280, 30, 8, 4),
)}


def part(device: str, package: str = "", speed: str = "") -> Part:
    """The part of that device, in another package or speed grade where given.

    Raises ValueError listing the devices when there is none of that name.
    """
    if device not in PARTS:
        raise ValueError(f"part {device}: unknown, choose from {', '.join(PARTS)}")
    found = PARTS[device]
    return replace(found, package=package or found.package, speed=speed or found.speed)
