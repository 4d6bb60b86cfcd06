"""Attention on the machine: Q.K^T and P.V of a real head, K and V loaded as weights.

    .venv/bin/python examples/attention.py [head]

Block 15 of SmolLM2-135M on 16 tokens of English. What lies between the two products (scaling and
softmax) is the host's; P, the softmax, goes back to the machine as levels 0..15.
"""

import sys

import torch

from golden.attention import P_LEVELS, load_heads
from golden.codes import is_salient, is_spike, value
from sim.accelerator import Accelerator, Layer
from spinteger.config import Config

cfg = Config()
head = load_heads(15, [int(sys.argv[1]) if len(sys.argv) > 1 else 4], cfg)[0]
tokens, size = head.q.shape
print(f"{head.name}: {tokens} tokens, head size {size}")

accelerator = Accelerator(cfg, "verilator")


def product(name: str, codes, weights) -> torch.Tensor:
    """Raw sums of codes [T, K] and weights [K, N] on the machine, compared with exact integers."""
    w = torch.from_numpy(weights).long()
    accelerator.load(Layer(w, None, name=name))
    V = accelerator.run(codes).V
    counters = accelerator.counters()
    print(f"{name}: {is_spike(codes, cfg).float().mean():.1%} spikes, "
          f"{is_salient(codes, cfg).float().mean():.1%} salient, {counters['cycles']:,} cycles, "
          f"{int((V != value(codes) @ w).sum())} of {V.numel()} values differ from exact integers")
    return V


scores = product("scores  Q.K^T", head.queries, head.k) * head.s_q * torch.from_numpy(head.s_k)
context = product("context P.V  ", head.weights, head.v) / P_LEVELS * torch.from_numpy(head.s_v)

# The host's part, on the machine's scores: would it have given the P that went in?
future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
p = (scores / size**0.5).masked_fill(future, -torch.inf).softmax(-1)
off = (p * P_LEVELS - torch.from_numpy(head.p)).abs()
print(f"softmax of the machine's scores against the model's: {off.mean():.2f} of {P_LEVELS} levels "
      f"off on average; context of the last token: {context[-1, :4].tolist()} ...")
