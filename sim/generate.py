"""`python -m sim.generate "It is a truth"`: a language model speaks, its products from the RTL.

Token by token; each linear layer and both products of attention run as programs on the simulated
machine; the output layer stays on the host unless --head says otherwise. Every sum that the machine
gives is compared with the golden model's.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gen.options import OneLineParser
from golden.calibration import Calibration
from golden.codes import recode
from golden.fetch import HashMismatch, RealDataUnavailable
from golden.gguf_model import ModelError
from golden.hybrid_linear import HybridLinear, Product, golden_product, golden_products
from golden.models import NAMES, LanguageModel, load
from golden.recipe import WGTS, Recipe, RecipeError
from golden.recipe_sets import KEYS
from sim.accelerator import Accelerator, Layer
from sim.jobs import Job
from spinteger.config import Config, ConfigError

#: Trials of a layer's shape, to estimate the time from.
TRIALS = 2


@dataclass
class MachineProducts:
    """`golden.hybrid_linear.Products` on a machine, each compared with the golden model."""

    accelerator: Accelerator
    programs: int = 0
    products: int = 0
    macs: int = 0
    wrong: int = 0                  #: sums that differ
    seconds: float = 0.0
    counters: Counter[str] = field(default_factory=Counter)

    def __call__(self, products: Sequence[Product]) -> list[Tensor]:
        began = time.monotonic()
        cfg = self.accelerator.cfg
        jobs = []
        for number, (level, codes) in enumerate(products):
            q, e = recode(level, cfg)
            jobs.append(Job(Layer(codes, name=f"product {number}"), q.numpy(), e.numpy(),
                            f"{number}"))
        found = []
        for out, (level, codes) in zip(self.accelerator.run_jobs(jobs), products, strict=True):
            assert out.V is not None
            self.wrong += int((out.V != golden_product(level, codes)).sum())
            self.macs += level.numel() * codes.shape[1]
            found.append(out.V)
        self.programs += 1
        self.products += len(products)
        self.counters.update(self.accelerator.executions[-1].counters or {})
        self.seconds += time.monotonic() - began
        return found


@torch.no_grad()
def speak(model: Any, ids: list[int], count: int, choose: Callable[[Tensor], int],
          tell: Callable[[int], None] = lambda token: None) -> list[int]:
    """`count` more token ids after `ids`; `choose` takes logits [vocabulary], `tell` each token."""
    new: list[int] = []
    rows = torch.tensor([ids])
    cache = None
    for _ in range(count):
        out = model(rows, use_cache=True, **({} if cache is None else {"cache": cache}))
        cache = out.cache
        new.append(choose(out.logits[0, -1]))
        tell(new[-1])
        rows = torch.tensor([new[-1:]])
    return new


def chooser(temperature: float, seed: int) -> Callable[[Tensor], int]:
    """Greedy at temperature 0, else drawn with a generator of its own."""
    generator = torch.Generator().manual_seed(seed)

    def choose(logits: Tensor) -> int:
        if temperature == 0:
            return int(logits.argmax())
        p = (logits.double() / temperature).softmax(-1)
        return int(torch.multinomial(p, 1, generator=generator))
    return choose


def estimate(model: torch.nn.Module, products: MachineProducts) -> float:
    """Seconds for the linear layers of one token, from a trial of each shape."""
    shapes: Counter[tuple[int, int]] = Counter()
    first: dict[tuple[int, int], HybridLinear] = {}
    for module in model.modules():
        if isinstance(module, HybridLinear):
            shapes[module.grid.codes.shape[0], module.grid.codes.shape[1]] += 1
            first.setdefault((module.in_features, module.out_features), module)
    total = 0.0
    for shape, count in shapes.items():
        times = []
        for _ in range(TRIALS):                     # the first may build the simulator
            began = time.monotonic()
            first[shape](torch.randn(1, shape[0]))
            times.append(time.monotonic() - began)
        total += count * min(times)
    return total


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(prog="python -m sim.generate", allow_abbrev=False,
                      description=__doc__.split("\n\n")[0].split(": ", 1)[1])
    p.add_argument("prompt", help="the text to go on from")
    p.add_argument("--model", default="tiny", metavar="MODEL",
                   help=f"{', '.join(NAMES)}, a folder of transformers, or a GGUF file "
                        "(default: tiny)")
    p.add_argument("--tokens", type=int, default=64, metavar="N", help="new tokens (default: 64)")
    p.add_argument("--temperature", type=float, default=0.0, metavar="T",
                   help="0: always the likeliest token (default)")
    p.add_argument("--seed", type=int, default=1, help="of the drawing (default: 1)")
    p.add_argument("--k-mad", type=float, default=3.0, metavar="X",
                   help="salience starts at X sigma (default: 3.0)")
    p.add_argument("--price", type=float, default=0.0, metavar="NATS",
                   help="instead of --k-mad: expected loss that a salient input must save, as 5e-6")
    p.add_argument("--step", default="token", choices=("token", "group"),
                   help="of inputs: one per token, or per token and weight group (default: token)")
    p.add_argument("--wgt", default="shipped", choices=WGTS,
                   help="weights: the model's own 4-bit grid if it has one (default), rounded, or "
                        "by GPTQ on the opening of Emma")
    p.add_argument("--group", type=int, default=0, metavar="N",
                   help="inputs per weight scale of rtn and gptq (default: one scale per channel)")
    p.add_argument("--backend", default="verilator",
                   help="verilator, cocotb, icarus, golden (default: verilator)")
    p.add_argument("--head", action="store_true", help="the output layer on the machine as well")
    return p


def machine() -> Config:
    """The default machine with a wide bus: a token's weights all come in anew."""
    return Config(bus_bits=256)


