"""One torch thread: these tests spend their time in the simulator, not in torch."""

import torch

torch.set_num_threads(1)
