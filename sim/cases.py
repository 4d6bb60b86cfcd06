"""Cases of a soak: which machine, which programs, how its streams stall; and what comes of them.

A case is a few programs that one machine executes one after the other, out of reset or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from sim.backends import Throttle
from sim.packets import Packet
from sim.random_configs import random_config
from sim.random_programs import program
from sim.twin import Twin
from spinteger.config import PRESETS, Config, ConfigError

TINY = PRESETS["tiny"]
#: Small machines, unlike each other. Buffers overflow and sums do not fit, now and then.
CONFIGS: dict[str, Config] = {
    "tiny": TINY,
    "odd": Config(rows=3, cols=5, homes=1, int_lanes=3, k=40, depth=64, tiles=4, exp_max=2,
                  frac_bits=6, theta_bits=18, train_depth=128, list_depth=32, tokens=8,
                  acc_depth=60),
    "staircase": TINY.with_(fire="staircase", exp_max=1),
    "tall": Config(rows=16, cols=2, homes=4, int_lanes=4, k=48, depth=32, tiles=5, tokens=6,
                   exp_max=3, frac_bits=8, theta_bits=20, train_depth=64, list_depth=24,
                   acc_depth=24, slots=2, tree_step=3),
    "narrow": TINY.with_(bus_bits=32, slots=3, depth=0, k=24, acc_depth=30, cols=3),
    "wide": TINY.with_(bus_bits=256, k=32, depth=48, slots=3),
    "plain": TINY.with_(acc_depth=0, scale_bits=0),
    "unsigned": TINY.with_(window=15, signed=False, exp_max=0, k=32, slots=1),
    "long-rows": TINY.with_(cols=20, bus_bits=32, k=48, train_depth=48, list_depth=32,
                            acc_depth=100),
    "single": Config(rows=1, cols=1, homes=1, int_lanes=1, k=16, depth=64, tiles=4, exp_max=2,
                     frac_bits=6, theta_bits=18, train_depth=64, list_depth=32, tokens=8,
                     acc_depth=12),
    "square": Config(k=128, tiles=6, tokens=8, train_depth=96, list_depth=48, acc_depth=192),
}
#: Names of others: random ones, by number.
RANDOM = re.compile(r"random-(\d+)")


@cache
def config(name: str) -> Config:
    """The machine of that name. Raises `ConfigError` naming the choices when there is none."""
    number = RANDOM.fullmatch(name)
    if number:
        return random_config(np.random.default_rng(int(number[1])))
    if name not in CONFIGS:
        raise ConfigError(f"--config {name}: choose from {', '.join(CONFIGS)}, random-0, "
                          "random-1 and so on, or all")
    return CONFIGS[name]


@dataclass(frozen=True)
class Part:
    """A program of a case."""

    packets: list[Packet]
    throttle: Throttle
    reset: bool                 #: before it
    look_every: int = 0         #: cycles between looks at the counters


def case(cfg: Config, name: str, seed: int, number: int) -> list[Part]:
    """The programs of a case."""
    rng = np.random.default_rng([seed, number, *name.encode()])
    return [Part(program(rng, cfg), _throttle(rng), bool(rng.random() < 0.3),
                 int(rng.integers(1, 500)) if rng.random() < 0.2 else 0)
            for _ in range(int(rng.integers(1, 5)))]


def _throttle(rng: np.random.Generator) -> Throttle:
    stall = (0.0, 0.0, 0.3, 0.8, 0.95)
    return Throttle(input_stall=stall[int(rng.integers(4))],
                    output_stall=stall[int(rng.integers(5))],
                    input_every=int(rng.integers(2, 12)) if rng.random() < 0.2 else 1,
                    seed=int(rng.integers(1, 1 << 31)))


def run_case(cfg: Config, parts: Sequence[Part]) -> str:
    """What is wrong with the outcome of a case, in one line; "" if nothing."""
    with Twin(cfg) as twin:
        for number, part in enumerate(parts):
            if part.reset:
                twin.reset()
            wrong = twin.execute(part.packets, part.throttle, part.look_every)
            if wrong:
                return f"program {number} of {len(parts)}: {wrong}"
    return ""


# -- failures ----------------------------------------------------------------------------------

def shrink(cfg: Config, parts: Sequence[Part], tries: int = 400) -> list[Part]:
    """The same, less all programs and packets without which it still fails (any way)."""
    def fails(fewer: list[Part]) -> bool:
        nonlocal tries
        tries -= 1
        return tries >= 0 and bool(run_case(cfg, fewer))

    parts = list(parts)
    for number in reversed(range(len(parts))):
        if len(parts) > 1 and fails(parts[:number] + parts[number + 1:]):
            del parts[number]
    for share in (2, 4, 8, 16, 32, 64):
        for number in range(len(parts)):
            part = parts[number]
            step = max(1, len(part.packets) // share)
            for at in reversed(range(0, len(part.packets), step)):
                part = replace(parts[number], packets=[*parts[number].packets[:at],
                                                       *parts[number].packets[at + step:]])
                fewer = [*parts[:number], part, *parts[number + 1:]]
                if fails(fewer):
                    parts = fewer
    return parts


def save(path: Path, cfg: Config, parts: Sequence[Part]) -> None:
    """Write a case down, for `load`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"config": cfg.params(), "parts": [asdict(replace(
        part, packets=[replace(packet, keep=dict(packet.keep)) for packet in part.packets]))
        for part in parts]}, indent=1))


def load(path: Path) -> tuple[Config, list[Part]]:
    """A case that `save` wrote."""
    given = json.loads(path.read_text())
    return Config(**given["config"]), [replace(
        Part(**part), throttle=Throttle(**part["throttle"]), packets=[Packet(**{
            **packet, "keep": {int(beat): mask for beat, mask in packet["keep"].items()}})
            for packet in part["packets"]]) for part in given["parts"]]


def describe(packet: Packet, cfg: Config) -> str:
    """A packet in one line, with its faults."""
    text = f"{packet}, {len(packet.words(cfg))} beats"
    if packet.cut is not None:
        text += ", cut"
    return text + "".join(f", keep[{beat}]={mask:#x}" for beat, mask in packet.keep.items())
