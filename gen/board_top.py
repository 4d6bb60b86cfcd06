"""What stands around the machine on a board: clock, reset, the two pins of the host link."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer

from gen import pll

#: After the clock is stable, the machine stays in reset for this long; block RAMs of iCE40 read as
#: zeroes for the first 3 us after configuration.
RESET_US = 15


def clock_for(family: str, source: float, wanted: float) -> tuple[float, str]:
    """The clock, in MHz, that a board makes when asked for `wanted`, and how.

    How: "board" (its own), "divided" by a power of two, or "pll". Raises ValueError when it
    cannot be made.
    """
    if abs(wanted - source) < 1e-6:
        return source, "board"
    for power in range(1, 5):
        if abs(wanted - source / (1 << power)) < 1e-6:
            return source / (1 << power), "divided"
    setting = (pll.ecp5 if family == "ecp5" else pll.ice40)(source, wanted)
    return setting.mhz, "pll"


class BoardTop(Elaboratable):
    """The design `core`, a module of its own, on an amaranth-boards platform.

    Its ports are clk, rst, rx and tx, and busy and error for two LEDs. `mhz`: its clock, one that
    `clock_for` gave. `leds`: the resources for busy and error, with their numbers and maybe
    signals; none where the board has no LEDs to spare. The design is in reset until the clock is
    stable, and while the board's reset button is held, where it has one.
    """

    def __init__(self, family: str, core: str, mhz: float,
                 leds: tuple[tuple[str, int, str], ...] = ()):
        self.family, self.core, self.mhz, self.leds = family, core, mhz, leds

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stable = self._clock(m, platform)

        restart = Signal()
        m.d.comb += restart.eq(~stable)
        if platform.default_rst is not None:
            button = platform.request(platform.default_rst, dir="-")
            m.submodules.reset_pin = pin = io.Buffer("i", button)
            m.d.comb += restart.eq(~stable | pin.i)
        held = Signal()
        m.submodules.reset_sync = FFSynchronizer(restart, held, o_domain="start", init=1)
        cycles = int(RESET_US * self.mhz)
        count = Signal(range(cycles + 1))
        running = Signal()
        with m.If(held):
            m.d.start += [count.eq(0), running.eq(0)]
        with m.Elif(count == cycles):
            m.d.start += running.eq(1)
        with m.Else():
            m.d.start += count.eq(count + 1)
        m.d.comb += ResetSignal("sync").eq(~running)

        uart = platform.request("uart", 0, dir=_undirected(platform, "uart", 0))
        m.submodules.rx_pin = rx = io.Buffer("i", uart.rx)
        m.submodules.tx_pin = tx = io.Buffer("o", uart.tx)
        lights = {"busy": Signal(), "error": Signal()}
        m.submodules.core = Instance(
            self.core, i_clk=ClockSignal("sync"), i_rst=ResetSignal("sync"),
            i_rx=rx.i, o_tx=tx.o, **{f"o_{name}": signal for name, signal in lights.items()})

        requested: dict[tuple[str, int], Any] = {}
        for (resource, number, part), (name, signal) in zip(self.leds, lights.items(),
                                                            strict=False):
            if (resource, number) not in requested:
                requested[resource, number] = platform.request(
                    resource, number, dir=_undirected(platform, resource, number))
            led = requested[resource, number]
            m.submodules[f"{name}_pin"] = pin = io.Buffer("o", getattr(led, part) if part else led)
            m.d.comb += pin.o.eq(signal)
        return m

    def _clock(self, m: Module, platform: Any) -> Signal:
        """Clocks the domains `sync` and `start` (without reset); whether that clock is stable."""
        source = platform.default_clk_frequency / 1e6
        _, how = clock_for(self.family, source, self.mhz)
        pin = platform.request(platform.default_clk, dir="-")
        clock, stable = Signal(), Signal(init=1)
        m.domains.start = start = ClockDomain("start", reset_less=True)
        m.domains.sync = sync = ClockDomain("sync")
        if how == "pll" and self.family == "ice40":
            self._ice40_pll(m, pin, source, clock, stable)
        else:
            m.submodules.clk_pin = buffer = io.Buffer("i", pin)
            if how == "pll":
                self._ecp5_pll(m, buffer.i, source, clock, stable)
            elif how == "divided":
                m.domains.board = board = ClockDomain("board", reset_less=True)
                m.d.comb += [board.clk.eq(buffer.i), stable.eq(1)]
                power = round(source / self.mhz).bit_length() - 1
                divider = Signal(power)
                m.d.board += divider.eq(divider + 1)
                m.d.comb += clock.eq(divider[-1])
            else:
                m.d.comb += [clock.eq(buffer.i), stable.eq(1)]
        m.d.comb += [start.clk.eq(clock), sync.clk.eq(clock)]
        return stable

    def _ecp5_pll(self, m: Module, source: Any, mhz: float, clock: Signal, locked: Signal) -> None:
        setting = pll.ecp5(mhz, self.mhz)
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{mhz:g}", a_FREQUENCY_PIN_CLKOP=f"{setting.mhz:g}",
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED", p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD", p_CLKOP_ENABLE="ENABLED",
            p_FEEDBK_PATH="CLKOP",
            **{f"p_{name}": value for name, value in setting.parameters.items()},
            i_RST=0, i_STDBY=0, i_CLKI=source, o_CLKOP=clock, i_CLKFB=clock, i_PHASESEL0=0,
            i_PHASESEL1=0, i_PHASEDIR=1, i_PHASESTEP=1, i_PHASELOADREG=1, i_PLLWAKESYNC=0,
            i_ENCLKOP=0, o_LOCK=locked)

    def _ice40_pll(self, m: Module, pin: Any, mhz: float, clock: Signal, locked: Signal) -> None:
        setting = pll.ice40(mhz, self.mhz)
        m.submodules.pll = Instance(
            "SB_PLL40_PAD", p_FEEDBACK_PATH="SIMPLE",
            **{f"p_{name}": value for name, value in setting.parameters.items()},
            i_PACKAGEPIN=pin.io, i_RESETB=1, i_BYPASS=0, o_PLLOUTGLOBAL=clock, o_LOCK=locked)


def _undirected(platform: Any, resource: str, number: int) -> Any:
    """`dir` for a request that leaves the buffers to us."""
    parts = platform.lookup(resource, number).ios
    if hasattr(parts[0], "ios"):
        return {part.name: "-" for part in parts}
    return "-"
