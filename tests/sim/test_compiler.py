"""The compiler: every way of cutting a layer is exact on the golden machine, and cut where due."""

import time

import numpy as np
import pytest
import torch

from golden.codes import Codes
from golden.trains import capacity
from sim import packets, plan
from sim.backends import Golden
from sim.compiler import CompileError, Group, Layer, Program, Stage, compile_stage, stages
from sim.estimate import estimate
from sim.places import Places
from spinteger import isa
from spinteger.config import PRESETS, Config
from tests.sim import jobs

torch.set_num_threads(1)

TINY = PRESETS["tiny"]
DEEP = TINY.with_(depth=512)        # slots that hold every tile of the small layers here


def compiled(cfg: Config, layers: list[Layer], codes: Codes, **options) -> Program:
    """The only stage's program."""
    found = stages(cfg, layers, len(codes.q))
    assert len(found) == 1, found
    return compile_stage(cfg, layers, found[0], codes.q.numpy(), codes.e.numpy(), **options)


def ops(program: Program) -> list[tuple[str, dict[str, int]]]:
    decoded = [isa.decode(packet.descriptor) for packet in program.packets]
    return [(op.name, fields) for op, fields in decoded if op]


def check(cfg: Config, layers: list[Layer], codes: Codes, shift: list[int] | None = None,
          **options) -> Program:
    """Execute the one stage on the golden machine; every result must be right."""
    program = compiled(cfg, layers, codes, taps=True,
                       shift=None if shift is None else np.array(shift), **options)
    done = Golden(cfg).execute(program.packets)
    assert done.error is None, (done.error, str(program.packets[done.error[1]]))
    got = program.read(cfg, done)
    for number, want in enumerate(jobs.expected(cfg, layers, codes, shift)):
        values = got[number]
        if isinstance(want, Codes):
            assert values.q is not None and values.e is not None
            assert (values.q == want.q.numpy()).all() and (values.e == want.e.numpy()).all()
        else:
            assert values.v is not None and (values.v == want.numpy()).all()
    return program


# -- one layer -----------------------------------------------------------------------------------

def test_tiles_that_fit_are_loaded_once():
    codes = jobs.tokens(TINY, 20, 16)
    program = check(TINY, [jobs.layer(TINY, 16, 30)], codes)
    names = [name for name, _ in ops(program)]
    assert names.count("LOAD_WGT") == names.count("LOAD_THR") == 1
    assert names.count("LOAD_ACT") == names.count("RUN") == len(program.outputs) >= 3


def test_tile_groups_alternate_slots_and_serve_two_batches_each():
    codes = jobs.tokens(TINY, 16, 40)               # 20 rows of 64: three tiles a slot
    program = check(TINY, [jobs.layer(TINY, 40, 36, raw=True)], codes)
    loads = [fields["slot"] for name, fields in ops(program) if name == "LOAD_WGT"]
    assert loads[:6] == [0, 1, 0, 1, 0, 1]
    assert not any(name == "LOAD_THR" for name, _ in ops(program))
    order = [name for name, _ in ops(program)]
    assert order[:7] == ["LOAD_ACT", "LOAD_WGT", "RUN", "LOAD_ACT", "RUN", "LOAD_WGT", "RUN"]


def test_batches_fit_the_buffers():
    codes = jobs.tokens(TINY, 30, 60)
    program = check(TINY, [jobs.layer(TINY, 60, 8, raw=True)], codes)
    first = 0
    for output in [out for out in program.outputs if out.tiles[0] == 0]:
        part = Codes(*(one[first:output.tokens[1]] for one in codes))
        assert output.tokens[0] == first and capacity(part, TINY) == len(part.q)
        longer = Codes(*(one[first:output.tokens[1] + 1] for one in codes))
        assert capacity(longer, TINY) < len(longer.q) or len(part.q) in (TINY.tokens, len(longer.q))
        first = output.tokens[1]
    assert first == 30


