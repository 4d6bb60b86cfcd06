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

    rows: int = _param(16, "spike lanes (R of --pe RxC); input k lives in lane k mod R",
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
    int_lanes: int = _param(1, "integer lanes for salient inputs, each serving R/int_lanes banks",
                            "C multipliers of (sal_bits+E) x wgt_bits each")
    sal_bits: int = _param(8, "bits of a salient integer q (signed)",
                           "width of the integer lanes' multipliers, and of V")
    exp_max: int = _param(9, "largest exponent E of a salient value q*2^e (0: plain INT8)",
                          "every step doubles V's range and adds one firing stage")
    k: int = _param(2048, "largest number of inputs K of one pass",
                    "depth of the event queues (K/R per level and buffer), width of S and V")
    depth: int = _param(0, "weight rows per bank; each resident column tile takes ceil(K/R) of "
                           "them (0: room for 8 tiles of the largest K)",
                        "C x wgt_bits x R bits of block memory per row")
    tiles: int = _param(32, "largest number of column tiles resident at once",
                        "C thresholds of theta_bits per tile")
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

    def __post_init__(self) -> None:
        self.validate()

    # -- widths and depths that follow ------------------------------------------------------

    @property
    def rows_k(self) -> int:
        """Weight rows of one column tile at the largest K: input k sits in row k // R."""
        return self.tile_rows(self.k)

    @property
    def bank_depth(self) -> int:
        """Weight rows per bank: `depth`, or eight tiles of the largest K."""
        return self.depth or 8 * self.rows_k

    @property
    def row_bits(self) -> int:
        """Bits of a row number within a tile (what an event carries)."""
        return max(1, (self.rows_k - 1).bit_length())

    @property
    def addr_bits(self) -> int:
        """Bits of a bank address: tile base + row."""
        return max(1, (self.bank_depth - 1).bit_length())

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
    def count_bits(self) -> int:
        """Bits of a bucket's event count: all rows of a lane may share one level."""
        return self.rows_k.bit_length()

    @property
    def exp_bits(self) -> int:
        """Bits of a salient exponent 0..E; 0 when every salient value is a plain integer."""
        return self.exp_max.bit_length()

    @property
    def group(self) -> int:
        """Spike lanes (and so banks) served by one integer lane."""
        return self.rows // self.int_lanes

    @property
    def salient_depth(self) -> int:
        """Entries of one integer lane's salient list: every input of its banks may be salient."""
        return self.group * self.rows_k

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
        return (self.rows * self.rows_k * self.wgt_max).bit_length() + 1

    @property
    def prod_bits(self) -> int:
        """Bits of one column's sum of integer-lane products, |w|max * 2^(sal_bits-1) * 2^E each."""
        x_max = 1 << (self.sal_bits - 1 + self.exp_max)
        return (self.int_lanes * self.wgt_max * x_max).bit_length() + 1

    @property
    def v_bits(self) -> int:
        """Bits of V: |V| <= K * |w|max * the largest |x|, which is a salient one, 2^(7+E)."""
        x_max = 1 << (self.sal_bits - 1 + self.exp_max)
        return (self.rows * self.rows_k * self.wgt_max * x_max).bit_length() + 1

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
        for name, low, high in (("wgt_bits", 2, 8), ("sal_bits", 4, 12),
                                ("exp_max", 0, 15), ("k", 1, 65536), ("depth", 0, 65536),
                                ("tiles", 1, 4096), ("frac_bits", 0, 24), ("theta_bits", 4, 48)):
            value = getattr(self, name)
            need(low <= value <= high, flag_of(name), value, f"must be {low}..{high}")
        need(self.window in (1, 3, 7, 15), "--window", self.window,
             "must be 1, 3, 7 or 15 (a power of two less one: all levels of 1 to 4 bits)")
        need(self.fire in FIRE_ORDERS, "--fire", self.fire,
             f"must be one of {', '.join(FIRE_ORDERS)}")
        need(1 <= self.int_lanes <= self.rows and self.rows % self.int_lanes == 0, "--int-lanes",
             self.int_lanes, f"must divide the {self.rows} spike lanes, e.g. "
             f"{', '.join(str(d) for d in range(1, self.rows + 1) if self.rows % d == 0)}")
        need(self.sal_max >= self.window, "--sal-bits", self.sal_bits,
             f"a salient value must reach past the window {self.window}: use "
             f"--sal-bits {self.window.bit_length() + 1} or more")
        need(self.rows_k <= self.bank_depth, "--k", self.k,
             f"needs {self.rows_k} rows per bank but --depth is {self.depth}: use --k "
             f"{self.depth * self.rows} or less, or --depth {self.rows_k} or more")
        need(self.tiles <= self.bank_depth, "--tiles", self.tiles,
             f"every tile needs a bank row: use --tiles {self.bank_depth} or less")
        need(self.theta_bits > self.frac_bits, "--theta-bits", self.theta_bits,
             f"must exceed --frac-bits {self.frac_bits}")
        if self.v_bits > V_BITS_MAX:
            over = self.v_bits - V_BITS_MAX
            fits = (f"use --exp-max {self.exp_max - over} or less" if self.exp_max >= over
                    else "use fewer --sal-bits or --wgt-bits")
            k_fit = (self.rows_k >> over) * self.rows
            if k_fit:
                fits += f", or --k {k_fit} or less"
            raise ConfigError(f"--k {self.k}: V would need {self.v_bits} bits for the worst case "
                              f"(every input salient), raw V has {V_BITS_MAX}: {fits}")

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
        """Bank rows that one column tile of K = `k` inputs takes: ceil(k / R)."""
        return -(-k // self.rows)

    def col_tiles(self, n: int) -> int:
        """Column tiles that N = `n` outputs take: ceil(N / C)."""
        return -(-n // self.cols)

    def tiles_resident(self, k: int) -> int:
        """Column tiles of K = `k` that fit the banks at once."""
        return min(self.tiles, self.bank_depth // self.tile_rows(k))


def flag_of(name: str) -> str:
    """The command-line flag of a field: `wgt_bits` -> `--wgt-bits`."""
    return "--" + name.replace("_", "-")


def user_fields() -> list[Field[Any]]:
    """The dataclass fields, in order; `.metadata` has help, cost and maybe choices."""
    return [f for f in fields(Config) if f.default is not MISSING]


#: Named starting points. `tiny` simulates in seconds, `large` is the shape to grow towards.
PRESETS: dict[str, Config] = {
    "tiny": Config(rows=4, cols=4, k=64, depth=64, tiles=8, exp_max=3, frac_bits=8, theta_bits=20),
    "default": Config(),
    "large": Config(cols=64, depth=512),
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
