"""Sets of recipes that an evaluation compares, by name; `python -m golden.evaluate --set NAME`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from golden.recipe import Recipe

#: Ways of making 4 bits enough for keys and values, all of which the machine executes.
KEYS: dict[str, Any] = {"attention": True, "k_mean": True, "k_rotate": True, "k_clip": True,
                        "v_group": 16}


def sweep(k_mads: Sequence[float], prices: Sequence[float], step: str = "token",
          attention: bool = False) -> dict[str, Recipe]:
    """Plain integers of all widths, and hybrid recipes at every cut and price."""
    both = KEYS if attention else {}
    wide = {**both, "kv_bits": 8} if attention else {}
    base = Recipe(step=step, **both)
    tail = ", a step per group" if step == "group" else ""
    return {"W8A8": Recipe(acts="int8", wgt="rtn", wgt_bits=8, **wide),
            f"W4A8{tail}": base.with_(acts="int8"), f"W4A4{tail}": base.with_(acts="int4"),
            **{f"W4A4&8 k_mad {k:g}{tail}": base.with_(k_mad=k) for k in k_mads},
            **{f"W4A4&8 price {p:g}{tail}": base.with_(price=p) for p in prices}}


def frontier() -> dict[str, Recipe]:
    """From one cut for all to a price for all, a step per token and per group, with attention."""
    both = {f"{name}, with attention": recipe for name, recipe in
            sweep((), (5e-6,), "group", attention=True).items() if "A4," not in name}
    best = both["W4A4&8 price 5e-06, a step per group, with attention"]
    both["the same, V in 32"] = best.with_(v_group=32)
    return {**sweep((3, 2), (8e-6,)),
            **sweep((3,), (1e-5, 5e-6, 3.5e-6), "group"), **both}


def ablation() -> dict[str, Recipe]:
    """One choice of a recipe changed at a time."""
    base = Recipe(k_mad=2.5)
    return {"k_mad 2.5": base,
            "no salience: clipped": base.with_(salience=False),
            "step: one per layer, calibrated": base.with_(step="static"),
            "step: a power of two": base.with_(pow2=True),
            "step: massive values exact (snap)": base.with_(snap=True),
            "step: by price 5e-06": base.with_(price=5e-6),
            "rounding: halves to even": base.with_(rounding="even"),
            "rounding: down": base.with_(rounding="down"),
            "window 15, signed": base.with_(window=15),
            "window 15 where unsigned": base.with_(unsigned_window=15),
            "window 15, twice the cut": base.with_(window=15, k_mad=5.0),
            "salient values without exponent": base.with_(exp_max=0),
            "weights in groups of 32, rounded": base.with_(wgt="rtn", group=32),
            "weights by GPTQ, groups of 32": base.with_(wgt="gptq", group=32),
            "the same, a step per group": base.with_(wgt="gptq", group=32, step="group"),
            "the same, by price 5e-06": base.with_(wgt="gptq", group=32, step="group", price=5e-6),
            "GPTQ, groups of 32, turned (Hadamard)": base.with_(wgt="gptq", group=32, rotate=True),
            "turned, W4A4": Recipe(acts="int4", wgt="gptq", group=32, rotate=True),
            "attention, K and V 4 bit": base.with_(attention=True),
            "the same, with all that helps K and V": base.with_(**KEYS),
            "attention, K and V 8 bit": base.with_(attention=True, kv_bits=8)}


def groups() -> dict[str, Recipe]:
    """Weights by GPTQ in groups of several sizes: the fewer, the fewer passes and cycles."""
    found = {}
    for size in (32, 64, 192, 0):
        base = Recipe(wgt="gptq", group=size, step="group" if size else "token")
        name = f"groups of {size}" if size else "one scale per channel"
        found[f"{name}, W4A8"] = base.with_(acts="int8")
        found[f"{name}, W4A4&8 price 5e-06"] = base.with_(price=5e-6)
    return found


#: By name; `sweep` takes its cuts and prices from the command line.
SETS: dict[str, Callable[[], dict[str, Recipe]]] = {"frontier": frontier, "ablation": ablation,
                                                    "groups": groups}