def test_a_layer_longer_than_k_takes_passes():
    codes = jobs.tokens(TINY, 5, 150)
    program = check(TINY, [jobs.layer(TINY, 150, 10)], codes)
    runs = [fields for name, fields in ops(program) if name == "RUN"]
    firsts = [(run["acc_first"], run["acc_last"], run["host"]) for run in runs]
    assert set(firsts) == {(1, 0, 0), (0, 0, 0), (0, 1, 1)}
    assert all(run["tokens"] * run["tiles"] * TINY.cols <= TINY.acc_depth for run in runs)


@pytest.mark.parametrize("group", [8, 16, 100])
def test_scale_groups(group):
    codes = jobs.tokens(TINY, 6, 70)
    layer = jobs.layer(TINY, 70, 9, group=group)
    program = check(TINY, [layer], codes, shift=[0, 1, 2, 3, 0, 1])
    runs = [fields for name, fields in ops(program) if name == "RUN"]
    assert all(run["scale"] for run in runs)
    assert sum(name == "LOAD_THR" for name, _ in ops(program)) < len(runs)


def test_one_scale_for_a_whole_layer_needs_no_sums_kept():
    cfg = TINY.with_(acc_depth=0)
    check(cfg, [jobs.layer(cfg, 30, 9, group=30)], jobs.tokens(cfg, 3, 30))


def test_group_size_trades_weights_for_tokens():
    layer = jobs.layer(TINY, 128, 64)
    few, many = (plan.group_sizes(TINY, layer, tokens, 8)[0] for tokens in (1, 64))
    assert few >= many >= 1 and few * TINY.cols <= TINY.acc_depth


@pytest.mark.parametrize("name", ["unsigned", "spikes_only", "silence", "raw"])
def test_output_settings(name):
    value = 2 if name == "silence" else True
    check(TINY, [jobs.layer(TINY, 20, 9, **{name: value})], jobs.tokens(TINY, 4, 20))


@pytest.mark.parametrize("seed", range(25))
def test_random_layers_are_exact(seed):
    gen = np.random.default_rng(seed)
    cfg = [TINY, DEEP, TINY.with_(bus_bits=32), TINY.with_(slots=1), TINY.with_(slots=4),
           TINY.with_(homes=1, k=48, train_depth=384), PRESETS["tiny"].with_(cols=3, homes=4),
           TINY.with_(window=15, signed=False, exp_max=0)][seed % 8]
    k, n = int(gen.integers(1, 160)), int(gen.integers(1, 60))
    tokens = int(gen.choice([1, 2, 9, 25]))
    group = int(gen.choice([0, 0, 16, 40]))
    layer = jobs.layer(cfg, k, n, seed, group, unsigned=bool(gen.random() < 0.3),
                       spikes_only=bool(gen.random() < 0.3), raw=bool(gen.random() < 0.3))
    check(cfg, [layer], jobs.tokens(cfg, tokens, k, seed), fetch=str(gen.choice(["all", "live"])))


# -- live fetch ----------------------------------------------------------------------------------

def test_live_fetch_loads_what_is_needed():
    cfg = Config()
    codes = jobs.tokens(cfg, 1, 400, silent=0.6)
    layer = jobs.layer(cfg, 400, 64)
    all_, live = (check(cfg, [layer], codes, fetch=fetch) for fetch in ("all", "live"))

    def beats(program):
        return sum(len(packet.payload) for packet in program.packets)

    assert beats(live) < 0.6 * beats(all_)
    assert all(fields["sparse"] for name, fields in ops(live) if name == "LOAD_WGT")
    codes = jobs.tokens(cfg, 8, 400, silent=0.0)
    all_, dense = (check(cfg, [layer], codes, fetch=fetch) for fetch in ("all", "live"))
    assert beats(dense) == beats(all_)
    assert not any(fields["sparse"] for name, fields in ops(dense) if name == "LOAD_WGT")


