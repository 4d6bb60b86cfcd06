"""The words that travel on the array's streams, as `lib.data` layouts of a `Config`.

Field order is bit order, least significant first; `gen --json` lists the offsets.
"""

from amaranth.hdl import signed
from amaranth.lib import data, enum

from spinteger.config import Config

#: A group scale's left shift, 0..31.
SCALE_SHIFT_BITS = 5


class OutKind(enum.Enum, shape=2):  # type: ignore[call-arg]
    """What an output word carries."""

    RAW = 0      #: one column's V, sign-extended, `data` = V
    SALIENT = 1  #: one column's salient integer, `data` = q, e
    SPIKE = 2    #: one time step, `data` = mask of firing columns, mask of negative ones
    END = 3      #: the tile is complete; `last` marks the token's last tile


# -- into the array ----------------------------------------------------------------------------

def code_layout(cfg: Config) -> data.StructLayout:
    """One input code x = q * 2^e. A spike when 1 <= |q| <= L and e = 0, silent when q = 0."""
    fields = {"q": signed(cfg.sal_bits)}
    if cfg.exp_bits:
        fields["e"] = cfg.exp_bits
    return data.StructLayout(fields)


def act_layout(cfg: Config) -> data.StructLayout:
    """One row of a token: the codes of inputs row*G .. row*G + G-1. `last` ends the token.

    `buf` is the activation buffer it goes to, `shift` its step as a power of two; both are the
    same on all words of a token. `fail`, on a token's last word: the token is not to be used, and
    the buffer gets no more of them.
    """
    return data.StructLayout({
        "code": data.ArrayLayout(code_layout(cfg), cfg.groups),
        "last": 1, "fail": 1, "buf": 1, "shift": cfg.shift_bits})


def row_layout(cfg: Config) -> data.ArrayLayout:
    """One weight row: the signed codes of one input for all columns of a tile."""
    return data.ArrayLayout(signed(cfg.wgt_bits), cfg.cols)


def wgt_layout(cfg: Config) -> data.StructLayout:
    """Weight rows of consecutive inputs, and where they go, in all their home lanes.

    Input k of a tile: `addr` = tile base + k // G, `group` = k mod G, `pattern` = (k // G) mod
    patterns. Of several rows, `group` is the first one's, a multiple of their number; those in
    `mask` are stored.
    """
    return data.StructLayout({
        "row": data.ArrayLayout(row_layout(cfg), cfg.wgt_beat_rows), "mask": cfg.wgt_beat_rows,
        "addr": cfg.addr_bits, "group": cfg.group_bits, "pattern": cfg.pattern_bits})


def scale_layout(cfg: Config) -> data.StructLayout:
    """Scale of one weight group and column: V * mul * 2^shift is what adds to the sum."""
    return data.StructLayout({"mul": cfg.scale_bits, "shift": SCALE_SHIFT_BITS})


def thr_layout(cfg: Config) -> data.StructLayout:
    """A threshold theta (unsigned fixed point, f fraction bits) or a scale, and its place.

    `index` = slot * tiles + tile.
    """
    return data.StructLayout({
        "value": max(cfg.theta_bits, cfg.scale_bits + SCALE_SHIFT_BITS), "is_scale": 1,
        "column": cfg.col_bits, "index": index_bits(cfg)})


def index_bits(cfg: Config) -> int:
    """Bits of a tile's place in the threshold memory, slot * tiles + tile."""
    return max(1, (cfg.slots * cfg.tiles - 1).bit_length())


def run_layout(cfg: Config) -> data.StructLayout:
    """One run: all tokens of an activation buffer through all tiles of a weight slot.

    Widths that a check has already held: the array trusts them.
    """
    return data.StructLayout({
        "buf": 1,                      # activation buffer to read
        "token_last": cfg.token_bits,  # number of tokens, less one
        "base": cfg.addr_bits,         # the slot's first bank row
        "stride": cfg.addr_bits,       # bank rows per tile
        "tile_last": cfg.tile_bits,    # number of column tiles, less one
        "fire": settings_layout(cfg)})


