"""Cycles and events of real layers without simulation."""

import numpy as np
import pytest

from golden.realdata import RealLayer
from sim.plan import CompileError
from sim.predict import predict
from spinteger.config import Config, preset


def layer(k=40, n=10, tokens=3, seed=1):
    rng = np.random.default_rng(seed)
    q = rng.integers(-9, 10, (tokens, k)).astype(np.int8)
    return RealLayer(name="test", q=q, e=np.zeros_like(q),
                     w=rng.integers(-7, 8, (k, n)).astype(np.int8),
                     theta=np.full(n, 5 << 8, np.int64), s_a=1.0, s_y=1.0, s_w=np.ones(n), k=k,
                     n=n, window=7, signed=True)


def test_events_are_counted():
    cfg, one = preset("tiny"), layer()
    found = predict(one, cfg)
    tiles = -(-10 // cfg.cols)
    live = int(((one.q != 0) & (np.abs(one.q) <= 7)).sum())
    assert found.macs == 3 * 40 * 10
    assert found.spike_rows == live * tiles
    assert found.salient_rows == int((np.abs(one.q) > 7).sum()) * tiles
    assert found.dense_rows == 3 * 40 * tiles
    assert found.outputs == 30
    assert found.v_adds == 7 * 3 * tiles        # level 7 occurs in every token


def test_cycles_are_the_estimates_and_gops_follow():
    found = predict(layer(), preset("tiny"), tokens=2)
    assert found.tokens == 2
    assert 0 < found.compute_cycles < found.cycles
    assert found.dense_cycles == 2 * 10 * 3
    assert found.gops(100.0) == pytest.approx(2 * 2 * 400 * 0.1 / found.compute_cycles)


def test_fewer_live_inputs_take_fewer_cycles():
    cfg, dense = preset("tiny"), layer(k=64)
    sparse = layer(k=64)
    sparse.q[:, ::2] = 0
    assert predict(sparse, cfg).compute_cycles < predict(dense, cfg).compute_cycles


def test_a_layer_that_does_not_fit_says_so():
    with pytest.raises(CompileError):
        predict(layer(k=300), Config(rows=4, cols=4, homes=2, int_lanes=2, k=64, depth=128,
                                     train_depth=64, list_depth=64, acc_depth=0))
