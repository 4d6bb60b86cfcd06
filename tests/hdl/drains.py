"""Runs as the drain side of the array sees them: sums, settings, and what must come of them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from golden.accumulate import scaled_sum
from hdl.payloads import settings_layout
from spinteger.config import Config
from tests.hdl.streams import put
from tests.hdl.traffic import SMALL, near_ties, random_theta

#: Unlike each other in everything that the drain has: columns and codes per row, scales, kept sums.
DRAINS: dict[str, Config] = {
    "small": SMALL,
    "no_scales": SMALL.with_(scale_bits=0),
    "no_kept_sums": SMALL.with_(acc_depth=0),
    "neither": SMALL.with_(scale_bits=0, acc_depth=0),
    "1_column": SMALL.with_(cols=1),
    "1_column_no_scales": SMALL.with_(cols=1, scale_bits=0, acc_depth=7),
    "3_columns": SMALL.with_(cols=3, scale_bits=3),
    "5_columns": SMALL.with_(cols=5, exp_max=0, acc_depth=45, tiles=3, slots=3),
    "1x1": Config(rows=1, cols=1, homes=1, int_lanes=1, k=16, depth=64, tiles=4, exp_max=2,
                  frac_bits=6, theta_bits=18, acc_depth=16),
    "3x5": Config(rows=3, cols=5, homes=1, int_lanes=3, k=40, depth=64, tiles=4, exp_max=2,
                  frac_bits=6, theta_bits=18),
    "window_15": SMALL.with_(window=15, signed=False),
}


@dataclass
class Loaded:
    """What the memories hold: theta, and mul and shift of the group scales, [slots * tiles, C]."""

    theta: Tensor
    mul: Tensor
    shift: Tensor

    @classmethod
    def random(cls, cfg: Config, seed: int) -> "Loaded":
        """Thresholds of some sizes, scales of all sizes."""
        shape = cfg.slots * cfg.tiles, cfg.cols
        gen = torch.Generator().manual_seed(seed)
        theta = random_theta(cfg, shape[0] * shape[1], seed).reshape(shape)
        mul = torch.randint(0, 1 << cfg.scale_bits, shape, generator=gen)
        mul = torch.where(torch.rand(shape, generator=gen) < 0.2, min(1, (1 << cfg.scale_bits) - 1),
                          mul)
        shift = torch.randint(0, 32, shape, generator=gen)
        few = torch.randint(0, 4, shape, generator=gen)
        return cls(theta, mul, torch.where(torch.rand(shape, generator=gen) < 0.7, few, shift))

    def words(self, cfg: Config) -> list[dict]:
        """All `thr` words."""
        def words(values: Tensor, is_scale: int) -> list[dict]:
            return [{"value": value, "is_scale": is_scale, "column": n % cfg.cols,
                     "index": n // cfg.cols} for n, value in enumerate(values.flatten().tolist())]
        scales = words(self.mul | self.shift << cfg.scale_bits, 1) if cfg.scale_bits else []
        return words(self.theta, 0) + scales


@dataclass
class Run:
    """One run's sums, v [tokens, tiles, C], and its settings. A dropped one ends after them."""

    v: Tensor
    settings: dict[str, int]
    shifts: list[int]
    dropped: bool = False
    #: What `expect` makes of it: sums like v, and where they wrapped.
    sums: Tensor = field(default_factory=lambda: torch.zeros(0))
    overflow: Tensor = field(default_factory=lambda: torch.zeros(0))

    def words(self, cfg: Config, number: int) -> list[dict]:
        """The `psum` words of the run that is the `number`th in flight."""
        tokens, tiles, _ = self.v.shape
        words = [{"v": self.v[token, tile].tolist(), "fire": {
                     "run": number % 2, "tile": tile,
                     "last": tile == tiles - 1, "drop": 0,
                     "end": (token, tile) == (tokens - 1, tiles - 1) and not self.dropped,
                     **({"shift": self.shifts[token]} if cfg.shift_bits else {})}}
                 for token in range(tokens) for tile in range(tiles)]
        if self.dropped:
            words.append({"v": [7] * cfg.cols, "fire": {"run": number % 2, "drop": 1}})
        return words


