"""Weights of a language model by GPTQ, from a text that nothing is measured with."""

from __future__ import annotations

from dataclasses import replace

from golden import austen
from golden.cache import progress
from golden.conversion import gptq_grids
from golden.models import LanguageModel
from golden.perplexity import windows
from golden.recipe import Recipe

#: The text, and how much of it: windows of this many tokens, or of the model's context.
TEXT, LENGTH, WINDOWS = "emma", 512, 16


def calibrated(lm: LanguageModel, recipe: Recipe) -> LanguageModel:
    """The model with grids by GPTQ for every layer that the recipe converts.

    Raises as `golden.austen.novels` and `golden.conversion.gptq_grids`.
    """
    text = austen.paragraphs(austen.novels()[TEXT])
    rows = windows(lm, text, min(LENGTH, lm.context), WINDOWS)
    with progress() as bar:
        task = bar.add_task("GPTQ: inputs of all layers", total=None)
        grids = gptq_grids(lm.model, recipe, rows,
                           lambda name: bar.update(task, description=f"GPTQ of {name}"))
    return replace(lm, grids=grids)
