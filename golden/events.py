"""Events: what the spike lanes and the integer lanes are handed, token by token.

Time-to-first-spike coding (SpikeQuant, arXiv 2510.19498; our reading in docs/numerics.md): the
larger the act, the earlier its one event, at step t = L - |x|, t = 0..L-1.
"""

from __future__ import annotations

import torch

from golden.codes import Codes, check_codes, is_salient, is_spike
from spinteger.config import Config

#: (step t, input k, sign +1 or -1)
Event = tuple[int, int, int]
#: (input k, signed q, exponent e)
Salient = tuple[int, int, int]


def events(codes: Codes, cfg: Config) -> list[list[Event]]:
    """The spikes of every token in time order, within a step in input order.

    codes: [..., K]. Returns one list per token, tokens in row-major order of the leading
    dimensions (a single token [K] gives a list of one). Raises `CodeError` for illegal codes.
    """
    check_codes(codes, cfg)
    inputs = codes.q.shape[-1]
    spikes = torch.where(is_spike(codes, cfg), codes.q, 0).reshape(-1, inputs).tolist()
    return [sorted((cfg.window - abs(x), k, 1 if x > 0 else -1)
                   for k, x in enumerate(token) if x)
            for token in spikes]


def salient_list(codes: Codes, cfg: Config) -> list[list[Salient]]:
    """The salient inputs (k, q, e) of every token, in input order. Rest as `events`."""
    check_codes(codes, cfg)
    inputs = codes.q.shape[-1]
    mask = is_salient(codes, cfg).reshape(-1, inputs)
    q, e = codes.q.reshape(-1, inputs), codes.e.reshape(-1, inputs)
    return [[(int(k), int(q[m, k]), int(e[m, k])) for k in mask[m].nonzero().flatten()]
            for m in range(mask.shape[0])]
