"""Descriptors: from the bits of `spinteger.isa` to one set of named fields."""

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.packets import USED_BITS
from spinteger.isa import OPCODE_BITS, OPS


def command_layout() -> data.StructLayout:
    """Which operation it is (one hot, by its name in lower case), and the fields of all of them.

    Fields that the operation has not mean nothing.
    """
    fields: dict[str, int] = {}
    for op in OPS:
        for field in op.fields:
            assert fields.setdefault(field.name, field.bits) == field.bits, field.name
    return data.StructLayout({"op": data.StructLayout({op.name.lower(): 1 for op in OPS})} | fields)


class Decoder(wiring.Component):
    """Sorts a descriptor's bits by the table of operations. It must hold; latency 1 cycle."""

    def __init__(self) -> None:
        super().__init__({
            "descriptor": In(USED_BITS),          #: its bits, up to the last one ever used
            "above": In(1),                       #: there are others
            "command": Out(command_layout()),     #: its fields; no operation if unknown
            "reserved": Out(1),                   #: a bit outside the operation's fields is set
        })

    def elaborate(self, platform):
        m = Module()
        command = self.command
        for op in OPS:
            m.d.sync += command.op[op.name.lower()].eq(self.descriptor[:OPCODE_BITS] == op.code)

        # A field is where the operation has it; where most have it, if the operation has none.
        for name in command.shape().members:
            if name != "op":
                m.d.comb += command[name].eq(self._field(name))

        # Bits that the same operations leave unused are looked at together.
        unused = {}
        for bit in range(USED_BITS):
            names = tuple(op.name.lower() for op in OPS if not op.used >> bit & 1)
            unused.setdefault(names, []).append(bit)
        m.d.comb += self.reserved.eq((self.above & command.op.as_value().any()) | Cat(
            Cat(command.op[name] for name in names).any()
            & Cat(self.descriptor[bit] for bit in bits).any()
            for names, bits in unused.items()).any())
        return m

    def _field(self, name: str):
        """The bits of a field, from the two places at most that operations have it at."""
        places: dict[int, list] = {}
        for op in OPS:
            for field in op.fields:
                if field.name == name:
                    places.setdefault(field.offset, []).append(op)
                    bits = field.bits
        offsets = sorted(places, key=lambda offset: len(places[offset]))
        value = self.descriptor[offsets[-1]:offsets[-1] + bits]
        for offset in offsets[:-1]:
            here = Cat(self.command.op[op.name.lower()] for op in places[offset]).any()
            value = Mux(here, self.descriptor[offset:offset + bits], value)
        return value
