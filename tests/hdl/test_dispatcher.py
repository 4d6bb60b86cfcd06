"""Dispatcher: every refusal and its order, state after loads and runs, waits, numbers of errors."""

import random

import pytest

from hdl.dispatcher import Dispatcher
from hdl.packets import USED_BITS
from spinteger import isa
from spinteger.config import PRESETS, Config
from spinteger.isa import Error
from tests.hdl.fake_array import FakeArray
from tests.hdl.front_model import CONFIGS, Front, Plan, Refused
from tests.hdl.front_traffic import beats, faulty, sensible
from tests.hdl.streams import Bench, put, simulate

TINY = PRESETS["tiny"]      # G = 2, C = 4, slot_rows = 64, rows_k = 32, 8 tiles, 8 tokens
LOAD_ERRORS = (Error.TLAST_EARLY, Error.TLAST_LATE, Error.BAD_KEEP)


class Heads(Front):
    """The model without payloads: how each load ends is given."""

    result = Error.NONE

    def head(self, descriptor: int, last: bool, error: Error, result: Error) -> None:
        self.result = result
        packet = beats(self.cfg, descriptor, [] if last else [0])
        if error == Error.TLAST_EARLY:
            packet = []
        elif error:
            packet = [(0, 0b101)]
        self.packets([packet])

    def _feed(self, load, beats) -> None:
        if self.result:
            raise Refused(self.result)


Head = tuple[int, bool, Error, Error]       # descriptor, last, its error, how its load ends


def head_of(number: int, descriptor: int, last: bool, error: Error = Error.NONE) -> dict:
    """What the packet reader says of a packet."""
    return {"descriptor": descriptor & (1 << USED_BITS) - 1, "above": descriptor >> USED_BITS > 0,
            "last": last, "error": error, "number": number}


def run(cfg: Config, heads: list[Head], plan: Plan, seed: int, stall: float = 0.3,
        slow: int = 20) -> Heads:
    """Dispatch all, and check what leaves the dispatcher."""
    dut, rng, front = Dispatcher(cfg), random.Random(seed), Heads(cfg, plan)
    fake = FakeArray(cfg, dut, plan, rng, stall, slow)
    for head in heads:
        front.head(*head)
    fences, loads, taken = [], [], []

    async def send(ctx):
        await put(ctx, dut.head, [head_of(number, descriptor, last, error)
                                  for number, (descriptor, last, error, _) in enumerate(heads)],
                  rng, stall)

    async def rest(ctx):
        """Reader, loader and output: bodies to drop, loads that end, fences."""
        current, body, loading, offered = -1, False, -1, False
        sampled = (dut.head.valid, dut.head.ready, dut.start, dut.empty, dut.drop, dut.load,
                   dut.loading_weights, dut.loading_acts, dut.fence.valid, dut.fence.ready,
                   dut.fence.payload, dut.encoding)
        async for _, _, *values in ctx.tick().sample(*sampled):
            valid, ready, start, empty, drop, load, weights, acts, fence, take, tag, coding = values
            if valid and not offered:
                current += 1
                body = not heads[current][1]
            if valid and ready:
                assert not body and loading < 0, "the packet is not over"
            offered = valid and not ready
            if start:
                op = isa.BY_CODE[heads[current][0] & 0xFF].name
                assert (weights, acts) == (op != "LOAD_ACT", op == "LOAD_ACT")
                assert empty == heads[current][1]
                loads.append((current, load))
                loading = rng.randrange(1, slow + 1)
            if loading >= 0:
                loading -= 1
            result = heads[current][3]
            ctx.set(dut.loaded, loading == 0)
            ctx.set(dut.load_error, result)
            if loading == 0:
                body = body and result in (Error.TLAST_LATE, Error.BAD_KEEP)
            if drop and rng.random() < 0.5:
                body = False
            ctx.set(dut.body, body)
            if fence and take:
                half = 0 if front_chain(current) is None else 1 << front_chain(current)
                assert not coding & ~half and not fake.flight, "a fence passed too early"
                fences.append((tag, fake.done))
            ctx.set(dut.fence.ready, rng.random() >= stall)
            taken.append(current)

    def front_chain(number: int) -> int | None:
        """The buffer whose chain is open after so many packets."""
        model = Heads(cfg, plan)
        for head in heads[:number + 1]:
            model.head(*head)
        return None if model.chain is None else model.chain[0]

    async def main(ctx):
        while not taken or taken[-1] < len(heads) - 1:
            await ctx.tick()
        while ctx.get(dut.waiting) or ctx.get(dut.busy):
            await ctx.tick()
        await ctx.tick().repeat(3)
        assert not ctx.get(dut.waiting)

    simulate(Bench(dut), send, main, watch=[dut.run, dut.fence], processes=[rest, fake.process],
             deadline=30_000)
    assert sorted(fake.errors) == sorted((int(code), number) for code, number in front.errors)
    assert [(word.buf, word.base, word.token_last, word.tile_last, word.fire.index)
            for word, _ in fake.got["run"]] == [
        (v["buf"], v["slot"] * cfg.slot_rows, v["tokens"] - 1, v["tiles"] - 1,
         v["slot"] * cfg.tiles) for v in front.runs]
    assert [buf for buf, _ in fake.opens] == [buf for buf, _ in front.opens]
    assert all(done >= need for (_, done), (_, need) in zip(fake.opens, front.opens, strict=True))
    want = [(value, sum(what == "run" for what, _ in front.out[:at]))
            for at, (what, value) in enumerate(front.out) if what == "fence"]
    assert [tag for tag, _ in fences] == [tag for tag, _ in want]
    for number, load in loads:
        op, v = isa.decode(heads[number][0])
        assert [load.op[kind] for kind in ("wgt", "thr", "scale", "act")] \
            == [op.name == f"LOAD_{kind}" for kind in ("WGT", "THR", "SCALE", "ACT")]
        slot = v.get("slot", 0)
        assert op.name == "LOAD_ACT" or load.slot == slot
        for name, value in v.items():
            if name != "slot":
                assert load[name] == value
    return front


