"""Novels: the real package where it can be had; without it, what would work is said."""

import os

import pytest

from golden import austen
from golden.fetch import HashMismatch, RealDataUnavailable


def test_paragraphs():
    text = "CHAPTER I\n\n\nOne line\nand  another.\n\n  Next\n"
    assert austen.paragraphs(text) == "CHAPTER I\nOne line and another.\nNext\n"


def test_the_novels():
    try:
        texts = austen.novels()
    except RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))
    assert set(texts) == {*austen.TRAINING, austen.HELD_OUT}
    assert texts["persuasion"].startswith("Persuasion\n") and "Kellynch Hall" in texts["persuasion"]
    assert sum(map(len, texts.values())) == 4_025_028
    whole = austen.paragraphs(texts["emma"])
    assert "handsome, clever, and rich, with a comfortable home" in whole


def test_no_apt(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RealDataUnavailable, match="cache folder"):
        austen.fetch_deb(tmp_path)
    assert not list(tmp_path.glob("*.deb"))


def test_a_package_that_cannot_be_downloaded(tmp_path, monkeypatch):
    tool = tmp_path / "apt-get"
    tool.write_text("#!/bin/sh\necho 'E: no such package'\nexit 100\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(RealDataUnavailable, match="E: no such package"):
        austen.fetch_deb(tmp_path / "cache")


def test_another_package(tmp_path, monkeypatch):
    tool = tmp_path / "apt-get"
    tool.write_text("#!/bin/sh\necho x > other.deb\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(HashMismatch):
        austen.fetch_deb(tmp_path / "cache")
    assert not (tmp_path / "cache" / austen.DEB).exists()
