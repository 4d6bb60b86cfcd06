"""`python -m golden.evaluate MODEL`: what does a model lose on integers, and what does it save?

Perplexity and bits per byte of a text, unquantised and by several recipes, with salient share,
zeros, cycles on an array, and energy by two ways of counting (golden/model_energy.py).
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from golden import austen
from golden.cache import cache_dir, progress, replacing
from golden.calibration import Calibration
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.gguf_model import ModelError
from golden.layer_grids import group_sizes
from golden.model_costs import Array, costs, on_array
from golden.models import NAMES, LanguageModel, load
from golden.perplexity import increase, percent, score, windows
from golden.recipe import WGTS, Recipe, RecipeError
from golden.recipe_sets import SETS, sweep

#: Cuts of the hybrid recipes, unless told otherwise.
K_MADS = [3.5, 3.0, 2.5, 2.0]

def fingerprint(lm: LanguageModel, rows: Sequence[torch.Tensor], cfg: Any) -> str:
    """Of all that decides an evaluation's figures but for the recipes: model, text, code."""
    config: Any = getattr(lm.model, "config", None)
    data = hashlib.sha256(repr((cfg, str(config), torch.__version__)).encode())
    root = Path(__file__).parents[1]
    for folder in ("golden", "sim", "hdl", "spinteger"):        # the cycle model is of these
        for source in sorted((root / folder).glob("*.py")):
            data.update(source.read_bytes())
    parts = [*lm.model.state_dict().items(), *((str(at), row) for at, row in enumerate(rows))]
    for name, grid in lm.grids.items():
        parts += [(name, part) for part in (grid.codes, grid.scale, grid.offset)
                  if part is not None]
    for name, tensor in parts:
        data.update(f"{name} {tuple(tensor.shape)}".encode())
        data.update(tensor.detach().contiguous().numpy().tobytes())
    return data.hexdigest()[:16]


def evaluate(lm: LanguageModel, rows: Sequence[torch.Tensor], named: dict[str, Recipe],
             kept: Path, array: Array) -> list[dict[str, Any]]:
    """One line per recipe, with progress; each is kept in `kept` as soon as it is known.

    "more": the first recipe's perplexity over, as a share, with its standard error "more_error"
    (None with a single window).
    """
    done: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for recipe in named.values():
        group_sizes(lm.model, recipe)                           # before any is measured
    calibration = Calibration(lm)
    for number, (name, recipe) in enumerate(named.items(), 1):
        if done.get(name, {}).get("settings") == asdict(recipe):
            continue
        trial = replace(lm, model=copy.deepcopy(lm.model))
        report = calibration.convert(trial.model, recipe)
        with progress() as bar:
            task = bar.add_task(f"{name} ({number} of {len(named)})", total=len(rows))
            found = score(trial, rows, partial(bar.advance, task))
        done[name] = {"recipe": name, "ppl": found.perplexity,
                      "bits_per_byte": found.bits_per_byte, "tokens": found.tokens,
                      "by_window": found.by_window,
                      "executable": recipe.executable or "yes", "settings": asdict(recipe),
                      **costs(trial.model, report, recipe)}
        if recipe.acts == "hybrid" and not recipe.executable:
            done[name] |= on_array(trial.model, report, rows[0], recipe.window, array)
        with replacing(kept) as part:
            part.write_text(json.dumps(done))
    lines = [dict(done[name]) for name in named]
    base = lines[0]["by_window"]
    for one in lines:
        more, error = increase(one.pop("by_window"), base)
        one |= {"more": more, "more_error": None if math.isnan(error) else error}
    return lines


def show(lm: LanguageModel, lines: Sequence[dict[str, Any]], console: Console) -> None:
    """The table."""
    table = Table(title=f"{lm.name}; unquantised is {lm.baseline}")
    for head in ("recipe", "perplexity", "more", "bits/byte", "salient", "by MAC", "zeros",
                 "cycles/token", "of dense", "op-count pJ", "with movement pJ"):
        table.add_column(head, justify="left" if head == "recipe" else "right")
    for one in lines:
        table.add_row(one["recipe"], f"{one['ppl']:.2f}", percent(one["more"], one["more_error"]),
                      f"{one['bits_per_byte']:.4f}", *(
            (f"{one['salient']:.1%}", f"{one['salient_by_mac']:.1%}", f"{one['zeros']:.1%}",
             *((f"{one['cycles']:,.0f}", f"{one['cycles'] / one['cycles_dense']:.2f}")
               if "cycles" in one else ("", "")),
             f"{one['energy_opcount']:.3f}", f"{one['energy_movement']:.3f}")
            if "salient" in one else ()))
    console.print(table)
    console.print("more: ± the standard error of the windows' differences; shares: of the inputs "
                  "of linear layers, one that layers share counted once", highlight=False)
    console.print("cycles: linear layers one by one, 16 tokens at a time, and attention, where it "
                  "is converted, in the middle of a window;\nloads and all, by the cycle model; "
                  "dense: one MAC per PE and cycle, its loads not counted", highlight=False)
    console.print("pJ per MAC of a dense model, two ways of counting that do not compare: "
                  "golden/model_energy.py", highlight=False)