def run(args: argparse.Namespace, lm: LanguageModel, ids: list[int]) -> int:
    """Speak, report; the exit code."""
    recipe = Recipe(k_mad=args.k_mad, price=args.price, step=args.step, wgt=args.wgt,
                    group=args.group, head=args.head, **KEYS)
    products = MachineProducts(Accelerator(machine(), args.backend))
    spoken = copy.deepcopy(lm.model)
    Calibration(lm).convert(spoken, recipe, products)
    print(f"{lm.name}, 16x16 machine, {args.backend}: building the simulator, trying each layer",
          file=sys.stderr, flush=True)
    each = estimate(spoken, products)
    rounds = args.tokens
    print(f"about {each:.1f} s per token for linear layers, {each * rounds / 60:.1f} min in all, "
          "attention on top", file=sys.stderr, flush=True)
    tried = products.counters.copy(), products.programs, products.macs
    began, shown = time.monotonic(), ""
    text: list[int] = list(ids)

    def tell(token: int) -> None:
        nonlocal shown
        text.append(token)
        whole = lm.tokenizer.decode(text)
        if not whole.endswith("\ufffd"):            # in mid-character
            print(whole[len(shown):], end="", flush=True)
            shown = whole

    print(args.prompt, end="", flush=True)
    shown = lm.tokenizer.decode(ids)
    new = speak(spoken, ids, args.tokens, chooser(args.temperature, args.seed), tell)
    seconds = time.monotonic() - began
    print()
    for module in spoken.modules():               # the same with the golden products
        for part in (module, getattr(module, "spinteger_attention", None)):
            if hasattr(part, "products"):
                part.products = golden_products     # type: ignore[union-attr]
    same = speak(spoken, ids, args.tokens, chooser(args.temperature, args.seed)) == new
    counters = products.counters - tried[0]
    print(f"\n{len(new)} tokens in {seconds:.0f} s: {len(new) / seconds:.2f} tokens/s; "
          f"{products.programs - tried[1]:,} programs, {products.macs - tried[2]:,} MACs")
    for name, count in counters.items():
        print(f"  {name:16} {count:16,}")
    if not args.head:
        print("the output layer was computed on the host (--head: on the machine as well)")
    good = same and not products.wrong
    print(f"bit-exact against the golden model: {'yes' if good else 'NO'} ({products.wrong} sums "
          f"differ, the text is {'the same' if same else 'another'})")
    return 0 if good else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 bit-exact, 1 not, 2 for what cannot be obeyed."""
    torch.set_num_threads(1)
    try:
        args = parser().parse_args(argv)
        if args.tokens < 1:
            raise ConfigError(f"--tokens {args.tokens}: must be at least 1")
        if not 0 <= args.temperature < 1e6:
            raise ConfigError(f"--temperature {args.temperature}: 0 or more")
        if not args.prompt:
            raise ConfigError("the prompt is empty: a model needs a token to go on from")
        lm = load(args.model)
        ids = lm.tokenizer.encode(args.prompt)
        if len(ids) + args.tokens > lm.context:
            raise ConfigError(f"--tokens {args.tokens}: with the prompt's {len(ids)} more than the "
                              f"{lm.context} that {lm.name} can look back on")
        return run(args, lm, ids)
    except (ConfigError, ModelError, RecipeError, RealDataUnavailable, HashMismatch,
            NotImplementedError, OSError, RuntimeError, ValueError) as error:
        print(f"sim.generate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
