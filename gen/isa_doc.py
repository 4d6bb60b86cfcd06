"""`python -m gen.isa_doc > docs/isa.md`: the reference of descriptors, errors and registers.

Everything comes from `spinteger.isa`, the table that the RTL and the driver read too; a test
holds the committed page to it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Sequence

from spinteger import isa
from spinteger.config import PRESETS, Config

INTRO = """\
# Instruction set and registers

This page is made by `python -m gen.isa_doc` from [`spinteger/isa.py`](../spinteger/isa.py), the
table that the hardware's decoder, the driver and the golden model are made from.

A program is a sequence of **packets** on the data input. A packet is a descriptor of 128 bits, then
the payload that its operation calls for; the stream's `last` marks its final beat. A descriptor
fills whole beats, low bits first: four of 32 bits, two of 64, one of 128 or more. Bits that belong
to no field must be zero.

Symbols: R lanes, C columns, H homes, G = R / H, all in the header of the generated Verilog. K
inputs take `rows` = ceil(K / G) weight rows per bank, N outputs take `tiles` = ceil(N / C) column
tiles; missing inputs and columns are sent as zeros. `python -m gen --json` writes all of this page
for programs to read, with the widths of one machine.

## Order and overlap

Packets are executed in order, but a run only has to be *accepted* before the next packet is looked
at. So loads overlap the runs before them, and the machine itself keeps them apart:

- a load waits while an accepted run still needs the slot or buffer that it would overwrite;
- a run waits for the tokens of its buffer one by one, so it starts when the first is encoded;
- `FENCE` waits for everything before it.

Two slots and two buffers are enough to compute without a pause, provided that the weights of one
slot arrive in the time that the runs on the other take:

```
input     LOAD_WGT 0 | LOAD_ACT 0 | RUN 0 | LOAD_WGT 1   | RUN 1 | LOAD_WGT 0 (waits) ...  | RUN
slot 0    ==loading==             <------ read by RUN 0 ------>   ==loading==
slot 1                                      ==loading==           <------ read by RUN 1 ------->
buffer 0               =encoding=<------- read by RUN 0 -------><-------- and by RUN 1 --------->
array                  ..........[token 0, tiles][token 1, tiles][token 0, tiles][token 1, tiles]
output                            t0: words END    t1: words END  ...
```
"""

WORKED = """\
## A worked example

Two tokens through one layer of K = 8 inputs and N = 4 outputs, on `--preset tiny` (G = {groups},
C = {cols}, beats of {bus_bits} bits), codes to the host. {rows} weight rows per bank, 1 tile:

| packet | descriptor | payload |
|---|---|---|
{packets}

What comes back: per token the tile's SALIENT and SPIKE words and an END word; the last one also
says `run_end` and ends the output packet. Then the fence's END word with 0x51 as data. In Python,
`sim.packets` builds these packets, and `sim.accelerator.Accelerator` whole programs of them.

On the {bus_bits}-bit input, beat by beat, and what the machine does with it:

{beats}
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def bits(offset: int, width: int) -> str:
    """`15..8`, or `7` for one bit."""
    return str(offset) if width == 1 else f"{offset + width - 1}..{offset}"


def operations() -> str:
    """A section per operation."""
    parts = ["## Operations", f"Bits {isa.OPCODE_BITS - 1}..0 of every descriptor are its code."]
    for op in isa.OPS:
        fields = [(f"`{field.name}`", bits(field.offset, field.bits), field.doc)
                  for field in op.fields]
        parts += [f"### {op.name} ({op.code})", op.doc, table(("field", "bits", "meaning"), fields),
                  f"*Payload.* {op.payload}"]
    return "\n\n".join(parts)


def comments(enum_class: type) -> dict[str, str]:
    """The `#:` comment of every member, read from the source."""
    found = re.findall(r"^    (\w+) = \d+\s+#: (.*)$", inspect.getsource(enum_class), re.M)
    return dict(found)


def errors() -> str:
    """The section on errors."""
    says = comments(isa.Error)
    rows = [(str(int(code)), code.name, says[code.name]) for code in isa.Error]
    return "\n\n".join([
        "## Errors",
        "A packet that cannot be obeyed is refused: its number (packets are counted from 0 since "
        "reset) and a code go to the `error` register, the rest of it up to `last` is swallowed, "
        "and the machine takes the next one. What a failed load would have filled is empty "
        "afterwards, so a run that needs it is refused too: there is no way to compute with "
        "half-loaded weights. The checks are made in the order of the codes.",
        table(("code", "name", "meaning"), rows)])


