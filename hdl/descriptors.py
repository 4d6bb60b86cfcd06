"""Descriptors: from the 128 bits of `spinteger.isa` to one set of named fields."""

from amaranth.hdl import Cat, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from spinteger.isa import DESCRIPTOR_BITS, OPCODE_BITS, OPS, Op


def descriptor_layout(op: Op) -> data.FlexibleLayout:
    """An operation's descriptor, as it travels."""
    fields = {"opcode": data.Field(OPCODE_BITS, 0)}
    fields |= {field.name: data.Field(field.bits, field.offset) for field in op.fields}
    return data.FlexibleLayout(DESCRIPTOR_BITS, fields)


def command_layout() -> data.StructLayout:
    """Which operation it is (one hot, by its name in lower case), and the fields of all of them.

    Fields that the operation has not are 0.
    """
    fields: dict[str, int] = {}
    for op in OPS:
        for field in op.fields:
            assert fields.setdefault(field.name, field.bits) == field.bits, field.name
    return data.StructLayout({"op": data.StructLayout({op.name.lower(): 1 for op in OPS})} | fields)


class Decoder(wiring.Component):
    """Sorts a descriptor's bits by the table of operations. No latency."""

    def __init__(self) -> None:
        super().__init__({
            "descriptor": In(DESCRIPTOR_BITS),    #: 128 bits
            "command": Out(command_layout()),     #: its fields; no operation if unknown
            "reserved": Out(1),                   #: a bit outside the operation's fields is set
        })

    def elaborate(self, platform):
        m = Module()
        with m.Switch(self.descriptor[:OPCODE_BITS]):
            for op in OPS:
                with m.Case(op.code):
                    view = data.View(descriptor_layout(op), self.descriptor)
                    m.d.comb += self.command.op[op.name.lower()].eq(1)
                    m.d.comb += [self.command[field.name].eq(view[field.name])
                                 for field in op.fields]

        # Bits that the same operations leave unused are looked at together.
        unused = {}
        for bit in range(DESCRIPTOR_BITS):
            names = tuple(op.name.lower() for op in OPS if not op.used >> bit & 1)
            unused.setdefault(names, []).append(bit)
        m.d.comb += self.reserved.eq(Cat(
            Cat(self.command.op[name] for name in names).any()
            & Cat(self.descriptor[bit] for bit in bits).any()
            for names, bits in unused.items()).any())
        return m
