"""`python -m bench.area --pe 16x16`: ECP5 area of the machine after synthesis, block by block."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.report import versions_line, write_json
from gen.blocks import COLUMN, GLUE, block_of, opened
from gen.ecp5 import Cells, Synthesis, synthesise
from gen.files import check_target
from gen.options import OneLineParser, add_config_flags, config_from
from gen.verilog import TOP, to_verilog
from gen.yosys import YosysError
from hdl.top import top
from spinteger.config import Config, ConfigError


def by_block(synthesis: Synthesis, module: str | None = None) -> dict[str, Cells]:
    """Cells of each block; their sum is the whole machine.

    The column data path is the column bank: tree, S, V, and the control that columns share.
    Gating an idle lane is the reset of its output register: no LUT.
    """
    module = module or synthesis.top
    blocks: dict[str, Cells] = {GLUE: synthesis.glue(module)}
    for child, count in synthesis.children(module).items():
        stem = child.removeprefix(f"{synthesis.top}_")
        if opened(stem):
            for block, cells in by_block(synthesis, child).items():
                blocks[block] = blocks.get(block, Cells()) + cells * count
            continue
        block = block_of(stem)
        blocks[block] = blocks.get(block, Cells()) + synthesis.cells(child) * count
    return blocks


def parser() -> argparse.ArgumentParser:
    """Command line."""
    p = OneLineParser(
        prog="python -m bench.area", formatter_class=argparse.RawTextHelpFormatter,
        description="Synthesise the machine for ECP5 and count cells by block, out of context, "
                    "before placement.\nLUT = LUT4 + 2 CCU2C (+ 6 per 16x4 distributed RAM). "
                    "DSPs are used by the integer lanes, and 2 of them by the group scales.")
    add_config_flags(p)
    p.add_argument("--json", metavar="FILE", help="also write the figures as JSON")
    p.add_argument("--generic", action="store_true",
                   help="without the carry-chain mapping of add-subtracts (gen/ecp5.py)")
    p.add_argument("--nodsp", action="store_true", help="multipliers in LUTs as well")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when done, 2 on a configuration that cannot be built."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        args = parser().parse_args(argv)
        check_target("--json", args.json)
        cfg = config_from(args)
        with console.status("generating and synthesising (a minute or two for 16x16)"):
            synthesis = synthesise(to_verilog(top(cfg), TOP), TOP,
                                   carry_chains=not args.generic, dsp=not args.nodsp)
    except ConfigError as error:
        print(f"bench.area: {error}", file=sys.stderr)
        return 2
    except YosysError as error:
        print(f"bench.area: Yosys: {error}", file=sys.stderr)
        return 1
    report(cfg, synthesis, args, console)
    return 0


def report(cfg: Config, synthesis: Synthesis, args: argparse.Namespace, console: Console) -> None:
    """Print the table and write the JSON file."""
    lanes = cfg.rows * cfg.cols
    blocks = by_block(synthesis)
    total = synthesis.cells(TOP)
    table = Table(title=f"{cfg.rows}x{cfg.cols} machine on ECP5, after synthesis", box=None,
                  header_style="bold", title_justify="left")
    table.add_column("block")
    for name in ("LUT4", "CCU2C", "RAM16x4", "FF", "EBR", "DSP", "LUT", "LUT per lane"):
        table.add_column(name, justify="right")

    def row(name: str, cells: Cells, style: str = "") -> None:
        table.add_row(name, *(f"{count:,}" for count in (
            cells.lut4, cells.ccu2c, cells.dpr16x4, cells.ff, cells.ebr, cells.dsp, cells.lut)),
            f"{cells.lut / lanes:.1f}", style=style)

    for block, cells in sorted(blocks.items(), key=lambda item: -item[1].lut):
        row(block, cells)
    row("whole machine", total, "bold")
    console.print(table)
    flow = ("generic adders" if args.generic else
            f"{len(synthesis.mapped)} add-subtract modules mapped to carry chains")
    console.print(f"\nsynth_ecp5 -noflatten -no-rw-check -nowidelut"
                  f"{' -nodsp' if args.nodsp else ''}, {flow}")
    console.print(versions_line())
    if args.json:
        column = blocks[COLUMN]
        write_json(args.json, "area", cfg, {
            "target": "ecp5", "generic": args.generic, "dsp": not args.nodsp,
            "column_lut_per_lane": column.lut / lanes, "lut_per_lane": total.lut / lanes,
            "blocks": {name: {**cells.__dict__, "lut": cells.lut}
                       for name, cells in blocks.items()},
            "total": {**total.__dict__, "lut": total.lut}})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