@pytest.mark.parametrize("stall, slow", [(0.0, 1), (0.4, 20)])
@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_random_descriptors(cfg: Config, stall: float, slow: int) -> None:
    """Mostly sensible; fields changed, bits flipped, loads that fail, packets with rests."""
    for seed in range(2):
        rng, plan = random.Random(seed), Plan(seed)
        model, heads = Heads(cfg, plan), []
        for _ in range(70):
            op, v = sensible(model, rng)
            if rng.random() < 0.3:
                faulty(op, v, rng)
            last = op in ("RUN", "FENCE") if rng.random() < 0.95 else rng.random() < 0.5
            result = rng.choice(LOAD_ERRORS) if rng.random() < 0.1 else Error.NONE
            error = rng.choice([Error.BAD_KEEP, Error.TLAST_EARLY]) if rng.random() < 0.05 \
                else Error.NONE
            if last and op.startswith("LOAD"):
                result = Error.TLAST_EARLY
            bits = 1 << rng.randrange(128) if rng.random() < 0.05 else 0
            heads.append((isa.encode(op, **v) ^ bits, last, error, result))
            decoded = isa.decode(heads[-1][0])[0]
            if decoded is not None and decoded.name.startswith("LOAD") and last:
                heads[-1] = (*heads[-1][:3], Error.TLAST_EARLY)
            model.head(*heads[-1])
        run(cfg, heads, plan, seed, stall, slow)


SLOT = {"slot": 1, "tiles": 2}
WGT = ("LOAD_WGT", SLOT | {"rows": 3})
THR, SCALE = ("LOAD_THR", SLOT), ("LOAD_SCALE", SLOT)
ACT = ("LOAD_ACT", {"buf": 0, "rows": 3, "tokens": 2})
ONE = ("LOAD_ACT", {"buf": 0, "rows": 3, "tokens": 1})
RUN = SLOT | {"buf": 0, "rows": 3, "tokens": 2, "acc_first": 1, "acc_last": 1, "host": 1}
KEEP = RUN | {"acc_last": 0, "host": 0}
CHAIN = RUN | {"tokens": 1, "host": 0, "chain": 1, "chain_buf": 1}
ALL = [WGT, THR, SCALE, ACT]

