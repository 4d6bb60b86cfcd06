"""The machine on a board, synthesised: what place and route gets, and what the board must hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from gen import blocks, ecp5, ice40
from gen.boards import TOP, Board
from gen.verilog import TOP as CORE
from gen.verilog import to_verilog
from spinteger.config import Config, ConfigError

#: Share of a part's LUTs that place and route can be expected to fill.
FILL = 0.9
#: Most machines that are synthesised to find the largest one that fits.
ATTEMPTS = 4


@dataclass(frozen=True)
class Design:
    """A machine behind its host link, with a board's pins and clock around it."""

    board: Board
    cfg: Config
    mhz: float          #: its clock
    baud: int           #: bits a second of the host link
    netlist: str = field(repr=False)        #: flattened, for nextpnr
    constraints: str = field(repr=False)    #: pins and clock

    @cached_property
    def by_block(self) -> dict[str, dict[str, int]]:
        """LUT, FF, EBR, DSP of every block, after synthesis."""
        family = self.board.part.family
        return {block: blocks.takes(counts, family) for block, counts in
                blocks.Hierarchy(self.netlist, TOP).counts.items()}

    @cached_property
    def need(self) -> dict[str, int]:
        """LUT, FF, EBR, DSP of all."""
        total: Counter[str] = Counter()
        for taken in self.by_block.values():
            total.update(taken)
        return dict(total)

    @property
    def missing(self) -> dict[str, int]:
        """What the board lacks, by resource; empty when the design fits."""
        return self.board.part.missing(self.need)


def synthesise(board: Board, cfg: Config, mhz: float, baud: int) -> Design:
    """Generate and synthesise the machine for a board. `mhz`: a clock of `board_top.clock_for`.

    Raises `YosysError`, and `ConfigError` when the clock cannot make the baud rate.
    """
    from hdl.serial_top import SerialTop  # only when needed: --help should be quick

    return on_board(board, to_verilog(SerialTop(cfg, mhz * 1e6, baud), CORE), cfg, mhz, baud)


def on_board(board: Board, core: str, cfg: Config, mhz: float, baud: int) -> Design:
    """Synthesise any Verilog whose top module has the ports of `SerialTop`; see `synthesise`."""
    around, constraints = board.around(CORE, mhz)
    verilog = f"{core}\n{around}"
    netlist = (ecp5.synthesise(verilog, TOP).netlist if board.part.family == "ecp5"
               else ice40.synthesise(verilog, TOP))
    return Design(board, cfg, mhz, baud, netlist, constraints)


def memory_bits(cfg: Config) -> int:
    """Block memory that a machine takes at the least: weights, and spike trains.

    Bits; every other memory is small beside these.
    """
    trains = 2 * cfg.train_depth * cfg.rows * (cfg.rows_k.bit_length() + 1)
    return cfg.rows * cfg.bank_depth * cfg.row_bits + trains


def memory_held(board: Board) -> int:
    """Bits of block memory on a board's FPGA; single-port RAMs serve none of our memories."""
    part = board.part
    return part.ebr * (18_432 if part.family == "ecp5" else 4_096)


def shortage(board: Board, cfg: Config) -> str:
    """Why a machine cannot fit, found without synthesis; "" when only synthesis can tell."""
    bits, held = memory_bits(cfg), memory_held(board)
    if bits > held:
        return (f"{board.name} holds {held // 1024:,} kbit of memory, --pe {cfg.rows}x{cfg.cols} "
                f"needs {bits // 1024:,} kbit or more")
    return ""


def excess(design: Design) -> str:
    """Why a synthesised machine does not fit; "" when it does."""
    missing, part = design.missing, design.board.part
    if not missing:
        return ""
    name = max(missing, key=lambda name: missing[name] / part.holds[name])
    return (f"{design.board.name} holds {part.holds[name]:,} {name}, "
            f"--pe {design.cfg.rows}x{design.cfg.cols} needs {design.need[name]:,}")


def smaller(cfg: Config) -> list[Config]:
    """Machines with fewer lanes, the largest first: rows and columns halved again and again.

    Homes and integer lanes shrink with the rows where they must.
    """
    found = []
    for down in range(8):
        for left in range(8):
            rows, cols = cfg.rows >> down, cfg.cols >> left
            if down + left and rows and cols > 1:
                homes = min(cfg.homes, rows)
                try:
                    found.append(cfg.with_(rows=rows, cols=cols, homes=homes,
                                           int_lanes=min(cfg.int_lanes, homes if homes > 1
                                                         else rows)))
                except ConfigError:
                    continue
    return sorted(found, key=lambda cfg: (-cfg.rows * cfg.cols, abs(cfg.rows - cfg.cols)))


def scaled(design: Design, cfg: Config) -> dict[str, int]:
    """What a machine of another shape would need, about: every block grows with what it is for."""
    was = design.cfg
    lanes = cfg.rows * cfg.cols / (was.rows * was.cols)
    rows = cfg.rows / was.rows
    memory = memory_bits(cfg) / memory_bits(was)
    products = cfg.cols * cfg.int_lanes / (was.cols * was.int_lanes)
    growth = {blocks.COLUMN: lanes, blocks.BLOCKS["weight_bank"]: rows,
              blocks.BLOCKS["event_queue"]: rows, blocks.BLOCKS["recorder"]: (1 + rows) / 2,
              blocks.BLOCKS["encoder"]: rows, blocks.BLOCKS["integer_unit"]: products}
    total: Counter[str] = Counter()
    for block, taken in design.by_block.items():
        for name, count in taken.items():
            by = memory if name == "EBR" and block == blocks.BLOCKS["weight_bank"] else \
                growth.get(block, 1.0)
            total[name] += round(count * by)
    return dict(total)


def largest(board: Board, cfg: Config, mhz: float, baud: int, design: Design | None = None,
            tell: Callable[[str], None] = lambda text: None) -> Config | None:
    """The largest machine below `cfg` that fits a board, as synthesis says; None when none does.

    `design`: one that does not fit, synthesised, when there is one. `tell` gets what is going on.
    """
    part = board.part
    attempts = 0
    for candidate in smaller(cfg):
        if shortage(board, candidate):
            continue
        if design is not None:
            need = scaled(design, candidate)
            need["LUT"] = round(need["LUT"] / FILL)
            if part.missing(need):
                continue
        elif candidate.rows * candidate.cols > part.lut / 16:
            continue            # no machine has so few LUTs per lane
        if attempts == ATTEMPTS:
            return None
        attempts += 1
        tell(f"does {candidate.rows}x{candidate.cols} fit? synthesising it")
        design = synthesise(board, candidate, mhz, baud)
        if not design.missing and design.need["LUT"] <= FILL * part.lut:
            return candidate
    return None
