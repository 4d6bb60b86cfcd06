"""SerialTop: the machine behind a UART, what a board's bitstream holds."""

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.link_port import LinkPort
from hdl.uart_rx import UartRx
from hdl.uart_tx import UartTx
from spinteger.config import Config, ConfigError

#: How far the divided clock may be from the baud rate: the UARTs bear 3 % of both ends together.
BAUD_ERROR = 0.015


def divisor(clk_hz: float, baud: int) -> int:
    """Clock cycles per bit. Raises `ConfigError` where no divisor comes near enough."""
    cycles = max(1, round(clk_hz / baud))
    if cycles < 8:
        raise ConfigError(f"--baud {baud}: a bit must last 8 cycles of the clock or more: use "
                          f"{int(clk_hz / 8)} or less at {clk_hz / 1e6:g} MHz")
    if abs(clk_hz / cycles / baud - 1) > BAUD_ERROR:
        raise ConfigError(f"--baud {baud}: a clock of {clk_hz / 1e6:g} MHz is no multiple of it, "
                          f"not even nearly: use {round(clk_hz / cycles)}")
    return cycles


class SerialTop(wiring.Component):
    """The machine's data streams and registers over two pins: 8 data bits, no parity, 1 stop bit.

    The driver is `Accelerator(cfg, backend="serial", port=...)`, for the same configuration; `bus`
    makes no difference. docs/link.md has the protocol and its throughput. Raises `ConfigError` for
    a baud rate that the clock cannot make.
    """

    def __init__(self, cfg: Config, clk_hz: float, baud: int = 1_000_000,
                 machine: wiring.Component | None = None):
        """`machine`: what to put behind the link, if not a `Machine`; it has the same ports."""
        if machine is None:
            from hdl.machine import Machine  # benches put something smaller there

            machine = Machine(cfg)
        self.cfg, self.machine, self.divisor = cfg, machine, divisor(clk_hz, baud)
        super().__init__({
            "rx": In(1, init=1),   #: from the host, idle high
            "tx": Out(1),          #: to the host
            "busy": Out(1),        #: LED: bytes are under way
            "error": Out(1),       #: LED: the host's last frame was damaged, or found no room
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart_rx = uart_rx = UartRx(self.divisor)
        m.submodules.uart_tx = uart_tx = UartTx(self.divisor)
        m.submodules.link = link = LinkPort(self.cfg)
        machine = self.machine
        m.submodules.machine = ResetInserter(link.restart)(machine)
        wiring.connect(m, link.tx, uart_tx.input)
        wiring.connect(m, link.input, machine.input)
        wiring.connect(m, machine.output, link.output)
        m.d.comb += [
            uart_rx.rx.eq(self.rx), self.tx.eq(uart_tx.tx),
            link.rx_data.eq(uart_rx.data), link.rx_valid.eq(uart_rx.valid),
            machine.reg_addr.eq(link.reg_addr), machine.reg_write.eq(link.reg_write),
            machine.reg_wdata.eq(link.reg_wdata), link.reg_rdata.eq(machine.reg_rdata),
            self.busy.eq(link.busy), self.error.eq(link.error),
        ]
        return m
