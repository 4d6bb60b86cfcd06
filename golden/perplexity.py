"""How well a model predicts a text: perplexity and bits per byte, window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from golden.gguf_model import ModelError
from golden.models import LanguageModel


@dataclass(frozen=True)
class Score:
    """Sums over all predicted tokens: every token of a window but its first."""

    by_window: tuple[tuple[float, int], ...]    #: nats and tokens of every window
    bytes: int                                  #: of the predicted tokens' text

    @property
    def nats(self) -> float:
        """Of all windows."""
        return sum(nats for nats, _ in self.by_window)

    @property
    def tokens(self) -> int:
        """Likewise."""
        return sum(tokens for _, tokens in self.by_window)

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log likelihood of a token."""
        return math.exp(self.nats / self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers."""
        return self.nats / math.log(2) / self.bytes


def windows(lm: LanguageModel, text: str, length: int, count: int) -> list[Tensor]:
    """The first `count` windows of a text, int64 [length]; the last may be shorter.

    Raises `ModelError` for a text without two tokens.
    """
    if length > lm.context:
        raise ModelError(f"{lm.name}: can look back on {lm.context} tokens, windows of {length} "
                         "are too long")
    ids = lm.tokenizer.encode(text)[:length * count]
    if len(ids) < 2:
        raise ModelError(f"the text is too short: {len(ids)} tokens, and at least 2 are needed")
    rows = [torch.tensor(ids[at:at + length]) for at in range(0, len(ids), length)]
    return [row for row in rows if len(row) > 1]


@torch.no_grad()
def score(lm: LanguageModel, rows: Sequence[Tensor],
          tell: Callable[[], None] = lambda: None) -> Score:
    """A score over windows; `tell` is called after each."""
    model: Any = lm.model
    found: list[tuple[float, int]] = []
    size = 0
    for row in rows:
        logits = model(row[None], use_cache=False).logits[0, :-1]
        found.append((fn.cross_entropy(logits.float(), row[1:], reduction="sum").item(),
                      len(row) - 1))
        size += len(lm.tokenizer.decode(row[1:].tolist()).encode())
        tell()
    return Score(tuple(found), size)


def increase(one: Sequence[tuple[float, int]],
             base: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """By how much perplexity is higher than `base`'s, and the standard error of that; as shares.

    Both are `Score.by_window` of the same windows. The error is that of the mean of the windows'
    own differences, so what makes a text hard or easy to predict is not in it, only what makes
    quantisation cost more here than there. NaN with a single window.
    """
    tokens = sum(count for _, count in base)
    mean = sum(a - b for (a, _), (b, _) in zip(one, base, strict=True)) / tokens
    spread = sum((a - b - mean * count) ** 2 for (a, count), (b, _) in zip(one, base, strict=True))
    n = len(base)
    error = math.sqrt(spread * n / (n - 1)) / tokens if n > 1 else math.nan
    return math.expm1(mean), math.exp(mean) * error


def percent(more: float, error: float | None) -> str:
    """An increase in words: +2.3% ± 0.4."""
    return f"{more:+,.1%}" + (f" ± {100 * error:,.1f}" if error else "")