def registers() -> str:
    """The sections on registers and counters."""
    plain = [(f"0x{r.address:03x}", f"`{r.name}`", r.access, r.doc) for r in isa.REGISTERS
             if not r.name.endswith(("_low", "_high"))]
    low = {r.name: r for r in isa.REGISTERS}
    causes = [(f"0x{low[f'{name}_low'].address:03x}", f"`{name}`", doc) for name, doc in isa.CAUSES]
    events = [(f"0x{low[f'{name}_low'].address:03x}", f"`{name}`", doc) for name, doc in isa.EVENTS]
    return "\n\n".join([
        "## Registers", "32 bits each, at byte addresses.",
        table(("address", "register", "access", "meaning"), plain),
        "## Counters",
        f"{isa.COUNTER_BITS} bits each: the low word at the address below, the high word 4 "
        "further. Write `latch` first, and wait until it reads 0. `cycles` (at "
        f"0x{low['cycles_low'].address:03x}) counts every cycle since the counters were cleared, "
        "and each is charged to exactly one cause, so these add up to it:",
        table(("address", "cause", "a cycle of"), causes),
        "Beside them:", table(("address", "counter", "counts"), events),
        "## Data over Wishbone",
        "With `--bus wishbone` the data streams are registers as well, in the same address space. "
        "A beat goes in pieces of 32 bits, low ones first, and so do the results:",
        table(("address", "register", "access", "meaning"),
              [(f"0x{r.address:03x}", f"`{r.name}`", r.access, r.doc)
               for r in isa.WISHBONE_REGISTERS])])


def worked() -> str:
    """The worked example, with the descriptors as they really are."""
    cfg = PRESETS["tiny"]
    rows = cfg.tile_rows(8)
    program = [
        ("LOAD_WGT", {"slot": 0, "rows": rows, "tiles": 1},
         f"{rows * cfg.groups // cfg.wgt_beat_rows} beats, {cfg.wgt_beat_rows} rows of "
         f"{cfg.cols} x {cfg.wgt_bits} bits each"),
        ("LOAD_THR", {"slot": 0, "tiles": 1}, f"{cfg.cols} beats, a threshold each"),
        ("LOAD_ACT", {"buf": 0, "rows": rows, "tokens": 2},
         f"2 x (a beat with the shift, {rows} beats with {cfg.groups} codes each)"),
        ("RUN", {"slot": 0, "buf": 0, "rows": rows, "tiles": 1, "tokens": 2, "acc_first": 1,
                 "acc_last": 1, "host": 1}, "none"),
        ("FENCE", {"tag": 0x51}, "none"),
    ]
    lines = []
    for name, fields, payload in program:
        given = ", ".join(f"{key}={value}" for key, value in fields.items())
        lines.append(f"| `{name}` {given} | `0x{isa.encode(name, **fields):032x}` | {payload} |")
    return WORKED.format(groups=cfg.groups, cols=cfg.cols, bus_bits=cfg.bus_bits, rows=rows,
                         packets="\n".join(lines), beats=_beats(cfg, rows))


def _beats(cfg: Config, rows: int) -> str:
    """The example's beats as a table."""
    head = isa.DESCRIPTOR_BITS // cfg.bus_bits
    parts = [("LOAD_WGT", rows * cfg.groups // cfg.wgt_beat_rows, "weight rows",
              "stores them, each in all its homes"),
             ("LOAD_THR", cfg.cols, "thresholds", "stores them"),
             ("LOAD_ACT", 2 * (1 + rows * cfg.act_word_beats), "shift and codes, token by token",
              "encodes; a token's train is complete soon after its last beat"),
             ("RUN", 0, "", "queues the run, which plays the trains; words and ENDs come out"),
             ("FENCE", 0, "", "waits for the run, then puts out an END with the tag")]
    found, at = [], 0
    for name, payload, what, does in parts:
        end = at + head - 1
        found.append((f"{at} .. {end}", f"descriptor of `{name}`", "" if payload else str(end),
                      "checks it" if payload else f"checks it, {does}"))
        if payload:
            found.append((f"{end + 1} .. {end + payload}", what, str(end + payload), does))
        at = end + payload + 1
    return table(("beat", "data", "`last`", "what happens"), found)


def page() -> str:
    """The whole page."""
    return "\n\n".join([INTRO.rstrip(), operations(), errors(), worked().rstrip(),
                        registers()]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
