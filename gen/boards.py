"""The boards that a bitstream can be made for: what is on them comes from amaranth-boards.

Their platforms know the pins; we take these as constraints and leave synthesis to our own flow,
because Yosys' default one misses our mapping (gen/ecp5.py).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amaranth.build import Attrs

from gen import yosys
from gen.board_top import BoardTop
from gen.parts import Part, part
from spinteger.config import Config, ConfigError

#: Module that holds pins, clock and the design.
TOP = "top"
#: Amaranth's names of packages -> nextpnr's.
_PACKAGES = {"BG256": "CABGA256", "MG285": "CSFBGA285", "BG381": "CABGA381", "BG554": "CABGA554",
             "SG48": "sg48"}
#: A clock, in MHz, that a machine is likely to reach on a part: where the search begins. One of
#: 200 MACs, whose wires are the limit, reaches half of that.
_CLOCKS = {("ecp5", "6"): 100.0, ("ecp5", "8"): 120.0, ("ice40", ""): 12.0}
_LARGE, _OF_IT = 200, 0.5


@dataclass(frozen=True)
class Board:
    """A board, and the options that a machine on it starts from."""

    name: str
    module: str                     #: of amaranth_boards
    platform: str                   #: class in it
    about: str                      #: for the list of boards
    #: Configuration to start from, by field, where the default one is not meant for the board.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Where the host link goes when the board's platform does not say: connector, rx, tx.
    uart: tuple[str, str, str] | None = None
    #: LEDs for "busy" and "error": resource, number, signal in it.
    leds: tuple[tuple[str, int, str], ...] = (("led", 0, ""), ("led", 1, ""))
    packer: tuple[str, ...] = ()    #: options of ecppack
    #: How to load the bitstream, FILE in place of its name.
    load: str = ""

    def new_platform(self) -> Any:
        """A platform of amaranth-boards, with a UART. Raises `ConfigError` without the package."""
        try:
            module = importlib.import_module(f"amaranth_boards.{self.module}")
        except ImportError:
            raise ConfigError("no amaranth-boards: pip install -e '.[fpga]'") from None
        platform = getattr(module, self.platform)()
        if self.uart is not None:
            from amaranth_boards.resources import UARTResource
            connector, rx, tx = self.uart
            platform.add_resources([UARTResource(0, rx=rx, tx=tx, conn=(connector, 0),
                                                 attrs=Attrs(IO_TYPE="LVCMOS33"))])
        return platform

    @property
    def part(self) -> Part:
        """Its FPGA. Raises `ConfigError` without amaranth-boards."""
        platform = self.new_platform()
        return part(platform.device, _PACKAGES[platform.package], getattr(platform, "speed", ""))

    @property
    def clock(self) -> float:
        """The oscillator on the board, in MHz."""
        return float(self.new_platform().default_clk_frequency) / 1e6

    def start_mhz(self, cfg: Config) -> float:
        """The clock to try first when none is asked for."""
        chip = self.part
        large = cfg.rows * cfg.cols >= _LARGE
        return _CLOCKS[chip.family, chip.speed] * (_OF_IT if large else 1.0)

    def around(self, core: str, mhz: float) -> tuple[str, str]:
        """Verilog of the module `top` around a module `core`, and the pin constraints.

        `core` has ports clk, rst, rx and tx; `mhz` is a clock that `board_top.clock_for` gave.
        """
        platform = self.new_platform()
        family = self.part.family
        plan = platform.prepare(BoardTop(family, core, mhz, self.leds), TOP)
        pins = "lpf" if family == "ecp5" else "pcf"
        made, _ = yosys.run(["read_rtlil top.il", "proc", "opt_clean",
                             "write_verilog around.v"],
                            {"top.il": _text(plan.files[f"{TOP}.il"])}, ["around.v"])
        return made["around.v"], _text(plan.files[f"{TOP}.{pins}"])


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()


_ULX3S = "ULX3S, host link on its USB"
_FEATHER = "OrangeCrab r0.2, host link on pins 0 (rx) and 1 (tx)"
_RGB = (("rgb_led", 0, "g"), ("rgb_led", 0, "r"))
#: Fits 24,288 LUTs, 56 block RAMs and 28 multipliers.
_SMALL = {"rows": 8, "cols": 8, "homes": 2, "int_lanes": 2, "k": 1024, "train_depth": 1024,
          "list_depth": 1024, "tiles": 8, "tokens": 16}

BOARDS: dict[str, Board] = {board.name: board for board in (
    *(Board(f"ulx3s-{size}f", "ulx3s", f"ULX3S_{size}F_Platform", _ULX3S,
            {} if size == 85 else _SMALL, packer=("--compress",),
            load="openFPGALoader -b ulx3s FILE")
      for size in (12, 25, 45, 85)),
    *(Board(f"orangecrab-{size}f", "orangecrab_r0_2", f"OrangeCrabR0_2_{size}FPlatform", _FEATHER,
            {} if size == 85 else _SMALL, uart=("io", "0", "1"), leds=_RGB,
            packer=("--compress", "--freq", "38.8"), load="openFPGALoader -b orangecrab FILE")
      for size in (25, 85)),
    *(Board(f"ecpix5-{size}f", "ecpix5", f"ECPIX5{size}Platform", "ECPIX-5, host link on its USB",
            {} if size == 85 else _SMALL, leds=_RGB, load="openFPGALoader -b ecpix5 FILE")
      for size in (45, 85)),
    Board("colorlight-5a-75b", "colorlight_5a75b_r7_0", "Colorlight_5A75B_R70Platform",
          "Colorlight 5A-75B 7.0, host link on J19: key (rx) and LED (tx)", _SMALL, leds=(),
          packer=("--compress",), load="openFPGALoader -c ft232 FILE"),
    Board("icesugar-pro", "icesugar_pro", "ICESugarProPlatform", "iCESugar-Pro, host link on its "
          "USB", _SMALL, leds=_RGB, packer=("--compress",), load="cp FILE to its USB drive"),
    Board("icebreaker", "icebreaker", "ICEBreakerPlatform", "iCEBreaker, host link on its USB",
          {"rows": 2, "cols": 2, "homes": 1, "int_lanes": 1, "k": 16, "depth": 32, "tiles": 2,
           "tokens": 1, "train_depth": 16, "list_depth": 16, "window": 3, "acc_depth": 0,
           "scale_bits": 0, "exp_max": 0, "sal_bits": 4, "frac_bits": 3, "theta_bits": 8,
           "bus_bits": 32},
          load="openFPGALoader -b ice40_generic FILE"),
)}


def board(name: str) -> Board:
    """The board of that name. Raises `ConfigError` listing them when there is none."""
    if name not in BOARDS:
        raise ConfigError(f"--board {name}: unknown, choose from {', '.join(BOARDS)}")
    return BOARDS[name]