#: What came before (None: nothing), an operation, its fields: the error it must give.
REFUSALS = [
    (None, "RUN", RUN | {"slot": 2}, Error.BAD_SLOT),
    (None, "LOAD_THR", SLOT | {"slot": 15}, Error.BAD_SLOT),
    *[(None, op, v | {name: bad}, Error.BAD_SIZE)
      for op, v in (WGT, THR, SCALE, ACT, ("RUN", RUN))
      for name, values in (("rows", (0, 33, 65535)), ("tiles", (0, 9, 4095)),
                           ("tokens", (0, 9, 4095))) if name in v for bad in values],
    (None, "LOAD_WGT", SLOT | {"rows": 9, "tiles": 8}, Error.BAD_SIZE),
    (None, "LOAD_WGT", SLOT | {"rows": 8, "tiles": 8}, Error.NONE),
    (None, "LOAD_WGT", SLOT | {"rows": 32, "tiles": 2}, Error.NONE),
    (None, "LOAD_WGT", SLOT | {"rows": 32, "tiles": 3}, Error.BAD_SIZE),
    *[(ALL, "RUN", RUN | flags, Error.BAD_FLAGS) for flags in (
        {"host": 0}, {"acc_last": 0}, {"silence": 8}, {"chain_buf": 1}, {"chain_first": 1},
        {"chain_last": 1}, {"acc_last": 0, "host": 0, "chain": 1, "chain_buf": 1},
        {"chain": 1, "chain_buf": 1, "chain_first": 1}, {"chain": 1, "chain_buf": 1,
                                                         "chain_last": 1},
        {"chain": 1, "chain_first": 1, "chain_last": 1},
        {"raw": 1, "chain": 1, "chain_buf": 1, "chain_first": 1, "chain_last": 1})],
    (None, *THR, Error.SLOT_EMPTY), (None, *SCALE, Error.SLOT_EMPTY),
    (None, "RUN", RUN, Error.SLOT_EMPTY),
    ([WGT], "LOAD_THR", SLOT | {"tiles": 3}, Error.SLOT_MISMATCH),
    ([WGT], "LOAD_SCALE", SLOT | {"tiles": 1}, Error.SLOT_MISMATCH),
    ([WGT], "LOAD_THR", SLOT | {"slot": 0}, Error.SLOT_EMPTY),
    (ALL, "RUN", RUN | {"rows": 4}, Error.SLOT_MISMATCH),
    (ALL, "RUN", RUN | {"tiles": 1}, Error.SLOT_MISMATCH),
    ([WGT, ACT], "RUN", RUN, Error.NO_THRESHOLDS), ([WGT, ACT], "RUN", KEEP, Error.NONE),
    ([WGT, ACT], "RUN", RUN | {"raw": 1}, Error.NONE),
    ([*ALL, WGT], "RUN", RUN, Error.NO_THRESHOLDS),
    ([WGT, THR, ACT], "RUN", RUN | {"scale": 1}, Error.NO_SCALES),
    (ALL, "RUN", RUN | {"scale": 1}, Error.NONE), ([WGT, THR], "RUN", RUN, Error.BUF_EMPTY),
    (ALL, "RUN", RUN | {"buf": 1}, Error.BUF_EMPTY),
    ([WGT, THR, ONE], "RUN", RUN, Error.BUF_MISMATCH),
    ([WGT, THR, ("LOAD_ACT", ACT[1] | {"rows": 4})], "RUN", RUN, Error.BUF_MISMATCH),
    (ALL, "RUN", RUN | {"acc_first": 0}, Error.ACC_MISMATCH),
    ([*ALL, ("RUN", KEEP)], "RUN", RUN | {"acc_first": 0}, Error.NONE),
    ([*ALL, ("RUN", KEEP), ("RUN", RUN)], "RUN", KEEP | {"acc_first": 0}, Error.NONE),
    ([*ALL, ("RUN", KEEP), ("RUN", RUN | {"acc_first": 0})], "RUN", RUN | {"acc_first": 0},
     Error.ACC_MISMATCH),
    ([*ALL, ("RUN", KEEP), ONE], "RUN", RUN | {"tokens": 1, "acc_first": 0}, Error.ACC_MISMATCH),
    *[([("LOAD_WGT", {"slot": 1, "rows": 3, "tiles": 4}),
        ("LOAD_ACT", {"buf": 0, "rows": 3, "tokens": tokens})], "RUN",
       KEEP | {"tiles": 4, "tokens": tokens}, error)
      for tokens, error in ((4, Error.NONE), (5, Error.ACC_FULL))],
    ([WGT, THR, ONE], "RUN", CHAIN, Error.CHAIN_ORDER),
    ([WGT, THR, ONE], "RUN", CHAIN | {"chain_last": 1}, Error.CHAIN_ORDER),
    *[([WGT, THR, ONE, ("RUN", CHAIN | {"chain_first": 1}), *more], op, v, error)
      for more, op, v, error in (
        ([], "RUN", CHAIN | {"chain_first": 1}, Error.CHAIN_ORDER),
        ([], *ONE, Error.CHAIN_ORDER), ([], "RUN", CHAIN, Error.NONE), ([], *WGT, Error.NONE),
        ([], "RUN", RUN | {"tokens": 1}, Error.NONE),
        ([], "RUN", RUN | {"buf": 1, "tokens": 1}, Error.BUF_EMPTY),
        ([("RUN", CHAIN | {"chain_last": 1})], "RUN", CHAIN | {"chain_first": 1}, Error.NONE),
        # 2 x 2 tiles of 4 columns are 8 rows of 2 inputs.
        ([("RUN", CHAIN | {"chain_last": 1}), ("LOAD_WGT", SLOT | {"rows": 8})], "RUN",
         KEEP | {"buf": 1, "tokens": 1, "rows": 8}, Error.NONE),
        ([("RUN", CHAIN | {"chain_last": 1})], "RUN", KEEP | {"buf": 1, "tokens": 1},
         Error.BUF_MISMATCH),
        # 64 inputs are 16 tiles.
        ([("RUN", CHAIN)] * 6, "RUN", CHAIN, Error.NONE),
        ([("RUN", CHAIN)] * 7, "RUN", CHAIN, Error.BAD_SIZE))],
]


