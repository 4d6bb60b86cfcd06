"""Scale: products and shifts of every size, and which of them fit, against golden/accumulate.py."""

import pytest
import torch

from golden.accumulate import scaled_sum
from hdl.scale import SCALE_LATENCY, Scale
from spinteger.config import Config
from tests.hdl.streams import Bench, simulate


@pytest.mark.parametrize("cfg", [
    Config(), Config(scale_bits=12), Config(scale_bits=1, k=16, exp_max=0),
    Config(k=100, exp_max=3, scale_bits=5)], ids=["default", "wide", "narrow", "middle"])
def test_values_and_overflow(cfg: Config) -> None:
    gen = torch.Generator().manual_seed(70)
    top, count = (1 << cfg.v_bits - 1) - 1, 3000
    size = torch.randint(0, cfg.v_bits, (count,), generator=gen)
    v = torch.randint(-top, top + 1, (count,), generator=gen) >> size
    v[:20] = torch.tensor([-1, 1, -2, 2, -top, top, 0, -3, 4, -4] * 2)
    mul = torch.randint(0, 1 << cfg.scale_bits, (count,), generator=gen)
    mul[:300] = 1
    shift = torch.randint(0, 32, (count,), generator=gen)
    token = torch.randint(0, 1 << cfg.shift_bits, (count,), generator=gen)
    quiet = torch.rand(count, generator=gen)
    shift, token = torch.where(quiet < 0.3, 0, shift), torch.where(quiet < 0.6, 0, token)
    shift[:20] = 31
    want = [scaled_sum(v[n:n + 1], cfg, mul=mul[n:n + 1], shift=shift[n:n + 1],
                       token_shift=token[n]) for n in range(count)]
    dut = Scale(cfg)

    async def bench(ctx):
        for cycle in range(count + SCALE_LATENCY + 1):
            if cycle < count:
                ctx.set(dut.v, int(v[cycle]))
                ctx.set(dut.mul, int(mul[cycle]))
            if 0 < cycle <= count:
                ctx.set(dut.shift, int(shift[cycle - 1] + token[cycle - 1]))
            done = cycle - SCALE_LATENCY
            if 0 <= done < count:
                assert ctx.get(dut.value) == want[done][0].item(), done
            if 1 <= done <= count:
                assert ctx.get(dut.over) == want[done - 1][1].item(), done - 1
            await ctx.tick()

    simulate(Bench(dut), bench)