def test_live_rows_of_one_batch_are_not_taken_for_those_of_the_next():
    cfg = DEEP.with_(wgt_bits=8, exp_max=0)         # rows of 32 bits, still two a beat
    gen = np.random.default_rng(3)
    q = np.where(gen.random((40, 30)) < 0.06, 3, 0)
    codes = Codes(torch.from_numpy(q), torch.zeros_like(torch.from_numpy(q)))
    program = check(cfg, [jobs.layer(cfg, 30, 9, raw=True)], codes, fetch="live", batch=2)
    loads = [fields["sparse"] for name, fields in ops(program) if name == "LOAD_WGT"]
    assert 1 < len(loads) <= 10 and any(loads)


# -- chains --------------------------------------------------------------------------------------

def network(cfg: Config, sizes: list[int], **options) -> list[Layer]:
    pairs = list(zip(sizes, sizes[1:], strict=False))
    return [jobs.layer(cfg, k, n, seed, raw=seed == len(pairs) - 1, unsigned=not cfg.signed,
                       **options) for seed, (k, n) in enumerate(pairs)]


@pytest.mark.parametrize("tokens", [1, 3, 30])
def test_a_chain_from_input_to_logits(tokens):
    layers = network(DEEP, [30, 21, 18, 10])
    codes = jobs.tokens(DEEP, tokens, 30)
    program = check(DEEP, layers, codes)
    chains = [fields for name, fields in ops(program) if name == "RUN" and fields["chain"]]
    assert len(chains) == 2 * sum(name == "LOAD_ACT" for name, _ in ops(program))
    assert all(run["chain_first"] and run["chain_last"] for run in chains)
    plain = compiled(DEEP, layers, codes)
    assert {output.layer for output in plain.outputs} == {2}


def test_one_token_chains_through_any_number_of_tile_groups():
    layers = network(TINY, [60, 40, 40, 10])
    program = check(TINY, layers, jobs.tokens(TINY, 1, 60))
    chains = [fields for name, fields in ops(program) if name == "RUN" and fields["chain"]]
    assert len(chains) > 4 and sum(run["chain_first"] for run in chains) == 2
    assert sum(run["chain_last"] for run in chains) == 2


def test_a_first_layer_of_several_passes_chains():
    layers = [jobs.layer(DEEP, 100, 12, 0, group=20), jobs.layer(DEEP, 12, 5, 1, raw=True)]
    check(DEEP, layers, jobs.tokens(DEEP, 4, 100))


def test_what_goes_through_the_host_and_why():
    def notes(cfg, layers, tokens):
        return [note for stage in stages(cfg, layers, tokens) for note in stage.notes]

    layers = network(TINY, [30, 30, 30])
    assert notes(TINY, layers, 1) == []
    assert "layer0 -> layer1 through the host: layer0 has 8 column tiles, more than one run " \
           "does for 2 tokens" in notes(TINY, layers, 2)
    long = [jobs.layer(TINY, 8, 100, 0), jobs.layer(TINY, 100, 4, 1)]
    assert "layer1 takes 2 passes" in notes(TINY, long, 1)[0]
    padded = TINY.with_(cols=5, k=62, acc_depth=0)
    wide = [jobs.layer(padded, 8, 62, 0), jobs.layer(padded, 62, 4, 1)]
    assert "would read 65 columns, padding included, more than --k" in notes(padded, wide, 1)[0]
    odd = TINY.with_(rows=6, homes=1, int_lanes=2, k=48, depth=256, train_depth=128)
    assert "6 groups of inputs neither divide 4 columns" in notes(
        odd, network(odd, [8, 8, 8]), 1)[0]
    both = TINY.with_(depth=64)
    grouped = [jobs.layer(both, 60, 40, 0, group=30), jobs.layer(both, 40, 4, 1)]
    assert "several passes and several tile groups" in notes(both, grouped, 1)[0]


# -- errors --------------------------------------------------------------------------------------

