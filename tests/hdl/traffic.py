"""Tokens, weights and thresholds for the RTL's tests, as words of its streams and back.

Tensors are the golden model's (int64; codes [T, K], w [K, N], theta [N], V [T, N]).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

import golden
from golden import Codes
from hdl.payloads import OutKind
from spinteger.config import Config

SMALL = Config(rows=4, cols=4, homes=2, int_lanes=2, k=37, depth=128, tiles=4, tokens=16, exp_max=3,
               frac_bits=8, theta_bits=20, train_depth=256, list_depth=256, acc_depth=64)


def random_codes(cfg: Config, tokens: int, k: int, seed: int, salient: float = 0.1,
                 silent: float = 0.2) -> Codes:
    """Codes of [tokens, k] inputs, with these shares of salient and silent ones."""
    gen = torch.Generator().manual_seed(seed)
    shape = (tokens, k)
    level = torch.randint(1, cfg.window + 1, shape, generator=gen)
    big = torch.randint(1, cfg.sal_max + 1, shape, generator=gen)
    draw = torch.rand(shape, generator=gen)
    is_big = draw < salient
    q = torch.where(is_big, big, torch.where(draw < salient + silent, 0, level))
    e = torch.where(is_big, torch.randint(0, cfg.exp_max + 1, shape, generator=gen), 0)
    if cfg.signed:
        q = torch.where(torch.rand(shape, generator=gen) < 0.5, -q, q)
    return Codes(q, e)


def hard_codes(cfg: Config, k: int) -> Codes:
    """Adversarial tokens of k inputs, one per row; back to back they change the load abruptly."""
    inputs = torch.arange(k)
    sign = torch.where(inputs % 2 == 1, -1, 1) if cfg.signed else torch.ones_like(inputs)
    silent = torch.zeros(k, dtype=torch.int64)
    top = torch.full_like(silent, cfg.window)
    first, last = silent.clone(), silent.clone()
    first[0], last[-1] = cfg.window, int(sign[-1])
    lane_0 = torch.tensor([0 in cfg.home_lanes(k) for k in inputs.tolist()])
    in_lane_0 = torch.where(lane_0, 1 + inputs // cfg.groups % cfg.window, 0)
    rows_q = [
        silent,                                     # all silent
        top,                                        # all at the largest level
        silent,
        top * sign,
        (1 + inputs % cfg.window) * sign,           # every level
        in_lane_0 * sign,                           # all events may go to one lane
        torch.where(lane_0, 1, 0),                  # ... in one step
        torch.where(inputs % cfg.groups == 0, 1, 0),    # one group has them all
        first, last,                                # one event, earliest and latest
    ]
    q = torch.stack([*rows_q, torch.full_like(silent, cfg.sal_max) * sign,
                     torch.full_like(silent, cfg.sal_max)])
    e = torch.zeros_like(q)
    e[-2:] = cfg.exp_max                            # all salient, the largest values
    return Codes(q, e)


def join(*parts: Codes) -> Codes:
    """Tokens of all parts, in turn."""
    return Codes(torch.cat([part.q for part in parts]), torch.cat([part.e for part in parts]))


def random_wgt(cfg: Config, k: int, n: int, seed: int) -> Tensor:
    """Weight codes [k, n] over the whole range, -8 included."""
    gen = torch.Generator().manual_seed(seed)
    return torch.randint(-cfg.wgt_max, cfg.wgt_max, (k, n), generator=gen)


def random_theta(cfg: Config, n: int, seed: int, low: float = 0.6, high: float = 60.0) -> Tensor:
    """Thresholds [n] between `low` and `high`, evenly spread over the orders of magnitude."""
    gen = torch.Generator().manual_seed(seed)
    scale = low * (high / low) ** torch.rand(n, generator=gen, dtype=torch.float64)
    return (scale * 2 ** cfg.frac_bits).to(torch.int64).clamp(1, (1 << cfg.theta_bits) - 1)


# -- words -------------------------------------------------------------------------------------

def code_word(cfg: Config, q: int, e: int) -> dict[str, int]:
    """One code, as fields of `code_layout`."""
    return {"q": q, "e": e} if cfg.exp_bits else {"q": q}


def act_words(cfg: Config, codes: Codes, buf: int = 0, shift: int = 0,
              fail: int = 0) -> list[dict]:
    """Tokens as `act` words; inputs missing in the last row are silent."""
    rows = cfg.tile_rows(codes.q.shape[1])
    spare = rows * cfg.groups - codes.q.shape[1]
    q = torch.nn.functional.pad(codes.q, (0, spare)).reshape(-1, rows, cfg.groups).tolist()
    e = torch.nn.functional.pad(codes.e, (0, spare)).reshape(-1, rows, cfg.groups).tolist()
    return [{"code": [code_word(cfg, *pair) for pair in zip(qs, es, strict=True)],
             "last": row == rows - 1, "fail": fail if row == rows - 1 else 0, "buf": buf,
             "shift": shift}
            for token in zip(q, e, strict=True) for row, (qs, es) in
            enumerate(zip(*token, strict=True))]


def wgt_words(cfg: Config, w: Tensor, first_row: int = 0) -> list[dict]:
    """All weight rows of w [K, N], tile by tile; missing inputs and columns are zero weights."""
    k, n = w.shape
    rows, tiles, per_word = cfg.tile_rows(k), -(-n // cfg.cols), cfg.wgt_beat_rows
    full = torch.zeros(rows * cfg.groups, tiles * cfg.cols, dtype=torch.int64)
    full[:k, :n] = w
    by_tile = full.reshape(rows * cfg.groups, tiles, cfg.cols).transpose(0, 1).tolist()
    return [{"row": tile[row * cfg.groups + group:row * cfg.groups + group + per_word],
             "mask": (1 << per_word) - 1, "addr": first_row + number * rows + row,
             "group": group, "pattern": row % cfg.patterns}
            for number, tile in enumerate(by_tile) for row in range(rows)
            for group in range(0, cfg.groups, per_word)]


def thr_words(cfg: Config, theta: Tensor, index: int = 0) -> list[dict]:
    """Thresholds of all columns, the first tile's at place `index`; the last tile's missing
    columns keep what they had."""
    return [{"value": value, "column": n % cfg.cols, "index": index + n // cfg.cols}
            for n, value in enumerate(theta.tolist())]


def run_word(cfg: Config, k: int, n: int, tokens: int = 1, **options: int) -> dict:
    """A run of K = k inputs and n outputs to the host, complete sums; `options` are its other
    settings, or `buf` and `base`."""
    place = {name: options.pop(name, 0) for name in ("buf", "base")}
    fire = {"acc_first": 1, "acc_last": 1, "host": 1, "chain_last": 1} | options
    return {"tile_last": -(-n // cfg.cols) - 1, "stride": cfg.tile_rows(k),
            "token_last": tokens - 1, "fire": fire} | place


def neuron_words(cfg: Config, v: Tensor, theta: Tensor, last: int = 1, end: int = 0,
                 run: int = 0) -> list[dict]:
    """The neurons of one tile, v and theta [C], as `neuron` words; `end`: of the run's last."""
    return [{"mag": abs(value), "neg": value < 0, "theta": threshold, "last": last,
             "end": end and column == len(v) - 1, "run": run}
            for column, (value, threshold) in
            enumerate(zip(v.tolist(), theta.tolist(), strict=True))]


