"""Your own layer on the simulated machine: floats in, codes, golden result, RTL result, compared.

    .venv/bin/python examples/one_layer.py
"""

import torch

from golden import HybridLayer, encode, is_salient, is_spike, mad_step, quantise_wgt
from golden.fire import theta_from_scales
from golden.salient import static_step
from sim.accelerator import Accelerator, Layer
from spinteger.config import PRESETS

cfg = PRESETS["tiny"]      # a 4x4 machine, to be quick; Config() is 16x16
torch.manual_seed(1)

# Activations with a few large values, as language models have; weights as a Linear layer's.
tokens, inputs, outputs = 8, 48, 10
x = torch.randn(tokens, inputs)
x[:, 7] *= 20
weight = torch.randn(outputs, inputs) / inputs**0.5

w, s_w = quantise_wgt(weight)                          # INT4, one scale per output
s_a = static_step(x, cfg.window, k_mad=2.5)            # step from the MAD rule
codes = encode(x, s_a, cfg)                            # spikes, silence, salient integers
print(f"spikes {is_spike(codes, cfg).float().mean():.1%}, "
      f"salient {is_salient(codes, cfg).float().mean():.1%}")

y = x @ weight.T
s_y = float(mad_step(y.flatten(), cfg.window, 2.5))    # step of the outputs
theta = theta_from_scales(s_y, s_w, s_a, cfg)          # the whole requantisation, as thresholds

golden = HybridLayer(w, theta, cfg).forward(codes)
error = ((golden.codes_out.q << golden.codes_out.e) * s_y - y).norm() / y.norm()
print(f"golden model against floats: {error:.1%} error")

accelerator = Accelerator(cfg, "icarus")               # "verilator" is faster, once built
accelerator.load(Layer(w, None))                       # without thresholds: V as it is
V = accelerator.run(codes).V
accelerator.load(Layer(w, theta))
fired = accelerator.run(codes).codes
print(f"RTL: {accelerator.counters()['cycles']} cycles, {int((V != golden.V).sum())} values of V "
      f"and {int((fired.q != golden.codes_out.q).sum())} fired codes differ from the golden model")
accelerator.print_counters()
