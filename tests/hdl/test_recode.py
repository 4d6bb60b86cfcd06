"""Recode: every level, both signs, against golden.recode."""

import pytest
import torch

import golden
from hdl.recode import Recode
from spinteger.config import Config
from tests.hdl.streams import settle
from tests.hdl.traffic import signed_bits


def check(cfg: Config, levels: torch.Tensor) -> None:
    dut = Recode(cfg)
    q, e = golden.recode(levels, cfg)

    async def bench(ctx):
        for level, want_q, want_e in zip(levels.tolist(), q.tolist(), e.tolist(), strict=True):
            ctx.set(dut.level, level)
            for neg in range(2):
                ctx.set(dut.neg, neg)
                got = signed_bits(ctx.get(dut.q), cfg.sal_bits), ctx.get(dut.e)
                assert got == (-want_q if neg else want_q, want_e), f"level {level}, neg {neg}"

    settle(dut, bench)


@pytest.mark.parametrize("sal_bits, exp_max, window", [
    (4, 0, 7), (4, 1, 7), (4, 3, 7), (4, 7, 7), (5, 2, 15), (5, 4, 7), (6, 3, 7), (8, 0, 7),
    (8, 1, 15), (8, 4, 7)])
def test_every_level(sal_bits: int, exp_max: int, window: int) -> None:
    cfg = Config(sal_bits=sal_bits, exp_max=exp_max, window=window, k=64)
    check(cfg, torch.arange(0, cfg.level_max + 1))


def test_default_around_every_change_of_exponent_and_at_random() -> None:
    cfg = Config()
    near = [cfg.sal_max * 2 ** e + delta for e in range(10)
            for delta in (-2 ** e, -2 ** e // 2 - 1, -2 ** e // 2, -1, 0, 1, 2 ** e // 2 - 1,
                          2 ** e // 2, 2 ** e)]
    gen = torch.Generator().manual_seed(1)
    drawn = torch.randint(0, cfg.level_max + 1, (1500,), generator=gen)
    check(cfg, torch.cat([torch.tensor(near).clamp(0, cfg.level_max), drawn]))
