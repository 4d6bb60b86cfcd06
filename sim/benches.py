"""The benches and the configurations they run in: what `make sim` and the tests go through."""

from spinteger.config import PRESETS, Config

TINY = PRESETS["tiny"]

#: Named configurations. Small enough to simulate in seconds, and unlike each other.
CONFIGS: dict[str, Config] = {
    "tiny": TINY,
    "unsigned": TINY.with_(window=15, signed=False, exp_max=0, train_depth=96),
    "staircase": TINY.with_(fire="staircase", exp_max=1),
    "odd": Config(rows=3, cols=5, homes=1, int_lanes=3, k=40, depth=64, tiles=4, tokens=8,
                  exp_max=2, frac_bits=6, theta_bits=18, train_depth=128, list_depth=64,
                  acc_depth=60),
    "one_home": TINY.with_(homes=1, int_lanes=2, train_depth=96),
    "four_homes": TINY.with_(rows=16, cols=2, homes=4, int_lanes=3, k=48, depth=64,
                             list_depth=32),
    "single": Config(rows=1, cols=1, homes=1, int_lanes=1, k=16, depth=64, tiles=4, tokens=8,
                     exp_max=2, frac_bits=6, theta_bits=18, train_depth=64, list_depth=64,
                     acc_depth=16),
}

#: (bench, configuration) pairs of `make sim`, small blocks first.
BENCHES: list[tuple[str, str]] = [
    ("encoder", "tiny"), ("encoder", "odd"), ("encoder", "four_homes"),
    ("lane", "tiny"),
    ("column", "tiny"), ("column", "unsigned"), ("column", "odd"),
    ("integer_lane", "tiny"), ("integer_lane", "odd"), ("integer_lane", "four_homes"),
    ("if_bank", "tiny"), ("if_bank", "staircase"), ("if_bank", "odd"),
    ("axi", "tiny"), ("wishbone", "tiny"),
    ("array", "tiny"), ("array", "unsigned"), ("array", "staircase"), ("array", "odd"),
    ("array", "one_home"), ("array", "four_homes"), ("array", "single"),
]
