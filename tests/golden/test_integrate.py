"""Integration: the ramp, with and without skipping, and the buckets equal the matrix product."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from golden.codes import CodeError, Codes, is_spike, recode, value
from golden.integrate import (
    buckets,
    integer_lanes,
    matmul,
    matmul_exact,
    ramp,
    ramp_skipping,
    zero_point_psum,
)
from spinteger.config import Config

torch.set_num_threads(1)


def random_codes(seed: int, cfg: Config, spread: float, *shape: int) -> Codes:
    """Heavy-tailed levels: silences, spikes, salients with and without an exponent."""
    g = torch.Generator().manual_seed(seed)
    level = (torch.randn(*shape, generator=g) ** 3 * spread).round().long()
    return recode(level if cfg.signed else level.abs(), cfg)


def random_wgt(seed: int, *shape: int) -> Tensor:
    return torch.randint(-8, 8, shape, generator=torch.Generator().manual_seed(seed))


def python_psum(codes: Codes, w: Tensor) -> list[list[int]]:
    """V by Python integers, one token at a time."""
    q, e = (x.reshape(-1, x.shape[-1]).tolist() for x in codes)
    rows = w.tolist()
    return [[sum(x * 2 ** ex * rows[k][n] for k, (x, ex) in enumerate(zip(qm, em, strict=True)))
             for n in range(w.shape[1])] for qm, em in zip(q, e, strict=True)]


def assert_all_agree(codes: Codes, w: Tensor, cfg: Config, want: Tensor) -> None:
    V, trace = ramp(codes, w, cfg)
    assert torch.equal(V, want)
    assert torch.equal(matmul(codes, w), want)
    assert torch.equal(ramp_skipping(codes, w, cfg), want)
    assert torch.equal(buckets(codes, w, cfg), want)
    assert torch.equal(trace.sum(dim=-2) + integer_lanes(codes, w, cfg), want)


@pytest.mark.parametrize("cfg", [Config(window=7, exp_max=1), Config(window=3, sal_bits=4)])
def test_one_input_every_code_every_weight(cfg: Config) -> None:
    q, e = (x.reshape(-1, 1) for x in torch.meshgrid(
        torch.arange(-cfg.sal_max, cfg.sal_max + 1), torch.arange(cfg.exp_max + 1), indexing="ij"))
    w = torch.arange(-8, 8).reshape(1, 16)
    assert_all_agree(Codes(q, e), w, cfg, (q * 2 ** e) * w)


def test_two_inputs_every_pair_of_spikes() -> None:
    cfg = Config(window=3)
    x = torch.cartesian_prod(torch.arange(-4, 5), torch.arange(-4, 5))
    w = torch.cartesian_prod(torch.arange(-8, 8), torch.arange(-8, 8)).t().contiguous()
    want = x[:, :1] * w[:1] + x[:, 1:] * w[1:]
    assert_all_agree(recode(x, cfg), w, cfg, want)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(7, True), (15, False), (15, True), (1, True)]),
       st.sampled_from([0.5, 3.0, 200.0]), st.integers(1, 70), st.integers(1, 9))
def test_random(seed: int, kind: tuple[int, bool], spread: float, inputs: int,
                outputs: int) -> None:
    cfg = Config(window=kind[0], signed=kind[1])
    codes, w = random_codes(seed, cfg, spread, 2, 2, inputs), random_wgt(seed, inputs, outputs)
    want = torch.tensor(python_psum(codes, w)).reshape(2, 2, outputs)
    assert_all_agree(codes, w, cfg, want)


def test_large_shape_agrees() -> None:
    cfg = Config()
    codes, w = random_codes(1, cfg, 4.0, 3, 576), random_wgt(2, 576, 64)
    assert_all_agree(codes, w, cfg, torch.tensor(python_psum(codes, w)))


def test_trace_is_the_spikes_so_far() -> None:
    cfg = Config()
    codes, w = random_codes(3, cfg, 3.0, 5, 40), random_wgt(4, 40, 6)
    _, trace = ramp(codes, w, cfg)
    assert trace.shape == (5, cfg.window, 6)
    spike = is_spike(codes, cfg)
    for t in range(cfg.window):
        so_far = spike & (codes.q.abs() >= cfg.window - t)
        assert torch.equal(trace[:, t], (so_far * codes.q.sign()) @ w)


def test_one_late_event_crosses_empty_steps() -> None:
    cfg = Config()
    codes = recode(torch.tensor([[7, 0], [0, 1], [0, 0], [7, -2]]), cfg)
    w = torch.tensor([[5], [-3]])
    assert ramp_skipping(codes, w, cfg).flatten().tolist() == [35, -3, 0, 41]
    assert ramp(codes, w, cfg)[1][3].flatten().tolist() == [5, 5, 5, 5, 5, 8, 8]


def test_integer_lanes_take_only_salients() -> None:
    cfg = Config(sal_bits=4, exp_max=4)
    codes = Codes(torch.tensor([7, 4, 0, -5]), torch.tensor([0, 1, 0, 4]))
    assert integer_lanes(codes, torch.tensor([[1], [2], [3], [-8]]), cfg).tolist() == [16 + 640]
    assert not integer_lanes(recode(torch.arange(-7, 8), cfg), random_wgt(0, 15, 4), cfg).any()


def test_worst_case_fits_v_bits() -> None:
    cfg = Config()
    x = torch.full((cfg.k,), cfg.level_max)
    codes, w = recode(x, cfg), torch.full((cfg.k, 1), -8)
    want = -8 * cfg.k * cfg.level_max
    assert matmul(codes, w).tolist() == [want] == ramp(codes, w, cfg)[0].tolist()
    assert -(1 << (cfg.v_bits - 1)) <= want


def test_matmul_exact_past_float64() -> None:
    x = torch.tensor([[(1 << 53) + 1, 1], [-(1 << 59) - 3, 5]])
    w = torch.tensor([[1, -2], [3, 2]])
    assert matmul_exact(x, w).tolist() == [
        [(1 << 53) + 4, -(1 << 54)], [-(1 << 59) + 12, (1 << 60) + 16]]
    with pytest.raises(OverflowError, match="64 bits"):
        matmul_exact(torch.tensor([1 << 61, 0]), torch.tensor([[2], [0]]))


def test_zero_point_is_a_virtual_input() -> None:
    w, zero = random_wgt(7, 20, 5), 8
    stored = torch.randint(0, 16, (4, 20), generator=torch.Generator().manual_seed(8))
    meant = (stored - zero) @ w
    assert torch.equal(stored @ w + zero_point_psum(w, zero), meant)
    with_input = torch.cat([w, -w.sum(dim=0, keepdim=True)])
    x = torch.cat([stored, torch.full((4, 1), zero)], dim=1)
    assert torch.equal(x @ with_input, meant)


def test_refusals() -> None:
    cfg = Config()
    codes, w = recode(torch.zeros(2, 5, dtype=torch.int64), cfg), random_wgt(0, 4, 3)
    for call in (ramp, ramp_skipping, buckets, integer_lanes, lambda c, w, _: matmul(c, w)):
        with pytest.raises(ValueError, match=r"acts \[2, 5\] do not fit wgt \[4, 3\]"):
            call(codes, w, cfg)
    too_big = Codes(codes.q[:, :4], codes.e[:, :4] + 10)
    for call in (ramp, ramp_skipping, buckets, integer_lanes):
        with pytest.raises(CodeError, match="e = 10"):
            call(too_big, w, cfg)
    assert value(codes).sum() == 0
