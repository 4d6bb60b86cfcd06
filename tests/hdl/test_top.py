"""The top of every bus: its ports, and the machine inside."""

import pytest
from amaranth.hdl import Fragment

from gen.names import interface
from hdl.bus_axi import AxiMachine
from hdl.bus_wishbone import WishboneMachine
from hdl.machine import Machine
from hdl.top import TOPS, top
from spinteger.config import BUSES, PRESETS

#: Bus -> the component, and the ports that show which one it is.
WANT = {"stream": (Machine, {"input__payload", "output__payload", "reg_addr", "irq"}),
        "axi": (AxiMachine, {"s_axis_tdata", "m_axis_tdata", "s_axil_awaddr", "irq"}),
        "wishbone": (WishboneMachine, {"wb_adr_i", "wb_dat_i", "wb_ack_o", "irq"})}


def test_every_bus_has_a_top() -> None:
    assert set(TOPS) == set(WANT) == set(BUSES)


@pytest.mark.parametrize("bus", BUSES)
def test_top(bus: str) -> None:
    component, ports = WANT[bus]
    made = top(PRESETS["tiny"].with_(bus=bus))
    Fragment.get(made, None)
    assert type(made) is component
    assert ports <= {name for name, _, _ in interface(made)}
    if bus != "stream":
        assert type(made.machine) is Machine