def expect(cfg: Config, runs: Sequence[Run], loaded: Loaded) -> None:
    """Fill in the sums of runs that follow each other."""
    kept = torch.zeros(max(1, cfg.acc_depth), dtype=torch.int64)
    for run in runs:
        tokens, tiles, cols = run.v.shape
        run.sums, run.overflow = run.v.clone(), torch.zeros_like(run.v, dtype=torch.bool)
        position = 0
        for token in range(tokens):
            for tile in range(tiles):
                place, scaled = run.settings["index"] + tile, run.settings["scale"]
                mine = slice(position, position + cols)
                a, over = scaled_sum(
                    run.v[token, tile], cfg,
                    mul=loaded.mul[place] if scaled else None,
                    shift=loaded.shift[place] if scaled else None,
                    token_shift=torch.tensor(run.shifts[token]) if cfg.shift_bits else None,
                    kept=None if run.settings["acc_first"] else kept[mine])
                run.sums[token, tile], run.overflow[token, tile] = a, over
                if not run.settings["acc_last"]:
                    kept[mine] = a
                position += cols


def random_runs(cfg: Config, loaded: Loaded, count: int, seed: int, drops: float = 0.1,
                **fixed: int) -> list[Run]:
    """Runs of all kinds in any order, kept sums from pass to pass; `fixed` settings if given."""
    rng, runs = random.Random(seed), []
    while len(runs) < count:
        tokens, tiles = rng.choice([1, 1, 2, 3]), rng.randint(1, min(3, cfg.tiles))
        passes = rng.choice([1, 1, 2, 3])
        while passes > 1 and tokens * tiles * cfg.cols > cfg.acc_depth:
            passes, tokens, tiles = (1 if tokens == tiles == 1 else passes,
                                     max(1, tokens - 1), max(1, tiles - 1))
        for number in range(passes):
            index = rng.randint(0, cfg.slots * cfg.tiles - tiles)
            settings = {name: rng.random() < 0.3 for name in ("raw", "unsigned", "spikes_only")}
            settings |= {"index": index, "silence": rng.choice([0, 0, 0, 1, cfg.window]),
                         "scale": bool(cfg.scale_bits) and rng.random() < 0.5,
                         "acc_first": number == 0, "acc_last": number == passes - 1,
                         "host": 1, "chain": 0, "chain_buf": 0, "chain_last": 0} | fixed
            if not settings["acc_last"]:
                settings |= {"host": 0, "chain": 0}
            v = torch.stack([random_v(cfg, loaded.theta[index + tile], rng, tokens)
                             for tile in range(tiles)], 1)
            shifts = [rng.choice([0, 0, 0, 1, 2, 15]) for _ in range(tokens)]
            dropped = rng.random() < drops
            complete = rng.randint(0, tokens) if dropped else tokens
            runs.append(Run(v[:complete], settings, shifts, dropped))
    expect(cfg, runs, loaded)
    return runs


def random_v(cfg: Config, theta: Tensor, rng: random.Random, tokens: int) -> Tensor:
    """V [tokens, C] on and near thresholds, anywhere, at the ends."""
    top = (1 << cfg.v_bits - 2) - 1
    levels = torch.tensor([1, 2, cfg.window, cfg.window + 1, cfg.level_max])
    ties = near_ties(cfg, theta, levels)
    gen = torch.Generator().manual_seed(rng.getrandbits(30))

    def one() -> Tensor:
        return rng.choice([ties[rng.randrange(len(ties))],
                           torch.randint(-top, top + 1, (cfg.cols,), generator=gen),
                           torch.randint(-99, 100, (cfg.cols,), generator=gen),
                           torch.zeros(cfg.cols, dtype=torch.int64),
                           torch.full((cfg.cols,), rng.choice([-top, top]))])
    return torch.stack([one() for _ in range(tokens)])


async def send_runs(ctx, dut, cfg: Config, runs: Sequence[Run], done: Callable[[], int],
                    rng: random.Random | None, stall: float) -> None:
    """Put the runs' sums, with the settings of at most two runs in flight. `done`: runs ended."""
    held: list[dict[str, int]] = [{}, {}]
    for number, run in enumerate(runs):
        while done() < number - 1:
            await ctx.tick()
        held[number % 2] = run.settings
        names = [name for name, _ in settings_layout(cfg)]
        ctx.set(dut.settings, [{name: settings.get(name, 0) for name in names}
                               for settings in held])
        await put(ctx, dut.psum, run.words(cfg, number), rng, stall)
