"""What recipes need to know of a model beforehand, from a text that nothing is measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from golden import austen
from golden.cache import progress
from golden.conversion import Report, calibrate, convert
from golden.grid import WgtGrid
from golden.hybrid_linear import Products
from golden.key_mean import key_means
from golden.layer_grids import gptq_grids
from golden.models import LanguageModel
from golden.perplexity import windows
from golden.recipe import Recipe
from golden.sensitivity import query_sensitivities, sensitivities

#: The text, and how much of it: windows of this many tokens, or of the model's context.
TEXT, LENGTH, WINDOWS = "emma", 512, 16


@dataclass
class Calibration:
    """Converts one model by any recipe: finds what a recipe needs when it first asks, keeps it.

    All methods raise as `golden.austen.novels` and `golden.convert`.
    """

    lm: LanguageModel               #: as it was loaded; its own model is never changed
    _gptq: dict[tuple[object, ...], dict[str, WgtGrid]] = field(default_factory=dict)
    _queries: dict[bool, dict[str, Tensor]] = field(default_factory=dict)

    @cached_property
    def rows(self) -> list[Tensor]:
        """Token ids, int64 [T] each."""
        text = austen.paragraphs(austen.novels()[TEXT])
        return windows(self.lm, text, min(LENGTH, self.lm.context), WINDOWS)

    @cached_property
    def sensitivities(self) -> dict[str, Tensor]:
        """Of every linear layer's inputs."""
        with progress() as bar:
            task = bar.add_task("what each layer minds", total=len(self.rows))
            return sensitivities(self.lm.model, self.rows, lambda: bar.advance(task))

    @cached_property
    def k_means(self) -> dict[str, Tensor]:
        """Of every attention module's keys."""
        with progress() as bar:
            task = bar.add_task("means of keys", total=len(self.rows))
            return key_means(self.lm.model, self.rows, lambda: bar.advance(task))

    def queries(self, turned: bool) -> dict[str, Tensor]:
        """Sensitivities of every attention module's queries, as they are or turned."""
        if turned not in self._queries:
            with progress() as bar:
                task = bar.add_task("what attention minds", total=len(self.rows))
                self._queries[turned] = query_sensitivities(
                    self.lm.model, self.rows, turned, lambda: bar.advance(task))
        return self._queries[turned]

    def grids(self, recipe: Recipe) -> Mapping[str, WgtGrid]:
        """Weights: the model's own, or by GPTQ."""
        if recipe.wgt != "gptq":
            return self.lm.grids
        key = recipe.group, recipe.wgt_bits, recipe.rotate, recipe.head
        if key not in self._gptq:
            with progress() as bar:
                task = bar.add_task("GPTQ: inputs of all layers", total=None)
                self._gptq[key] = gptq_grids(
                    self.lm.model, recipe, self.rows,
                    lambda name: bar.update(task, description=f"GPTQ of {name}"))
        return self._gptq[key]

    def convert(self, model: nn.Module, recipe: Recipe,
                products: Products | None = None) -> Report:
        """`golden.convert` of a copy of the model, with all that the recipe needs."""
        return convert(model, recipe, products=products, grids=self.grids(recipe),
                       calibration=calibrate(self.lm.model, recipe, self.rows)
                       if recipe.step == "static" else None,
                       sensitivities=self.sensitivities if recipe.price else None,
                       k_means=self.k_means if recipe.k_mean else None,
                       q_sensitivities=self.queries(recipe.k_rotate)
                       if recipe.price and recipe.attention else None)
