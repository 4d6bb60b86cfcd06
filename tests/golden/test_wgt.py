"""Weight quantisation: range, transposition, scale, degenerate rows."""

import pytest
import torch

from golden.codes import check_wgt
from golden.wgt import quantise_wgt
from spinteger.config import Config

torch.set_num_threads(1)


def test_worked_example() -> None:
    w, scale = quantise_wgt(torch.tensor([[0.7, -0.35, 0.05], [-14.0, 3.0, 0.9]]).double())
    assert w.tolist() == [[7, -7], [-4, 2], [1, 0]]     # -3.5 and 1.5 away from zero
    assert scale.tolist() == pytest.approx([0.1, 2.0])


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_range_and_error(bits: int) -> None:
    real = torch.randn(20, 64, generator=torch.Generator().manual_seed(bits))
    w, scale = quantise_wgt(real, bits)
    top = 2 ** (bits - 1) - 1
    assert w.shape == (64, 20) and scale.shape == (20,)
    assert w.abs().amax(dim=0).tolist() == [top] * 20
    check_wgt(w, Config(wgt_bits=bits, k=64))
    error = (real.double() - (w * scale).t()).abs()
    assert bool((error <= 0.5 * scale.unsqueeze(1) * (1 + 1e-9)).all())


def test_zero_row() -> None:
    w, scale = quantise_wgt(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
    assert w[:, 0].tolist() == [0, 0] and scale[0] == 1.0
    assert w[:, 1].tolist() == [7, -7]


@pytest.mark.parametrize(("w", "bits", "says"), [
    (torch.zeros(3), 4, r"\[3\]: must be \[N, K\]"),
    (torch.zeros(3, 0), 4, r"\[3, 0\]"),
    (torch.full((1, 2), float("nan")), 4, "finite"),
    (torch.zeros(1, 2), 1, "bits 1"),
])
def test_refusals(w: torch.Tensor, bits: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        quantise_wgt(w, bits)
