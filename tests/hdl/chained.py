"""What the tests of both ways into an activation buffer share: shapes, levels, rows."""

import pytest
import torch
from torch import Tensor

from golden import Codes
from hdl.payloads import code_layout
from spinteger.config import Config
from tests.hdl.traffic import SMALL, code_word

WIDE = SMALL.with_(rows=16, homes=2, list_depth=512)      # G = 8
CONFIGS = {
    "C4_G2": SMALL,
    "C4_G1": SMALL.with_(homes=4, train_depth=512, int_lanes=1),
    "C8_G2": SMALL.with_(cols=8),
    "C1_G1": Config(rows=1, cols=1, homes=1, int_lanes=1, k=16, depth=64, tiles=4, exp_max=2,
                    frac_bits=6, theta_bits=18),
    "C3_G3": Config(rows=3, cols=3, homes=1, int_lanes=3, k=16, depth=64, tiles=4, exp_max=2,
                    frac_bits=6, theta_bits=18),
    "C5_G2": SMALL.with_(cols=5),
    "C1_G2": SMALL.with_(cols=1),
    "C4_G8": WIDE,
    "C3_G8": WIDE.with_(cols=3, window=15),
    "C6_G4": SMALL.with_(rows=8, cols=6, homes=2),
    "plain_int8": SMALL.with_(exp_max=0),
    "salient_below_window": SMALL.with_(sal_bits=4),
}
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


def random_levels(cfg: Config, tiles: int, seed: int) -> Tensor:
    """Signed levels [tiles, C], silent, spikes and salients, the largest and the smallest."""
    gen = torch.Generator().manual_seed(seed)
    shape, top = (tiles, cfg.cols), cfg.level_max
    small = torch.randint(-cfg.window, cfg.window + 1, shape, generator=gen)
    big = torch.randint(-top, top + 1, shape, generator=gen)
    draw = torch.rand(shape, generator=gen)
    levels = torch.where(draw < 0.3, big, torch.where(draw < 0.8, small, 0))
    levels[0], levels[1], levels[2] = top, -top, 0
    levels[3] = torch.where(torch.arange(cfg.cols) % 2 == 1, -cfg.window, cfg.window)
    return levels


def expected(cfg: Config, tokens: list[Codes], buf: int) -> list[dict]:
    """The `act` words of complete tokens, codes [N] each, the last row filled up."""
    out = []
    for codes in tokens:
        pairs = list(zip(codes.q.tolist(), codes.e.tolist(), strict=True))
        pairs += [(0, 0)] * (-len(pairs) % cfg.groups)
        rows = [pairs[first:first + cfg.groups] for first in range(0, len(pairs), cfg.groups)]
        out += [{"code": [code_word(cfg, *pair) for pair in row], "last": row is rows[-1],
                 "fail": 0, "buf": buf} for row in rows]
    return out


def same(cfg: Config, words: list, want: list[dict]) -> None:
    assert len(words) == len(want)
    for number, (word, fields) in enumerate(zip(words, want, strict=True)):
        assert (word.last, word.fail, word.buf) == (
            fields["last"], fields["fail"], fields["buf"]), number
        if not fields["fail"]:
            for place in range(cfg.groups):
                code = code_layout(cfg).const(fields["code"][place])
                assert word.code[place] == code, (number, place)
