"""The tokenizer: exact round trips, digits one by one, nothing guessed."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from golden import fetch, realdata
from golden.tokenizer import GgufTokenizer, load_tokenizer

HARD = ["", " ", "The year 1812.", "  two  spaces\n\n\ttab\r\n", "naïve café — “quotes”",
        "日本語 🙂", "don't I'll we've", "x=3.14159;y_2", "\x00\x7f"]


class FakeReader:
    """Metadata of a byte-level vocabulary with three merges, in place of a GGUF file."""

    def __init__(self, **changes: Any) -> None:
        byte_tokens = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256),
                                        *range(256, 324))]
        tokens = ["<|end|>", *byte_tokens, "he", "Ġt", "Ġthe", "12"]
        self.meta = {"model": "gpt2", "pre": "smollm", "tokens": tokens,
                     "merges": ["h e", "Ġ t", "Ġt he", "1 2"],
                     "token_type": [3] + [1] * (len(tokens) - 1), "bos_token_id": 0, **changes}

    def get_field(self, key: str) -> Any:
        value = self.meta.get(key.removeprefix("tokenizer.ggml."))
        return None if value is None else SimpleNamespace(contents=lambda: value)


def fake(**changes: Any) -> GgufTokenizer:
    return GgufTokenizer(FakeReader(**changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def real() -> GgufTokenizer:
    """SmolLM2's. Skips when it cannot be fetched, except in CI."""
    try:
        return load_tokenizer(fetch.fetch_gguf())
    except fetch.RealDataUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


def words(tok: GgufTokenizer, text: str) -> list[str]:
    return [tok.token(i) for i in tok.encode(text)]


@pytest.mark.parametrize("text", HARD)
def test_round_trip(text: str) -> None:
    assert fake().decode(fake().encode(text)) == text


def test_merges_and_digits() -> None:
    assert words(fake(), " the 12") == ["Ġthe", "Ġ", "1", "2"]
    assert words(fake(pre="gpt-2"), " the 12") == ["Ġthe", "Ġ", "12"]


def test_control_tokens_are_one_id() -> None:
    assert words(fake(), "he<|end|>he") == ["he", "<|end|>", "he"]
    assert fake().decode([0]) == "<|end|>"


def test_begin_token_only_when_asked_for() -> None:
    assert fake().encode("he") == fake(add_bos_token=True).encode("he")[1:]
    assert fake(add_bos_token=True).encode("he")[0] == 0 and fake().bos is None


@pytest.mark.parametrize("changes", [{"model": "llama"}, {"pre": "qwen2"}])
def test_unknown_kinds_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="smollm"):
        fake(**changes)


def test_unknown_id_is_refused() -> None:
    with pytest.raises(KeyError, match="no token 99999"):
        fake().token(99999)


def test_real_vocabulary(real: GgufTokenizer) -> None:
    assert real.size == 49152 and real.bos is None
    assert words(real, "Sir Walter, 1760") == ["Sir", "ĠWalter", ",", "Ġ", "1", "7", "6", "0"]
    assert words(real, "<|im_end|>") == ["<|im_end|>"]


def test_real_round_trip(real: GgufTokenizer) -> None:
    for text in [*HARD, realdata.TEXT.read_text(encoding="utf-8")]:
        assert real.decode(real.encode(text)) == text
