"""The accelerator as a library, on the golden machine; and on the RTL as far as there is one."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from golden.codes import CodeError, Codes, value
from sim import accelerator, tools
from sim.accelerator import Accelerator, AcceleratorError, CompileError, Group, Layer, LayerOutput
from sim.backends import Golden, Throttle
from sim.packets import Execution
from spinteger import isa
from spinteger.config import PRESETS, Config
from tests.sim import jobs

torch.set_num_threads(1)

TINY = PRESETS["tiny"]
DEEP = TINY.with_(depth=512)


@pytest.fixture
def rtl():
    """Skips where there is no Verilator."""
    try:
        tools.verilator()
    except tools.SimulatorMissing as error:
        pytest.skip(str(error))


class Spy(Golden):
    """The golden machine, with what it was given and made-up counters."""

    def __init__(self, cfg: Config):
        super().__init__(cfg)
        self.programs: list[list] = []

    def execute(self, program, *, throttle=None) -> Execution:
        self.programs.append(list(program))
        done = super().execute(program)
        counters = {name: index + 1 for index, name in enumerate(isa.COUNTERS)}
        return Execution(done.packets, done.error, done.error_count, counters, 100)


def network(cfg: Config) -> list[Layer]:
    return [jobs.layer(cfg, 30, 21, 0), jobs.layer(cfg, 21, 18, 1),
            jobs.layer(cfg, 18, 10, 2, raw=True)]


def same(got: LayerOutput, want) -> bool:
    if isinstance(want, Codes):
        return got.codes is not None and bool(
            (got.codes.q == want.q).all() and (got.codes.e == want.e).all())
    return got.V is not None and bool((got.V == want).all())


@pytest.mark.parametrize("cfg", [TINY, DEEP], ids=["through the host", "on chip"])
def test_a_network(cfg):
    machine = Accelerator(cfg, "golden")
    machine.load(network(cfg))
    codes = jobs.tokens(cfg, 5, 30)
    want = jobs.expected(cfg, machine.layers, codes)
    assert same(machine.run(codes), want[-1])
    assert bool(machine.notes) == (cfg is TINY) and len(machine.executions) == 1 + (cfg is TINY)
    every = machine.run_all(codes)
    assert len(every) == 3 and all(map(same, every, want))
    assert torch.equal(every[0].levels, value(want[0]))


def test_inputs_of_every_kind():
    machine = Accelerator(TINY, "golden")
    machine.load(jobs.layer(TINY, 30, 9, raw=True))
    codes = jobs.tokens(TINY, 6, 30)
    v = machine.run(codes).V
    assert torch.equal(machine.run((codes.q, codes.e)).V, v)
    assert torch.equal(machine.run(value(codes)).V, v)
    assert torch.equal(machine.run(value(codes).to(torch.int16).reshape(2, 3, 30)).V,
                       v.reshape(2, 3, 9))
    assert machine.run(value(codes)[0]).V.shape == (9,)
    assert torch.equal(machine.run(codes, shift=torch.arange(6)).V, v << torch.arange(6)[:, None])
    with pytest.raises(TypeError, match="must be integer levels"):
        machine.run(torch.zeros(1, 30))
    with pytest.raises(CodeError):
        machine.run((torch.full((1, 30), 200), torch.zeros(1, 30, dtype=torch.int64)))
    with pytest.raises(CompileError, match=r"inputs \[1, 31\]"):
        machine.run(torch.zeros(1, 31, dtype=torch.int64))


def test_weights_may_be_torch_tensors():
    layer = Layer(torch.ones(4, 3, dtype=torch.int8), torch.full((3,), 1 << TINY.frac_bits),
                  [Group(0, 4, torch.tensor([1, 2, 3]), torch.tensor([0, 0, 1]))])
    machine = Accelerator(TINY, "golden")
    machine.load(layer)
    assert machine.run(torch.tensor([[1, 0, 0, 1]])).levels.tolist() == [[2, 4, 12]]


def test_too_many_tokens_for_a_buffer_are_tried_again_in_smaller_batches():
    cfg = DEEP.with_(list_depth=32)
    layers = [Layer(np.full((4, 20), 7), np.ones(20)), jobs.layer(cfg, 20, 4, 1, raw=True)]
    spy = Spy(cfg)
    machine = Accelerator(cfg, spy)
    machine.load(layers)
    codes = jobs.tokens(cfg, 8, 4, silent=0.0)
    want = jobs.expected(cfg, layers, codes)        # all salient: ten places a token
    assert bool((want[0].q.abs() > cfg.window).all())
    assert same(machine.run(codes), want[-1])
    assert len(spy.programs) == 2 and len(machine.executions) == 1
    assert len(spy.programs[1]) > len(spy.programs[0])


def test_an_error_names_the_packet():
    n = 5
    huge = Group(0, 8, np.full(n, 255), np.full(n, 31))
    machine = Accelerator(TINY, "golden")
    machine.load(Layer(np.ones((8, n)), groups=[huge]))
    with pytest.raises(AcceleratorError, match=r"packet 3 \(RUN slot=0 buf=0 .*\): V_OVERFLOW$") \
            as error:
        machine.run(torch.full((1, 8), 7))
    assert error.value.code == isa.Error.V_OVERFLOW and error.value.number == 3


def test_an_error_is_not_tried_again_for_ever():
    class Broken(Golden):
        def execute(self, program, *, throttle=None):
            return Execution([], (isa.Error.TRAIN_FULL, 1), 3)

    machine = Accelerator(TINY, Broken(TINY))
    machine.load(jobs.layer(TINY, 8, 4))
    with pytest.raises(AcceleratorError, match="TRAIN_FULL, the first of 3 errors"):
        machine.run(jobs.tokens(TINY, 8, 8))


def test_counters_add_up_over_stages_and_print():
    machine = Accelerator(TINY, Spy(TINY))
    machine.load(network(TINY))
    machine.run(jobs.tokens(TINY, 5, 30))
    assert len(machine.executions) == 2
    assert machine.counters()["cycles"] == 2 and machine.counters()["events"] == 4
    text = io.StringIO()
    machine.print_counters(Console(file=text, width=120))
    assert all(name in text.getvalue() for name in isa.COUNTERS)
    golden = Accelerator(TINY, "golden")
    golden.print_counters(Console(file=text))
    assert "golden: no counters" in text.getvalue()


def test_live_fetch_and_its_spelling():
    machine = Accelerator(Config(), "golden", fetch="live")
    layers = [jobs.layer(Config(), 300, 40, 0), jobs.layer(Config(), 40, 8, 1, raw=True)]
    machine.load(layers)
    codes = jobs.tokens(Config(), 1, 300, silent=0.5)
    assert same(machine.run(codes), jobs.expected(Config(), layers, codes)[-1])
    with pytest.raises(ValueError, match="fetch some: choose from all, live"):
        Accelerator(TINY, fetch="some")
    with pytest.raises(ValueError, match="call load first"):
        Accelerator(TINY, "golden").run(codes)
    with pytest.raises(ValueError, match="no layers to load"):
        machine.load([])


@pytest.mark.parametrize("throttle", [None, Throttle(0.3, 0.4, 2, seed=5)], ids=["fast", "slow"])
@pytest.mark.parametrize("job", ["host", "chip", "one token", "groups", "live"])
def test_the_rtl(job, throttle, rtl):
    cfg = TINY if job in ("host", "groups") else DEEP
    layers = {"groups": [jobs.layer(TINY, 70, 30, 0, group=16, unsigned=True)],
              "live": [jobs.layer(DEEP, 100, 9, 1)]}.get(job, network(cfg))
    codes = jobs.tokens(cfg, 1 if job == "one token" else 10, layers[0].k,
                        silent=0.95 if job == "live" else 0.2)
    shift = torch.arange(10) % 3 if job == "groups" else None
    machine = Accelerator(cfg, "verilator", throttle=throttle,
                          fetch="live" if job == "live" else "all")
    machine.load(layers)
    want = jobs.expected(cfg, layers, codes, None if shift is None else shift.tolist())
    got = machine.run_all(codes, shift)
    assert len(got) == len(want) and all(map(same, got, want))
    counters = machine.counters()
    assert counters["cycles"] == sum(counters[name] for name, _ in isa.CAUSES)
    cycles = sum(done.cycles or 0 for done in machine.executions)
    assert 0 <= cycles - counters["cycles"] <= 4 * len(machine.executions)
    assert (counters["rows_skipped"] > 0) == (job == "live")


def test_an_error_of_the_rtl(rtl):
    machine = Accelerator(TINY, "verilator")
    machine.load(Layer(np.ones((8, 5)), groups=[Group(0, 8, np.full(5, 255), np.full(5, 31))]))
    with pytest.raises(AcceleratorError, match=r"packet 3 \(RUN .*\): V_OVERFLOW$"):
        machine.run(torch.full((1, 8), 7))


def test_icarus_agrees_to_the_cycle(rtl):
    machines = [Accelerator(TINY, name) for name in ("verilator", "icarus")]
    codes = jobs.tokens(TINY, 2, 30)
    for machine in machines:
        machine.load(jobs.layer(TINY, 30, 9))
        assert same(machine.run(codes), jobs.expected(TINY, machine.layers, codes)[0])
    native, icarus = (machine.counters() for machine in machines)
    slack = {"cycles", "idle"}          # a cycle between reset and the first beat
    assert all(native[name] == icarus[name] for name in native if name not in slack)
    assert abs(native["cycles"] - icarus["cycles"]) < 4


def test_loading_checks_the_layers():
    machine = Accelerator(TINY, "golden")
    with pytest.raises(CompileError, match="layer0: weights 9..9"):
        machine.load(Layer(np.full((4, 4), 9), name="layer0"))
    assert machine.layers == []
    assert accelerator.Accelerator is Accelerator
