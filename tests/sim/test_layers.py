"""Real layers on the RTL, on both simulators: what `make demo` and `make sim` claim, smaller."""

import os

import numpy as np
import pytest

from golden.digits import load_digits
from golden.fetch import RealDataUnavailable
from golden.realdata import RealLayer, load_layer
from sim.layers import all_exact, layer_table, run_digits, run_layer
from sim.runner import SIMULATORS
from spinteger.config import Config

#: Small enough to build in seconds; K and E are those that the layer needs.
SMALL = Config(rows=8, cols=4, k=576, depth=256, tiles=8)


@pytest.fixture(scope="module")
def layer() -> RealLayer:
    """A real layer. Skips when the model cannot be fetched, except in CI."""
    try:
        return load_layer("blk.15.q_proj", SMALL)
    except RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_real_layer_is_exact(layer: RealLayer, simulator: str) -> None:
    row = run_layer(layer, simulator, SMALL, tokens=3, outputs=16)
    assert row.mismatches == 0 and all_exact([row])
    assert (row.k, row.n, row.tokens) == (576, 16, 3)
    assert row.dense_cycles == 3 * 72 * 4
    spikes = (np.abs(layer.q[:3]) <= 7) & (layer.q[:3] != 0) & (layer.e[:3] == 0)
    assert row.live == pytest.approx(spikes.mean())
    # The lanes cannot be faster than their events, nor wait for more than the longest of them.
    assert spikes.sum() * 4 / 8 <= row.cycles <= 3 * 4 * (3 * 72 + 40)
    assert row.utilisation == pytest.approx(spikes.sum() * 4 / (8 * row.cycles))
    assert row.load_cycles >= 576 * 4


def test_wrong_result_is_reported(layer: RealLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer whose golden result is another one: mismatches are counted, not hidden."""
    import dataclasses

    import sim.layers as layers
    real = layers.simulate

    def tampered(simulator, cfg, arrays, unsigned=False):
        results = real(simulator, cfg, arrays, unsigned)
        return [{**result, "mismatches_v": 2} for result in results]

    monkeypatch.setattr(layers, "simulate", tampered)
    row = run_layer(dataclasses.replace(layer), "icarus", SMALL, tokens=1, outputs=4)
    assert row.mismatches == 2 and not all_exact([row])
    assert row.as_json()["mismatches"] == 2
    assert layer_table([row], SMALL).row_count == 1


def test_no_rows_are_not_exact() -> None:
    assert not all_exact([])


def test_layer_too_large_is_refused(layer: RealLayer) -> None:
    with pytest.raises(ValueError, match="blk.15.q_proj: K = 576 does not fit --k 64"):
        run_layer(layer, "icarus", Config(rows=8, cols=4, k=64))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_digits_chain_spike_to_spike(simulator: str) -> None:
    """Each layer runs on the codes that the RTL fired before; classes are the RTL's."""
    mlp = load_digits()
    cfg = Config(rows=8, cols=8, window=15, signed=False, exp_max=0, k=96)
    rows, accuracy = run_digits(mlp, simulator, 6, cfg)
    assert [(row.k, row.n) for row in rows] == [(64, 96), (96, 48), (48, 10)]
    assert all_exact(rows)
    golden = mlp.run(mlp.codes)[-1].V[:6].argmax(1).numpy()
    assert accuracy == pytest.approx((golden == mlp.labels[:6]).mean())
