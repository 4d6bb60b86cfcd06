"""The words that travel on the array's streams, as `lib.data` layouts of a `Config`.

Field order is bit order, least significant first; `gen --json` lists the offsets.
"""

from amaranth.hdl import signed
from amaranth.lib import data, enum

from spinteger.config import Config


class OutKind(enum.Enum, shape=2):  # type: ignore[call-arg]
    """What an output word carries."""

    RAW = 0      #: one column's V, sign-extended, `data` = V
    SALIENT = 1  #: one column's salient integer, `data` = q, e
    SPIKE = 2    #: one time step, `data` = mask of firing columns, mask of negative ones
    END = 3      #: the tile is complete; `last` marks the token's last tile


def code_layout(cfg: Config) -> data.StructLayout:
    """One input code x = q * 2^e. A spike when 1 <= |q| <= L and e = 0, silent when q = 0."""
    fields = {"q": signed(cfg.sal_bits)}
    if cfg.exp_bits:
        fields["e"] = cfg.exp_bits
    return data.StructLayout(fields)


def act_layout(cfg: Config) -> data.StructLayout:
    """One row of a token: codes of inputs row*R .. row*R + R-1. `last` ends the token."""
    return data.StructLayout({"code": data.ArrayLayout(code_layout(cfg), cfg.rows), "last": 1})


def row_layout(cfg: Config) -> data.ArrayLayout:
    """One weight row: the signed codes of one input for all columns of a tile."""
    return data.ArrayLayout(signed(cfg.wgt_bits), cfg.cols)


def wgt_layout(cfg: Config) -> data.StructLayout:
    """A weight row and where it goes: bank `lane`, address tile * stride + k // R."""
    return data.StructLayout({"row": row_layout(cfg), "addr": cfg.addr_bits,
                              "lane": cfg.lane_bits})


def thr_layout(cfg: Config) -> data.StructLayout:
    """One neuron's threshold theta (unsigned fixed point, f fraction bits) and its place."""
    return data.StructLayout({"theta": cfg.theta_bits, "column": cfg.col_bits,
                              "tile": cfg.tile_bits})


def run_layout(cfg: Config) -> data.StructLayout:
    """How to run a token; sampled with the token's last `act` word."""
    return data.StructLayout({
        "tile_last": cfg.tile_bits,    # number of column tiles, less one
        "stride": cfg.addr_bits + 1,   # bank rows per tile
        "raw": 1,                      # raw V instead of fired levels
        "unsigned": 1,                 # negative V stays silent
        "spikes_only": 1,              # clamp levels to L: no salient outputs
        "silence": cfg.level_bits,     # silence level z: levels <= z are dropped (0: lossless)
    })


def fire_layout(cfg: Config) -> data.StructLayout:
    """The part of `run_layout` that the IF bank needs, with the tile it belongs to."""
    return data.StructLayout({"tile": cfg.tile_bits, "last": 1, "raw": 1, "unsigned": 1,
                              "spikes_only": 1, "silence": cfg.level_bits})


def psum_layout(cfg: Config) -> data.StructLayout:
    """One tile's finished sums V, all columns side by side."""
    return data.StructLayout({"v": data.ArrayLayout(signed(cfg.v_bits), cfg.cols),
                              "fire": fire_layout(cfg)})


def prod_layout(cfg: Config) -> data.StructLayout:
    """Sums of the integer lanes' products, one per column; `last` ends the tile."""
    return data.StructLayout({"prod": data.ArrayLayout(signed(cfg.prod_bits), cfg.cols),
                              "last": 1})


def salient_layout(cfg: Config) -> data.StructLayout:
    """One salient input: x = q * 2^e at row `row` of the group's bank `lane`."""
    fields = {"q": signed(cfg.sal_bits), "row": cfg.row_bits}
    if cfg.exp_bits:
        fields["e"] = cfg.exp_bits
    if cfg.group > 1:
        fields["lane"] = (cfg.group - 1).bit_length()
    return data.StructLayout(fields)


def neuron_layout(cfg: Config) -> data.StructLayout:
    """One neuron on its way to firing: |V|, its sign, its threshold, its column."""
    return data.StructLayout({"mag": cfg.v_bits - 1, "neg": 1, "theta": cfg.theta_bits,
                              "column": cfg.col_bits, "end": 1, "fire": fire_layout(cfg)})


def out_layout(cfg: Config) -> data.StructLayout:
    """One output word; see `OutKind` for what `data` holds. `step` = L - level of a spike."""
    return data.StructLayout({"data": out_data_bits(cfg), "column": cfg.col_bits,
                              "step": cfg.level_bits, "kind": OutKind, "last": 1})


def out_data_bits(cfg: Config) -> int:
    """Width of an output word's data: the widest of V, two column masks, and q with e."""
    return max(cfg.v_bits, 2 * cfg.cols, cfg.sal_bits + cfg.exp_bits)



def token_layout(cfg: Config) -> data.StructLayout:
    """A coded token for the sequencer: its buffer, which levels occur in it, how to run it."""
    return data.StructLayout({"levels": cfg.window, "buf": 1, "run": run_layout(cfg)})


def salients_layout(cfg: Config) -> data.StructLayout:
    """A coded token for the integer lanes: its buffer, entries per salient list, its tiles."""
    return data.StructLayout({
        "count": data.ArrayLayout(cfg.salient_depth.bit_length(), cfg.int_lanes),
        "buf": 1, "tile_last": cfg.tile_bits, "stride": cfg.addr_bits + 1})
