"""One linear layer as the machine computes it: codes in, psums, levels, codes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from golden.codes import Codes, check_codes, check_wgt, recode
from golden.fire import check_theta, fire_closed
from golden.integrate import matmul
from spinteger.config import Config


class LayerResult(NamedTuple):
    """What `HybridLayer.forward` returns; the last two are None when the layer has no theta."""

    V: Tensor                   #: psums, int64 [..., N]
    levels: Tensor | None       #: signed levels as fired, int64 [..., N]
    codes_out: Codes | None     #: the same, re-coded for the next layer, [..., N]


@dataclass(frozen=True, eq=False)
class HybridLayer:
    """Weights, thresholds and output rules of one layer. Immutable; checked on construction.

    Raises `CodeError` for wgt codes out of range, `ThresholdError` for thresholds, ValueError for
    shapes and sizes.
    """

    w: Tensor                   #: wgt codes, int64 [K, N]
    theta: Tensor | None        #: thresholds, int64 [N], cfg.frac_bits fraction bits; None: raw V
    cfg: Config
    unsigned_out: bool = False  #: negative V is silent (a fused ReLU)
    spikes_only: bool = False   #: M = L; otherwise M = cfg.level_max and outputs may be salient
    silence: int = 0            #: outputs of |level| <= silence are dropped; 0 is lossless

    def __post_init__(self) -> None:
        check_wgt(self.w, self.cfg)
        inputs, outputs = self.w.shape
        if not 1 <= inputs <= self.cfg.k:
            raise ValueError(f"wgt {list(self.w.shape)}: K = {inputs} must be 1..{self.cfg.k} "
                             "(--k)")
        if self.silence < 0:
            raise ValueError(f"silence {self.silence}: must be at least 0")
        if self.theta is not None:
            check_theta(self.theta, self.cfg)
            if self.theta.shape[0] != outputs:
                raise ValueError(f"theta {list(self.theta.shape)} does not fit wgt "
                                 f"{list(self.w.shape)}: one threshold per column, {outputs}")

    @property
    def levels_max(self) -> int:
        """M, the largest level an output may have."""
        return self.cfg.window if self.spikes_only else self.cfg.level_max

    def forward(self, codes: Codes) -> LayerResult:
        """Run the layer on a batch of tokens.

        codes: [..., K] -> V, levels, codes_out, all [..., N]. Integration and firing are the
        closed forms, which the tests hold equal to the step-by-step ones.
        Raises `CodeError` for illegal codes, ValueError naming both shapes when K differs.
        """
        check_codes(codes, self.cfg)
        if codes.q.dim() < 1 or codes.q.shape[-1] != self.w.shape[0]:
            raise ValueError(f"acts {list(codes.q.shape)} do not fit wgt {list(self.w.shape)}: "
                             f"the last dimension of acts must be K = {self.w.shape[0]}")
        V = matmul(codes, self.w)
        if self.theta is None:
            return LayerResult(V, None, None)
        levels = fire_closed(V, self.theta, self.levels_max, self.cfg.frac_bits,
                             self.unsigned_out, self.silence)
        return LayerResult(V, levels, recode(levels, self.cfg))
