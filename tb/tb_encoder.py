"""Bench of the encoder with its queues: tokens in, events popped level by level, salients read."""

import cocotb
import numpy as np
import torch
from cocotb.triggers import ClockCycles, FallingEdge

from sim import words
from tb.bench import Bench
from tb.encoder_bench import EncoderBench, Token, token_from, token_of
from tb.stimuli import extreme_codes
from tb.streams import Late
from tb.tb_array import random_codes

torch.set_num_threads(1)


def random_tokens_of(bench: Bench, count: int, k: int | None = None) -> list[Token]:
    """Tokens of one random K, rarely a multiple of the lanes."""
    cfg, rng = bench.cfg, bench.rng
    k = k or rng.randint(1, cfg.k)
    share = rng.choice((0.0, 0.1, 0.5, 1.0))
    q, e = random_codes(bench, count, k, share)
    return [token_of(bench, q[i], e[i]) for i in range(count)]


@cocotb.test()
async def random_tokens(dut):
    """Random tokens back to back; sender, spikes, integers and pops each at its own pace."""
    for trial in range(12):
        bench = EncoderBench(dut, f"random_tokens/{trial}")
        await (bench.reset() if trial else bench.start())
        await bench.check(random_tokens_of(bench, 5))


@cocotb.test()
async def extreme_tokens(dut):
    """Silent, all salient, all maximal, every level, one lane with all; K not a multiple of R."""
    bench = EncoderBench(dut, "extreme_tokens", stall=0.0)
    await bench.start()
    q, e = extreme_codes(bench.cfg, bench.cfg.k - (bench.cfg.rows > 1))
    order = bench.rng.sample(range(len(q)), len(q))
    await bench.check([token_of(bench, q[i], e[i]) for i in order])


@cocotb.test()
async def every_code(dut):
    """Every q with every exponent; zero is silent with any. Beyond the golden model's codes,
    q = -128 stays an integer, and so does what is negative where spikes have no sign."""
    bench = EncoderBench(dut, "every_code", stall=0.0)
    await bench.start()
    cfg, tokens = bench.cfg, []
    codes = [(value, exponent) for exponent in range(cfg.exp_max + 1)
             for value in range(-cfg.sal_max - 1, cfg.sal_max + 1)]
    bench.rng.shuffle(codes)
    low = -cfg.window if cfg.signed else 0
    for first in range(0, len(codes), cfg.k):
        mine = codes[first:first + cfg.k]
        spikes, salients = [], []
        for k, (value, exponent) in enumerate(mine):
            if exponent == 0 and value != 0 and low <= value <= cfg.window:
                spikes.append((abs(value), k, value))
            elif value:
                salients.append((k, value, exponent))
        q, e = np.array(mine, np.int64).T
        tokens.append(token_from(bench, q, e, spikes, salients))
    await bench.check(tokens)


@cocotb.test()
async def consumer_blocked(dut):
    """One consumer takes nothing for 3,000 cycles: two tokens wait, the third is not taken."""
    for blocked in ("token", "salients"):
        bench = EncoderBench(dut, f"consumer_blocked/{blocked}", stall=0.0)
        await (bench.reset() if blocked == "salients" else bench.start())
        tokens = random_tokens_of(bench, 5, k=min(bench.cfg.k, 3 * bench.cfg.rows))
        bench.pace[blocked] = Late(3_000)
        bench.start_tokens(tokens)
        await ClockCycles(dut.clk, 2_900)
        await FallingEdge(dut.clk)
        assert bench.act.sent == 2 * len(tokens[0].act), "words taken that have no buffer"
        for task in bench.tasks:
            await bench.wait("end of the run", task)


@cocotb.test()
async def word_rate(dut):
    """A word a cycle and one between tokens, if no group has two salient codes in a word."""
    bench = EncoderBench(dut, "word_rate", stall=0.0)
    await bench.start()
    cfg = bench.cfg
    q = np.full((2, cfg.rows_k * cfg.rows), cfg.window)
    q[1, ::cfg.group] = cfg.sal_max
    tokens = [token_of(bench, one, np.zeros_like(one)) for one in q[:, :cfg.k]]
    bench.start_tokens(tokens)
    await bench.wait("last word", bench.tasks[0], 2 * cfg.rows_k + 4)
    for task in bench.tasks:
        await bench.wait("end of the run", task)


@cocotb.test()
async def too_long(dut):
    """A token longer than K: the rest is dropped, `overflow` is up until reset, others unharmed."""
    bench = EncoderBench(dut, "too_long")
    await bench.start()
    cfg = bench.cfg
    fits = cfg.rows_k * cfg.rows
    q, e = random_codes(bench, 3, fits, 0.3)
    tokens = [token_of(bench, q[i], e[i]) for i in range(3)]
    for token, more in enumerate((1, 2 << cfg.count_bits)):    # one row; more than a counter has
        tail_q, tail_e = random_codes(bench, 1, more * cfg.rows, 0.5)
        tokens[token].act = words.act_words(
            cfg, np.concatenate([q[token:token + 1], tail_q], axis=1),
            np.concatenate([e[token:token + 1], tail_e], axis=1))
    await bench.check(tokens[2:])
    assert not int(dut.overflow.value)
    await bench.reset()
    await bench.check(tokens)
    assert int(dut.overflow.value)
    await bench.reset()
    assert not int(dut.overflow.value)
    await bench.check(tokens[2:])


@cocotb.test()
async def reset_in_mid_run(dut):
    """Reset at random moments; the tokens after it find empty queues."""
    bench = EncoderBench(dut, "reset_in_mid_run")
    await bench.start()
    for trial in range(8):
        bench.start_tokens(random_tokens_of(bench, 4))
        await ClockCycles(dut.clk, bench.rng.randint(1, 100))
        await bench.abort(*bench.tasks)
        bench = EncoderBench(dut, f"reset_in_mid_run/{trial}")
        await bench.check(random_tokens_of(bench, 2))        # two: the next is in buffer 0
