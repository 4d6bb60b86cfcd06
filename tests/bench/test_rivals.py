"""Every rival array gives the golden integers, on three simulators; its carry chains are proven."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from amaranth.hdl import signed, unsigned

from bench.rivals import RIVALS, Rival, Shape
from bench.rivals.chain import Chain, map_chains
from bench.rivals.drive import Product, replay, simulate
from bench.rivals.tree import Tree
from gen import yosys
from gen.carry import trim
from gen.ecp5 import synthesise
from gen.verilog import TOP, to_verilog
from golden.codes import Codes
from golden.integrate import matmul

pytestmark = pytest.mark.silicon

SHAPE = Shape(8, 2, k=512, act_depth=1024)
BOTH = pytest.mark.parametrize("sign", [True, False], ids=["signed", "unsigned"])
EVERY = pytest.mark.parametrize("name", RIVALS)


def build(name: str, sign: bool = True, **changes: int) -> Rival:
    shape = {**SHAPE.__dict__, "signed": sign, **changes}
    return RIVALS[name].build(Shape(**shape))


def golden(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    codes = torch.as_tensor(x).long()
    return matmul(Codes(codes, torch.zeros_like(codes)), torch.as_tensor(w).long()).numpy()


def wrong(products: list[Product], results: list[np.ndarray]) -> int:
    """Sums that are not the golden ones."""
    assert len(products) == len(results)
    return sum(int((golden(x, w) != got).sum())
               for (x, w), got in zip(products, results, strict=True))


def product(rng: np.random.Generator, rival: Rival, tokens: int, inputs: int,
            outputs: int, zeros: float = 0.2) -> Product:
    low, high = rival.shape.act_range[0], rival.shape.act_range[-1]
    x = rng.integers(low, high + 1, (tokens, inputs))
    w = rng.integers(-rival.shape.wgt_max, rival.shape.wgt_max + 1, (inputs, outputs))
    return np.where(rng.random(x.shape) < zeros, 0, x), w


@pytest.mark.slow
@BOTH
@EVERY
def test_random_products_on_all_simulators(name: str, sign: bool) -> None:
    """K, N, T of all sizes, one product loaded beside the other, with gaps and without."""
    rival, rng = build(name, sign), np.random.default_rng(len(name))
    sizes = [(1, 1, 1), (3, 61, 5), (9, 40, 2), (2, 100, 3), (8, 16, 4), (1, 9, 2)]
    products = [product(rng, rival, *size) for size in sizes]
    for gaps in (0.0, 0.5):
        trace, results = simulate(rival, products, gaps=gaps, seed=len(name))
        assert wrong(products, results) == 0
        for simulator in ("icarus", "verilator"):
            assert wrong(products, replay(trace, simulator)) == 0


@BOTH
@EVERY
def test_every_pair_of_codes(name: str, sign: bool) -> None:
    """Every activation times every weight: in every lane, or (8 bits) one lane each."""
    rival = build(name, sign, act_depth=4096)
    rows, acts = rival.shape.rows, np.array(rival.shape.act_range)
    weights = np.arange(-rival.shape.wgt_max, rival.shape.wgt_max + 1)
    lanes = range(rows) if len(acts) < 20 else [None]
    products = []
    for lane in lanes:
        x = np.zeros((len(acts), rows), np.int64)
        x[np.arange(len(acts)), np.arange(len(acts)) % rows if lane is None else lane] = acts
        products += [(x[first:first + 64], np.tile(weights[part], (rows, 1)))
                     for first in range(0, len(acts), 64)
                     for part in (slice(0, 8), slice(8, None))]
    assert wrong(products, simulate(rival, products)[1]) == 0


@BOTH
@EVERY
def test_worst_sums(name: str, sign: bool) -> None:
    """The longest K with the largest codes, all signs: no width overflows."""
    rival = build(name, sign)
    low, high = rival.shape.act_range[0], rival.shape.act_range[-1]
    k, top = rival.shape.k, rival.shape.wgt_max
    x = np.array([[high] * k, [low] * k, [high, low] * (k // 2)])
    products = [(x, np.tile([first, -first], (k, 1))) for first in (top, -top)]
    products.append((x, np.tile([[top, -top], [-top, top]], (k // 2, 1))))
    assert wrong(products, simulate(rival, products)[1]) == 0


@EVERY
def test_cycles_are_those_of_the_array(name: str) -> None:
    """`cycles` is what a run adds when it gets longer; nothing is left out of the comparison."""
    rival, rng = build(name, act_depth=4096), np.random.default_rng(3)
    x, w = product(rng, rival, 8, 256, 4, zeros=0.1)

    def span(times: int) -> int:
        trace, _ = simulate(rival, [(np.tile(x, (times, 1)), w)])
        runs = [at for at, cycle in enumerate(trace.cycles) if "run__valid" in cycle]
        return len(trace.cycles) - runs[-1]

    expected = rival.cycles(8, 256, 4, x)
    assert span(2) - span(1) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("rows, cols", [(8, 1), (8, 5), (12, 3), (16, 3), (24, 2)])
@EVERY
def test_shapes(name: str, rows: int, cols: int) -> None:
    rival, rng = build(name, rows=rows, cols=cols), np.random.default_rng(rows)
    products = [product(rng, rival, 3, 2 * rows + 3, cols + 1),
                product(rng, rival, rows + 1, rows, 1)]
    assert wrong(products, simulate(rival, products, gaps=0.2)[1]) == 0


@pytest.mark.parametrize("changes, words", [
    ({"rows": 6}, "multiple of 4"), ({"cols": 0}, "columns 1..256"), ({"act_bits": 9}, "2..8")])
def test_shapes_that_cannot_be(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Shape(**changes)
    with pytest.raises(ValueError, match="too few"):
        Tree(Shape(4, 4))


def test_harness_sees_a_broken_array() -> None:
    """A netlist whose sums are wrong by one carry is found; one that is late, too."""
    rival, rng = build("tree"), np.random.default_rng(1)
    products = [product(rng, rival, 3, 40, 4)]
    trace, _ = simulate(rival, products)
    verilog = to_verilog(rival)
    for old, new in ((r"a\[3:0\] \+ ", "a[3:0] ^ "), (r"chain_1 <= ", "chain_1 <= 1 + ")):
        broken, count = re.subn(old, new, verilog)
        assert count
        assert wrong(products, replay(trace, "icarus", broken)) > 0


# -- carry chains ----------------------------------------------------------------------------------

def prove(gold: str, gate: str, top: str) -> None:
    """Prove two designs of ECP5 cells or Verilog equal. Raises `YosysError` if they are not."""
    cells = "read_verilog -overwrite +/ecp5/cells_sim.v"
    read = {}
    for side, text in (("gold", gold), ("gate", gate)):
        command = "read_json" if text.lstrip().startswith("{") else "read_verilog -icells"
        read[side] = [f"{command} {side}.v", cells, f"hierarchy -top {top}", "proc", "flatten",
                      "setundef -anyseq", "opt_clean", f"rename {top} {side}",
                      f"design -stash {side}"]
    yosys.run([*read["gold"], *read["gate"], "design -copy-from gold -as gold gold",
               "design -copy-from gate -as gate gate", "miter -equiv -flatten gold gate miter",
               "alumacc miter", "techmap miter", "sat -verify -prove trigger 0 miter"],
              {"gold.v": gold, "gate.v": gate})


CHAINS = {
    "rows": Chain("rows", unsigned(18), unsigned(4), 21, unsigned(3)),
    "rows_one": Chain("rows", unsigned(5), unsigned(4), 6, unsigned(1)),
    "merge": Chain("merge", unsigned(3), unsigned(3), 4, unsigned(4)),
    "mux": Chain("mux", signed(9), signed(8), 9, unsigned(5)),
    "neg": Chain("neg", signed(8), unsigned(6), 8),
    "neg_even": Chain("neg", signed(7), signed(6), 7),
    "count": Chain("count", unsigned(3), unsigned(2), 4),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_are_what_they_mean(name: str) -> None:
    verilog = to_verilog(CHAINS[name])
    mapped, modules = map_chains(verilog)
    assert modules == [TOP] and "CCU2C" in mapped
    prove(verilog, mapped, TOP)


def test_proof_of_chains_can_fail() -> None:
    verilog = to_verilog(CHAINS["neg"])
    with pytest.raises(yosys.YosysError):
        prove(verilog, map_chains(verilog)[0].replace("16'h00aa", "16'h0000"), TOP)


def readable(netlist: str) -> str:
    """A netlist as Yosys reads it: no outlines of cells, unconnected outputs left out."""
    design = json.loads(netlist)
    module = design["modules"][TOP]
    for cell in module["cells"].values():
        cell["connections"] = {pin: bits for pin, bits in cell["connections"].items()
                               if bits != ["x"] or cell["port_directions"][pin] == "input"}
    return json.dumps({"modules": {TOP: module}})


@pytest.mark.parametrize("name", ["merge", "rows_one", "mux"])
def test_trimmed_chains_are_the_same(name: str) -> None:
    """`gen.carry.trim`: no carry-in or -out for nextpnr to bring in or out, the same function."""
    verilog = to_verilog(CHAINS[name])
    commands = ["read_verilog -icells design.v", f"synth_ecp5 -top {TOP} -nowidelut",
                "write_json out.json"]
    netlist = yosys.run(commands, {"design.v": map_chains(verilog)[0]}, ["out.json"])[0]["out.json"]
    trimmed = trim(netlist)
    assert trimmed != netlist
    prove(readable(netlist), readable(trimmed), TOP)
    design = json.loads(readable(trimmed))
    cells = [cell for cell in design["modules"][TOP]["cells"].values() if cell["type"] == "CCU2C"]
    starts = [cell for cell in cells if cell["connections"]["CIN"] == ["x"]]
    assert len(starts) == (name == "mux")                       # the one of odd width
    for half in "01":
        init = cells[0]["parameters"][f"INIT{half}"]
        cells[0]["parameters"][f"INIT{half}"] = init.translate(str.maketrans("01", "10"))
    with pytest.raises(yosys.YosysError):
        prove(readable(netlist), json.dumps(design), TOP)


@pytest.mark.slow
@EVERY
def test_mapping_finds_every_chain(name: str) -> None:
    verilog = to_verilog(build(name))
    mapped, modules = map_chains(verilog)
    assert len(modules) == len(re.findall(r"^module \w*chain", verilog, re.M))
    cells = synthesise(mapped, TOP, dsp=RIVALS[name].dsp).cells(TOP)
    generic = synthesise(verilog, TOP, dsp=RIVALS[name].dsp).cells(TOP)
    assert cells.lut <= generic.lut and (cells.dsp > 0) == name.startswith("dsp")