@pytest.mark.parametrize("before, op, v, error", REFUSALS,
                         ids=[f"{op}-{error.name}-{n}" for n, (_, op, _, error)
                              in enumerate(REFUSALS)])
def test_refusals(before, op: str, v: dict, error: Error) -> None:
    """What is accepted before, and then this."""
    heads = [(isa.encode(other, **values), other == "RUN", Error.NONE, Error.NONE)
             for other, values in [*(before or []), (op, v)]]
    front = run(TINY, heads, Plan(0, 0.0), 0, 0.0, 1)
    assert front.errors == ([(error, len(heads) - 1)] if error else [])


def test_bad_opcodes_and_reserved_bits() -> None:
    """Codes that are none; bits that mean nothing. All of them: test_packets."""
    heads = [(code, code % 2 == 0, Error.NONE, Error.NONE) for code in (0, 7, 8, 127, 128, 255)]
    heads += [(op.code | 1 << bit, True, Error.NONE, Error.NONE) for op in isa.OPS
              for bit in (op.used.bit_length(), 90, 127)]
    front = run(TINY, heads, Plan(0, 0.0), 0, 0.0, 1)
    assert [code for code, _ in front.errors] == [
        Error.BAD_RESERVED if head[0] & 0xFF in isa.BY_CODE else Error.BAD_OPCODE
        for head in heads]


@pytest.mark.parametrize("result", LOAD_ERRORS)
def test_a_failed_load_leaves_its_target_invalid(result: Error) -> None:
    raw = RUN | {"raw": 1}
    good = [(op, v, Error.NONE) for op, v in ALL]
    for op, v, probes in ((*WGT, [raw]), (*THR, [raw, RUN]), (*ACT, [raw]),
                          (*SCALE, [RUN, RUN | {"scale": 1}])):
        steps = [*good, (op, v, result), *[("RUN", probe, Error.NONE) for probe in probes]]
        heads = [(isa.encode(name, **values), name == "RUN", Error.NONE, end)
                 for name, values, end in steps]
        front = run(TINY, heads, Plan(0, 0.0), 1, 0.2, 3)
        refused = {"LOAD_WGT": Error.SLOT_EMPTY, "LOAD_THR": Error.NO_THRESHOLDS,
                   "LOAD_ACT": Error.BUF_EMPTY, "LOAD_SCALE": Error.NO_SCALES}[op]
        assert [code for code, _ in front.errors] == [result, refused]


def test_errors_that_come_at_once_are_all_reported() -> None:
    """Runs that all fail twice, into buffers that overflow, between packets that are refused."""
    plan = Plan(0, trouble=1.0)
    pairs = [("RUN", CHAIN | {"chain_first": 1, "chain_last": 1}), ("RUN", RUN | {"tokens": 1}),
             ("FENCE", {"tag": 3}), ("RUN", CHAIN | {"slot": 3})]
    steps = [WGT, THR, ONE, *pairs * 8]
    heads = [(isa.encode(op, **v), not op.startswith("LOAD"), Error.NONE, Error.NONE)
             for op, v in steps]
    front = run(TINY, heads, plan, 2, 0.0, 1)
    assert len(front.errors) == 8 * (2 + 2 + 1)


