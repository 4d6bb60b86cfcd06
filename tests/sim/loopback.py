"""A stand-in for the machine: same ports, no array. Echoes payloads, answers fences and registers.

So the harnesses can be tested without a machine, in seconds.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.packets import input_layout, output_layout
from sim.packets import fence_word, word_beats
from spinteger import isa
from spinteger.config import Config


class Loopback(wiring.Component):
    """Payload beats of any packet go to the output as they are; a FENCE's word follows.

    Registers: id; control (read back); error counts the packets without payload, its code is the
    last one's opcode; counter `cycles` as of the last `latch`. An opcode of 255 blocks for ever.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "input": In(stream.Signature(input_layout(cfg))),
            "output": Out(stream.Signature(output_layout(cfg))),
            "reg_addr": In(isa.REGISTER_ADDR_BITS), "reg_write": In(1), "reg_wdata": In(32),
            "reg_rdata": Out(32), "irq": Out(1)})

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        heads = max(1, isa.DESCRIPTOR_BITS // cfg.bus_bits)
        beats = word_beats(cfg)
        head = Signal(heads * cfg.bus_bits)
        at, sent = Signal(range(heads + 1)), Signal(range(beats + 1))
        beat, out = self.input.payload, self.output
        opcode, tag = head[:8], head[8:40]
        taken = self.input.valid & self.input.ready
        with m.FSM():
            with m.State("head"):
                m.d.comb += self.input.ready.eq(1)
                with m.If(taken):
                    m.d.sync += [head.eq(Cat(head, beat.data)[-len(head):]), at.eq(at + 1)]
                    with m.If(beat.last):
                        m.d.sync += at.eq(0)
                        m.next = "done"
                    with m.Elif(at == heads - 1):
                        m.d.sync += at.eq(0)
                        m.next = "payload"
            with m.State("payload"):
                m.d.comb += [out.valid.eq(self.input.valid), out.payload.data.eq(beat.data),
                             out.payload.last.eq(beat.last), self.input.ready.eq(out.ready)]
                with m.If(taken & beat.last):
                    m.next = "head"
            with m.State("done"):
                with m.If(opcode == isa.BY_NAME["FENCE"].code):
                    word = Signal(beats * cfg.bus_bits)
                    m.d.comb += [
                        word.eq(fence_word(cfg, 0) | tag), out.valid.eq(1),
                        out.payload.data.eq(word.word_select(sent, cfg.bus_bits)),
                        out.payload.last.eq(sent == beats - 1)]
                    with m.If(out.ready):
                        m.d.sync += sent.eq(sent + 1)
                        with m.If(out.payload.last):
                            m.d.sync += sent.eq(0)
                            m.next = "head"
                with m.Elif(opcode != 255):
                    m.next = "head"

        where = {name: register.address for name, register in isa.BY_REGISTER.items()}
        cycles, latched, control = Signal(48), Signal(48), Signal(32)
        errors = Signal(32)
        m.d.sync += [cycles.eq(cycles + 1), self.reg_rdata.eq(0)]
        with m.If(taken & beat.last & (at == heads - 1) & (beat.data != 0)):
            m.d.sync += errors.eq(errors + 1)
        with m.If(self.reg_write & (self.reg_addr == where["latch"])):
            m.d.sync += latched.eq(cycles)
        with m.If(self.reg_write & (self.reg_addr == where["control"])):
            m.d.sync += control.eq(self.reg_wdata)
        values = {"id": isa.ID_VALUE, "control": control, "cycles_low": latched[:32],
                  "cycles_high": latched[32:], "error_count": errors, "error": errors << 8}
        with m.Switch(self.reg_addr):
            for name, value in values.items():
                with m.Case(where[name]):
                    m.d.sync += self.reg_rdata.eq(value)
        return m
