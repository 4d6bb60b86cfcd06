"""Bench of the encoder with queues, recorder and memories: tokens in, trains and lists out."""

import cocotb
import numpy as np
import torch
from cocotb.triggers import ClockCycles, FallingEdge

from hdl.balancer import row_cycles
from sim.words import Ints
from tb.encoder_bench import EncoderBench, Token, fitting, token_of
from tb.stimuli import extreme_codes, random_codes

torch.set_num_threads(1)


def random_load(bench: EncoderBench, buf: int, count: int, k: int | None = None,
                salient: float | None = None) -> list[Token]:
    """Tokens of one random K for a buffer, rarely a multiple of the groups."""
    cfg, rng = bench.cfg, bench.rng
    k = k or rng.randint(1, cfg.k)
    share = rng.choice((0.0, 0.1, 0.5, 1.0)) if salient is None else salient
    q, e = random_codes(bench, count, k, share)
    return [token_of(bench, q[i], e[i], buf) for i in range(count)]


def loads_of(bench: EncoderBench, q: Ints, e: Ints) -> list[list[list[Token]]]:
    """These tokens, split into loads that both buffers hold."""
    parts: list[list[Token]] = [[]]
    for n in range(len(q)):
        token = token_of(bench, q[n], e[n], (len(parts) + 1) % 2)
        if (fitting(bench.cfg, [*parts[-1], token]) <= len(parts[-1])
                or len(parts[-1]) == bench.cfg.tokens):
            parts.append([])
            token = token_of(bench, q[n], e[n], (len(parts) + 1) % 2)
        parts[-1].append(token)
    return [parts[n:n + 2] for n in range(0, len(parts), 2)]


@cocotb.test()
async def random_tokens(dut):
    """Random tokens into both buffers, so many that some do not fit; every stall rate."""
    for trial in range(12):
        bench = EncoderBench(dut, f"random_tokens/{trial}")
        await (bench.reset() if trial else bench.start())
        await bench.check([random_load(bench, buf, bench.rng.randint(1, bench.cfg.tokens))
                           for buf in range(2)])


@cocotb.test()
async def extreme_tokens(dut):
    """Silent, all salient, all maximal, every level, one lane with all; K not a multiple of G."""
    bench = EncoderBench(dut, "extreme_tokens", stall=0.0)
    await bench.start()
    q, e = extreme_codes(bench.cfg, bench.cfg.k - (bench.cfg.groups > 1))
    order = bench.rng.sample(range(len(q)), len(q))
    for loads in loads_of(bench, q[order], e[order]):
        await bench.check(loads)


@cocotb.test()
async def every_code(dut):
    """Every q with every exponent; zero is silent with any. Beyond the golden model's codes,
    q = -128 stays an integer, and so does what is negative where spikes have no sign."""
    bench = EncoderBench(dut, "every_code", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    codes = [(value, exponent) for exponent in range(cfg.exp_max + 1)
             for value in range(-cfg.sal_max - 1, cfg.sal_max + 1)]
    bench.rng.shuffle(codes)
    codes += [(0, 0)] * (-len(codes) % cfg.k)
    q, e = np.array(codes, np.int64).reshape(-1, cfg.k, 2).transpose(2, 0, 1)
    for loads in loads_of(bench, q, e):
        await bench.check(loads)


@cocotb.test()
async def full_buffers(dut):
    """Tokens of the largest K until one does not fit, for the trains and for the lists; the other
    buffer is unharmed, and `open` empties the full one."""
    bench = EncoderBench(dut, "full_buffers", stall=0.0)
    await bench.start()
    cfg, overfull = bench.cfg, 0
    for low, high in ((1, cfg.window), (cfg.window + 1, cfg.sal_max)):
        for buf in range(2):
            q = bench.numpy().integers(low, high + 1, (cfg.tokens, cfg.k))
            full = [token_of(bench, one, np.zeros_like(one), buf) for one in q]
            overfull += fitting(cfg, full) < len(full)
            loads = [full, random_load(bench, 1 - buf, 1)]
            await bench.check(loads if buf == 0 else loads[::-1])
    assert overfull >= 2, "most of them fit"


@cocotb.test()
async def failed_tokens(dut):
    """A token that must not be used makes its buffer bad, not full, and those after it are lost."""
    for trial in range(4):
        bench = EncoderBench(dut, f"failed_tokens/{trial}")
        await (bench.reset() if trial else bench.start())
        loads = [random_load(bench, buf, 4, k=max(1, bench.cfg.k // 4)) for buf in range(2)]
        q, e = random_codes(bench, 1, max(1, bench.cfg.k // 4))
        at = bench.rng.randrange(4)
        loads[trial % 2][at] = token_of(bench, q[0], e[0], trial % 2, fail=True)
        await bench.check(loads)


@cocotb.test()
async def open_one_while_the_other_fills(dut):
    """A buffer starts anew, again and again, between the words of the other's tokens."""
    bench = EncoderBench(dut, "open_one_while_the_other_fills", stall=0.3)
    await bench.start()
    cfg = bench.cfg
    await bench.open(0, 1)
    for trial in range(4):
        buf = trial % 2
        await bench.open(buf)
        load = random_load(bench, buf, 3, k=max(1, cfg.k // 3))
        sending = cocotb.start_soon(bench.send(load))
        for _ in range(5):
            await ClockCycles(dut.clk, 3)
            await FallingEdge(dut.clk)
            await bench.open(1 - buf)
        await bench.wait("room for tokens", sending)
        await bench.quiet()
        await bench.read(buf, load)


@cocotb.test()
async def word_rate(dut):
    """Rows at the encoder's rate and L + 1 cycles between tokens, while the recorder keeps up; a
    row with n salient inputs takes n."""
    bench = EncoderBench(dut, "word_rate", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    k = cfg.rows_k * cfg.groups
    q = np.zeros((2, k), np.int64)
    q[:, ::cfg.groups] = 1                       # one spike a row: its train is not longer
    q[1, 1::cfg.groups] = cfg.sal_max
    tokens = [token_of(bench, one, np.zeros_like(one), 0) for one in q]
    assert all(token.want.length <= cfg.rows_k for token in tokens)
    await bench.open(0)
    await bench.wait("last row", bench.send(tokens),
                     2 * (row_cycles(cfg) * cfg.rows_k + cfg.window + 1) + 4)
    await bench.quiet()
    await bench.read(0, tokens)
    salient = token_of(bench, np.full(k, cfg.sal_max), np.zeros(k, np.int64), 0)
    await bench.open(0)
    await bench.wait("last row", bench.send([salient]),
                     max(k, row_cycles(cfg) * cfg.rows_k) + cfg.window + 4)
    await bench.quiet()
    await bench.read(0, [salient])


@cocotb.test()
async def reset_in_mid_run(dut):
    """Reset at random moments; the tokens after it find empty queues, lists and tables."""
    bench = EncoderBench(dut, "reset_in_mid_run")
    await bench.start()
    for trial in range(8):
        sending = cocotb.start_soon(bench.send(random_load(bench, trial % 2, 4)))
        await ClockCycles(dut.clk, bench.rng.randint(1, 100))
        await bench.abort(sending)
        bench = EncoderBench(dut, f"reset_in_mid_run/{trial}")
        assert not bench.ready(0) and not bench.ready(1)
        loads = [random_load(bench, buf, 2, k=max(1, bench.cfg.k // 2)) for buf in range(2)]
        for load in loads:       # without `open`: a reset empties the buffers
            await bench.wait("room for tokens", bench.send(load))
        await bench.quiet()
        for buf, load in enumerate(loads):
            await bench.read(buf, load)
