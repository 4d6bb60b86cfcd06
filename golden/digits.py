"""A small ReLU network on real images, in integers from pixel to class: spikes that chain.

scikit-learn's 8x8 digits (1797 images, the UCI set of 1998), a bias-free MLP 64-96-48-10, trained
in about two seconds, then quantised:

* pixels are whole numbers 0..16 and are used as they are, step 1: 0 is silent, 1..15 are
  spikes, 16, the full ink, is salient. So no input is rounded and both paths are in use.
* weights: symmetric INT4, one scale per output channel, for the hidden layers. The last layer has
  one scale for all its channels, so that the class is the argmax of the raw psums V.
* theta[n] = s_y / (s_w[n] * s_a) * 2^f. The static step s_y of a hidden layer puts the
  99th percentile of its training outputs at the top of the window, L + 1/2; what lies beyond is
  salient. (A MAD step means little after a ReLU, where most values are 0.) The levels
  that a layer fires are the next layer's input codes as they stand: its s_a is that s_y.

`CONFIG`: window 15 and unsigned, as ReLU outputs are; E = 0, because no level comes near 127 steps
(V then needs few bits); K up to 96, and room for a whole layer in a weight slot. Every number
is static and seeded. Training runs in float, so another CPU or torch may round differently and
give slightly different weights; the cache keeps one result per machine.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits as load_images
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from golden import cache as cache_folder
from golden import codes, fire, integrate, layer, wgt
from golden.codes import Codes
from golden.layer import HybridLayer, LayerResult
from spinteger.config import Config

CONFIG = Config(window=15, signed=False, exp_max=0, k=96, depth=256)
SIZES = (64, 96, 48, 10)
TEST = 360
EPOCHS = 40
SEED = 0
QUANTILE = 0.99


@dataclass(frozen=True, eq=False)
class DigitsLayer:
    """Weights and thresholds of one layer. K inputs, N outputs."""

    w: NDArray[np.int8]                  #: [K, N], -7 .. 7
    theta: NDArray[np.int64] | None      #: [N], CONFIG.frac_bits fraction bits; None: raw V
    s_a: float                           #: step of the inputs; a pixel of 16 is worth 1.0
    s_w: NDArray[np.float64]             #: [N], weight scales

    def golden(self) -> HybridLayer:
        """The layer as the golden model runs it, outputs ReLU-fused."""
        theta = None if self.theta is None else torch.from_numpy(self.theta)
        return HybridLayer(torch.from_numpy(self.w).long(), theta, CONFIG, unsigned_out=True)


@dataclass(frozen=True, eq=False)
class DigitsMLP:
    """The quantised network, its test images as codes, and how well it does on them."""

    layers: tuple[DigitsLayer, ...]
    q: NDArray[np.int8]          #: [360, 64] test pixels, 0 .. 16
    e: NDArray[np.int8]          #: [360, 64], all 0
    labels: NDArray[np.int64]    #: [360], 0 .. 9
    float_accuracy: float        #: of the float network, 0 .. 1
    int_accuracy: float          #: of the integer network

    @property
    def codes(self) -> Codes:
        """The test images as the golden model takes them, int64 tensors [360, 64]."""
        return Codes(torch.from_numpy(self.q).long(), torch.from_numpy(self.e).long())

    def run(self, images: Codes) -> list[LayerResult]:
        """Every layer's result for images [T, 64]; a layer's codes_out feed the next."""
        results: list[LayerResult] = []
        for one in self.layers:
            results.append(one.golden().forward(images))
            images = results[-1].codes_out or images
        return results

    def accuracy(self) -> float:
        """Share of the test images whose largest raw V is at their label."""
        V = self.run(self.codes)[-1].V
        return float((V.argmax(1).numpy() == self.labels).mean())


def split_images() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(train x [1437, 64], test x [360, 64], train y, test y): pixels 0..16 float32, labels."""
    x, y = load_images(return_X_y=True)
    parts = train_test_split(x, y, test_size=TEST, random_state=SEED, stratify=y)
    return (torch.tensor(parts[0]).float(), torch.tensor(parts[1]).float(),
            torch.tensor(parts[2]).long(), torch.tensor(parts[3]).long())


