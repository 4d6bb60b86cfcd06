"""`python -m sim.netlist --pe 16x16`: the machine after synthesis, on a piece of a real layer.

The netlist of ECP5 cells that place and route gets, simulated by Verilator with models of the
cells, behind the same driver as the RTL; every integer is compared with the golden model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch
from rich.console import Console

from gen import ecp5, ecp5_model
from gen.display import Display
from gen.options import OneLineParser, add_config_flags, config_from
from gen.verilog import TOP
from gen.yosys import YosysError
from golden.codes import Codes
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.layer import HybridLayer
from golden.realdata import RealLayer, load_named
from hdl.machine import Machine
from sim import builds, native
from sim.accelerator import Accelerator, AcceleratorError, Layer
from sim.backends import Verilator
from sim.builds import BenchError
from sim.layers import differing
from sim.tools import SimulatorMissing
from spinteger.config import Config, ConfigError

#: The piece that runs unless another is asked for: two tiles of 16 columns.
LAYER, BATCH, OUTPUTS = "blk.2.q_proj", 2, 32


class Netlist(Verilator):
    """A backend of `sim.backends`: the machine's netlist as a native model.

    `netlist`: Yosys' JSON, flattened; without it the machine is synthesised, once. Making and
    building take minutes for 16x16; it runs some thousand cycles a second.
    """

    name = "netlist"

    def __init__(self, cfg: Config, netlist: str | None = None):
        made = netlist or ecp5.synthesise(builds.verilog(Machine, cfg), TOP).netlist
        super().__init__(cfg, text=ecp5_model.model(made, TOP))


def check(layer: RealLayer, backend: Verilator, tokens: int, outputs: int) -> tuple[int, int, int]:
    """Run the first tokens and outputs of a layer, raw and fired.

    Returns the values compared, those that differ from the golden model, and the cycles. Raises
    `AcceleratorError` when the machine reports an error, `NativeError` when it hangs.
    """
    cfg = backend.cfg
    w = torch.as_tensor(layer.w)[:, :outputs].long()
    theta = torch.as_tensor(layer.theta)[:outputs]
    codes = Codes(*(part[:tokens] for part in layer.codes))
    want = HybridLayer(w, theta, cfg).forward(codes)
    accelerator = Accelerator(cfg, backend)
    accelerator.load(Layer(w, None))
    wrong = differing(accelerator.run(codes), want.V)
    cycles = accelerator.counters()["cycles"]
    accelerator.load(Layer(w, theta))
    wrong += differing(accelerator.run(codes), None, want.codes_out)
    return 2 * want.V.numel(), wrong, cycles + accelerator.counters()["cycles"]


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m sim.netlist", formatter_class=argparse.RawTextHelpFormatter,
        description="Synthesise the machine for ECP5, simulate the netlist on a piece of a real "
                    "layer of\nSmolLM2-135M, and compare every integer with the golden model. "
                    "16x16 takes some minutes.\nExit codes: 0 equal, 1 different or failed, 2 an "
                    "option cannot be obeyed.")
    p.add_argument("--layer", metavar="NAME", default=LAYER,
                   help=f"the layer: blk.N. and q_proj, o_proj, gate_proj ... (default: {LAYER})")
    p.add_argument("--batch", metavar="N", type=int, default=BATCH,
                   help=f"its first N tokens (default: {BATCH})")
    p.add_argument("--outputs", metavar="N", type=int, default=OUTPUTS,
                   help=f"its first N outputs (default: {OUTPUTS})")
    add_config_flags(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; returns the exit code."""
    console = Console(highlight=False)
    try:
        args = parser().parse_args(argv)
        cfg = config_from(args)
        if not (1 <= args.batch <= 16 and args.outputs >= 1):
            raise ConfigError(f"--batch {args.batch} --outputs {args.outputs}: 1 to 16 tokens, and "
                              "1 or more outputs")
        layer = _layer(args.layer, cfg)
        with Display(Console(stderr=True, highlight=False)) as display:
            with display.step("generating and synthesising the machine"):
                backend = Netlist(cfg)
            with display.step("building its model"):
                assert backend.text is not None
                native.build(cfg, text=backend.text)
            with display.step(f"running {layer.name}"):
                values, wrong, cycles = check(layer, backend, args.batch, args.outputs)
    except ConfigError as error:
        print(f"sim.netlist: {error}", file=sys.stderr)
        return 2
    except (AcceleratorError, BenchError, YosysError, SimulatorMissing, RealDataUnavailable,
            HashMismatch) as error:
        print(f"sim.netlist: {error}", file=sys.stderr)
        return 1
    console.print(f"{cfg.rows}x{cfg.cols} netlist, {layer.name}: {values:,} integers compared with "
                  f"the golden model, {wrong:,} differ; {cycles:,} cycles")
    return 1 if wrong else 0


def _layer(name: str, cfg: Config) -> RealLayer:
    """The layer of that name. Raises `ConfigError` when there is none, or K is too large."""
    try:
        layer = load_named([name], cfg)[0]
    except KeyError as error:
        raise ConfigError(f"--layer {name}: {error.args[0]}") from None
    if layer.k > cfg.k:
        raise ConfigError(f"--layer {name}: its {layer.k} inputs do not fit --k {cfg.k}")
    return layer


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
