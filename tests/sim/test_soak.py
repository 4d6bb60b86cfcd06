"""Random programs: that they hold all there is to hold, and that RTL and golden machine agree."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sim import cases, soak, tools, twin
from sim import packets as pk
from sim.cases import CONFIGS
from sim.faults import spoil
from sim.packets import Packet
from sim.random_loads import safe_tokens
from sim.random_programs import program
from sim.reference import Reference
from spinteger import isa
from spinteger.isa import Error

torch.set_num_threads(1)

TINY = CONFIGS["tiny"]


@pytest.fixture
def verilator():
    try:
        tools.verilator()
    except tools.SimulatorMissing as error:
        pytest.skip(str(error))


# -- the machine -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["tiny", "odd", "staircase", "tall"])
def test_random_programs(verilator, name, capsys):
    """40 programs each; `make soak` runs more, and more kinds of machines."""
    code = soak.main(["--programs", "40", "--config", name, "--seed", "2", "--jobs", "1"])
    assert code == 0, capsys.readouterr().out


# -- the programs ----------------------------------------------------------------------------------

def outcomes(names: list[str], count: int) -> tuple[Counter[Error], Counter[str]]:
    """How often every error, and everything that can be asked for, occurs in programs."""
    errors: Counter[Error] = Counter()
    done: Counter[str] = Counter()
    for name in names:
        cfg = CONFIGS[name]
        for seed in range(count):
            reference = Reference(cfg)
            for packet in program(np.random.default_rng(seed), cfg):
                found = reference.execute([packet]).errors
                errors.update(error for error, _ in found)
                op, run = isa.decode(packet.descriptor & ~(-1 << isa.DESCRIPTOR_BITS))
                if found or op is None:
                    continue
                done[op.name] += 1
                done.update(key for key in ("sparse", "raw", "unsigned", "spikes_only", "scale",
                                            "silence", "host", "chain") if run.get(key))
                if op.name == "RUN":
                    ends = run["chain_first"], run["chain_last"]
                    done[f"chain {ends}"] += run["chain"]
                    done["pass kept"] += not run["acc_last"]
                    done["pass added"] += not run["acc_first"]
                    done["host and chain"] += run["host"] and run["chain"]
    return errors, done


def test_every_error_and_every_operation_occurs():
    errors, done = outcomes(["tiny", "tall", "narrow"], 120)
    assert set(errors) == set(Error) - {Error.NONE}
    for key in (*isa.BY_NAME, "sparse", "raw", "unsigned", "spikes_only", "scale", "silence",
                "host", "chain (1, 1)", "chain (1, 0)", "chain (0, 0)", "chain (0, 1)",
                "pass kept", "pass added", "host and chain"):
        assert done[key] >= 5, f"{key}: {done[key]} times"
    assert sum(errors.values()) < sum(done[name] for name in isa.BY_NAME)


@pytest.mark.parametrize("name", CONFIGS)
def test_programs_without_faults_do_not_care_what_was_before(name):
    cfg, rng = CONFIGS[name], np.random.default_rng(3)
    for seed in range(12):
        packets = program(np.random.default_rng(seed), cfg, faults=False)
        fresh, used = Reference(cfg), Reference(cfg)
        used._banks[:] = rng.integers(-8, 8, used._banks.shape)
        used._kept[:] = rng.integers(-99, 99, used._kept.shape)
        for memory in (used._theta, used._mul, used._shift):
            memory[:] = 1
        want = fresh.execute(packets)
        assert used.execute(packets) == want
        assert {error for error, _ in want.errors} <= {Error.V_OVERFLOW}
        assert fresh.state.chain is None


def test_safe_tokens_is_what_a_whole_token_may_take():
    for cfg in CONFIGS.values():
        assert safe_tokens(cfg, cfg.rows_k) == min(
            cfg.tokens, cfg.train_depth // cfg.train_worst, cfg.list_depth // cfg.list_worst)


def test_no_program_looks_like_its_end():
    """Fences whose word is the end fence's would end a simulation early."""
    rng = np.random.default_rng(4)
    for cfg in CONFIGS.values():
        packets = [spoil(rng, cfg, pk.fence(1)) for _ in range(300)]
        assert [pk.fence_word(cfg)] not in Reference(cfg).execute(packets).packets


# -- failures --------------------------------------------------------------------------------------

class Wrong(Reference):
    """A golden machine that forgets fences of an odd tag."""

    def _packet(self, packet):
        before = len(self._out)
        super()._packet(packet)
        if "FENCE" in str(packet) and packet.descriptor >> isa.OPCODE_BITS & 1 \
                and packet != pk.end_fence():
            del self._out[before:]


