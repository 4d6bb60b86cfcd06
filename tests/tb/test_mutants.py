"""The benches must be able to fail: the RTL is broken on purpose, one line at a time.

A mutant is a copy of `hdl/` with one line changed; the bench that guards it must turn red, for
a wrong value or a wait that never ends, not because the mutant does not build.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """One deliberate fault."""

    name: str
    file: str
    old: str        #: must occur in the file exactly once, or the mutant is out of date
    new: str
    bench: str      #: the bench that must catch it
    config: str = "tiny"
    tests: tuple[str, ...] = ()    #: only these of its tests, where all would take long


MUTANTS = [
    Mutant("flip_sign_of_sum", "column.py", "add_s.sub.eq(root_neg)",
           "add_s.sub.eq(~root_neg)", "column"),
    Mutant("flip_sign_of_event", "lane.py", "Cat(self.neg & self.valid, neg)",
           "Cat(~self.neg & self.valid, neg)", "lane"),
    Mutant("flip_sign_of_event_in_array", "lane.py", "Cat(self.neg & self.valid, neg)",
           "Cat(~self.neg & self.valid, neg)", "array", tests=("random_tokens",)),
    Mutant("drop_event", "event_queue.py", "left.eq(count.data)",
           "left.eq(count.data - (count.data > 1))", "encoder"),
    Mutant("drop_event_in_array", "event_queue.py", "left.eq(count.data)",
           "left.eq(count.data - (count.data > 0))", "array", tests=("random_tokens",)),
    Mutant("drop_salient", "encoder.py", "self.list.eq(Mux(go & fits & ~full, turn, 0))",
           "self.list.eq(Mux(go & fits & ~full & (row != 1), turn, 0))", "encoder"),
    Mutant("lists_overlap", "encoder.py", "Mux(complete, go | ~turn[0], go & turn[-1])",
           "go & turn[-1]", "encoder"),
    Mutant("forget_level", "encoder.py", "levels.eq(levels | Cat(", "levels.eq(Cat(", "encoder"),
    Mutant("wrong_home", "balancer.py", "fills[high][group] < fills[low][group])",
           "fills[high][group] <= fills[low][group])", "encoder"),
    Mutant("queue_not_emptied", "event_queue.py", "Mux(self.move, 0, grown)", "grown",
           "encoder"),
    Mutant("step_too_long", "recorder.py", "step.dt.eq(level - next_level)", "step.dt.eq(level)",
           "encoder"),
    Mutant("trains_overlap", "trains.py", "starts[buf].eq(place + 1)", "starts[buf].eq(place)",
           "encoder"),
    Mutant("full_too_late", "trains.py", "fits.eq(place < cfg.train_depth)",
           "fits.eq(place <= cfg.train_depth)", "encoder"),
    Mutant("failed_token_kept", "trains.py", "& ~token.fail", "", "encoder"),
    Mutant("other_buffers_list", "salient_list.py", "Cat(self.place, self.buf)",
           "Cat(self.place, 0)", "integer_lane"),
    Mutant("rows_in_plain_order", "weight_bank.py", "position ^ cfg.home_position(each, home)",
           "position", "integer_lane"),
    Mutant("store_while_read", "write_buffer.py", "self.full & ~self.taken", "self.full",
           "integer_lane"),
    Mutant("stale_labels", "column_bank.py", "psum.payload.fire.eq(tail_fire)",
           "psum.payload.fire.eq(fire)", "column"),
    Mutant("ramp_add_missing", "ramp.py", "Mux(now.take, dt, left - added_hold)",
           "Mux(now.take, dt - (dt > 1), left - added_hold)", "column"),
    Mutant("fire_before_integers_are_done", "ramp.py",
           "(done | (added & last))", "(done | added)",
           "column"),
    Mutant("fire_before_integers_are_done_in_array", "ramp.py",
           "(done | (added & last))", "(done | added)",
           "array", tests=("random_tokens",)),
    Mutant("fire_one_step_early_sar", "fire_sar.py", "start.a.eq(high)",
           "start.a.eq(high << 1)", "if_bank"),
    Mutant("fire_one_step_early_staircase", "fire_staircase.py", "out.step.eq(cfg.window - level)",
           "out.step.eq(cfg.window - level - 1)", "if_bank", "staircase"),
    Mutant("salient_exponent_lost", "integer_lane.py", "self.entry.q << self.entry.e if",
           "self.entry.q if", "integer_lane"),
    Mutant("lose_output_word", "emitter.py", "free.eq(~full | ~shown | self.out.ready)",
           "free.eq(1)", "if_bank"),
    Mutant("lose_output_word_in_array", "emitter.py", "free.eq(~full | ~shown | self.out.ready)",
           "free.eq(1)", "array", tests=("random_tokens",)),
    Mutant("lose_products", "integer_unit.py",
           "~Mux(en, valid[-1], self.prod.valid) | self.prod_ready_next", "1", "integer_lane"),
    Mutant("overwrite_waiting_sums", "column_bank.py", "ramp.v_ready.eq(psum.ready)",
           "ramp.v_ready.eq(1)", "array", tests=("random_tokens",)),
]

#: Runs a bench against the `hdl` of the current folder, and prints what came of it as JSON.
_RUN = """
import json, sys
from sim.benches import CONFIGS
from sim.runner import run
bench, config, simulator, *tests = sys.argv[1:]
result = run(bench, simulator, CONFIGS[config], tests=tests)
import hdl
print(json.dumps({"passed": result.passed, "failed": result.failed, "hdl": hdl.__file__}))
"""


def run_mutant(folder: Path, mutant: Mutant, simulator: str) -> dict:
    """Apply a mutant to a copy of `hdl/` in `folder` and run its bench."""
    shutil.copytree(ROOT / "hdl", folder / "hdl", ignore=shutil.ignore_patterns("__pycache__"))
    source = folder / "hdl" / mutant.file
    text = source.read_text()
    assert text.count(mutant.old) == 1, (
        f"mutant {mutant.name} is out of date: {mutant.old!r} occurs {text.count(mutant.old)} "
        f"times in hdl/{mutant.file}")
    source.write_text(text.replace(mutant.old, mutant.new))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-c", _RUN, mutant.bench, mutant.config, simulator, *mutant.tests]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"the mutant did not get as far as the bench:\n{done.stderr}"
    result = json.loads(done.stdout.splitlines()[-1])
    assert Path(result["hdl"]).is_relative_to(folder), "the bench did not run the mutant"
    return result


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_bench_catches(mutant: Mutant, tmp_path: Path) -> None:
    result = run_mutant(tmp_path, mutant, "icarus")
    assert result["failed"], (f"the {mutant.bench} bench is blind: {mutant.name} passed "
                              f"{', '.join(result['passed'])}")


def test_bench_catches_on_verilator(tmp_path: Path) -> None:
    result = run_mutant(tmp_path, MUTANTS[2], "verilator")
    assert result["failed"]
