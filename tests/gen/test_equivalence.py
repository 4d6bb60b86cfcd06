"""The generated Verilog is proven to do what Amaranth's own conversion of the source does.

Names, ports, modules and the form of registers are all changed on the way; Yosys proves, by
induction over all states, that nothing else is.
"""

import re

import pytest
from amaranth.back import rtlil as amaranth_rtlil

from gen import yosys
from gen.names import KEYWORDS, prepare
from gen.verilog import to_verilog
from hdl.accumulate import Accumulate
from hdl.array import HybridArray
from hdl.balancer import Balancer
from hdl.buffer_state import BufferState
from hdl.column import Column
from hdl.emitter import Emitter
from hdl.encoder import Encoder
from hdl.event_queue import EventQueue
from hdl.fire_sar import SarFire
from hdl.fire_staircase import StaircaseFire
from hdl.gather import Gather
from hdl.integer_unit import IntegerUnit
from hdl.lane import SpikeLane
from hdl.loader import Loader
from hdl.packets import PacketReader
from hdl.player import Player
from hdl.ramp import RampControl
from hdl.recorder import Recorder
from hdl.registers import Registers
from hdl.salient_list import SalientList
from hdl.trains import Trains
from hdl.walk import Walk
from hdl.weight_bank import WeightBank
from spinteger.config import Config

SMALL = Config(rows=4, cols=2, homes=2, int_lanes=2, k=8, depth=8, tiles=2, tokens=2, exp_max=1,
               frac_bits=2, theta_bits=6, window=3, sal_bits=4, wgt_bits=2, train_depth=8,
               list_depth=8, acc_depth=4, scale_bits=2, bus_bits=32)
PARTS = (Accumulate, Balancer, BufferState, Column, Emitter, Encoder, EventQueue, Gather,
         IntegerUnit, Loader, PacketReader, Player, RampControl, Recorder, Registers,
         SalientList, SarFire, SpikeLane, Trains, Walk, WeightBank)
_FLAT = ("proc", "flatten", "memory", "opt_clean -purge")


def unproven(gold: str, gate: str) -> str:
    """What Yosys cannot prove equal of an RTLIL and a Verilog text; empty when all is."""
    commands = [
        "read_rtlil gold.il", "hierarchy -top gold", *_FLAT, "design -stash gold",
        "read_verilog gate.v", "hierarchy -top gate", *_FLAT, "design -stash gate",
        "design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate",
        "equiv_make gold gate equiv", "hierarchy -top equiv", "opt_clean", "equiv_struct",
        "equiv_simple -undef", "equiv_induct -undef -seq 3", "equiv_status -assert"]
    try:
        yosys.run(commands, {"gold.il": gold, "gate.v": gate})
    except yosys.YosysError as error:
        return str(error)
    return ""


def gold_of(component: object) -> str:
    """Amaranth's own conversion, with our names so that the proof finds its way."""
    text, _ = amaranth_rtlil.convert_fragment(prepare(component, "gold").design, (), "gold",
                                              emit_src=False)
    # A memory called like a keyword, `table`, is `table_` in the Verilog: so are its words.
    for name in set(re.findall(r"^  memory .* \\(\S+)$", text, re.M)) & KEYWORDS:
        text = re.sub(rf'(\\MEMID "\\\\{name}|^  memory .* \\{name})("?)$', r"\1_\2", text,
                      flags=re.M)
    return text


@pytest.mark.parametrize("part, cfg", [
    *((part, SMALL) for part in PARTS), (StaircaseFire, SMALL.with_(fire="staircase")),
    (Column, SMALL.with_(signed=False)), (Encoder, SMALL.with_(signed=False, exp_max=0)),
    (Loader, SMALL.with_(cols=40, acc_depth=0))])
def test_part(part, cfg):
    assert unproven(gold_of(part(cfg)), to_verilog(part(cfg), "gate")) == ""


@pytest.mark.parametrize("old, new", [("if (en)", "if (snap)"), ("running <= ", "hold <= "),
                                      ("+ $signed(", "- $signed(")])
def test_a_change_is_not_proven(old, new):
    verilog = to_verilog(Column(SMALL), "gate")
    assert old in verilog
    assert unproven(gold_of(Column(SMALL)), verilog.replace(old, new, 1))


@pytest.mark.slow
def test_array_for_some_cycles():
    commands = [
        "read_rtlil gold.il", "hierarchy -top gold", *_FLAT, "design -stash gold",
        "read_verilog gate.v", "hierarchy -top gate", *_FLAT, "design -stash gate",
        "design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate",
        "miter -equiv -make_assert -flatten -ignore_gold_x gold gate miter",
        "sat -verify -prove-asserts -set-init-zero -seq 5 miter"]
    gold, gate = gold_of(HybridArray(SMALL)), to_verilog(HybridArray(SMALL), "gate")
    yosys.run(commands, {"gold.il": gold, "gate.v": gate})
