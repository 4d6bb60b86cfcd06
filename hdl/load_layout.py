"""What the dispatcher tells the loaders."""

from amaranth.lib import data

from hdl.payloads import index_bits
from spinteger.config import Config


def load_layout(cfg: Config) -> data.StructLayout:
    """One load, checked: sizes are within the machine's."""
    return data.StructLayout({
        "op": data.StructLayout({"wgt": 1, "thr": 1, "scale": 1, "act": 1}),    # what, one hot
        "base": cfg.addr_bits,               # the slot's first bank row
        "index": index_bits(cfg),            # the slot's first place in the threshold memory
        "rows": range(cfg.rows_k + 1),       # per tile or token
        "tile_last": cfg.tile_bits,          # number of tiles, less one
        "sparse": 1,                         # weights: only the rows that a bit map names
        "buf": 1,                            # the activation buffer to fill
        "token_last": cfg.token_bits})       # number of tokens, less one
