"""`python -m gen`: Verilog alone on stdout, one line for a mistake, files whole or not at all."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gen import cli, describe
from gen.netlist import Netlist
from spinteger import __version__, isa
from spinteger.config import PRESETS, Config

ROOT = Path(__file__).parents[2]
TINY = ["--preset", "tiny"]


def gen(*args: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run the generator as a user does."""
    return subprocess.run([sys.executable, "-m", "gen", *args], cwd=ROOT, capture_output=True,
                          text=True, check=False, env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin"})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[str, dict, str]:
    """Verilog, side file and messages of the tiny preset."""
    side = tmp_path_factory.mktemp("gen") / "tiny.json"
    done = gen(*TINY, "--json", str(side))
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(side.read_text()), done.stderr


# -- what comes out ---------------------------------------------------------------------------


def test_stdout_is_verilog_and_nothing_else(tiny):
    verilog, _, messages = tiny
    assert verilog.startswith("// spinteger: ")
    assert all(line.startswith("//") for line in verilog.split("module")[0].strip().splitlines())
    assert verilog.endswith("endmodule\n")
    assert "Yosys" not in messages and len(messages.splitlines()) == 1


def test_header_says_how_to_make_it_again(tiny):
    verilog, side, _ = tiny
    command = side["command"].removeprefix("python -m gen ").split()
    assert f"//     {side['command']}\n" in verilog
    assert gen(*command).stdout == verilog
    assert f"Spinteger {__version__} (Amaranth" in verilog
    assert "SPDX-License-Identifier: Apache-2.0" in verilog


def test_same_bytes_for_same_configuration(tiny):
    assert gen(*TINY, seed="4711").stdout == tiny[0]


def test_no_paths_dates_or_odd_names(tiny):
    verilog = tiny[0]
    for word in (str(ROOT), "site-packages", ".py", "\\", "port$", "20" + "26"):
        assert word not in verilog.replace("time_zero", ""), word


def test_no_latches_loops_or_missing_drivers(tiny):
    netlist = Netlist(tiny[0])
    assert netlist.latches() == []
    assert netlist.problems() == []


def test_multipliers_only_for_salients_and_scales(tiny):
    assert Netlist(tiny[0]).multipliers() == {"spinteger_integer_lane": 4,
                                              "spinteger_scale": 4}


def test_header_has_the_bus_and_the_memory_map(tiny):
    head = tiny[0].split("module")[0]
    assert "// Bus: plain streams of 64 bits" in head
    for name, register in isa.BY_REGISTER.items():
        if not name.endswith(("_low", "_high")):
            assert re.search(rf"// +0x{register.address:03x}  {register.access} +{name}\n", head)
    for name in isa.COUNTERS:
        address = isa.BY_REGISTER[f"{name}_low"].address
        assert f"//     0x{address:03x}  r   {name} ({isa.COUNTER_BITS} bits)\n" in head
    assert "data_in" not in head
    assert "data_in_last" in "\n".join(describe.header(Config(bus="wishbone"), "spinteger"))


@pytest.mark.parametrize("generation", ["2005", "2012"])
def test_icarus_accepts(tiny, tmp_path, generation):
    (tmp_path / "a.v").write_text(tiny[0])
    done = subprocess.run(["iverilog", f"-g{generation}", "-Wall", "-o", "a.out", "a.v"],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""


def test_verilator_accepts(tiny, tmp_path):
    from sim import tools

    (tmp_path / "a.v").write_text(tiny[0])
    done = subprocess.run([str(tools.verilator().path), "--lint-only", "-Wno-WIDTH",
                           "--top-module", "spinteger", "a.v"], cwd=tmp_path, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and "%Warning" not in done.stderr, done.stderr


@pytest.mark.parametrize("options", [
    "--fire staircase --exp-max 0", "--no-signed --window 15 --train-depth 96", "--exp-max 0",
    "--int-lanes 1",
    "--pe 1x1 --homes 1 --int-lanes 1", "--pe 3x5 --homes 1 --int-lanes 3 --k 30",
    "--wgt-bits 2 --sal-bits 6", "--depth 0 --k 48", "--bus axi --bus-bits 32", "--bus wishbone",
    "--acc-depth 0 --scale-bits 0"])
def test_other_configurations(options, tmp_path):
    cfg, _ = cli.parse([*TINY, *options.split()])
    verilog, side = cli.generate(cfg)
    netlist = Netlist(verilog)
    assert netlist.latches() == [] and netlist.problems() == []
    assert set(netlist.multipliers()) <= {"spinteger_integer_lane", "spinteger_scale"}
    assert {port["name"]: port["width"] for port in side["ports"]} == \
        {name: port.width for name, port in netlist.ports().items()}
    (tmp_path / "a.v").write_text(verilog)
    subprocess.run(["iverilog", "-g2005", "-o", "a.out", "a.v"], cwd=tmp_path, check=True)


def test_modules_merged():
    verilog, side = cli.generate(PRESETS["tiny"].with_(rows=8, cols=8))
    assert side["modules"]["spinteger_column"] == 8
    assert side["modules"]["spinteger_spike_lane"] == 8
    assert verilog.count("\nmodule ") == len(side["modules"]) < 75


# -- the side file ----------------------------------------------------------------------------


def test_side_file(tiny):
    _, side, _ = tiny
    cfg = PRESETS["tiny"]
    assert side["version"] == __version__ and side["top"] == "spinteger"
    assert Config(**side["parameters"]) == cfg
    assert side["derived"] == cfg.derived()
    assert set(side["tools"]) == {"spinteger", "amaranth", "pyosys"}


def test_side_file_ports_match_the_verilog(tiny):
    verilog, side, _ = tiny
    ports = Netlist(verilog).ports()
    assert [port["name"] for port in side["ports"]] == list(ports)
    for port in side["ports"]:
        assert (port["direction"], port["width"]) == \
            (ports[port["name"]].direction, ports[port["name"]].width)


def test_side_file_fields(tiny):
    from hdl.packets import input_layout
    from hdl.payloads import OutKind, out_layout

    ports = {port["name"]: port for port in tiny[1]["ports"]}
    fields = {field["name"]: field for field in ports["input__payload"]["fields"]}
    assert {name: field["offset"] for name, field in fields.items()} == \
        {name: field.offset for name, field in input_layout(PRESETS["tiny"])}
    word = tiny[1]["output_word"]
    fields = {field["name"]: field for field in word["fields"]}
    layout = out_layout(PRESETS["tiny"])
    assert {name: field["offset"] for name, field in fields.items()} == \
        {name: field.offset for name, field in layout}
    assert fields["kind"]["values"] == {member.name: member.value for member in OutKind}
    assert (word["width"], word["beats"]) == (layout.size, 1)
    assert describe.output_word(Config(bus_bits=32, cols=64))["beats"] == 5


def test_shape_of_nested_layouts():
    from hdl.payloads import act_layout

    code = describe.shape(act_layout(PRESETS["tiny"]))["fields"][0]
    assert (code["length"], code["stride"]) == (2, code["width"] // 2)
    assert code["element"]["fields"][0] == {"name": "q", "offset": 0, "width": 8, "signed": True}


def test_a_driver_can_be_written_from_the_side_file(tiny):
    """Descriptors made and read with what the file says are those of `spinteger.isa`."""
    _, side, _ = tiny
    table = side["instructions"]
    assert (table["descriptor_bits"], table["opcode_bits"]) == (128, 8)
    rng = random.Random(1)
    assert [op["name"] for op in table["operations"]] == [op.name for op in isa.OPS]
    for op in table["operations"]:
        values = {field["name"]: rng.getrandbits(field["width"]) for field in op["fields"]}
        word = op["opcode"] | sum(values[field["name"]] << field["offset"]
                                  for field in op["fields"])
        assert word == isa.encode(op["name"], **values) and op["doc"] and op["payload"]
    assert {error["code"]: error["name"] for error in side["errors"]} == \
        {code.value: code.name for code in isa.Error}
    assert all(error["doc"] for error in side["errors"])


def test_side_file_registers(tiny):
    _, side, _ = tiny
    assert side["bus"] == "stream" and side["register_id"] == isa.ID_VALUE
    assert {register["name"]: register["address"] for register in side["registers"]} == \
        {register.name: register.address for register in isa.REGISTERS}
    assert [counter["name"] for counter in side["counters"]] == list(isa.COUNTERS)
    causes = [counter["name"] for counter in side["counters"] if counter["kind"] == "cause"]
    assert causes == [name for name, _ in isa.CAUSES]
    names = [register["name"] for register in describe.registers(Config(bus="wishbone"))]
    assert set(names) == {register.name for register in (*isa.REGISTERS, *isa.WISHBONE_REGISTERS)}


def test_side_file_memories(tiny):
    _, side, _ = tiny
    banks = next(memory for memory in side["memories"]
                 if memory["module"] == "spinteger_spike_lane" and memory["name"] == "bank")
    cfg = PRESETS["tiny"]
    assert (banks["width"], banks["depth"], banks["instances"]) == \
        (cfg.cols * cfg.wgt_bits, cfg.bank_depth, cfg.rows)
    assert side["memory_bits"] == sum(memory["bits"] for memory in side["memories"])


# -- files ------------------------------------------------------------------------------------


def test_output_file(tiny, tmp_path):
    target = tmp_path / "accel.v"
    done = gen(*TINY, "-o", str(target))
    assert (done.returncode, done.stdout) == (0, "")
    assert target.read_text() == tiny[0]
    assert target.stat().st_mode & 0o444 == 0o444
    assert [path.name for path in tmp_path.iterdir()] == ["accel.v"]


def test_pipe_is_written_to_and_not_replaced(tiny, tmp_path):
    pipe, copy = tmp_path / "pipe", tmp_path / "copy"
    os.mkfifo(pipe)
    with copy.open("w") as file:        # a file: nobody would empty another pipe meanwhile
        reader = subprocess.Popen(["cat", str(pipe)], stdout=file)
        try:
            assert gen(*TINY, "-o", str(pipe)).returncode == 0
            reader.wait(timeout=60)
        finally:
            reader.kill()
    assert copy.read_text() == tiny[0]
    assert pipe.is_fifo() and {path.name for path in tmp_path.iterdir()} == {"pipe", "copy"}


def test_link_stays_a_link(tiny, tmp_path):
    (tmp_path / "real.v").write_text("old")
    (tmp_path / "link.v").symlink_to("real.v")
    assert gen(*TINY, "-o", str(tmp_path / "link.v")).returncode == 0
    assert (tmp_path / "link.v").is_symlink()
    assert (tmp_path / "real.v").read_text() == tiny[0]


def test_name(tmp_path):
    done = gen(*TINY, "--name", "npu")
    assert "\nmodule npu (" in done.stdout and "spinteger_" not in done.stdout
    assert "--name npu\n" in done.stdout


@pytest.mark.parametrize("flag", ["-o", "--json"])
@pytest.mark.parametrize("target, words", [
    ("missing/accel.v", "folder missing does not exist"), (".", "is a folder"),
    ("", "is a folder")])
def test_unwritable_targets(flag, target, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*TINY, flag, target]) == cli.BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == "" and words in captured.err and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_option_leaves_an_old_file_alone(capsys, tmp_path):
    target = tmp_path / "accel.v"
    target.write_text("precious")
    assert cli.main(["--pe", "0x0", "-o", str(target)]) == cli.BAD_INPUT
    assert target.read_text() == "precious"


def test_closed_pipe_is_no_traceback():
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m gen --preset tiny | head -n 1"],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("// spinteger") and "Traceback" not in done.stderr


# -- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("argv, words", [
    ("--pe 16", ["--pe 16:", "--pe 16x16"]),
    ("--pe 0x4", ["--pe 0x4:", "from 1"]),
    ("--pe 300x1", ["--pe 300x1:", "1..256"]),
    ("--pe", ["--pe", "--pe 16x16"]),
    ("--wgt-bits 9", ["--wgt-bits 9:", "2..8"]),
    ("--wgt-bits four", ["--wgt-bits four:", "whole number", "--wgt-bits 4"]),
    ("--wgt-bits 4.0", ["--wgt-bits 4.0:", "whole number"]),
    ("--wgt-bits", ["--wgt-bits", "needs a value", "--wgt-bits 4"]),
    ("--k -5", ["--k -5:", "1..65536"]),
    ("--fire fast", ["--fire fast:", "sar, staircase"]),
    ("--int-lanes 5", ["--int-lanes 5:", "1..4", "--homes"]),
    ("--homes 1 --int-lanes 5", ["--int-lanes 5:", "1, 2, 4, 8, 16"]),
    ("--pe 3x5", ["--homes 4:", "--homes 1 --int-lanes 3 --k 2046", "--pe 16x5"]),
    ("--bus pci", ["--bus pci:", "stream, axi, wishbone"]),
    ("--preset huge", ["--preset huge:", "tiny, default, large"]),
    ("--widow 7", ["--widow:", "--window?"]),
    ("--wgt 4", ["--wgt:", "no such option"]),      # no abbreviations: they change meaning
    ("--signed=yes", ["--signed yes:", "--no-signed"]),
    ("accel.v", ["accel.v:", "--help"]),
    ("--name 3d", ["--name 3d:", "--name accel"]),
    ("--name module", ["--name module:", "keyword"]),
    ("--k 65536 --train-depth 65536 --list-depth 65536",
     ["--k 65536:", "--exp-max", "or less"]),
    ("--k 65536", ["--train-depth 2048:", "--k 65536", "or more"]),
    ("--depth 10", ["--k 2048:", "--k 20 or less", "--depth 1024 or more"]),
])
def test_mistakes_are_one_line(argv, words, capsys):
    assert cli.main(argv.split()) == cli.BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gen: ") and captured.err.count("\n") == 1, captured.err
    for word in words:
        assert word in captured.err


def test_what_would_work_does(capsys):
    # The advice in a message is a configuration that builds.
    deep = ["--train-depth", "65536", "--list-depth", "65536"]
    assert cli.main(["--k", "65536", *deep]) == cli.BAD_INPUT
    advice = capsys.readouterr().err.split("use ")[1]
    exp_max = advice.split("--exp-max ")[1].split()[0]
    k = advice.split("--k ")[1].split()[0]
    assert cli.parse(["--k", "65536", "--exp-max", exp_max, *deep])[0].v_bits <= 32
    assert cli.parse(["--k", k, *deep])[0].v_bits <= 32


@pytest.mark.parametrize("pe", ["3x5", "1x1", "2x2", "12x4", "255x255", "7x1"])
def test_advice_on_homes_works(pe, capsys):
    assert cli.main(["--pe", pe]) == cli.BAD_INPUT
    advice = capsys.readouterr().err.split("use ")[1].split(" or --pe")[0]
    assert cli.parse(["--pe", pe, *advice.split()])[0].cols == int(pe.split("x")[1])


def test_help_lists_every_field_with_its_cost(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for name in Config().params():
        assert name in ("rows", "cols") or f"--{name.replace('_', '-')}" in text
    assert text.count("costs:") == len(Config().params()) - 1       # --pe is two of them
    assert max(map(len, text.splitlines())) <= 120


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"Spinteger {__version__}\n"


# -- configurations as command lines --------------------------------------------------------------


@pytest.mark.parametrize("cfg", [*PRESETS.values(), Config(signed=False, fire="staircase"),
                                 Config(rows=8, int_lanes=2, k=512, sal_bits=6, bus="axi")])
def test_options_round_trip(cfg):
    assert cli.parse(describe.options(cfg).split())[0] == cfg


def test_later_options_change_the_preset():
    cfg, _ = cli.parse([*TINY, "--pe", "8x2", "--window", "3", "--no-signed", "--tokens", "3"])
    assert cfg == PRESETS["tiny"].with_(rows=8, cols=2, window=3, signed=False, tokens=3)