def train(x: Tensor, y: Tensor) -> list[Tensor]:
    """Train on x [T, 64] in 0..1 and labels y [T]: the three weights [N, K], float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        linears = [nn.Linear(k, n, bias=False) for k, n in zip(SIZES, SIZES[1:], strict=False)]
        net = nn.Sequential(linears[0], nn.ReLU(), linears[1], nn.ReLU(), linears[2])
        optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(x)).split(64):
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
                optimiser.step()
            schedule.step()
    return [linear.weight.detach() for linear in linears]


def quantise(weights: list[Tensor], x: Tensor) -> tuple[DigitsLayer, ...]:
    """The integer network of three float weights [N, K]; steps calibrated on x [T, 64] in 0..1."""
    layers = []
    s_a = 1 / 16
    for w in weights[:-1]:
        x = (x @ w.T).relu()
        s_y = float(x.flatten().double().quantile(QUANTILE)) / (CONFIG.window + 0.5)
        w_int, s_w = wgt.quantise_wgt(w, CONFIG.wgt_bits)
        theta = fire.theta_from_scales(s_y, s_w, s_a, CONFIG)
        layers.append(DigitsLayer(w_int.numpy().astype(np.int8), theta.numpy(), s_a, s_w.numpy()))
        s_a = s_y
    last = weights[-1]
    flat, s_w = wgt.quantise_wgt(last.reshape(1, -1), CONFIG.wgt_bits)  # one scale for all
    w_int = flat.reshape(last.shape).T
    layers.append(DigitsLayer(w_int.numpy().astype(np.int8).copy(), None, s_a,
                              s_w.expand(last.shape[0]).numpy().copy()))
    return tuple(layers)


def build() -> DigitsMLP:
    """Train, quantise and test. About two seconds, in one thread so that it repeats exactly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_x, test_x, train_y, test_y = split_images()
        weights = train(train_x / 16, train_y)
        out = test_x / 16
        for w in weights:
            out = out @ w.T if w is weights[-1] else (out @ w.T).relu()
        q, e = codes.encode(test_x, 1.0, CONFIG)
        layers = quantise(weights, train_x / 16)
        right = float((out.argmax(1) == test_y).double().mean())
        mlp = DigitsMLP(layers, q.numpy().astype(np.int8), e.numpy().astype(np.int8),
                        test_y.numpy(), right, 0.0)
        return DigitsMLP(layers, mlp.q, mlp.e, mlp.labels, right, mlp.accuracy())
    finally:
        torch.set_num_threads(threads)


def digits_file(cache: Path | None = None) -> Path:
    """Where the network is cached; the name changes with settings, code and library versions."""
    key = cache_folder.recipe(codes, fire, integrate, layer, wgt, sys.modules[__name__],
                          torch=torch.__version__, sklearn=sklearn.__version__)
    return (cache or cache_folder.cache_dir()) / f"digits-{key}.npz"


def load_digits(cache: Path | None = None, force: bool = False) -> DigitsMLP:
    """The network from the cache, trained first when it is not there (or `force`). No network."""
    path = digits_file(cache)
    names = ("q", "e", "labels", "float_accuracy", "int_accuracy")
    data = None if force else cache_folder.load_npz(path)
    if data is not None and {*names, "w0", "w1", "w2"} <= set(data):
        layers = tuple(DigitsLayer(data[f"w{i}"], data.get(f"theta{i}"), data[f"s_a{i}"],
                                   data[f"s_w{i}"]) for i in range(len(SIZES) - 1))
        return DigitsMLP(layers, **{name: data[name] for name in names})
    mlp = build()
    store: dict[str, Any] = {name: getattr(mlp, name) for name in names}
    for i, one in enumerate(mlp.layers):
        store |= {f"w{i}": one.w, f"s_a{i}": one.s_a, f"s_w{i}": one.s_w}
        if one.theta is not None:
            store[f"theta{i}"] = one.theta
    cache_folder.save_npz(path, store)
    return mlp


def main(argv: list[str] | None = None) -> int:
    """Train or load the network and print how it does. Returns 0, 1 (could not write) or 130."""
    parser = argparse.ArgumentParser(
        prog="python -m golden.digits", description="Train a small ReLU network on 8x8 digits, "
        "turn it into INT4 weights, unsigned spike codes and thresholds, and compare both.",
        epilog="In Python: from golden.digits import load_digits; mlp = load_digits()")
    parser.add_argument("--cache", type=Path, default=None, metavar="DIR",
                        help=f"folder to keep it in (default {cache_folder.cache_dir()}, or "
                             "$SPINTEGER_CACHE)")
    parser.add_argument("--force", action="store_true", help="train again")
    args = parser.parse_args(argv)
    try:
        mlp = load_digits(args.cache, args.force)
    except KeyboardInterrupt:
        return 130
    except OSError as why:
        print(f"error: {why}", file=sys.stderr)
        return 1
    x = mlp.codes
    for i, (one, result) in enumerate(zip(mlp.layers, mlp.run(x), strict=True)):
        k, n = one.w.shape
        print(f"layer {i}  K {k:3}  N {n:3}  inputs: silent {(x.q == 0).double().mean():.1%}, "
              f"live {codes.is_spike(x, CONFIG).double().mean():.1%}, "
              f"salient {codes.is_salient(x, CONFIG).double().mean():.1%}, max {int(x.q.max())}")
        x = result.codes_out or x
    print(f"accuracy on {len(mlp.labels)} test images: float {mlp.float_accuracy:.1%}, "
          f"integer {mlp.int_accuracy:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
