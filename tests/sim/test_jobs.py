"""Several jobs as one program: right results, loads overlapped, inputs encoded once."""

import numpy as np
import pytest
import torch

from sim.backends import Golden, Verilator
from sim.compiler import CompileError, Layer
from sim.jobs import Job, compile_jobs
from sim.packets import Execution
from sim.words import WordError
from spinteger import isa
from spinteger.config import PRESETS, Config
from tests.sim import jobs

torch.set_num_threads(1)

TINY = PRESETS["tiny"]


def job(cfg: Config, k: int, n: int, seed: int, inputs: str = "", tokens: int = 5,
        **options) -> Job:
    """A random layer with random inputs, which depend on their name and size alone."""
    codes = jobs.tokens(cfg, tokens, k, seed=sum(map(ord, inputs)) if inputs else seed)
    return Job(jobs.layer(cfg, k, n, seed, **options), codes.q.numpy(), codes.e.numpy(),
               inputs or str(seed))


def wanted(cfg: Config, one: Job):
    (found,) = jobs.expected(cfg, [one.layer], jobs.Codes(torch.from_numpy(one.q),
                                                          torch.from_numpy(one.e)))
    return found


def check(cfg: Config, chosen: list[Job], backend, batch: int | None = None) -> Execution:
    program = compile_jobs(cfg, chosen, batch)
    done = backend.execute(program.packets)
    assert done.error is None
    for one, values in zip(chosen, program.read(cfg, done), strict=True):
        want = wanted(cfg, one)
        if one.layer.fires:
            assert np.array_equal(values.q, want.q.numpy())
            assert np.array_equal(values.e, want.e.numpy())
        else:
            assert np.array_equal(values.v, want.numpy())
    return done


def several(cfg: Config) -> list[Job]:
    """Shared inputs, different sizes, raw and fired, a layer of several passes, one of groups."""
    return [job(cfg, 30, 10, 0, "norm"), job(cfg, 30, 21, 1, "norm"), job(cfg, 12, 4, 2, raw=True),
            job(cfg, 100, 9, 3), job(cfg, 30, 7, 4, "norm"), job(cfg, 40, 9, 5, group=20)]


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_results_are_those_of_each_job_alone(batch):
    check(TINY, several(TINY), Golden(TINY), batch)


def test_on_the_rtl():
    done = check(TINY, several(TINY), Verilator(TINY))
    assert sum(done.counters[name] for name, _ in isa.CAUSES) == done.counters["cycles"]


def names(program) -> list[str]:
    return [str(packet).split()[0] for packet in program.packets]


def test_equal_inputs_are_encoded_once():
    shared = [job(TINY, 30, 8, seed, "norm") for seed in range(3)]
    apart = [job(TINY, 30, 8, seed) for seed in range(3)]
    assert names(compile_jobs(TINY, shared)).count("LOAD_ACT") == 1
    assert names(compile_jobs(TINY, apart)).count("LOAD_ACT") == 3


def test_slots_and_buffers_take_turns():
    """Else a load would wait for the run before it."""
    program = compile_jobs(TINY, [job(TINY, 30, 8, seed) for seed in range(4)])
    for op, field in (("LOAD_WGT", "slot"), ("LOAD_ACT", "buf")):
        places = [isa.decode(packet.descriptor)[1][field] for packet in program.packets
                  if str(packet).startswith(op)]
        assert places == [places[0], 1 - places[0]] * 2


def test_the_same_weights_again_are_other_weights():
    """Two jobs never share weights, whatever their layers' names."""
    chosen = [job(TINY, 30, 8, seed, "norm", name="same") for seed in (1, 2)]
    check(TINY, chosen, Golden(TINY))


def test_a_layer_that_does_not_fit_is_named():
    theta = np.full(4, 1 << TINY.theta_bits)
    wide = Job(Layer(np.ones((8, 4), np.int64), theta, name="blk.9.wide"),
               np.ones((1, 8), np.int64), np.zeros((1, 8), np.int64), "x")
    with pytest.raises(CompileError, match="blk.9.wide"):
        compile_jobs(TINY, [job(TINY, 8, 4, 0), wide])


def test_missing_results_are_noticed():
    program = compile_jobs(TINY, several(TINY)[:2])
    done = Golden(TINY).execute(program.packets)
    with pytest.raises(WordError):
        program.read(TINY, Execution(done.packets[:-1]))
