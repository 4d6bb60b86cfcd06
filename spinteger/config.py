"""The one configuration every part of Spinteger reads: generator, golden model, driver, reports.

A `Config` holds only what a user may choose. Every width and depth that follows from a
choice is a property below, computed once, from the worst case, with the reason beside it.
Symbols (w, x, S, V, theta, L, E, f) are those of the numeric contract, docs/numerics.md.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Any

FIRE_ORDERS = ("sar", "staircase")
BUSES = ("stream", "axi", "wishbone")
#: Raw V leaves the machine as a signed 32-bit word, so V may never need more.
V_BITS_MAX = 32


class ConfigError(ValueError):
    """A parameter that cannot be built. `str()` is one line: option, value, what would work."""


def _param(default: Any, help: str, cost: str, **extra: Any) -> Any:
    """A dataclass field that also carries its `--help` text (meaning, then what it costs)."""
    return field(default=default, metadata={"help": help, "cost": cost, **extra})


@dataclass(frozen=True)
class Config:
    """Parameters of one hybrid array. Immutable; `validate()` runs on construction.

    Raises `ConfigError` when a value is out of range or the derived widths cannot hold the
    worst case.
    """

    rows: int = _param(16, "spike lanes (R of --pe RxC)",
                       "one weight bank and one event queue per lane; more lanes wait more for "
                       "the longest one: grow columns first", flag=False)
    cols: int = _param(16, "columns (C of --pe RxC), one output each",
                       "about 10 LUT x R, plus S and V, per column; banks get wider", flag=False)
    wgt_bits: int = _param(4, "bits of a weight code (signed)",
                           "adder trees and banks grow in proportion")
    window: int = _param(7, "window L: largest level coded as one spike; 7 for signed 4-bit "
                            "codes, 15 for unsigned ones",
                         "one queue bucket per level, and a ramp of up to L adds per tile")
    signed: bool = _param(True, "spikes carry a sign (off for ReLU and softmax inputs only)",
                          "add/subtract instead of add in every adder tree node")
    tree_step: int = _param(1, "levels of the adder trees between two registers: 1 for an FPGA, "
                               "all (ceil(log2 R)) where the clock is slow and registers are dear",
                            "fewer registers and cycles of latency, a longer path")
    homes: int = _param(4, "lanes that hold a copy of each weight row; every event goes to the one "
                           "with the fewest events of its level, so lanes hardly wait for each "
                           "other (1: no choice)",
                        "weight memory in proportion; R/homes codes are encoded in 3 cycles")
    int_lanes: int = _param(4, "integer lanes for salient inputs; with several homes each serves "
                               "one copy of the weights (so at most as many), else R/int_lanes "
                               "banks",
                            "C multipliers of (sal_bits+E) x wgt_bits each")
    sal_bits: int = _param(8, "bits of a salient integer q (signed)",
                           "width of the integer lanes' multipliers, and of V")
    exp_max: int = _param(9, "largest exponent E of a salient value q*2^e (0: plain INT8)",
                          "every step doubles V's range and adds one firing stage")
    k: int = _param(2048, "largest number of inputs K of one pass; longer layers take several",
                    "depth of the event queues (K/R per level and buffer), width of S and V")
    depth: int = _param(0, "weight rows per bank, all slots; a column tile takes ceil(K*homes/R) "
                           "of them (0: a power of two with room for the largest K in every slot)",
                        "C x wgt_bits x R bits of block memory per row")
    slots: int = _param(2, "weight slots: one loads while another computes",
                        "each has depth/slots rows per bank, and C thresholds per tile")
    tiles: int = _param(32, "largest number of column tiles in one slot",
                        "C thresholds of theta_bits per tile and slot")
    tokens: int = _param(64, "largest number of tokens in one activation buffer (there are two)",
                         "one table entry per token and buffer")
    train_depth: int = _param(2048, "spike train words per activation buffer: a token takes about "
                                    "its live inputs / R of them",
                              "R x (row number + 2) bits of block memory per word and buffer")
    list_depth: int = _param(2048, "salient inputs per integer lane and activation buffer",
                             "about 24 bits of block memory each")
    acc_depth: int = _param(1024, "partial sums V kept between passes, for K beyond --k and for "
                                  "weight groups: tokens x tiles x C (0: none)",
                            "32 bits of block memory each")
    scale_bits: int = _param(8, "bits of a group scale's multiplier (0: no group scales and no "
                                "per-token shift)",
                             "one multiplier and one shifter, shared by all columns")
    frac_bits: int = _param(16, "fraction bits f of a threshold; f >= log2(L*Mul) makes firing "
                                "equal to a multiply-shift requantiser",
                            "one bit in every firing comparison per fraction bit")
    theta_bits: int = _param(32, "bits of a threshold, fraction included",
                             "threshold memory, and width of the firing subtractors")
    fire: str = _param("sar", "firing order: successive approximation (sar), one column per "
                              "cycle through a pipeline, or the papers' descending staircase, "
                              "all columns in parallel, one level per cycle",
                       "sar: one subtractor per level bit, shared by all columns; staircase: one "
                       "subtractor and register per column, and M cycles per tile (M = 127*2^E "
                       "with salient outputs)", choices=FIRE_ORDERS)
    bus: str = _param("stream", "how the machine meets the world: plain streams, AXI4-Stream data "
                                "with AXI4-Lite control, or Wishbone",
                      "stream: nothing; the others: a thin wrapper", choices=BUSES)
    bus_bits: int = _param(64, "bits of a beat of the data streams",
                           "weights load bus_bits/(C x wgt_bits) rows per cycle")

    def __post_init__(self) -> None:
        self.validate()

    # -- widths and depths that follow ------------------------------------------------------

    @property
    def groups(self) -> int:
        """Input groups G = R / homes: codes encoded per cycle. Input k is in group k mod G."""
        return self.rows // self.homes

    @property
    def rows_k(self) -> int:
        """Weight rows of one column tile at the largest K: input k sits in row k // G."""
        return self.tile_rows(self.k)

    @property
    def patterns(self) -> int:
        """Ways to choose a group's home lanes; row r uses pattern r mod `patterns`."""
        return max(self.groups, self.homes) if self.homes > 1 else 1

    @property
    def slot_rows(self) -> int:
        """Weight rows per bank and slot."""
        return self.bank_depth // self.slots

    @property
    def bank_depth(self) -> int:
        """Weight rows per bank: `depth`, or a power of two with `slots` times the largest K."""
        return self.depth or self.slots * (1 << (self.rows_k - 1).bit_length())

    @property
    def row_bits(self) -> int:
        """Bits of a row number within a tile (what an event carries)."""
        return max(1, (self.rows_k - 1).bit_length())

    @property
    def addr_bits(self) -> int:
        """Bits of a bank address: slot and tile base + row."""
        return max(1, (self.bank_depth - 1).bit_length())

    @property
    def group_bits(self) -> int:
        """Bits of a group number."""
        return max(1, (self.groups - 1).bit_length())

    @property
    def pattern_bits(self) -> int:
        """Bits of a pattern number."""
        return max(1, (self.patterns - 1).bit_length())

    @property
    def slot_bits(self) -> int:
        """Bits of a slot number."""
        return max(1, (self.slots - 1).bit_length())

    @property
    def token_bits(self) -> int:
        """Bits of a token number within a buffer."""
        return max(1, (self.tokens - 1).bit_length())

    @property
    def lane_bits(self) -> int:
        """Bits of a lane number."""
        return max(1, (self.rows - 1).bit_length())

    @property
    def col_bits(self) -> int:
        """Bits of a column number."""
        return max(1, (self.cols - 1).bit_length())

    @property
    def tile_bits(self) -> int:
        """Bits of a tile number."""
        return max(1, (self.tiles - 1).bit_length())

    @property
    def level_bits(self) -> int:
        """Bits of a spike level 1..L (0 stands for silent)."""
        return self.window.bit_length()

    @property
    def bucket_depth(self) -> int:
        """Events of one level that one lane may hold.

        The m-th event of a level in a lane of block j comes after the m-th in the home lanes of
        the blocks below, and the (m-1)-th in those above, each from an earlier row: so not before
        row homes * (m - 1) + j.
        """
        return -(-self.rows_k // self.homes)

    @property
    def count_bits(self) -> int:
        """Bits of a bucket's event count, 0..`bucket_depth`."""
        return self.bucket_depth.bit_length()

    @property
    def bucket_bits(self) -> int:
        """Bits of an index into a bucket."""
        return max(1, (self.bucket_depth - 1).bit_length())

    @property
    def exp_bits(self) -> int:
        """Bits of a salient exponent 0..E; 0 when every salient value is a plain integer."""
        return self.exp_max.bit_length()

    @property
    def group(self) -> int:
        """Banks served by one integer lane: a copy of the weights, or R/int_lanes lanes."""
        return self.groups if self.homes > 1 else self.rows // self.int_lanes

    @property
    def list_worst(self) -> int:
        """Longest salient list of one token: all inputs salient, dealt out to the lanes in turn
        (one home: to the lane that serves the input's bank)."""
        if self.homes > 1:
            return -(-self.rows_k * self.groups // self.int_lanes)
        return self.group * self.rows_k

    @property
    def list_bits(self) -> int:
        """Bits of a place in a salient list."""
        return max(1, (self.list_depth - 1).bit_length())

    @property
    def train_worst(self) -> int:
        """Most train words of one token.

        A level whose fullest lane has m events has at least homes * (m - 1) + 1 of them, since
        every one went to the emptiest lane of its group; and it has at most `bucket_depth`
        of them. A token without events takes one word.
        """
        inputs, extra = self.rows_k * self.groups, self.window * (self.homes - 1)
        return max(1, min(-(-(inputs + extra) // self.homes), self.window * self.bucket_depth))

    @property
    def train_bits(self) -> int:
        """Bits of a place in a train buffer."""
        return max(1, (self.train_depth - 1).bit_length())

    @property
    def act_queue(self) -> int:
        """Rows of G codes that wait for the encoder: a full buffer's, or a few block RAMs."""
        return min(1024, 1 << max(2, (self.tokens * self.rows_k - 1).bit_length()))

    @property
    def acc_bits(self) -> int:
        """Bits of the sum that fires or leaves: V, or 32 where passes are added or scaled."""
        return V_BITS_MAX if self.acc_depth or self.scale_bits else self.v_bits

    @property
    def shift_bits(self) -> int:
        """Bits of a per-token shift of V (a power-of-two step); 0 without `scale_bits`."""
        return 4 if self.scale_bits else 0

    @property
    def wgt_beat_rows(self) -> int:
        """Weight rows per beat (a power of two, at most G), or 1 where a row takes several."""
        fit = min(self.bus_bits // (self.cols * self.wgt_bits), self.groups)
        rows = 1 << max(0, fit.bit_length() - 1)
        return rows if self.groups % rows == 0 else 1

    @property
    def wgt_row_beats(self) -> int:
        """Beats per weight row, 1 where a beat holds one or more."""
        return -(-self.cols * self.wgt_bits // self.bus_bits)

    @property
    def act_word_beats(self) -> int:
        """Beats per G codes of 16 bits each."""
        return -(-self.groups * 16 // self.bus_bits)

    @property
    def wgt_max(self) -> int:
        """Largest |weight code| the hardware accepts: -2^(bits-1)."""
        return 1 << (self.wgt_bits - 1)

    @property
    def sal_max(self) -> int:
        """Largest salient q: +-(2^(sal_bits-1) - 1), 127 for 8 bits."""
        return (1 << (self.sal_bits - 1)) - 1

    @property
    def s_bits(self) -> int:
        """Bits of the running sum S: |S| <= K * |w|max, reached when all inputs fire (signed)."""
        return (self.groups * self.rows_k * self.wgt_max).bit_length() + 1

    @property
    def prod_bits(self) -> int:
        """Bits of one column's sum of integer-lane products, |w|max * 2^(sal_bits-1) * 2^E each."""
        x_max = 1 << (self.sal_bits - 1 + self.exp_max)
        return (self.int_lanes * self.wgt_max * x_max).bit_length() + 1

    @property
    def v_bits(self) -> int:
        """Bits of V: |V| <= K * |w|max * the largest |x|, which is a salient one, 2^(7+E)."""
        x_max = 1 << (self.sal_bits - 1 + self.exp_max)
        return (self.groups * self.rows_k * self.wgt_max * x_max).bit_length() + 1

    @property
    def level_max(self) -> int:
        """M with salient outputs: the largest level that re-codes to q * 2^e, 127 * 2^E."""
        return self.sal_max << self.exp_max

    @property
    def out_level_bits(self) -> int:
        """Bits of a fired level 0..M; M >= L because a salient q reaches past the window."""
        return self.level_max.bit_length()

    # -- checks --------------------------------------------------------------------------------

    def validate(self) -> None:
        """Raise `ConfigError` on the first parameter that cannot be built."""
        def need(ok: bool, flag: str, value: object, works: str) -> None:
            if not ok:
                raise ConfigError(f"{flag} {value}: {works}")

        for spec in fields(self):
            value, kind = getattr(self, spec.name), type(spec.default)
            need(type(value) is kind, flag_of(spec.name), repr(value), f"must be {kind.__name__}, "
                 f"such as {spec.default!r}")
        pe = f"{self.rows}x{self.cols}"
        need(1 <= self.rows <= 256 and 1 <= self.cols <= 256, "--pe", pe,
             "rows and columns must be 1..256, e.g. --pe 16x16")
        for name, low, high in (("wgt_bits", 2, 8), ("homes", 1, 16), ("sal_bits", 4, 12),
                                ("exp_max", 0, 15), ("k", 1, 65536), ("depth", 0, 65536),
                                ("slots", 1, 16), ("tiles", 1, 2048), ("tokens", 1, 2048),
                                ("train_depth", 1, 65536), ("list_depth", 1, 65536),
                                ("acc_depth", 0, 65536), ("scale_bits", 0, 12),
                                ("frac_bits", 0, 24), ("theta_bits", 4, 48),
                                ("tree_step", 1, 8)):
            value = getattr(self, name)
            need(low <= value <= high, flag_of(name), value, f"must be {low}..{high}")
        need(self.window in (1, 3, 7, 15), "--window", self.window,
             "must be 1, 3, 7 or 15 (a power of two less one: all levels of 1 to 4 bits)")
        for name, choices in (("fire", FIRE_ORDERS), ("bus", BUSES)):
            need(getattr(self, name) in choices, flag_of(name), getattr(self, name),
                 f"must be one of {', '.join(choices)}")
        if self.homes > 1 and not (_power_of_two(self.homes) and _power_of_two(self.rows)
                                   and self.homes <= self.rows):
            raise ConfigError(
                f"--homes {self.homes}: must be 1, or a power of two that divides a power of two "
                f"of lanes (here {self.rows}): use {self._other_homes()} or --pe 16x{self.cols}")
        if self.homes == 1:
            need(1 <= self.int_lanes <= self.rows and self.rows % self.int_lanes == 0,
                 "--int-lanes", self.int_lanes, f"must divide the {self.rows} spike lanes, e.g. "
                 f"{', '.join(str(d) for d in range(1, self.rows + 1) if self.rows % d == 0)}")
        else:
            need(1 <= self.int_lanes <= self.homes, "--int-lanes", self.int_lanes,
                 f"must be 1..{self.homes}, one for each copy of the weights (--homes)")
        need(self.sal_max >= self.window, "--sal-bits", self.sal_bits,
             f"a salient value must reach past the window {self.window}: use "
             f"--sal-bits {self.window.bit_length() + 1} or more")
        need(self.rows_k <= self.slot_rows, "--k", self.k,
             f"needs {self.rows_k} rows per bank and slot but there are {self.slot_rows}: use --k "
             f"{self.slot_rows * self.groups} or less, or --depth {self.rows_k * self.slots} or "
             "more")
        need(self.train_worst <= self.train_depth, "--train-depth", self.train_depth,
             f"one token of --k {self.k} may need {self.train_worst} words: use that or more")
        need(self.list_worst <= self.list_depth, "--list-depth", self.list_depth,
             f"one token of --k {self.k} may have {self.list_worst} salient inputs per integer "
             "lane: use that or more")
        need(self.bus_bits in (32, 64, 128, 256, 512, 1024), "--bus-bits", self.bus_bits,
             "must be 32, 64, 128, 256, 512 or 1024")
        need(max(self.theta_bits, self.scale_bits + 8) <= self.bus_bits, "--theta-bits",
             self.theta_bits, f"a threshold must fit a beat of --bus-bits {self.bus_bits}")
        need(self.acc_depth == 0 or self.acc_depth >= self.cols, "--acc-depth", self.acc_depth,
             f"must be 0 or at least the {self.cols} columns")
        need(self.theta_bits > self.frac_bits, "--theta-bits", self.theta_bits,
             f"must exceed --frac-bits {self.frac_bits}")
        if self.v_bits > V_BITS_MAX:
            over = self.v_bits - V_BITS_MAX
            fits = (f"use --exp-max {self.exp_max - over} or less" if self.exp_max >= over
                    else "use fewer --sal-bits or --wgt-bits")
            k_fit = (self.rows_k >> over) * self.groups
            if k_fit:
                fits += f", or --k {k_fit} or less"
            raise ConfigError(f"--k {self.k}: V would need {self.v_bits} bits for the worst case "
                              f"(every input salient), raw V has {V_BITS_MAX}: {fits}")

    def _other_homes(self) -> str:
        """Options that make this number of lanes work, where `homes` does not."""
        homes = self.rows if self.rows < self.homes and _power_of_two(self.rows) else 1
        lanes = max((lanes for lanes in range(1, self.int_lanes + 1)
                     if self.rows % lanes == 0 and (homes == 1 or lanes <= homes)), default=1)
        words = f"--homes {homes}" + (f" --int-lanes {lanes}" if lanes != self.int_lanes else "")
        try:
            self.with_(homes=homes, int_lanes=lanes)
        except ConfigError:         # padded to whole rows, K may need longer trains
            words += f" --k {max(1, self.k // self.rows * self.rows)}"
        return words

    # -- views -----------------------------------------------------------------------------------

    def params(self) -> dict[str, Any]:
        """The chosen parameters, as plain values (JSON-ready)."""
        return asdict(self)

    def derived(self) -> dict[str, int]:
        """Every derived width and depth, by name (JSON-ready)."""
        return {name: getattr(self, name) for name, attr in vars(type(self)).items()
                if isinstance(attr, property)}

    def with_(self, **changes: Any) -> Config:
        """A copy with some parameters changed, validated again."""
        return replace(self, **changes)

    def tile_rows(self, k: int) -> int:
        """Bank rows that one column tile of K = `k` inputs takes: ceil(k / G)."""
        return -(-k // self.groups)

    def home_position(self, pattern: int, home: int) -> int:
        """Offset of home `home` in pattern `pattern`: group g's lane there is g XOR this.

        Lanes are `homes` blocks of G; a group has one home lane in each block. The offset is
        pattern times home in GF(2^n), so that two lanes meet in as few groups as possible: for
        R = 16 and four homes this is the affine plane of order 4, where they meet in one.
        """
        if self.homes == 1:
            return 0
        bits = (self.patterns - 1).bit_length()
        product = 0
        for bit in range(bits):
            if home >> bit & 1:
                product ^= pattern << bit
        for bit in reversed(range(bits, 2 * bits - 1)):
            if product >> bit & 1:
                product ^= _FIELD[bits] << (bit - bits)
        return product % self.groups

    def home_lanes(self, k: int) -> list[int]:
        """The lanes whose banks hold input `k`, block by block."""
        row, group = divmod(k, self.groups)
        return [home * self.groups + (group ^ self.home_position(row % self.patterns, home))
                if self.homes > 1 else group for home in range(self.homes)]

    def col_tiles(self, n: int) -> int:
        """Column tiles that N = `n` outputs take: ceil(N / C)."""
        return -(-n // self.cols)

    def tiles_resident(self, k: int) -> int:
        """Column tiles of K = `k` that fit a weight slot at once."""
        return min(self.tiles, self.slot_rows // self.tile_rows(k))


#: Irreducible polynomials over GF(2) by degree, for `Config.home_position`.
_FIELD = {1: 0b11, 2: 0b111, 3: 0b1011, 4: 0b10011, 5: 0b100101, 6: 0b1000011, 7: 0b10000011,
          8: 0b100011011}


def _power_of_two(value: int) -> bool:
    return value & (value - 1) == 0


def flag_of(name: str) -> str:
    """The command-line flag of a field: `wgt_bits` -> `--wgt-bits`."""
    return "--" + name.replace("_", "-")


def user_fields() -> list[Field[Any]]:
    """The dataclass fields, in order; `.metadata` has help, cost and maybe choices."""
    return [f for f in fields(Config) if f.default is not MISSING]


#: Named starting points. `tiny` simulates in seconds, `large` is the shape to grow towards.
PRESETS: dict[str, Config] = {
    "tiny": Config(rows=4, cols=4, homes=2, int_lanes=2, k=64, depth=128, tiles=8, tokens=8,
                   exp_max=3, frac_bits=8, theta_bits=20, train_depth=64, list_depth=64,
                   acc_depth=64),
    "default": Config(),
    "large": Config(cols=64, homes=2, int_lanes=2, acc_depth=4096),
}


def preset(name: str) -> Config:
    """The named preset. Raises `ConfigError` naming the choices when there is none."""
    if name not in PRESETS:
        raise ConfigError(f"--preset {name}: unknown, choose from {', '.join(PRESETS)}")
    return PRESETS[name]


def parse_pe(text: str) -> tuple[int, int]:
    """Read `--pe RxC`. Raises `ConfigError` when `text` is not two positive numbers."""
    match = re.fullmatch(r"([0-9]{1,4})[xX]([0-9]{1,4})", text)
    if match is None or "0" in (match[1].strip("0") or "0", match[2].strip("0") or "0"):
        raise ConfigError(f"--pe {text}: must be ROWSxCOLUMNS, two numbers from 1, e.g. --pe 16x16")
    return int(match[1]), int(match[2])
