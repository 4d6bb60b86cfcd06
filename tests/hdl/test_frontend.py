"""Front end: random programs, good and broken, against the model; stalls, resets, overlap."""

import random

import pytest

from hdl.frontend import Frontend
from hdl.payloads import OutKind, out_layout
from spinteger import isa
from spinteger.config import Config
from tests.hdl.fake_array import FakeArray, run_words
from tests.hdl.front_model import CONFIGS, Front, Plan
from tests.hdl.front_traffic import beats, payload, program, whole
from tests.hdl.streams import Bench, put, simulate

QUIET = Plan(0, trouble=0.0)


def last_marked(packets: list) -> list[dict]:
    return [{"data": data, "keep": keep, "last": at == len(packet) - 1}
            for packet in packets for at, (data, keep) in enumerate(packet)]


def output(cfg: Config, front: Front) -> list[tuple[int, int]]:
    """Beats (data, last) that must come out."""
    layout, out = out_layout(cfg), []
    for what, value in front.out:
        if what == "run":
            words = run_words(cfg, front.plan, value)
        else:
            data = value & (1 << layout["data"].width) - 1
            words = [layout.const({"data": data, "kind": OutKind.END, "last": 1,
                                   "run_end": 1}).as_bits()]
        count = -(-layout.size // cfg.bus_bits)
        mine = [(word >> at * cfg.bus_bits & (1 << cfg.bus_bits) - 1, 0)
                for word in words for at in range(count)]
        out += [*mine[:-1], (mine[-1][0], 1)]
    return out


def seen_wgt(cfg: Config, word) -> tuple:
    rows = {n: sum((int(code) & (1 << cfg.wgt_bits) - 1) << at * cfg.wgt_bits
                   for at, code in enumerate(word.row[n]))
            for n in range(cfg.wgt_beat_rows) if word.mask >> n & 1}
    return word.addr, word.group, word.pattern, rows


def seen_act(cfg: Config, word, want: tuple) -> tuple:
    codes = tuple((int(code.q) & (1 << cfg.sal_bits) - 1, code.e if cfg.exp_bits else 0)
                  for code in word.code)
    return (None if want[0] is None else codes, word.last, word.fail, word.buf,
            None if want[4] is None else word.shift if cfg.shift_bits else 0)


def check(cfg: Config, fake: FakeArray, front: Front, out: list) -> None:
    """What came is what had to come, and not before it was allowed to."""
    got = fake.got
    assert sorted(fake.errors) == sorted((int(code), number) for code, number in front.errors)
    assert [seen_wgt(cfg, word) for word, _ in got["wgt"]] == [want for want, _ in front.wgt]
    assert [(word.value, word.is_scale, word.column, word.index) for word, _ in got["thr"]] \
        == [(*want[:1], int(want[1]), *want[2:]) for want, _ in front.thr]
    assert len(got["act"]) == len(front.act)
    for (word, _), want in zip(got["act"], front.act, strict=True):
        assert seen_act(cfg, word, want) == want
    assert len(got["run"]) == len(front.runs)
    for (word, _), v in zip(got["run"], front.runs, strict=True):
        place = {"buf": v["buf"], "token_last": v["tokens"] - 1, "tile_last": v["tiles"] - 1,
                 "base": v["slot"] * cfg.slot_rows,
                 "stride": v["rows"] & (1 << cfg.addr_bits) - 1}
        assert {name: word[name] for name in place} == place
        assert word.fire.index == v["slot"] * cfg.tiles
        for name in ("raw", "unsigned", "spikes_only", "silence", "scale", "acc_first", "acc_last",
                     "host", "chain", "chain_buf", "chain_last"):
            assert word.fire[name] == v[name], name
    assert [buf for buf, _ in fake.opens] == [buf for buf, _ in front.opens]
    for came, wanted in ((got["wgt"], front.wgt), (got["thr"], front.thr),
                         (fake.opens, front.opens)):
        assert all(done >= need for (_, done), (_, need) in zip(came, wanted, strict=True))
    assert out == output(cfg, front)
    assert fake.passed == [value for what, value in front.out if what == "fence"]
    assert (fake.loaded, fake.skipped) == (front.loaded, front.skipped)


async def collect(ctx, dut, out: list, rng: random.Random, stall: float, count: int,
                  cycles: int = 1 << 30) -> None:
    """Take beats of the output until there are so many, or so many cycles have passed."""
    while len(out) < count and cycles:
        cycles -= 1
        ctx.set(dut.output.ready, rng.random() >= stall)
        _, _, valid, ready, beat = await ctx.tick().sample(
            dut.output.valid, dut.output.ready, dut.output.payload)
        if valid and ready:
            out.append((beat.data, beat.last))
    ctx.set(dut.output.ready, 0)


def watch(dut: Frontend) -> list:
    return [dut.wgt, dut.thr, dut.act, dut.run, dut.output]


def run(cfg: Config, packets: list, front: Front, seed: int, stall: float = 0.3, slow: int = 40,
        freeze: str = "", reset_after: int | None = None) -> FakeArray:
    """Send packets and check all that comes of them; ends with the fence that ends them.

    `freeze`: first refuse all of this stream until nothing else moves. `reset_after`: first send
    other packets, and reset the machine after so many cycles.
    """
    dut, rng, out = Frontend(cfg), random.Random(seed), []
    bench = Bench(dut)
    fake = FakeArray(cfg, dut, front.plan, rng, stall, slow)
    before = [] if reset_after is None else program(cfg, front.plan, 30, rng)[0]

    async def main(ctx):
        if reset_after is not None:
            ctx.set(dut.output.ready, 1)
            words, taken = last_marked(before), 0
            for cycle in range(reset_after + 1):
                ctx.set(bench.rst, cycle == reset_after)
                ctx.set(dut.input.valid, taken < len(words))
                ctx.set(dut.input.payload, words[min(taken, len(words) - 1)])
                taken += (await ctx.tick().sample(dut.input.ready))[-1]
            ctx.set(bench.rst, 0)
            ctx.set(dut.input.valid, 0)
        ctx.set(dut.output.ready, 0)
        started[0] = True
        await put(ctx, dut.input, last_marked(packets), rng, stall)

    started = [False]

    async def receive(ctx):
        if freeze:
            if freeze != "output":
                fake.frozen = {freeze}
            await collect(ctx, dut, out, rng, 1 if freeze == "output" else stall, 1 << 20,
                          cycles=3000)
            fake.frozen = set()
        while not started[0]:
            await ctx.tick()
        await collect(ctx, dut, out, rng, stall, len(output(cfg, front)))
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.busy)
        assert ctx.get(dut.waiting) == 0
        assert ctx.get(dut.packets) == len(packets)

    simulate(bench, main, receive, watch=watch(dut), deadline=15_000, processes=[fake.process])
    check(cfg, fake, front, out)
    return fake


