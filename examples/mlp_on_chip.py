"""A whole network as one program: digits from pixels to logits, layers chained on the machine.

    .venv/bin/python examples/mlp_on_chip.py

A ReLU network for 8x8 digits (golden.digits trains it in a second, the first time). The levels
that a layer fires are the next layer's inputs as they stand: they go from the IF bank straight back
to the encoder, and only pixels and logits pass the bus.
"""

import torch

from golden.codes import Codes
from golden.digits import CONFIG, load_digits
from sim.accelerator import Accelerator, Layer
from spinteger import isa

network = load_digits()
images = 16
codes = Codes(*(part[:images] for part in network.codes))

layers = [Layer(layer.w.astype("int64"), layer.theta, unsigned=True, name=f"layer {number}")
          for number, layer in enumerate(network.layers, 1)]
for layer in layers:
    print(f"{layer.name}: {layer.k} inputs, {layer.n} outputs, "
          f"{'fires' if layer.fires else 'leaves raw sums'}")

accelerator = Accelerator(CONFIG, "verilator")         # the RTL, simulated natively
accelerator.load(layers)
logits = accelerator.run(codes).V
assert not accelerator.notes, accelerator.notes        # nothing went through the host

(program,) = accelerator.programs
print("\nThe program:")
for packet in program.packets:
    op, fields = isa.decode(packet.descriptor)
    set_ = ", ".join(f"{name}={number}" for name, number in fields.items() if number)
    print(f"  {op.name:8} {len(packet.payload):3} beats   {set_}")

golden = network.run(codes)[-1].V
labels = torch.as_tensor(network.labels)[:images]
print(f"\n{int((logits != golden).sum())} of {logits.numel()} logits differ from the golden model; "
      f"{int((logits.argmax(1) == labels).sum())} of {images} images classified right")
accelerator.print_counters()
