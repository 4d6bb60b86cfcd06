"""A layer: closed forms against the literal ramp and staircase, options, refusals, chaining."""

import pytest
import torch
from torch import Tensor

from golden.codes import CodeError, Codes, encode, is_salient, recode, value
from golden.fire import ThresholdError, fire_staircase, theta_from_scales
from golden.integrate import ramp
from golden.layer import HybridLayer
from golden.salient import static_step
from golden.wgt import quantise_wgt
from spinteger.config import Config

torch.set_num_threads(1)
CFG = Config(rows=4, k=64, exp_max=3, frac_bits=8, theta_bits=20, tiles=8)


def wgt(seed: int, inputs: int = 40, outputs: int = 6) -> Tensor:
    return torch.randint(-8, 8, (inputs, outputs), generator=torch.Generator().manual_seed(seed))


def acts(seed: int, inputs: int = 40) -> Codes:
    g = torch.Generator().manual_seed(seed)
    return recode((torch.randn(2, 5, inputs, generator=g) ** 3 * 4).round().long(), CFG)


THETA = torch.arange(1, 7) * 1500


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize(("spikes_only", "silence"), [(False, 0), (True, 0), (False, 2), (True, 1)])
def test_layer_is_ramp_then_staircase(unsigned: bool, spikes_only: bool, silence: int) -> None:
    w, codes = wgt(1), acts(2)
    layer = HybridLayer(w, THETA, CFG, unsigned, spikes_only, silence)
    V, levels, codes_out = layer.forward(codes)
    assert levels is not None and codes_out is not None
    M = 7 if spikes_only else 127 * 8
    want_v, _ = ramp(codes, w, CFG)
    assert torch.equal(V, want_v)
    assert torch.equal(levels, fire_staircase(V, THETA, M, CFG.frac_bits, unsigned, silence))
    want = recode(levels, CFG)
    assert torch.equal(codes_out.q, want.q) and torch.equal(codes_out.e, want.e)
    assert bool(is_salient(codes_out, CFG).any()) == (not spikes_only)
    assert int(levels.abs().max()) > silence
    assert bool((levels < 0).any()) == (not unsigned)


def test_without_theta_only_v() -> None:
    V, levels, codes_out = HybridLayer(wgt(3), None, CFG).forward(acts(4))
    assert V.shape == (2, 5, 6) and levels is None and codes_out is None


def test_two_layers_follow_the_real_network() -> None:
    """Float reference: the integer network stays within its quantisation error."""
    g, cfg = torch.Generator().manual_seed(5), Config()
    real_w = [torch.randn(64, 64, generator=g) / 8 for _ in range(2)]
    massive = torch.rand(100, 64, generator=g) < 0.03
    x = torch.randn(100, 64, generator=g) * torch.where(massive, 9, 1)
    hidden = (x @ real_w[0].t()).relu()
    out = hidden @ real_w[1].t()
    s_x, s_h = static_step(x, 7, 2.5), static_step(hidden, 7, 2.5)
    (w0, s_w0), (w1, s_w1) = (quantise_wgt(w) for w in real_w)
    first = HybridLayer(w0, theta_from_scales(s_h, s_w0, s_x, cfg), cfg, unsigned_out=True)
    codes = first.forward(encode(x, s_x, cfg)).codes_out
    assert codes is not None and int(value(codes).min()) >= 0
    V = HybridLayer(w1, None, cfg).forward(codes).V
    got = V * s_w1 * s_h
    error = float(((got - out) ** 2).mean().sqrt() / out.double().std())
    assert error < 0.25


def test_refusals() -> None:
    with pytest.raises(CodeError, match="wgt index"):
        HybridLayer(wgt(0) + 1, None, CFG)
    with pytest.raises(ValueError, match=r"wgt \[65, 6\]: K = 65 must be 1..64"):
        HybridLayer(wgt(0, 65), None, CFG)
    with pytest.raises(ValueError, match=r"theta \[5\] does not fit wgt \[40, 6\]"):
        HybridLayer(wgt(0), THETA[:5], CFG)
    with pytest.raises(ThresholdError, match="channel 0: 0"):
        HybridLayer(wgt(0), THETA * 0, CFG)
    with pytest.raises(ThresholdError, match=r"2\^20"):
        HybridLayer(wgt(0), THETA << 20, CFG)
    with pytest.raises(ValueError, match="silence -1"):
        HybridLayer(wgt(0), None, CFG, silence=-1)
    layer = HybridLayer(wgt(0), None, CFG)
    with pytest.raises(ValueError, match=r"acts \[2, 5, 39\] do not fit wgt \[40, 6\]"):
        layer.forward(acts(0, 39))
    with pytest.raises(CodeError, match="e = 4, must be 0..3"):
        layer.forward(Codes(acts(0).q, acts(0).e + 4))