@pytest.mark.parametrize("stall, slow", [(0.0, 1), (0.3, 40), (0.6, 5)])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_programs(cfg: Config, stall: float, slow: int) -> None:
    for seed in range(2):
        packets, front = program(cfg, Plan(seed), 30, random.Random(f"{seed} {stall}"))
        run(cfg, packets, front, seed, stall, slow)


@pytest.mark.parametrize("stream", ["wgt", "thr", "act", "run", "output"])
def test_a_blocked_stream_is_a_clean_wait(stream: str) -> None:
    packets, front = program(CONFIGS["tiny"], Plan(3), 30, random.Random(5))
    run(CONFIGS["tiny"], packets, front, 3, freeze=stream)


@pytest.mark.parametrize("seed", range(8))
def test_reset_at_any_moment(seed: int) -> None:
    """What was half done is forgotten; packets count from 0 again."""
    cfg, rng = CONFIGS["tiny"], random.Random(seed)
    packets, front = program(cfg, Plan(seed), 15, rng)
    run(cfg, packets, front, seed, stall=0.1, slow=10, reset_after=rng.randrange(20, 400))


def loads(cfg: Config) -> list[tuple[str, dict]]:
    """A load of each kind, small."""
    slot = {"slot": 0, "tiles": 1}
    return [("LOAD_WGT", slot | {"rows": 1, "sparse": 0}), ("LOAD_WGT", slot | {"rows": 2,
            "sparse": 1}), ("LOAD_THR", slot), ("LOAD_SCALE", slot),
            ("LOAD_ACT", {"buf": 1, "rows": 2, "tokens": 2})]