def test_no_error_is_lost_when_they_collide() -> None:
    """A run that fails twice, a buffer that overflows and a refusal, at all times to each other."""
    dut, got, want = Dispatcher(TINY), [], []

    async def see(ctx):
        async for _, _, error in ctx.tick().sample(dut.error):
            if error.valid:
                got.append((error.code, error.number))

    async def main(ctx):
        number = 0

        async def send(op: str, v: dict) -> None:
            nonlocal number
            await put(ctx, dut.head, [head_of(number, isa.encode(op, **v), op == "RUN")])
            number += 1

        ctx.set(dut.loaded, 1)
        ctx.set(dut.run.ready, 1)
        for op, v in (WGT, THR, ONE):
            await send(op, v)
        for run_at in range(3, 14):
            for full_at in range(3, 14):
                ctx.set(dut.full, 0)
                await send("RUN", CHAIN | {"chain_first": 1, "chain_last": 1})
                refused = isa.encode("RUN", **RUN | {"slot": 3})
                ctx.set(dut.head.payload, head_of(number, refused, True))
                ctx.set(dut.head.valid, 1)
                number += 1
                want.extend([(Error.BUF_EMPTY, number - 2), (Error.V_OVERFLOW, number - 2),
                             (Error.TRAIN_FULL, number - 2), (Error.BAD_SLOT, number - 1)])
                for cycle in range(24):
                    for port in (dut.run_done, dut.run_dropped, dut.run_overflow):
                        ctx.set(port, cycle == run_at)
                    ctx.set(dut.full, 0b10 if cycle >= full_at else 0)
                    _, _, ready = await ctx.tick().sample(dut.head.ready)
                    if ready:
                        ctx.set(dut.head.valid, 0)

    simulate(Bench(dut), main, processes=[see])
    assert sorted(got) == sorted((int(code), number) for code, number in want)


@pytest.mark.parametrize("op, v", [ONE, ("RUN", CHAIN | {"chain_first": 1, "chain_last": 1})],
                         ids=["load", "chain"])
def test_a_buffer_is_not_opened_before_its_overflow_was_reported(op: str, v: dict) -> None:
    """It overflows at any moment before it would be opened, while another error is in the way:
    the blame goes to the packet that filled it, not to the one that waits."""
    for full_at in range(40):
        dut, got, opened = Dispatcher(TINY), [], []

        async def see(ctx, dut=dut, got=got, opened=opened):
            cycle = 0
            async for _, _, error, opens in ctx.tick().sample(dut.error, dut.open):
                cycle += 1
                if error.valid:
                    got.append((error.code, error.number))
                if opens:
                    opened.append((opens, cycle, len(got)))

        async def main(ctx, dut=dut, opened=opened, full_at=full_at):
            ctx.set(dut.loaded, 1)
            ctx.set(dut.run.ready, 1)
            steps = [WGT, THR, ONE, ("LOAD_ACT", ONE[1] | {"buf": 1}),
                     ("RUN", RUN | {"tokens": 1, "slot": 1})]
            for number, (other, values) in enumerate(steps):
                await put(ctx, dut.head, [head_of(number, isa.encode(other, **values),
                                                  other == "RUN")])
            buf = v["chain_buf"] if op == "RUN" else v["buf"]
            before = len(opened)
            ctx.set(dut.head.payload, head_of(len(steps), isa.encode(op, **v), op == "RUN"))
            ctx.set(dut.head.valid, 1)
            for cycle in range(60):
                # The run before ends badly, twice, as the buffer turns out to be too full.
                for port in (dut.run_done, dut.run_dropped, dut.run_overflow):
                    ctx.set(port, cycle == full_at)
                full = cycle > full_at and len(opened) == before
                ctx.set(dut.full, full << buf)
                ctx.set(dut.encoding, (cycle <= full_at) << buf)
                _, _, ready = await ctx.tick().sample(dut.head.ready)
                if ready:
                    ctx.set(dut.head.valid, 0)

        simulate(Bench(dut), main, processes=[see])
        filler = 3 if op == "RUN" else 2
        assert got in ([(Error.BUF_EMPTY, 4), (Error.V_OVERFLOW, 4), (Error.TRAIN_FULL, filler)],
                       [(Error.TRAIN_FULL, filler), (Error.BUF_EMPTY, 4), (Error.V_OVERFLOW, 4)])
        assert opened[-1][2] == 3, "opened before all was reported"
