"""docs/isa.md is what `python -m gen.isa_doc` writes, and leaves nothing of the tables out."""

from pathlib import Path

from gen import isa_doc
from spinteger import isa

PAGE = isa_doc.page()


def test_the_committed_page_is_current():
    page = (Path(__file__).parents[2] / "docs" / "isa.md").read_text(encoding="utf-8")
    assert page == PAGE, "run: python -m gen.isa_doc > docs/isa.md"


def test_every_operation_field_and_error_is_there():
    for op in isa.OPS:
        section = PAGE.split(f"### {op.name} ({op.code})\n")[1].split("\n##")[0]
        for field in op.fields:
            last = field.offset + field.bits - 1
            bits = f"{field.offset}" if field.bits == 1 else f"{last}..{field.offset}"
            assert f"| `{field.name}` | {bits} | {field.doc} |" in section
        assert op.payload in section
    for code in isa.Error:
        assert f"| {code.value} | {code.name} | " in PAGE


def test_every_register_and_counter_is_there():
    for register in (*isa.REGISTERS, *isa.WISHBONE_REGISTERS):
        if not register.name.endswith(("_low", "_high")):
            assert f"| 0x{register.address:03x} | `{register.name}` | {register.access} |" in PAGE
    for name, doc in (*isa.CAUSES, *isa.EVENTS):
        assert f"| 0x{isa.BY_REGISTER[f'{name}_low'].address:03x} | `{name}` | {doc} |" in PAGE


def test_the_worked_example_counts_its_beats():
    """Its packets, built by the driver, end at the beats that the table says."""
    import numpy as np

    from sim import packets
    from spinteger.config import PRESETS

    cfg = PRESETS["tiny"]
    zeros = np.zeros((2, 8), np.int64)
    program = [packets.load_wgt(cfg, 0, np.zeros((8, 4), np.int64)),
               packets.load_thr(cfg, 0, np.ones(4, np.int64)),
               packets.load_act(cfg, 0, zeros, zeros),
               packets.run(cfg, slot=0, buf=0, rows=4, tiles=1, tokens=2, acc_first=1, acc_last=1,
                           host=1), packets.fence(0x51)]
    end = -1
    for packet in program:
        end += len(packet.beats(cfg))
        assert f"| {end} | " in PAGE
        assert f"`0x{packet.descriptor:032x}`" in PAGE