@pytest.mark.parametrize("kind", range(5), ids=["wgt", "sparse", "thr", "scale", "act"])
@pytest.mark.parametrize("name", ["tiny", "odd", "bus_32"])
def test_loads_broken_at_every_beat(name: str, kind: int) -> None:
    """Cut, or with a bad beat, anywhere; then whole again. Runs on what is broken are refused."""
    cfg, rng = CONFIGS[name], random.Random(kind)
    front = Front(cfg, QUIET)
    packets = []

    def send(op: str, v: dict, change=lambda packet: packet) -> None:
        packets.append(change(beats(cfg, isa.encode(op, **v), payload(cfg, op, v, rng))))
        front.packets(packets[-1:])

    good = loads(cfg)
    op, v = good[kind]
    for other, values in good:
        send(other, values)
    rows = 1 if op != "LOAD_ACT" else 2
    size = len(beats(cfg, 0, payload(cfg, op, v, rng)))
    probe = {"slot": 0, "buf": 1, "rows": rows, "tiles": 1, "tokens": 2, "acc_first": 1,
             "acc_last": 1, "host": 1, "scale": 1}
    for at in range(1, size + 2):
        for change in (lambda packet, at=at: packet[:at],
                       lambda packet, at=at: [*packet[:at - 1], (1, 0b101), *packet[at:]],
                       lambda packet, at=at: packet + [(0, whole(cfg))] * at):
            send(op, v, change)
            send("RUN", probe)
        send(op, v)
    send("FENCE", {"tag": 1})
    run(cfg, packets, front, kind, stall=0.1, slow=3)


def test_weights_load_at_one_beat_per_cycle() -> None:
    """All kinds of loads do, dense or sparse, once they have begun; `map_step` inputs that a map
    leaves out take a cycle."""
    cfg, rng = CONFIGS["tiny"], random.Random(1)
    for op, v in (("LOAD_WGT", {"rows": 9, "tiles": 3}),
                  ("LOAD_WGT", {"rows": 9, "tiles": 3, "sparse": 1}),
                  ("LOAD_ACT", {"rows": 9, "tokens": 4})):
        dut, taken = Frontend(cfg), []
        bench = Bench(dut)
        packet = beats(cfg, isa.encode(op, **v), payload(cfg, op, {"sparse": 0} | v, rng))

        async def send(ctx, dut=dut, bench=bench, packet=packet, taken=taken):
            for name in ("wgt", "act"):
                ctx.set(getattr(dut, name).ready, 1)
            taken += await put(ctx, dut.input, last_marked([packet]), cycle=bench.cycle)

        simulate(bench, send)
        head = 128 // cfg.bus_bits
        front = Front(cfg, QUIET).packets([packet])
        assert front.errors == [] and (taken[-1] - taken[head + 1]
                                       <= len(packet) - head - 2 + front.empty_steps)


