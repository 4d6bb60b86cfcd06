"""The host link: a machine's ports on one side, the bytes of a line on the other."""

from amaranth.hdl import Module, Mux, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.link_buffer import LinkBuffer
from hdl.link_commands import LinkCommands
from hdl.link_format import RING_BITS
from hdl.link_results import LinkResults
from hdl.link_rx import LinkRx
from hdl.link_tx import LinkTx
from hdl.packets import input_layout, output_layout
from spinteger import isa
from spinteger.config import Config


class LinkPort(wiring.Component):
    """Carries both data streams and the registers over a line that may lose or change bytes.

    docs/link.md has the protocol. `restart` must reset the machine: a host that starts anew finds
    it as after power-up.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "rx_data": In(8),                      #: a byte from the line, held for 10 cycles
            "rx_valid": In(1),                     #: ... came
            "tx": Out(stream.Signature(8)),        #: bytes to the line
            "input": Out(stream.Signature(input_layout(cfg))),     #: to the machine's input
            "output": In(stream.Signature(output_layout(cfg))),    #: from its output
            "reg_addr": Out(isa.REGISTER_ADDR_BITS),    #: to its registers
            "reg_write": Out(1),                   #: ... write
            "reg_wdata": Out(32),                  #: ... this
            "reg_rdata": In(32),                   #: from its registers
            "restart": Out(1),                     #: to its reset
            "busy": Out(1),                        #: bytes wait, of either direction
            "error": Out(1),                       #: the host's last frame was not taken
        })

    def elaborate(self, platform):
        m = Module()
        anew = ResetInserter(self.restart)
        rx, tx, buffer = LinkRx(), LinkTx(), LinkBuffer()
        commands, results = LinkCommands(self.cfg), LinkResults(self.cfg)
        m.submodules.rx, m.submodules.buffer = rx, buffer
        m.submodules.tx, m.submodules.commands, m.submodules.results = (
            anew(tx), anew(commands), anew(results))

        # From the line to the machine.
        m.d.comb += [
            rx.data.eq(self.rx_data), rx.valid.eq(self.rx_valid), rx.rd.eq(commands.rd),
            buffer.host.addr.eq(Mux(rx.put, rx.wr[:RING_BITS], commands.rd)),
            buffer.host.put.eq(rx.put), buffer.host.wdata.eq(rx.wdata),
            commands.byte.eq(buffer.host.rdata), commands.commit.eq(rx.commit),
            self.reg_addr.eq(commands.reg_addr), self.reg_write.eq(commands.reg_write),
            self.reg_wdata.eq(commands.reg_wdata),
        ]
        m.d.sync += self.restart.eq(rx.restart)
        wiring.connect(m, commands.beats, wiring.flipped(self.input))

        # From the machine to the line.
        wiring.connect(m, wiring.flipped(self.output), results.beats)
        m.d.comb += [
            results.read.eq(commands.read), results.identity.eq(commands.identity),
            results.rdata.eq(self.reg_rdata), commands.taken.eq(results.taken),
            results.base.eq(tx.base),
            buffer.board.addr.eq(Mux(results.put, results.wr[:RING_BITS], tx.rd[:RING_BITS])),
            buffer.board.put.eq(results.put), buffer.board.wdata.eq(results.entry),
            tx.entry.eq(buffer.board.rdata), tx.wr.eq(results.wr),
        ]
        wiring.connect(m, tx.output, wiring.flipped(self.tx))

        # What both sides tell each other.
        m.d.comb += [
            rx.base.eq(tx.base), tx.ack.eq(rx.ack), tx.acked.eq(rx.acked),
            tx.resend.eq(rx.resend), tx.expected.eq(rx.commit), tx.session.eq(rx.session),
            tx.round.eq(rx.round), tx.gap.eq(rx.gap), tx.answer.eq(rx.answer),
            # What it begins in the cycle of its reset is lost.
            rx.answered.eq(tx.answered & ~self.restart),
        ]
        m.d.comb += [self.busy.eq(commands.some | tx.some), self.error.eq(rx.gap)]
        return m
