"""A recipe: how a language model becomes integers, every choice in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from golden.act_coder import MODES, ROUNDINGS, ActCoder

WGTS = ("shipped", "rtn", "gptq")
STEPS = ("token", "group", "static")
#: Layers that read the same input, or inputs alike, by the last part of their module's name.
KINDS = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "o_proj": "out", "out_proj": "out",
         "gate_proj": "up", "up_proj": "up", "fc1": "up", "down_proj": "down", "fc2": "down"}


class RecipeError(ValueError):
    """A recipe that cannot be obeyed. `str()` names the field and what would work."""


@dataclass(frozen=True)
class Recipe:
    """What becomes of weights, acts and attention.

    Raises `RecipeError`.
    """

    #: How acts are coded: "hybrid" (spikes and salient integers), "int8" or "int4" (every token's
    #: largest value at the top of the range), "float" (not at all).
    acts: str = "hybrid"
    #: "shipped": a layer's own 4-bit grid, exactly, where its file has one, else as "rtn".
    #: "rtn": symmetric integers, rounded to nearest. "gptq": the same by GPTQ, which needs text.
    wgt: str = "shipped"
    group: int = 0                  #: rtn, gptq: inputs per weight scale; 0: one per channel
    wgt_bits: int = 4               #: rtn, gptq: bits of a weight code
    k_mad: float = 3.0              #: cut in units of sigma, where `k_mads` says nothing else
    k_mads: Mapping[str, float] = field(default_factory=dict)    #: by kind (qkv, out, up, down)
    #: Nats of expected loss that a salient value must save; the step is then the cheapest one
    #: (`golden.step_search`, needs sensitivities). 0: cut by k_mad.
    price: float = 0.0
    #: "token"; "group": one per token and weight group, whose sums are passes of their own anyway;
    #: "static": one per layer, calibrated (of attention's Q: per token all the same).
    step: str = "token"
    pow2: bool = False              #: steps rounded to powers of two, which a shift of V can apply
    snap: bool = False              #: a token's step a little smaller: its largest value is exact
    rounding: str = "away"          #: of halves: "away" from zero, to "even"; "down": cut off
    rotate: bool = False            #: inputs and weights turned by a Hadamard matrix
    window: int = 7                 #: L of signed acts
    unsigned_window: int = 0        #: L of acts that are never negative; 0: as `window`
    salience: bool = True           #: False: values beyond the window are clipped
    sal_bits: int = 8               #: bits of a salient integer, signed
    exp_max: int = 9                #: largest exponent of a salient value
    attention: bool = False         #: both products of attention as well
    kv_bits: int = 4                #: of K and V, which the array holds as weights
    k_mean: bool = False            #: keys without their mean on calibration text
    k_rotate: bool = False          #: Q and K turned by a Hadamard matrix
    k_clip: bool = False           #: scales of K that leave the least squared error
    v_group: int = 0                #: values of V per scale; 0: a token's in one head
    head: bool = False              #: the output layer as well

    def __post_init__(self) -> None:
        choices = {"acts": (self.acts, ("float", *MODES)), "wgt": (self.wgt, WGTS),
                   "step": (self.step, STEPS), "rounding": (self.rounding, ROUNDINGS)}
        for name, (value, known) in choices.items():
            if value not in known:
                raise RecipeError(f"recipe: {name} {value!r}, choose from {', '.join(known)}")
        for kind, k_mad in {"k_mad": self.k_mad, **self.k_mads}.items():
            if not 0 < k_mad < 1e6:
                raise RecipeError(f"recipe: {kind} {k_mad}, must be positive")
        if unknown := sorted(set(self.k_mads) - set(KINDS.values())):
            raise RecipeError(f"recipe: k_mads of {unknown[0]!r}, choose from "
                              f"{', '.join(sorted(set(KINDS.values())))}")
        for name in ("window", "sal_bits"):
            if getattr(self, name) < 1:
                raise RecipeError(f"recipe: {name} {getattr(self, name)}, must be at least 1")
        for name in ("kv_bits", "wgt_bits"):
            if not 2 <= getattr(self, name) <= 8:
                raise RecipeError(f"recipe: {name} {getattr(self, name)}, must be 2..8")
        if self.wgt == "shipped" and self.wgt_bits != 4:
            raise RecipeError(f"recipe: wgt_bits {self.wgt_bits}, but the weights that a model is "
                              "shipped with are left as they are: use wgt rtn or gptq")
        if self.window >= 1 << (self.sal_bits - 1):
            raise RecipeError(f"recipe: window {self.window}, must be below "
                              f"{1 << self.sal_bits - 1} with {self.sal_bits}-bit salient values")
        if self.acts in ("int8", "int4") and (self.pow2 or self.snap or self.step == "static"):
            raise RecipeError(f"recipe: acts {self.acts!r} have a step per token that puts its "
                              "largest value at the top: no pow2, no snap, no static step")
        if not 0 <= self.price < math.inf:
            raise RecipeError(f"recipe: price {self.price:g}, must be positive and finite")
        if self.price and (self.acts != "hybrid" or self.step == "static" or self.snap or self.pow2
                           or self.rounding != "away" or not self.salience):
            raise RecipeError(f"recipe: price {self.price:g} chooses an exact step per token or "
                              "group of hybrid acts with salience: no static step, snap, pow2 or "
                              "other rounding")
        if (self.k_mean or self.k_rotate or self.k_clip or self.v_group) and not self.attention:
            raise RecipeError("recipe: k_mean, k_rotate, k_clip and v_group are of attention, "
                              "which it leaves as it is")
        if self.attention and self.acts == "hybrid" and self.sal_bits < 8:
            raise RecipeError(f"recipe: sal_bits {self.sal_bits}, attention's probabilities take 8")
        if self.rotate and self.unsigned_window:
            raise RecipeError("recipe: rotate gives every input a sign, so no unsigned_window")
        if self.rotate and self.price:
            raise RecipeError("recipe: rotate mixes inputs, whose sensitivities a price needs")
        if self.rotate and self.wgt == "shipped":
            raise RecipeError("recipe: rotate turns the weights, which leave their own grid: "
                              "use wgt rtn or gptq")
        if self.snap and (self.pow2 or self.step == "static"):
            raise RecipeError("recipe: snap changes a token's step, so no pow2 and no static step")
        if min(self.group, self.exp_max, self.unsigned_window, self.v_group) < 0:
            raise RecipeError("recipe: group, exp_max, unsigned_window and v_group must not be "
                              "negative")

    def with_(self, **changes: object) -> Recipe:
        """The same but for some fields."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def coder(self, layer: str, unsigned: bool = False, group: int = 0,
              sensitivity: Tensor | None = None) -> ActCoder:
        """Codes the inputs of a layer, by its module's name.

        unsigned: they are never negative. group: of the layer's weights, for a step per group.
        sensitivity: of its inputs; without one, a price does nothing and k_mad cuts.
        """
        kind = KINDS.get(layer.rpartition(".")[2], "")
        narrow = unsigned and self.unsigned_window > 0
        return ActCoder(mode=self.acts, k_mad=self.k_mads.get(kind, self.k_mad),
                        price=0.0 if sensitivity is None else self.price, sensitivity=sensitivity,
                        group=group if self.step == "group" else 0,
                        window=self.unsigned_window if narrow else self.window, signed=not narrow,
                        sal_bits=self.sal_bits, exp_max=self.exp_max, pow2=self.pow2,
                        snap=self.snap, salience=self.salience, rounding=self.rounding)

    @property
    def executable(self) -> str:
        """"" when the machine computes every product of it exactly as here; else why not."""
        if self.acts == "float":
            return "acts are not integers"
        if self.wgt_bits > 4:
            return f"weights of {self.wgt_bits} bits: the machine's have 4"
        if self.attention and self.kv_bits > 4:
            return f"K and V of {self.kv_bits} bits: weights have 4"
        if self.acts != "hybrid":
            return ""               # integers of at most 8 bits: spikes and salient values
        if self.unsigned_window and self.unsigned_window != self.window:
            return "two windows: a machine has one, so it takes two machines"
        return ""
