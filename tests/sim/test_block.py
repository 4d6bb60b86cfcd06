"""A transformer block as one program, cut down: 2 tokens, a head, few outputs."""

import os

import numpy as np
import pytest
import torch

from golden.fetch import RealDataUnavailable
from sim.backends import Cocotb, Golden, Throttle, Verilator
from sim.block import Block, load_block, run_block, wrong
from sim.packets import Execution
from spinteger import isa
from spinteger.config import Config

torch.set_num_threads(1)

CFG = Config(rows=8, cols=4, homes=2, int_lanes=2, k=576, depth=1024, tiles=16, tokens=4,
             bus_bits=128)
KINDS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def block() -> Block:
    """Skips when the model cannot be fetched, except in CI."""
    try:
        return load_block(15, CFG, tokens=2, heads=[4], outputs=6)
    except RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


def test_jobs_in_the_order_of_the_model(block: Block):
    products = ["blk.15.head.4.scores", "blk.15.head.4.context"]
    linear = [f"blk.15.{kind}" for kind in KINDS]
    assert block.names == [*linear[:3], *products, *linear[3:]]
    shapes = {name: (job.layer.k, job.layer.n) for name, job in
              zip(block.names, block.jobs, strict=True)}
    assert shapes["blk.15.q_proj"] == (576, 6) and shapes["blk.15.down_proj"] == (1536, 6)
    assert shapes[products[0]] == (64, 2) and shapes[products[1]] == (2, 64)
    inputs = [job.inputs for job in block.jobs]
    assert len(set(inputs[:3])) == 1 and len(set(inputs)) == 6
    for job in block.jobs[:3]:
        assert np.array_equal(job.q, block.jobs[0].q) and np.array_equal(job.e, block.jobs[0].e)


def test_dense_cycles_and_live_share(block: Block):
    # Rows of K = 576, 64, 2 and 1536 inputs on 8 lanes; column tiles of 6, 2 and 64 outputs.
    assert block.dense_cycles(CFG) == 2 * (6 * 72 * 2 + 8 * 1 + 1 * 16 + 192 * 2)
    assert 0.5 < block.live < 0.9


def test_exact_on_the_golden_machine(block: Block):
    program, done = run_block(CFG, block, Golden(CFG))
    assert done.error is None
    assert wrong(CFG, block, program, done) == dict.fromkeys(block.names, 0)


def test_exact_on_the_rtl(block: Block):
    program, done = run_block(CFG, block, Verilator(CFG))
    assert done.error is None
    assert wrong(CFG, block, program, done) == dict.fromkeys(block.names, 0)
    assert sum(done.counters[name] for name, _ in isa.CAUSES) == done.counters["cycles"]
    assert done.packets == Golden(CFG).execute(program.packets).packets


def test_exact_on_icarus(block: Block):
    """Of each kind of product one, for two tokens."""
    small = Block(block.names[2:6], block.jobs[2:6])
    program, done = run_block(CFG, small, Cocotb(CFG, "icarus"))
    assert wrong(CFG, small, program, done) == dict.fromkeys(small.names, 0)
    assert sum(done.counters[name] for name, _ in isa.CAUSES) == done.counters["cycles"]


def test_slow_input_changes_cycles_only(block: Block):
    """A beat every 8 cycles: the same results, and the counters say what took longer."""
    _, fast = run_block(CFG, block, Verilator(CFG))
    _, slow = run_block(CFG, block, Verilator(CFG), Throttle(input_every=8))
    assert slow.packets == fast.packets
    waited = {name: slow.counters[name] - fast.counters[name] for name in ("weights", "acts")}
    assert waited["weights"] > 0 and waited["acts"] > 0
    longer = slow.counters["cycles"] - fast.counters["cycles"]
    assert sum(waited.values()) > 0.8 * longer


def test_wrong_values_are_counted_where_they_are(block: Block):
    """The lowest bit of one raw value is flipped; it is the score product's."""
    program, done = run_block(CFG, block, Golden(CFG))
    at = sum(len(one.outputs) for one in program.programs[:3])
    packets = [list(words) for words in done.packets]
    packets[at][0] ^= 1
    found = wrong(CFG, block, program, Execution(packets))
    assert {name for name, count in found.items() if count} == {"blk.15.head.4.scores"}
    assert found["blk.15.head.4.scores"] == 1
