"""The top component of a configuration: the machine behind the bus it asks for."""

from amaranth.lib import wiring

from hdl.bus_axi import AxiMachine
from hdl.bus_wishbone import WishboneMachine
from hdl.machine import Machine
from spinteger.config import Config

TOPS: dict[str, type[wiring.Component]] = {
    "stream": Machine, "axi": AxiMachine, "wishbone": WishboneMachine}


def top(cfg: Config) -> wiring.Component:
    """The machine with the ports of `cfg.bus`."""
    return TOPS[cfg.bus](cfg)
