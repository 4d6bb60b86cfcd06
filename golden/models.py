"""Language models by name: `tiny`, `smollm2`, a folder of `transformers`, or a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from golden.fetch import fetch_gguf
from golden.gguf_model import ModelError, load_gguf
from golden.grid import WgtGrid
from golden.tokenizer import load_tokenizer

TINY = Path(__file__).parent / "tiny"
#: Names that are no paths.
NAMES = ("tiny", "smollm2")


class Encoding(Protocol):
    """Text to token ids and back."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of ids."""
        ...


@dataclass(frozen=True)
class LanguageModel:
    """A model in float32, in eval mode, with its tokenizer."""

    name: str
    model: nn.Module
    tokenizer: Encoding
    context: int                    #: most tokens at a time
    baseline: str                   #: what its unquantised weights are, in words
    grids: Mapping[str, WgtGrid] = field(default_factory=dict)     #: 4-bit weights it came with


class _FolderTokenizer:
    """A tokenizer of `transformers`, without its special tokens."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._inner: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        return list(self._inner.encode(text, add_special_tokens=False))

    def decode(self, ids: list[int]) -> str:
        """The text of ids."""
        return str(self._inner.decode(ids))


def quiet() -> None:
    """No bars and no hints from `transformers`: what matters is an error, or said by the caller."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load(name: str | Path) -> LanguageModel:
    """A model by one of `NAMES`, or the path of a folder or of a GGUF file.

    Raises `ModelError` naming what is wrong with the file, and `RealDataUnavailable` and
    `HashMismatch` as `golden.fetch.fetch_gguf` for `smollm2`.
    """
    quiet()
    if str(name) == "smollm2":
        return _gguf(fetch_gguf(), "smollm2", "as shipped: linear weights in Q4_1")
    path = TINY if str(name) == "tiny" else Path(name)
    if path.is_dir():
        return _folder(path, str(name))
    if path.is_file():
        return _gguf(path, path.stem, "as the GGUF file has them")
    raise ModelError(f"{name}: no such file or folder, and none of {', '.join(NAMES)}")


def _gguf(path: Path, name: str, baseline: str) -> LanguageModel:
    model, grids, file = load_gguf(path)
    try:
        tokenizer = load_tokenizer(file.reader)
    except (AssertionError, ValueError) as why:
        raise ModelError(f"{path}: {why or 'no tokenizer that is known here'}") from why
    config: Any = model.config
    _check_tokenizer(tokenizer.size, config.vocab_size, path)
    return LanguageModel(name, model, tokenizer, int(config.max_position_embeddings), baseline,
                         grids)


def _folder(path: Path, name: str) -> LanguageModel:
    import torch
    from transformers import AutoModelForCausalLM

    if not (path / "config.json").is_file():
        raise ModelError(f"{path}: no config.json, so not a model of transformers")
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, local_files_only=True,
                                                          dtype=torch.float32)
        tokenizer = _FolderTokenizer(path)
    except Exception as why:        # transformers and safetensors raise many kinds
        raise ModelError(f"{path}: cannot be loaded: {str(why).splitlines()[0]}") from why
    _check_tokenizer(len(tokenizer._inner), model.config.vocab_size, path)
    return LanguageModel(name, model.eval(), tokenizer, int(model.config.max_position_embeddings),
                         "float32" if name == "tiny" else "as the folder has them")


def _check_tokenizer(tokens: int, rows: int, path: Path) -> None:
    if tokens > rows:
        raise ModelError(f"{path}: the tokenizer has {tokens:,} tokens, the model an embedding of "
                         f"{rows:,}: they do not belong together")