def settings_layout(cfg: Config) -> data.StructLayout:
    """How a run's sums leave; the IF bank's part of a run."""
    return data.StructLayout({
        "index": index_bits(cfg),      # the first tile's place in the threshold memory
        "raw": 1,                      # raw V instead of fired levels
        "unsigned": 1,                 # negative V stays silent
        "spikes_only": 1,              # clamp levels to L: no salient outputs
        "silence": cfg.level_bits,     # silence level z: levels <= z are dropped (0: lossless)
        "scale": 1,                    # multiply by the group scales first
        "acc_first": 1,                # start from zero instead of the sums kept
        "acc_last": 1,                 # fire or leave instead of keeping the sum
        "host": 1,                     # send words out
        "chain": 1,                    # send codes to an activation buffer
        "chain_buf": 1,                # ... this one
        "chain_last": 1})              # ... and a token is complete at its last tile


# -- inside: encoding --------------------------------------------------------------------------

def salient_layout(cfg: Config) -> data.StructLayout:
    """One salient input: x = q * 2^e at row `row` of bank `lane` of the integer lane's group."""
    fields = {"q": signed(cfg.sal_bits), "row": cfg.row_bits}
    if cfg.exp_bits:
        fields["e"] = cfg.exp_bits
    if cfg.group > 1:
        fields["lane"] = (cfg.group - 1).bit_length()
    return data.StructLayout(fields)


def coded_layout(cfg: Config) -> data.StructLayout:
    """A bucket-sorted token for the recorder: its queue buffer, levels that occur, its place."""
    return data.StructLayout({
        "queue": 1, "levels": cfg.window, "buf": 1, "shift": cfg.shift_bits,
        "fail": 1,                     # not to be used; the buffer gets no more tokens
        "full": 1,                     # ... because its salient inputs do not fit
        "list_start": cfg.list_bits,   # first place in the salient lists
        "count": data.ArrayLayout(cfg.list_worst.bit_length(), cfg.int_lanes)})


def event_layout(cfg: Config) -> data.StructLayout:
    """What one lane does in one cycle: nothing, or a weight row with a sign."""
    return data.StructLayout({"row": cfg.row_bits, "neg": 1, "valid": 1})


def train_layout(cfg: Config) -> data.StructLayout:
    """One cycle of a token's spike train, all lanes side by side, in time order."""
    return data.StructLayout({
        "event": data.ArrayLayout(event_layout(cfg), cfg.rows),
        "snap": 1,                     # these events complete a time step that has any
        "dt": cfg.level_bits,          # ... and until the next one, or the end, it is so long
        "end": 1})                     # ... and the token is complete


def token_layout(cfg: Config) -> data.StructLayout:
    """A token ready to play: where its train and its salient lists are."""
    return data.StructLayout({
        "start": cfg.train_bits, "left": cfg.train_bits,    # first word, words after it
        "list_start": cfg.list_bits,
        "count": data.ArrayLayout(cfg.list_worst.bit_length(), cfg.int_lanes),
        "shift": cfg.shift_bits})


def visit_layout(cfg: Config) -> data.StructLayout:
    """One tile of one token: what the spike player and the integer unit work through."""
    return data.StructLayout({"token": token_layout(cfg), "base": cfg.addr_bits,
                              "fire": fire_layout(cfg)})


# -- inside: computing ---------------------------------------------------------------------------

def fire_layout(cfg: Config) -> data.StructLayout:
    """What travels beside a tile's sums to the IF bank."""
    return data.StructLayout({
        "run": 1,                      # which of the two runs in flight
        "tile": cfg.tile_bits, "shift": cfg.shift_bits,
        "last": 1,                     # the token's last tile
        "end": 1,                      # ... and the run's last token
        "drop": 1})                    # the run was abandoned: nothing leaves, it only ends


def psum_layout(cfg: Config) -> data.StructLayout:
    """One tile's finished sums V, all columns side by side."""
    return data.StructLayout({"v": data.ArrayLayout(signed(cfg.v_bits), cfg.cols),
                              "fire": fire_layout(cfg)})