def near_ties(cfg: Config, theta: Tensor, levels: Tensor) -> Tensor:
    """V [3 * levels, N]: the smallest |V| that reaches each level, one less and one more.

    Both signs by turns, limited to what V can hold.
    """
    odd = (2 * levels[:, None] - 1) * theta
    reach = -torch.div(-odd, 1 << cfg.frac_bits + 1, rounding_mode="floor")
    v = torch.cat([reach - 1, reach, reach + 1]).clamp(0, (1 << cfg.v_bits - 2) - 1)
    return torch.where(torch.arange(v.shape[0])[:, None] % 2 == 1, -v, v)


# -- results -------------------------------------------------------------------------------------

@dataclass
class Tile:
    """What one tile's output words say. Columns absent from `raw` and `codes` stayed silent."""

    raw: dict[int, int] = field(default_factory=dict)                 #: column -> V
    codes: dict[int, tuple[int, int]] = field(default_factory=dict)   #: column -> (q, e)
    last: bool = False                                                #: the token's last tile


def signed_bits(value: int, bits: int) -> int:
    """The low `bits` of `value`, as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def read_tiles(cfg: Config, words: Iterable) -> list[Tile]:
    """Split output words into tiles and check their form.

    Within a tile: each column at most once; salients before spikes; spikes in strictly rising
    time steps, none of them empty; negative columns are firing columns.
    """
    tiles, tile, step = [], Tile(), -1
    for word in words:
        if word.kind == OutKind.END:
            tile.last = bool(word.last)
            tiles.append(tile)
            tile, step = Tile(), -1
        elif word.kind == OutKind.RAW:
            assert word.column not in tile.raw
            tile.raw[word.column] = signed_bits(word.data, cfg.acc_bits)
        elif word.kind == OutKind.SALIENT:
            assert word.column not in tile.codes and step < 0
            q = signed_bits(word.data, cfg.sal_bits)
            tile.codes[word.column] = (q, word.data >> cfg.sal_bits)
        else:
            fires, negs = word.data & ((1 << cfg.cols) - 1), word.data >> cfg.cols
            assert step < word.step < cfg.window and fires and negs & ~fires == 0
            step = word.step
            for column in range(cfg.cols):
                if fires >> column & 1:
                    assert column not in tile.codes
                    level = cfg.window - step
                    tile.codes[column] = (-level if negs >> column & 1 else level, 0)
    assert not tile.raw and not tile.codes, "words after the last END"
    return tiles


def fired(cfg: Config, v: Tensor, theta: Tensor, spikes_only: int = 0, unsigned: int = 0,
          silence: int = 0, raw: int = 0, **_: int) -> Tensor:
    """Signed levels [..., N] by the golden closed form, with the run options as on the port."""
    top = cfg.window if spikes_only else max(cfg.level_max, cfg.window)
    return golden.fire_closed(v, theta, top, cfg.frac_bits, bool(unsigned), silence)


def level_codes(cfg: Config, levels: Tensor) -> dict[int, tuple[int, int]]:
    """Column -> (q, e) of the live columns of one tile, levels [C]."""
    q, e = golden.recode(levels, cfg)
    return {column: pair for column, pair in enumerate(zip(q.tolist(), e.tolist(), strict=True))
            if pair[0]}


def expected_tiles(cfg: Config, v: Tensor, theta: Tensor, **run: int) -> list[Tile]:
    """The tiles that tokens with sums v [T, N] must bring, N a multiple of C."""
    levels = fired(cfg, v, theta, **run)
    tiles = []
    for token in range(v.shape[0]):
        for first in range(0, v.shape[1], cfg.cols):
            part = slice(first, first + cfg.cols)
            tile = Tile(last=first + cfg.cols >= v.shape[1])
            if run.get("raw"):
                tile.raw = dict(enumerate(v[token, part].tolist()))
            else:
                tile.codes = level_codes(cfg, levels[token, part])
            tiles.append(tile)
    return tiles
