"""The digits network: trains, quantises, chains from spikes to spikes, and repeats exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from golden import codes, digits, integrate
from golden.digits import CONFIG, DigitsMLP
from golden.fire import fire_sar, fire_staircase


@pytest.fixture(scope="module")
def mlp() -> DigitsMLP:
    return digits.load_digits()


def test_accuracy(mlp: DigitsMLP) -> None:
    assert mlp.float_accuracy > 0.95
    assert mlp.int_accuracy > mlp.float_accuracy - 0.025
    assert mlp.accuracy() == mlp.int_accuracy


def test_shapes_and_ranges(mlp: DigitsMLP) -> None:
    assert [layer.w.shape for layer in mlp.layers] == [(64, 96), (96, 48), (48, 10)]
    assert mlp.q.shape == (360, 64) and sorted(set(mlp.labels.tolist())) == list(range(10))
    for layer in mlp.layers[:-1]:
        assert layer.theta is not None and layer.theta.dtype == np.int64 and layer.theta.min() >= 1
    assert mlp.layers[-1].theta is None and len(set(mlp.layers[-1].s_w.tolist())) == 1
    assert all(np.abs(layer.w).max() == 7 and layer.w.dtype == np.int8 for layer in mlp.layers)


def test_pixels_are_exact_and_use_both_paths(mlp: DigitsMLP) -> None:
    _, pixels, _, labels = digits.split_images()
    assert torch.equal(codes.value(mlp.codes), pixels.long())
    assert np.array_equal(mlp.labels, labels.numpy())
    salient = codes.is_salient(mlp.codes, CONFIG).double().mean()
    assert 0.05 < salient < 0.15 and mlp.q.max() == 16


def test_layers_chain_without_rescaling(mlp: DigitsMLP) -> None:
    """What a layer fires is the next one's input: codes by ramp and staircase, no float."""
    images = codes.Codes(mlp.codes.q[:64], mlp.codes.e[:64])
    x = images
    for layer, result in zip(mlp.layers, mlp.run(images), strict=True):
        V, _ = integrate.ramp(x, torch.from_numpy(layer.w).long(), CONFIG)
        assert torch.equal(V, result.V)
        if layer.theta is None:
            continue
        theta = torch.from_numpy(layer.theta)
        assert result.levels is not None and result.codes_out is not None
        for fire in (fire_staircase, fire_sar):
            assert torch.equal(fire(V, theta, CONFIG.level_max, CONFIG.frac_bits, unsigned=True),
                               result.levels)
        x = codes.recode(result.levels, CONFIG)
        assert torch.equal(x.q, result.levels), "E = 0 codes are the levels, none is cut off"
        assert int(x.q.max()) < CONFIG.level_max
        assert 0 < codes.is_salient(x, CONFIG).double().mean() < 0.03


def test_hidden_codes_track_the_float_network(mlp: DigitsMLP) -> None:
    """Layer 1's codes times their step are close to the real outputs of its own weights."""
    layer = mlp.layers[0]
    real = codes.value(mlp.codes).double() * layer.s_a
    real = (real @ torch.from_numpy(layer.w * layer.s_w)).relu()
    fired = mlp.run(mlp.codes)[0].levels
    assert fired is not None
    step = mlp.layers[1].s_a
    assert (fired * step - real).abs().max() <= step * 0.501


def test_training_repeats_and_cache_recovers(mlp: DigitsMLP, tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    path = digits.digits_file(tmp_path)
    path.write_bytes(digits.digits_file().read_bytes()[:3000])
    again = digits.load_digits(tmp_path)
    assert "damaged" in capsys.readouterr().err
    for one, two in zip(mlp.layers, again.layers, strict=True):
        assert np.array_equal(one.w, two.w) and np.array_equal(one.s_w, two.s_w)
    loaded = digits.load_digits(tmp_path)
    assert np.array_equal(loaded.q, mlp.q) and loaded.int_accuracy == again.int_accuracy
    assert capsys.readouterr().err == ""


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert digits.main([]) == 0
    out = capsys.readouterr().out
    assert "accuracy on 360 test images" in out and out.count("layer") == 3