def test_a_failure_is_shrunk_and_can_be_seen_again(verilator, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["--config", "tiny", "--seed", "5", "--jobs", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(twin, "Reference", Wrong)
        assert soak.main([*arguments, "--programs", "100"]) == 1
        out = capsys.readouterr().out
        command = next(line.split() for line in out.splitlines() if "--case" in line)
        replay = next(line.split() for line in out.splitlines() if "--replay" in line)
        assert "cases FAILED" in out and "output packet" in out
        assert soak.main(command[3:]) == soak.main(replay[3:]) == 1
        again = capsys.readouterr().out.splitlines()
        assert len(again) == 2 and all(line in out for line in again)
    _, parts = cases.load(tmp_path / replay[4])
    (packet,) = [packet for part in parts for packet in part.packets]
    assert "FENCE" in cases.describe(packet, TINY) and cases.describe(packet, TINY) in out
    assert soak.main(command[3:]) == soak.main(replay[3:]) == 0


def test_random_machines_are_small_and_of_all_kinds():
    machines = [cases.config(f"random-{number}") for number in range(60)]
    assert machines[7] == cases.config("random-7") and len(set(machines)) == 60
    assert all(cfg.rows <= 16 and cfg.cols <= 13 for cfg in machines)
    for name in ("homes", "window", "bus_bits", "fire", "slots", "scale_bits", "signed"):
        assert len({getattr(cfg, name) for cfg in machines}) > 1, name
    for cfg in machines[:20]:
        assert program(np.random.default_rng(1), cfg)


def test_cases_are_saved_whole(tmp_path):
    parts = cases.case(TINY, "tiny", 1, 2)
    parts[0].packets.append(Packet(5 << 120, [1 << 63], keep={0: 3, 2: 1}, cut=2))
    cases.save(tmp_path / "a" / "case.json", TINY, parts)
    assert cases.load(tmp_path / "a" / "case.json") == (TINY, parts)
    assert cases.case(TINY, "tiny", 1, 2) == [
        replace(parts[0], packets=parts[0].packets[:-1]), *parts[1:]]
    assert cases.case(TINY, "tiny", 2, 2) != parts[:-1] != cases.case(TINY, "tiny", 1, 3)


def test_a_hang_is_a_failure(verilator, monkeypatch):
    """Shown by a machine that waits for a beat that never comes."""
    with twin.Twin(TINY) as both:
        monkeypatch.setattr(twin, "QUIET", 2000)
        monkeypatch.setattr(pk, "end_fence", lambda: Packet(pk.isa.encode("FENCE", tag=7)))
        assert both.execute([]).startswith("hangs: no beat moved for 2000 cycles")


def test_which_error_may_come_first():
    early, late = (Error.BAD_FLAGS, 4), (Error.TRAIN_FULL, 2)
    assert twin.possible([late, early]) == [late, early]
    assert twin.possible([early, (Error.V_OVERFLOW, 5)]) == [early]
    assert twin.possible([(Error.BAD_KEEP, 3), (Error.TRAIN_FULL, 3), early]) == [
        (Error.BAD_KEEP, 3), (Error.TRAIN_FULL, 3)]


# -- the command -----------------------------------------------------------------------------------

@pytest.mark.parametrize(("arguments", "line"), [
    (["--config", "tiny,huge"], "--config huge: choose from tiny, odd"),
    (["--random", "-1"], "--random -1: must be at least 0"),
    (["--programs", "0"], "--programs 0: must be at least 1"),
    (["--jobs", "-1"], "--jobs -1: must be at least 1"),
    (["--seed", "-1"], "--seed -1: must be at least 0"),
    (["--case", "3"], "--case 3: needs the --config and --seed"),
    (["--replay", "nowhere.json"], "--replay nowhere.json: no such file"),
    (["--sede", "1"], "--sede: no such option, did you mean --seed?")])
def test_mistakes_are_one_line(arguments, line, capsys):
    assert soak.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"soak: {line}") and error.count("\n") == 1


def test_ctrl_c_in_several_processes(verilator):
    from sim import native
    native.build(TINY)
    command = [sys.executable, "-m", "sim.soak", "--config", "tiny", "--jobs", "2", "--seed", "1",
               "--programs", "1000000"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    assert running.stdout and running.stdout.readline() == "seed 1, tiny\n"
    time.sleep(4)
    os.killpg(running.pid, signal.SIGINT)
    out, error = running.communicate(timeout=60)
    assert running.returncode == 130 and not error
    assert re.fullmatch(r"\s*stopped after \d+ programs; seed 1\n", out)


# -- mistakes in the machine -----------------------------------------------------------------------

ROOT = Path(soak.__file__).parents[1]


def _long(*values: str):
    """As the others, but left to `make silicon`: each builds a machine of its own."""
    return pytest.param(*values, marks=pytest.mark.silicon)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "old", "new"), [
    ("dispatcher.py", "~(loads_slot & log.slots.bit_select(command.slot, 1))", "1"),
    ("dispatcher.py", "self.encoding | buffers.pending) & opened", "buffers.pending) & opened"),
    ("dispatcher.py", " & ~log.error.valid\n                     & ~buffers.pending.any())", ")"),
    ("run_log.py", "self.run_done & (user == done[:PLACE_BITS])", "self.run_done"),
    _long("trains.py", "self.full[buf].eq(~token.fail)", "self.full[buf].eq(1)"),
    _long("accumulate.py", "ends.eq(self.psum.ready & self.tile.end)",
          "ends.eq(self.psum.ready & self.tile.end & ~fire.drop)"),
    _long("walk.py", "over.eq(token_end | failed)", "over.eq(token_end)"),
    ("counters.py", "            m.d.sync += asked.eq(1)", "            m.d.sync += now.eq(1)"),
], ids=["load_while_used", "fill_while_encoding", "error_lost", "free_too_early", "wrong_error",
        "sums_shifted", "endless_drop", "counter_torn"])
def test_soak_catches(verilator, tmp_path, file, old, new):
    """Mistakes that only show when packets overlap, fail or come at the wrong moment."""
    shutil.copytree(ROOT / "hdl", tmp_path / "hdl", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / "hdl" / file
    text = source.read_text()
    assert text.count(old) == 1, f"out of date: {old!r} in hdl/{file}"
    source.write_text(text.replace(old, new))
    command = [sys.executable, "-m", "sim.soak", "--config", "tiny", "--jobs", "1", "--seed", "3",
               "--programs", "1000"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "cases FAILED" in done.stdout, done.stdout + done.stderr
    assert len(list((tmp_path / "build" / "soak").glob("tiny-3-*.json"))) == 1