def hold(packets: list[tuple[str, dict]], watchful) -> None:
    """Send packets to an array whose runs do not end until `watchful(dut, fake, ctx)` returns."""
    cfg, rng = CONFIGS["tiny"], random.Random(2)
    front = Front(cfg, QUIET)
    sent = [beats(cfg, isa.encode(op, **v), payload(cfg, op, v, rng)) for op, v in packets]
    front.packets(sent)
    dut, out = Frontend(cfg), []
    fake = FakeArray(cfg, dut, QUIET, rng, 0.0, 1, hold=True)

    async def send(ctx):
        await put(ctx, dut.input, last_marked(sent))

    async def receive(ctx):
        await collect(ctx, dut, out, rng, 0.0, 1 << 20, cycles=500)
        watchful(ctx, dut, fake)
        fake.hold = False
        await collect(ctx, dut, out, rng, 0.0, len(output(cfg, front)))

    simulate(Bench(dut), send, receive, watch=watch(dut), deadline=5_000,
             processes=[fake.process])
    check(cfg, fake, front, out)


WEIGHTS = [("LOAD_WGT", {"slot": slot, "sparse": 0, "rows": 2, "tiles": 1}) for slot in range(2)]
TOKENS = [("LOAD_ACT", {"buf": buf, "rows": 2, "tokens": 1}) for buf in range(2)]
RUN = {"slot": 0, "buf": 0, "rows": 2, "tiles": 1, "tokens": 1, "raw": 1, "acc_first": 1,
       "acc_last": 1, "host": 1}
FENCE = ("FENCE", {"tag": 7})


def test_other_slot_and_buffer_load_while_a_run_computes() -> None:
    def watchful(ctx, dut, fake):
        assert len(fake.got["wgt"]) == 4 and len(fake.got["act"]) == 4 and fake.done == 0
        assert not ctx.get(dut.loading_weights) and ctx.get(dut.busy)
        assert ctx.get(dut.waiting) == 2 and fake.passed == []     # the run, and the fence

    hold([WEIGHTS[0], TOKENS[0], ("RUN", RUN), WEIGHTS[1], TOKENS[1], FENCE], watchful)


@pytest.mark.parametrize("load", [WEIGHTS[0], ("LOAD_THR", {"slot": 0, "tiles": 1}), TOKENS[0]],
                         ids=["weights", "thresholds", "tokens"])
def test_loads_wait_for_the_runs_that_use_their_target(load: tuple) -> None:
    def watchful(ctx, dut, fake):
        assert (len(fake.got["wgt"]), len(fake.got["thr"]), len(fake.got["act"])) == (2, 0, 2)
        assert ctx.get(dut.loading_acts) == (load is TOKENS[0])
        assert ctx.get(dut.loading_weights) == (load is not TOKENS[0])

    hold([WEIGHTS[0], TOKENS[0], ("RUN", RUN), load, FENCE], watchful)


def test_a_chain_waits_for_the_runs_that_read_its_buffer() -> None:
    """... and a run that reads what a chain filled needs no wait."""
    def watchful(ctx, dut, fake):
        assert len(fake.opens) == 2 and len(fake.got["run"]) == 1

    chain = RUN | {"raw": 0, "chain": 1, "chain_buf": 1, "chain_first": 1, "chain_last": 1}
    hold([WEIGHTS[0], ("LOAD_THR", {"slot": 0, "tiles": 1}), *TOKENS,
          ("RUN", RUN | {"buf": 1}), ("RUN", chain), ("RUN", RUN | {"buf": 1}),
          FENCE], watchful)


def test_runs_queue_up() -> None:
    """Two in flight, four in the queue, and one that waits at the dispatcher."""
    def watchful(ctx, dut, fake):
        assert len(fake.got["run"]) == 2 and ctx.get(dut.waiting) == 7

    hold([WEIGHTS[0], TOKENS[0], *[("RUN", RUN)] * 9, FENCE], watchful)


def test_a_fence_passes_an_open_chain() -> None:
    """The half token waits for the chain's next run, which comes after the fence."""
    chain = RUN | {"raw": 0, "chain": 1, "chain_buf": 1}
    hold([WEIGHTS[0], ("LOAD_THR", {"slot": 0, "tiles": 1}), TOKENS[0],
          ("RUN", chain | {"chain_first": 1}), FENCE, TOKENS[0], ("RUN", chain),
          ("RUN", chain | {"chain_last": 1}), FENCE], lambda ctx, dut, fake: None)