def test_errors_name_the_layer():
    w = np.zeros((8, 4), np.int64)
    one = np.ones(4, np.int64)
    cases = {
        r"fc: weights \[8\]": Layer(w[:, 0], name="fc"),
        r"fc: theta \[3\] must be \[4\]": Layer(w, one[:3], name="fc"),
        r"fc: theta 0..0 must be 1..": Layer(w, 0 * one, name="fc"),
        r"fc: weights 9..9 must be -8..7": Layer(w + 9, name="fc"),
        r"fc: silence 8 must be 0..7": Layer(w, one, silence=8, name="fc"),
        r"fc: scale group 1..8 must start at input 0": Layer(w, one, [Group(1, 8, one, one)],
                                                             name="fc"),
        r"fc: scale groups end at input 4, not 8": Layer(w, one, [Group(0, 4, one, one)],
                                                         name="fc"),
        r"fc: scale of inputs 0 and up: 300..300, must be 0..255": Layer(
            w, one, [Group(0, 8, 300 * one, one)], name="fc"),
        r"fc: scales of inputs 0 and up, \[3\] and \[4\]": Layer(
            w, one, [Group(0, 8, one[:3], one)], name="fc"),
    }
    for match, layer in cases.items():
        with pytest.raises(CompileError, match=match) as error:
            stages(TINY, [layer], 1)
        assert "\n" not in str(error.value)
    plain = TINY.with_(acc_depth=0, scale_bits=0)
    with pytest.raises(CompileError, match="long: K = 100 takes 2 passes but --acc-depth is 0"):
        stages(plain, [Layer(np.zeros((100, 4)), name="long")], 1)
    with pytest.raises(CompileError, match="fc: has group scales but --scale-bits is 0"):
        stages(plain, [Layer(w, one, [Group(0, 8, one, one)], name="fc")], 1)
    a, b = jobs.layer(TINY, 8, 4, 0), jobs.layer(TINY, 5, 4, 1)
    with pytest.raises(CompileError, match="layer1: has 5 inputs, but layer0 has 4 outputs"):
        stages(TINY, [a, b], 1)
    with pytest.raises(CompileError, match="layer0: leaves raw V"):
        stages(TINY, [jobs.layer(TINY, 8, 4, 0, raw=True), jobs.layer(TINY, 4, 4, 1)], 1)
    unsigned = TINY.with_(window=15, signed=False, exp_max=0)
    with pytest.raises(CompileError, match="layer0: fires negative levels"):
        stages(unsigned, [a, jobs.layer(TINY, 4, 4, 1)], 1)
    with pytest.raises(CompileError, match=r"layer0: inputs \[2, 9\] must be \[tokens, 8\]"):
        compile_stage(TINY, [a], Stage(0, 1), np.zeros((2, 9), np.int64))
    with pytest.raises(CompileError, match="layer0: tokens have shifts but --scale-bits is 0"):
        compile_stage(plain, [a], Stage(0, 1), np.zeros((1, 8), np.int64), shift=np.array([1]))


def test_missing_output_is_noticed():
    program = compiled(TINY, [jobs.layer(TINY, 8, 4)], jobs.tokens(TINY, 1, 8))
    with pytest.raises(ValueError, match="0 output packets, not 1"):
        program.read(TINY, packets.Execution([]))


def test_a_large_layer_compiles_fast():
    cfg = Config()
    layer = jobs.layer(cfg, 576, 1536, raw=True)
    codes = jobs.tokens(cfg, 16, 576)
    started = time.perf_counter()
    compiled(cfg, [layer], codes)
    assert time.perf_counter() - started < 5        # typically 0.2 s


def test_the_quickest_of_several_cuts():
    """Where sums are kept, the size of tile groups is the one that `estimate` finds quickest."""
    rng = np.random.default_rng(3)
    layer = Layer(rng.integers(-7, 8, (3 * TINY.k, 8 * TINY.cols)))
    q = rng.integers(-7, 8, (5, 3 * TINY.k))
    stage = stages(TINY, [layer], len(q))[0]
    chosen = compile_stage(TINY, [layer], stage, q)
    sizes = plan.group_sizes(TINY, layer, len(q), 1)
    assert len(sizes) > 1
    # With its places given, a stage takes the size that loads the fewest beats.
    plain = compile_stage(TINY, [layer], stage, q, places=(Places(TINY.slots), Places(2)))
    assert estimate(chosen.packets, TINY).cycles <= estimate(plain.packets, TINY).cycles