def prod_layout(cfg: Config) -> data.StructLayout:
    """Sums of the integer lanes' products, one per column; `last` ends the tile."""
    return data.StructLayout({"prod": data.ArrayLayout(signed(cfg.prod_bits), cfg.cols),
                              "last": 1})


def tile_layout(cfg: Config) -> data.StructLayout:
    """One tile on its way through the IF bank; see `fire_layout`. A dropped one has no columns."""
    return data.StructLayout({"run": 1, "last": 1, "end": 1, "drop": 1})


def sum_layout(cfg: Config) -> data.StructLayout:
    """One column's sum, scaled and accumulated, with its threshold: ready to fire or to leave.

    `lowest`: v is the most negative value, which has no magnitude.
    """
    return data.StructLayout({"v": signed(cfg.acc_bits), "theta": cfg.theta_bits, "run": 1,
                              "lowest": 1})


def level_layout(cfg: Config) -> data.StructLayout:
    """One neuron's fired level with its sign; `salient`: it is above L.

    With salient outputs, levels past M may come as anything up to all ones.
    """
    return data.StructLayout({"level": cfg.out_level_bits, "neg": 1, "salient": 1})


def fired_layout(cfg: Config) -> data.StructLayout:
    """One fired column, as an output code and, if it is a spike, as its level (0: silent)."""
    return data.StructLayout({"code": code_layout(cfg), "level": cfg.level_bits, "neg": 1})


def entry_layout(cfg: Config) -> data.StructLayout:
    """One column that waits to leave: its sum if its run is raw, else as it fired."""
    fired = fired_layout(cfg)
    return data.StructLayout({"data": max(cfg.acc_bits, fired.size), "salient": 1})


def chained_layout(cfg: Config) -> data.StructLayout:
    """One column's code on its way to activation buffer `buf`; `last` completes a token there.

    `fail`: no code, the run was dropped.
    """
    return data.StructLayout({"code": code_layout(cfg), "last": 1, "fail": 1, "buf": 1})


def neuron_layout(cfg: Config) -> data.StructLayout:
    """One neuron on its way to a staircase: |V|, its sign, its threshold; columns come in order.

    `last` and `run` are its tile's; `end` marks the run's last column.
    """
    return data.StructLayout({"mag": cfg.acc_bits - 1, "neg": 1, "theta": cfg.theta_bits,
                              "last": 1, "end": 1, "run": 1})


# -- out of the array --------------------------------------------------------------------------

def out_layout(cfg: Config) -> data.StructLayout:
    """One output word; see `OutKind` for what `data` holds. `step` = L - level of a spike.

    On END, `last` marks the token's last tile and `run_end` the run's last token.
    """
    return data.StructLayout({"data": out_data_bits(cfg), "column": cfg.col_bits,
                              "step": cfg.level_bits, "kind": OutKind, "last": 1, "run_end": 1})


def out_data_bits(cfg: Config) -> int:
    """Width of an output word's data: the widest of V, two column masks, and q with e."""
    return max(cfg.acc_bits, 2 * cfg.cols, cfg.sal_bits + cfg.exp_bits)


# -- status --------------------------------------------------------------------------------------

def activity_layout(cfg: Config) -> data.StructLayout:
    """What the array does this cycle, for the counters. Of the first six, at most one is up."""
    return data.StructLayout({
        "play": 1,            # a train word enters the lanes
        "ramp": 1,            # the pipeline waits: V still adds S of the step before
        "integer": 1,         # ... a tile waits for its salient products
        "firing": 1,          # ... a tile waits for the IF bank
        "await_acts": 1,      # the spike player waits for a token to be encoded
        "draining": 1,        # nothing to play, but a run is still in flight
        "blocked": 1,         # the output has a word that is not taken
        "events": cfg.rows.bit_length(),                # events in that train word
        "salients": cfg.int_lanes.bit_length(),         # salient inputs multiplied
        "silent": cfg.groups.bit_length(),              # inputs encoded this cycle, by class
        "spiking": cfg.groups.bit_length(),
        "salient_inputs": cfg.groups.bit_length(),
        "token": 1,           # a token was encoded and recorded
        "tile": 1})           # a tile's sums are complete