def recipes(args: argparse.Namespace) -> dict[str, Recipe]:
    """All recipes of an evaluation, by name. Raises `RecipeError`."""
    if args.set and (args.price or args.attention or args.step != "token"
                     or args.k_mad is not None):
        raise RecipeError(f"--set {args.set}: has cuts, prices, steps and attention of its own; "
                          "leave out --k-mad, --price, --step and --attention")
    numbers: dict[str, list[float]] = {"k_mad": K_MADS}
    for name, example in (("k_mad", "3.5,3,2.5"), ("price", "1e-5,5e-6")):
        try:
            if getattr(args, name) is not None:
                numbers[name] = [float(part) for part in getattr(args, name).split(",") if part]
        except ValueError:
            raise RecipeError(f"--{name.replace('_', '-')} {getattr(args, name)}: numbers, as "
                              f"{example}") from None
    if not all(price > 0 for price in numbers["price"]):
        raise RecipeError(f"--price {args.price}: must be positive")
    found = SETS[args.set]() if args.set else sweep(numbers["k_mad"], numbers["price"], args.step,
                                                    args.attention)
    if args.set and (args.wgt != "shipped" or args.group) and all(
            one.wgt != "shipped" for one in found.values()):
        raise RecipeError(f"--set {args.set}: has weights of its own; leave out --wgt and --group")
    given = {name: one if one.wgt != "shipped" else one.with_(wgt=args.wgt, group=args.group)
             for name, one in found.items()}
    return {"unquantised": Recipe(acts="float"), **given}


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = argparse.ArgumentParser(prog="python -m golden.evaluate", allow_abbrev=False,
                                description=__doc__.split("\n\n")[0].split(": ", 1)[1])
    p.add_argument("model", help=f"{', '.join(NAMES)}, a folder of transformers, or a GGUF file")
    p.add_argument("--text", type=Path, metavar="FILE",
                   help="UTF-8 (default: Persuasion, a paragraph to a line)")
    p.add_argument("--tokens", type=int, default=8192, metavar="N",
                   help="of the text, in whole windows (default: 8192)")
    p.add_argument("--length", type=int, default=512, metavar="T",
                   help="tokens of a window, at most (default: 512)")
    p.add_argument("--k-mad", metavar="X,...",
                   help="cuts of the hybrid recipes (default: 3.5,3,2.5,2)")
    p.add_argument("--price", default="", metavar="NATS,...",
                   help="hybrid recipes whose steps are the cheapest when a salient value costs as "
                        "much expected loss, as 1e-5,5e-6 (default: none)")
    p.add_argument("--step", default="token", choices=("token", "group"),
                   help="a step per token, or per token and weight group (default: token)")
    p.add_argument("--set", choices=sorted(SETS), help="recipes of a kind instead: frontier: the "
                   "best known at every salient share; ablation: one choice changed at a time; "
                   "groups: weights by GPTQ in groups of several sizes")
    p.add_argument("--wgt", default="shipped", choices=WGTS,
                   help="weights: the model's own 4-bit grid if it has one (default), rounded, or "
                        "by GPTQ on the opening of Emma")
    p.add_argument("--group", type=int, default=0, metavar="N",
                   help="inputs per weight scale of rtn and gptq (default: one scale per channel)")
    p.add_argument("--pe", default="16x16", metavar="RxC",
                   help="the array whose cycles are estimated (default: 16x16)")
    p.add_argument("--attention", action="store_true", help="attention's products as well, with "
                   "4-bit K and V (W8A8: of 8 bits)")
    p.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    p.add_argument("--plot", type=Path, metavar="FILE",
                   help="also draw perplexity against energy, .svg or .png")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 2 for what cannot be obeyed."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    # The command is where golden model, cycle model and reports meet; none of them needs this.
    from bench.report import write_json
    from sim.compiler import CompileError
    from sim.model_cycles import CycleModel
    from spinteger.config import Config, ConfigError

    try:
        named = recipes(args)
        if args.length < 2 or args.tokens < 2:
            raise ConfigError("--length and --tokens: must be at least 2")
        found = re.fullmatch(r"(\d+)x(\d+)", args.pe)
        if found is None:
            raise ConfigError(f"--pe {args.pe}: rows x columns, as 16x16")
        cfg = Config(rows=int(found[1]), cols=int(found[2]), bus_bits=256)
        for name, path in (("--json", args.json), ("--plot", args.plot)):
            if path and not path.resolve().parent.is_dir():
                raise ConfigError(f"{name} {path}: its folder does not exist")
        if args.plot:
            if args.plot.suffix not in (".svg", ".png"):
                raise ConfigError(f"--plot {args.plot}: must end in .svg or .png")
            try:
                from golden.evaluate_plot import plot
            except ImportError:
                raise ConfigError("--plot needs matplotlib: pip install -e .[explore]") from None
        text = (args.text.read_text(encoding="utf-8") if args.text else
                austen.paragraphs(austen.novels()[austen.HELD_OUT]))
        lm = load(args.model)
        length = min(args.length, lm.context)
        rows = windows(lm, text, length, -(-args.tokens // length))
        kept = cache_dir() / f"evaluate-{fingerprint(lm, rows, cfg)}.json"
        lines = evaluate(lm, rows, named, kept, CycleModel(cfg))
    except (CompileError, ConfigError, HashMismatch, ModelError, NotImplementedError, OSError,
            RealDataUnavailable, RecipeError, UnicodeDecodeError) as error:
        print(f"golden.evaluate: {error}", file=sys.stderr)
        return 2
    show(lm, lines, Console(width=160))
    if args.plot:
        plot(f"{lm.name}, {lines[0]['tokens']:,} tokens", lines, args.plot)
    if args.json:
        write_json(args.json, "evaluate", cfg, {
            "model": lm.name, "baseline": lm.baseline, "tokens": lines[0]["tokens"],
            "length": length, "recipes": lines},
            versions={name: version(name) for name in ("transformers", "tokenizers")})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; recipes that were done are kept")
