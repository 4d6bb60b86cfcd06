"""The machine after synthesis, cell by cell, against the golden integers."""

import json

import pytest
import torch

from gen import ecp5
from gen.verilog import TOP
from golden.codes import recode
from golden.layer import HybridLayer
from hdl.machine import Machine
from sim import builds
from sim.accelerator import Accelerator, Layer
from sim.netlist import Netlist, main
from spinteger.config import PRESETS

pytestmark = pytest.mark.silicon

TINY = PRESETS["tiny"]


@pytest.mark.slow
def test_the_tiny_netlist_computes_what_the_golden_model_does() -> None:
    torch.manual_seed(5)
    w = torch.randint(-7, 8, (61, 10))
    theta = torch.randint(200, 4000, (10,))
    x = recode(torch.randint(-7, 8, (3, 61)) * torch.randint(1, 40, (3, 61)), TINY)
    want = HybridLayer(w, theta, TINY).forward(x)
    accelerator = Accelerator(TINY, Netlist(TINY))
    accelerator.load(Layer(w, None))
    assert torch.equal(accelerator.run(x).V, want.V)
    accelerator.load(Layer(w, theta))
    got = accelerator.run(x).codes
    assert torch.equal(got.q, want.codes_out.q) and torch.equal(got.e, want.codes_out.e)


@pytest.mark.slow
def test_one_wrong_bit_in_one_lut_is_seen() -> None:
    """The comparison can fail: invert a LUT in the columns' adder trees."""
    netlist = json.loads(ecp5.synthesise(builds.verilog(Machine, TINY), TOP).netlist)
    cells = netlist["modules"][TOP]["cells"]
    name = next(name for name, cell in cells.items()
                if cell["type"] == "CCU2C" and "column_" in name and "tree" in name)
    init = cells[name]["parameters"]["INIT0"]
    cells[name]["parameters"]["INIT0"] = init.translate(str.maketrans("01", "10"))
    torch.manual_seed(5)
    w, x = torch.randint(-7, 8, (40, 8)), torch.randint(-7, 8, (2, 40))
    accelerator = Accelerator(TINY, Netlist(TINY, json.dumps(netlist)))
    accelerator.load(Layer(w, None))
    assert not torch.equal(accelerator.run(x).V, x @ w)


@pytest.mark.parametrize("argv, words", [
    (["--layer", "blk.99.nothing"], ["--layer blk.99.nothing"]),
    (["--batch", "0"], ["--batch 0"]),
    (["--pe", "0x4"], ["--pe 0x4"]),
    (["--bogus"], ["--bogus"]),
])
def test_mistakes_are_one_line(argv, words, capsys) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
