"""Real layers on the RTL, on both simulators: what `make demo` and `make sim` claim, smaller."""

import os

import numpy as np
import pytest
import torch

import sim.layers as layers
from golden.codes import Codes
from golden.digits import DigitsMLP, load_digits
from golden.fetch import RealDataUnavailable
from golden.realdata import RealLayer, load_layer
from sim.accelerator import LayerOutput
from sim.backends import Throttle
from sim.layers import all_exact, differing, layer_table, run_digits, run_layer
from spinteger import isa
from spinteger.config import Config

torch.set_num_threads(1)

#: Small enough to build in seconds; K and E are those that the layer needs.
SMALL = Config(rows=8, cols=4, homes=2, int_lanes=2, k=576, tiles=8, tokens=8)
#: The same for the ReLU network, which is to stay on chip.
DIGITS = Config(rows=8, cols=8, homes=2, int_lanes=2, window=15, signed=False, exp_max=0, k=96,
                depth=1024, tiles=16, tokens=8)
SIMULATORS = ("verilator", "icarus")


@pytest.fixture(scope="module")
def layer() -> RealLayer:
    """A real layer. Skips when the model cannot be fetched, except in CI."""
    try:
        return load_layer("blk.15.q_proj", SMALL)
    except RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def mlp() -> DigitsMLP:
    return load_digits()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_real_layer_is_exact(layer: RealLayer, simulator: str) -> None:
    row = run_layer(layer, simulator, SMALL, tokens=3, outputs=16)
    assert row.mismatches == 0 and all_exact([row])
    assert (row.k, row.n, row.tokens, row.simulator) == (576, 16, 3, simulator)
    assert row.dense_cycles == 3 * 72 * 4
    q, e = layer.q[:3].astype(int), layer.e[:3]
    spikes = (np.abs(q) <= 7) & (q != 0) & (e == 0)
    assert row.live == pytest.approx(spikes.mean())
    assert row.salient == pytest.approx(((q != 0) & ~spikes).mean())
    # All lanes together pop each spike once per tile, and wait for the fullest of them.
    assert row.counters["spikes"] == spikes.sum() * 4
    assert spikes.sum() * 4 / 8 <= row.compute_cycles < row.cycles
    assert sum(row.counters[name] for name, _ in isa.CAUSES) == row.cycles
    assert abs(row.estimated / row.cycles - 1) < 0.1
    assert row.as_json()["ratio"] == row.compute_cycles / row.dense_cycles


def test_a_slow_bus_shows_in_the_waiting(layer: RealLayer) -> None:
    fast, slow = (run_layer(layer, "verilator", SMALL, tokens=2, outputs=8,
                            throttle=Throttle(input_every=every)) for every in (1, 8))
    assert fast.mismatches == slow.mismatches == 0
    assert slow.counters["weights"] > 4 * fast.counters["weights"]
    assert slow.counters["events"] == fast.counters["events"]


def test_wrong_result_is_reported(layer: RealLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A golden result that is another one: mismatches are counted, not hidden."""
    class Wrong(layers.HybridLayer):
        def forward(self, codes):
            want = super().forward(codes)
            want.V[0, 1] += 1
            want.codes_out.q[0, :3] += 1
            return want

    monkeypatch.setattr(layers, "HybridLayer", Wrong)
    row = run_layer(layer, "verilator", SMALL, tokens=1, outputs=4)
    assert row.mismatches == 1 + 3 and not all_exact([row])
    assert row.as_json()["mismatches"] == 4
    assert layer_table([row], SMALL).row_count == 1


def test_differing_looks_at_q_and_e() -> None:
    zeros = torch.zeros(2, 3, dtype=torch.int64)
    other = zeros.clone()
    other[1, 2] = 1
    got = LayerOutput(codes=Codes(zeros, zeros))
    assert differing(got, None, Codes(zeros, zeros)) == 0
    assert differing(got, None, Codes(other, zeros)) == differing(got, None, Codes(zeros, other))
    assert differing(got, None, Codes(zeros, other)) == 1
    assert differing(LayerOutput(V=zeros), other) == 1


def test_no_rows_are_not_exact() -> None:
    assert not all_exact([])


def test_layer_too_large_is_refused(layer: RealLayer) -> None:
    with pytest.raises(ValueError, match="blk.15.q_proj: K = 576 does not fit --k 64"):
        run_layer(layer, "icarus", Config(rows=8, cols=4, homes=2, int_lanes=2, k=64))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_digits_chain_on_chip(mlp: DigitsMLP, simulator: str) -> None:
    """From pixels to logits in one program; classes are the RTL's."""
    row, accuracy = run_digits(mlp, simulator, 6, DIGITS)
    assert (row.k, row.n, row.tokens) == (64, 10, 6) and all_exact([row])
    assert row.counters["tokens"] == 3 * 6          # encoded: pixels, then two chained layers
    V = mlp.run(mlp.codes)[-1].V[:6]
    assert accuracy == pytest.approx((V.argmax(1).numpy() == mlp.labels[:6]).mean())


def test_digits_that_do_not_chain_are_refused(mlp: DigitsMLP) -> None:
    with pytest.raises(ValueError, match="does not chain: .* through the host"):
        run_digits(mlp, "verilator", 6, DIGITS.with_(depth=256))
