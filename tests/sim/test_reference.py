"""The golden machine against the golden layers: sums, levels, chains, passes; every refusal."""

import numpy as np
import pytest
import torch

from golden.codes import Codes, recode, value
from golden.layer import HybridLayer
from golden.trains import capacity, trains
from hdl.payloads import out_layout
from sim import packets as pk
from sim import packing, words
from sim.packets import Execution, Packet
from sim.reference import Reference
from spinteger import isa
from spinteger.config import PRESETS, Config
from spinteger.isa import Error

torch.set_num_threads(1)

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "staircase": TINY.with_(fire="staircase"),
    "one-home": TINY.with_(homes=1, int_lanes=2, k=48),
    "default": Config(),
    "unsigned": TINY.with_(window=15, signed=False, exp_max=0),
    "plain": TINY.with_(acc_depth=0, scale_bits=0),
    "wide-row": TINY.with_(cols=20, bus_bits=32),
    "wide-bus": TINY.with_(bus_bits=256),
}
ALL = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
RAW, SALIENT, SPIKE, END = range(4)


class Job:
    """A random layer and its tokens, and the packets for it."""

    def __init__(self, cfg: Config, tokens: int = 3, k: int = 30, n: int = 0, seed: int = 0):
        g = np.random.default_rng(seed)
        n = n or 2 * cfg.cols + 1
        self.cfg, self.k, self.n, self.tokens = cfg, k, n, tokens
        self.w = g.integers(-cfg.wgt_max, cfg.wgt_max, (k, n))
        level = np.round(g.normal(0, cfg.window, (tokens, k))).astype(np.int64)
        self.codes = recode(torch.from_numpy(level if cfg.signed else np.abs(level)), cfg)
        self.theta = g.integers(1, 40 << cfg.frac_bits, n)
        self.v = value(self.codes).numpy() @ self.w

    @property
    def shape(self) -> dict[str, int]:
        return {"rows": self.cfg.tile_rows(self.k), "tiles": self.cfg.col_tiles(self.n),
                "tokens": self.tokens}

    def load(self, slot: int = 0, buf: int = 0, **options) -> list[Packet]:
        return [pk.load_wgt(self.cfg, slot, self.w), pk.load_thr(self.cfg, slot, self.theta),
                self.acts(buf, **options)]

    def acts(self, buf: int = 0, **options) -> Packet:
        return pk.load_act(self.cfg, buf, self.codes.q.numpy(), self.codes.e.numpy(), **options)

    def run(self, slot: int = 0, buf: int = 0, **flags) -> Packet:
        flags = {"acc_first": 1, "acc_last": 1, "host": 1, **flags}
        return pk.run(self.cfg, slot=slot, buf=buf, **{**self.shape, **flags})


def fields(cfg: Config, name: str, packet: list[int]) -> list[int]:
    return words.unpack(out_layout(cfg), name, packet).tolist()


def raw_sums(cfg: Config, packet: list[int], tiles: int) -> np.ndarray:
    """Sums [T, tiles * C] of a raw run's words."""
    kinds = np.array(fields(cfg, "kind", packet))
    assert (kinds.reshape(-1, cfg.cols + 1) == [RAW] * cfg.cols + [END]).all()
    bits = out_layout(cfg)["data"].width
    sums = [v - (v >> bits - 1 << bits) for v in fields(cfg, "data", packet)]
    return np.array(sums).reshape(-1, cfg.cols + 1)[:, :-1].reshape(-1, tiles * cfg.cols)


def fired(cfg: Config, packet: list[int], tiles: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes q, e [T, tiles * C] of a fired run's words."""
    q, e, at = [np.zeros(cfg.cols, np.int64)], [np.zeros(cfg.cols, np.int64)], 0
    columns = zip(*(fields(cfg, name, packet) for name in ("kind", "data", "column", "step")),
                  strict=True)
    for kind, data, column, step in columns:
        if kind == END:
            q.append(np.zeros(cfg.cols, np.int64))
            e.append(np.zeros(cfg.cols, np.int64))
            at += 1
        elif kind == SALIENT:
            low = data & (1 << cfg.sal_bits) - 1
            q[at][column] = low - (low >> cfg.sal_bits - 1 << cfg.sal_bits)
            e[at][column] = data >> cfg.sal_bits
        else:
            assert kind == SPIKE
            for n in range(cfg.cols):
                if data >> n & 1:
                    q[at][n] = (cfg.window - step) * (-1 if data >> cfg.cols + n & 1 else 1)
    return (np.concatenate(q[:-1]).reshape(-1, tiles * cfg.cols),
            np.concatenate(e[:-1]).reshape(-1, tiles * cfg.cols))


def codes_of(result: Execution) -> list[Error]:
    return [error for error, _ in result.errors]


# -- results ---------------------------------------------------------------------------------------

@ALL
@pytest.mark.parametrize("options", [{}, {"unsigned": 1}, {"spikes_only": 1}, {"silence": 2}],
                         ids=str)
def test_a_layer(cfg, options):
    job = Job(cfg)
    result = Reference(cfg).execute([*job.load(1, 1), job.run(1, 1, raw=1),
                                     job.run(1, 1, **options), pk.fence(5)])
    assert result.error is None and result.error_count == 0 and not result.errors
    raw, spikes, fence = result.packets
    assert (raw_sums(cfg, raw, job.shape["tiles"])[:, :job.n] == job.v).all()
    layer = HybridLayer(torch.from_numpy(job.w), torch.from_numpy(job.theta), cfg,
                        bool(options.get("unsigned")), bool(options.get("spikes_only")),
                        options.get("silence", 0))
    want = layer.forward(job.codes).codes_out
    got = fired(cfg, spikes, job.shape["tiles"])
    assert (got[0][:, :job.n] == want.q.numpy()).all()
    assert (got[1][:, :job.n] == want.e.numpy()).all()
    assert fence == [pk.fence_word(cfg, 5)]
    for packet in (raw, spikes):
        ends = np.array(fields(cfg, "kind", packet)) == END
        tiles = job.shape["tiles"]
        assert np.array(fields(cfg, "last", packet))[ends].tolist() == (
            [0] * (tiles - 1) + [1]) * job.tokens
        assert np.flatnonzero(fields(cfg, "run_end", packet)).tolist() == [len(packet) - 1]


@pytest.mark.parametrize("name", ["tiny", "staircase"])
def test_order_of_words(name):
    """Salients in column order (sar) or falling level (staircase), then spikes in time order."""
    cfg = CONFIGS[name]
    reference = Reference(cfg)
    w = np.array([[1, 2, 3, -4], [0, 0, 0, 0]])
    theta = np.full(4, 2 << cfg.frac_bits)          # level = V / 2, rounded away from 0
    q = np.array([[16, 0], [5, 0], [3, 0]])
    result = reference.execute([
        pk.load_wgt(cfg, 0, w), pk.load_thr(cfg, 0, theta), pk.load_act(cfg, 0, q),
        pk.run(cfg, slot=0, buf=0, rows=1, tiles=1, tokens=3, acc_first=1, acc_last=1, host=1)])
    (packet,) = result.packets
    got = list(zip(*(fields(cfg, key, packet) for key in ("kind", "column", "step")),
                   strict=True))
    salients = [(SALIENT, column, 0) for column in ([0, 1, 2, 3] if name == "tiny"
                                                    else [3, 2, 1, 0])]
    assert got == [*salients, (END, 0, 0),
                   (SALIENT, 2, 0), (SALIENT, 3, 0), (SPIKE, 0, 2), (SPIKE, 0, 4), (END, 0, 0),
                   (SPIKE, 0, 1), (SPIKE, 0, 2), (SPIKE, 0, 4), (SPIKE, 0, 5), (END, 0, 0)
                   ] or name == "staircase" and got[4:7] == [
                   (END, 0, 0), (SALIENT, 3, 0), (SALIENT, 2, 0)]
    negative = [data >> cfg.cols for data in fields(cfg, "data", packet)]
    assert negative[-5] == 0b1000


@pytest.mark.parametrize("name", ["tiny", "default", "one-home"])
def test_passes_scales_and_shifts(name):
    """a = sum over passes of (V * mul << shift) << token shift, in 32 bits."""
    cfg = CONFIGS[name]
    g = np.random.default_rng(1)
    jobs = [Job(cfg, seed=seed, k=20) for seed in range(3)]
    mul = g.integers(0, 1 << cfg.scale_bits, (3, jobs[0].n))
    shift = g.integers(0, 3, (3, jobs[0].n))
    token_shift = g.integers(0, 4, 3)
    program, total = [], 0
    for number, job in enumerate(jobs):
        program += [*job.load(number % 2, number % 2, shift=token_shift),
                    pk.load_scale(cfg, number % 2, mul[number], shift[number]),
                    job.run(number % 2, number % 2, scale=1, raw=1, acc_first=number == 0,
                            acc_last=number == 2, host=number == 2)]
        total += (job.v * mul[number] << shift[number]) << token_shift[:, None]
    assert np.abs(total).max() < 1 << 31
    result = Reference(cfg).execute(program)
    assert not result.errors
    (packet,) = result.packets
    assert (raw_sums(cfg, packet, 3)[:, :jobs[0].n] == total).all()


def test_overflow_wraps_and_is_reported_once():
    job = Job(TINY)
    big = [pk.load_scale(TINY, 0, np.full(job.n, 200), 24)]
    result = Reference(TINY).execute([*job.load(), *big, job.run(raw=1, scale=1), job.run(raw=1)])
    assert result.errors == [(Error.V_OVERFLOW, 4)] and result.error == (Error.V_OVERFLOW, 4)
    got = raw_sums(TINY, result.packets[0], 3)[:, :job.n]
    want = (job.v * 200 << 24) & (1 << 32) - 1
    assert (got == want - (want >> 31 << 32)).all()


@pytest.mark.parametrize("name", ["tiny", "default", "wide-row", "unsigned"])
def test_layers_chain_without_the_host(name):
    cfg = CONFIGS[name]
    first, second = Job(cfg), Job(cfg, k=3 * cfg.cols, n=cfg.cols + 1)
    program = [*first.load(), first.run(host=0, chain=1, chain_buf=1, chain_first=1, chain_last=1,
                                        unsigned=1),
               pk.load_wgt(cfg, 1, second.w), pk.load_thr(cfg, 1, second.theta),
               second.run(1, 1), second.run(1, 1, raw=1)]
    result = Reference(cfg).execute(program)
    assert not result.errors and len(result.packets) == 2
    layer = HybridLayer(torch.from_numpy(first.w), torch.from_numpy(first.theta), cfg, True)
    middle = layer.forward(first.codes).codes_out
    wide = [torch.nn.functional.pad(part, (0, 3 * cfg.cols - first.n)) for part in middle]
    last = HybridLayer(torch.from_numpy(second.w), torch.from_numpy(second.theta), cfg)
    want = last.forward(Codes(*wide))
    assert (fired(cfg, result.packets[0], 2)[0][:, :second.n] == want.codes_out.q.numpy()).all()
    assert (raw_sums(cfg, result.packets[1], 2)[:, :second.n] == want.V.numpy()).all()


@pytest.mark.parametrize("cols", [4, 3])
def test_one_token_chained_from_several_runs(cols):
    """Columns follow one another, tile by tile and run by run, packed G by G."""
    cfg = TINY.with_(cols=cols, acc_depth=60)
    parts = [Job(cfg, tokens=1, n=n, seed=seed) for seed, n in enumerate((2 * cols, cols, cols))]
    columns = 4 * cols
    last = Job(cfg, tokens=1, k=columns, n=cols)
    flags = {"host": 0, "chain": 1, "chain_buf": 1}
    program = []
    for number, job in enumerate(parts):
        program += [pk.load_wgt(cfg, 0, job.w), pk.load_thr(cfg, 0, job.theta)]
        program += [parts[0].acts()] * (number == 0)
        program += [job.run(**flags, chain_first=number == 0, chain_last=number == 2)]
    program += [pk.load_wgt(cfg, 0, last.w), last.run(raw=1, buf=1)]
    result = Reference(cfg).execute(program)
    assert not result.errors
    codes = [HybridLayer(torch.from_numpy(job.w), torch.from_numpy(job.theta), cfg).forward(
        parts[0].codes).codes_out for job in parts]
    x = np.concatenate([value(part).numpy() for part in codes], axis=1)
    assert (raw_sums(cfg, result.packets[0], 1) == x @ last.w).all()


# -- weights that stay ---------------------------------------------------------------------------

@ALL
def test_sparse_loading_keeps_the_other_rows(cfg):
    old, new = Job(cfg, seed=1), Job(cfg, seed=2)
    live = np.random.default_rng(3).random(old.k) < 0.5
    result = Reference(cfg).execute([*old.load(), pk.load_wgt(cfg, 0, new.w, live),
                                     old.run(raw=1)])
    want = value(old.codes).numpy() @ np.where(live[:, None], new.w, old.w)
    assert not result.errors
    assert (raw_sums(cfg, result.packets[0], 3)[:, :old.n] == want).all()


def test_rows_left_from_another_shape_are_read_by_the_lane_that_has_the_event():
    cfg = TINY
    old, new = Job(cfg, k=14, n=12, seed=1), Job(cfg, k=10, n=12, seed=2)
    nothing = np.zeros(new.k, bool)
    result = Reference(cfg).execute([*old.load(), pk.load_wgt(cfg, 0, new.w, nothing), new.acts(),
                                     new.run(raw=1)])
    banks = np.zeros((cfg.slot_rows, cfg.rows, cfg.cols), np.int64)
    for tile in range(3):
        for k in range(14):
            for lane in cfg.home_lanes(k):
                banks[tile * 7 + k // 2, lane] = old.w[k, tile * 4:tile * 4 + 4]
    want = np.zeros((3, 12), np.int64)
    for t, train in enumerate(trains(new.codes, cfg)):
        for tile in range(3):
            base, here = 5 * tile, want[t, tile * 4:tile * 4 + 4]
            levels = [level for level in range(cfg.window, 0, -1) if train.levels >> level - 1 & 1]
            for word in range(train.length):
                for lane in np.flatnonzero(train.valid[word]):
                    sign = -1 if train.neg[word, lane] else 1
                    here += sign * levels[0] * banks[base + train.row[word, lane], lane]
                if train.snap[word]:
                    levels = levels[1:]
            for lane, entries in enumerate(train.lists):
                for entry in entries:
                    bank = lane * cfg.groups + entry.bank
                    here += (entry.q << entry.e) * banks[base + entry.row, bank]
    assert not result.errors
    assert (raw_sums(cfg, result.packets[0], 3) == want).all()


# -- buffers that fail -----------------------------------------------------------------------------

@pytest.mark.parametrize("chain", [False, True])
def test_tokens_that_do_not_fit_are_lost_with_all_later_ones(chain):
    cfg = TINY
    big = Job(cfg, tokens=8, k=64, n=4)
    fit = capacity(big.codes, cfg)
    assert 0 < fit < 8
    next_ = Job(cfg, tokens=8, k=4, n=4)
    flags = {"chain": 1, "chain_buf": 1, "chain_first": 1, "chain_last": 1} if chain else {}
    program = [*big.load(), big.run(**flags), pk.fence(1)]
    if chain:
        program += [pk.load_wgt(cfg, 1, next_.w), next_.run(1, 1, raw=1)]
    program += [Job(cfg, tokens=1, k=64, n=4).acts(), pk.fence(2)]
    result = Reference(cfg).execute(program)
    want = [(Error.TRAIN_FULL, 2), (Error.BUF_EMPTY, 3)] + [(Error.BUF_EMPTY, 6)] * chain
    assert result.errors == want and result.error == want[0] and result.error_count == len(want)
    ends = [i for i, kind in enumerate(fields(cfg, "kind", result.packets[0])) if kind == END]
    assert len(ends) == fit + 1 and ends[-1] == len(result.packets[0]) - 1
    assert fields(cfg, "last", result.packets[0])[-1] == 1
    assert np.flatnonzero(fields(cfg, "run_end", result.packets[0])).tolist() == [ends[-1]]
    if chain:
        assert fields(cfg, "kind", result.packets[2]).count(END) == fit + 1


def test_a_chain_can_fill_a_buffer():
    cfg = TINY.with_(k=16, train_depth=16)
    job = Job(cfg, tokens=8, k=4, n=16)
    job.theta[:] = 20 << cfg.frac_bits
    chain = {"chain": 1, "chain_buf": 1, "chain_first": 1, "chain_last": 1}
    layer = HybridLayer(torch.from_numpy(job.w), torch.from_numpy(job.theta), cfg)
    fit = capacity(layer.forward(job.codes).codes_out, cfg)
    assert 0 < fit < 8
    after = Job(cfg, tokens=8, k=16, n=4)
    result = Reference(cfg).execute([*job.load(), job.run(**chain),
                                     pk.load_wgt(cfg, 1, after.w), after.run(1, 1, raw=1)])
    assert result.errors == [(Error.TRAIN_FULL, 3), (Error.BUF_EMPTY, 5)]
    assert fields(cfg, "run_end", result.packets[0])[-1] == 1
    assert fields(cfg, "kind", result.packets[1]).count(END) == fit + 1


# -- refusals ------------------------------------------------------------------------------------

def refusals() -> list[tuple[str, Error, dict]]:
    """(operation, error, fields changed) from a program in which they would be in order."""
    chain = {"chain": 1, "chain_buf": 1}
    return [
        ("LOAD_WGT", Error.BAD_SLOT, {"slot": 2}), ("LOAD_WGT", Error.BAD_SIZE, {"rows": 0}),
        ("LOAD_WGT", Error.BAD_SIZE, {"rows": 33}), ("LOAD_WGT", Error.BAD_SIZE, {"tiles": 9}),
        ("LOAD_WGT", Error.BAD_SIZE, {"rows": 32, "tiles": 8}),
        ("LOAD_THR", Error.BAD_SLOT, {"slot": 15}), ("LOAD_THR", Error.BAD_SIZE, {"tiles": 0}),
        ("LOAD_THR", Error.SLOT_EMPTY, {"slot": 1}),
        ("LOAD_THR", Error.SLOT_MISMATCH, {"tiles": 2}),
        ("LOAD_SCALE", Error.SLOT_EMPTY, {"slot": 1}),
        ("LOAD_ACT", Error.BAD_SIZE, {"tokens": 9}), ("LOAD_ACT", Error.BAD_SIZE, {"rows": 0}),
        ("RUN", Error.BAD_SLOT, {"slot": 2, "rows": 0}), ("RUN", Error.BAD_SIZE, {"tokens": 0}),
        ("RUN", Error.BAD_SIZE, {"tiles": 9}),
        ("RUN", Error.SLOT_MISMATCH, {"rows": 32, "tiles": 8}),
        ("RUN", Error.BAD_FLAGS, {"host": 0}), ("RUN", Error.BAD_FLAGS, {"acc_last": 0}),
        ("RUN", Error.BAD_FLAGS, {"silence": 8}), ("RUN", Error.BAD_FLAGS, {"chain_buf": 1}),
        ("RUN", Error.BAD_FLAGS, {"chain_first": 1}), ("RUN", Error.BAD_FLAGS, {"chain_last": 1}),
        ("RUN", Error.BAD_FLAGS, {"chain": 1, "chain_first": 1, "chain_last": 1}),
        ("RUN", Error.BAD_FLAGS, {**chain, "raw": 1, "chain_first": 1, "chain_last": 1}),
        ("RUN", Error.BAD_FLAGS, {**chain, "chain_first": 1}),      # several tokens
        ("RUN", Error.SLOT_EMPTY, {"slot": 1}), ("RUN", Error.SLOT_MISMATCH, {"tiles": 2}),
        ("RUN", Error.SLOT_MISMATCH, {"rows": 5}), ("RUN", Error.NO_SCALES, {"scale": 1}),
        ("RUN", Error.BUF_EMPTY, {"buf": 1}), ("RUN", Error.BUF_MISMATCH, {"tokens": 2}),
        ("RUN", Error.ACC_MISMATCH, {"acc_first": 0}),
    ]


@pytest.mark.parametrize("op, error, changes", refusals(), ids=str)
def test_refused_and_the_machine_goes_on(op, error, changes):
    cfg, job = TINY, Job(TINY)
    good = {"LOAD_WGT": {"slot": 0, "rows": 15, "tiles": 3}, "LOAD_THR": {"slot": 0, "tiles": 3},
            "LOAD_SCALE": {"slot": 0, "tiles": 3}, "LOAD_ACT": {"buf": 0, "rows": 15, "tokens": 3},
            "RUN": {**job.shape, "acc_first": 1, "acc_last": 1, "host": 1}}[op]
    bad = Packet(isa.encode(op, **{**good, **changes}), [0] * 5 if op != "RUN" else [])
    result = Reference(cfg).execute([*job.load(), bad, job.run(raw=1)])
    assert result.errors == [(error, 3)] and result.error_count == 1
    assert (raw_sums(cfg, result.packets[0], 3)[:, :job.n] == job.v).all()


def test_reserved_bits_and_opcodes():
    job = Job(TINY)
    program = [Packet(0), Packet(0xFF), Packet(isa.encode("FENCE") | 1 << 40),
               Packet(isa.encode("LOAD_ACT", rows=1, tokens=1) | 1 << 127, [0, 0]),
               Packet(job.run().descriptor, [1])]
    result = Reference(TINY).execute([*program, *job.load(), job.run()])
    assert codes_of(result) == [Error.BAD_OPCODE, Error.BAD_OPCODE, Error.BAD_RESERVED,
                                Error.BAD_RESERVED, Error.SLOT_EMPTY]
    assert len(result.packets) == 1


def test_what_the_machine_lacks():
    cfg = CONFIGS["plain"]
    job = Job(cfg)
    result = Reference(cfg).execute([
        *job.load(), Packet(isa.encode("LOAD_SCALE", slot=0, tiles=3), [0] * 12),
        job.run(scale=1), job.run(acc_first=0), job.run(acc_last=0, host=0), job.run()])
    assert codes_of(result) == [Error.BAD_FLAGS] * 4 and len(result.packets) == 1


def test_kept_sums_belong_to_a_shape():
    cfg, job = TINY, Job(TINY)
    other = Job(TINY, tokens=2)
    keep = job.run(acc_last=0, host=0)
    result = Reference(cfg).execute([
        *job.load(), keep, other.acts(1), other.run(buf=1, acc_first=0), job.run(acc_first=0),
        job.run(acc_first=0), Job(TINY, tokens=6).acts(1),
        Job(TINY, tokens=6).run(buf=1, acc_last=0, host=0)])
    assert result.errors == [(Error.ACC_MISMATCH, 5), (Error.ACC_MISMATCH, 7), (Error.ACC_FULL, 9)]


def test_thresholds_belong_to_weights():
    job = Job(TINY)
    load_wgt, load_thr, load_act = job.load()
    result = Reference(TINY).execute([load_wgt, load_act, job.run(), job.run(raw=1), load_thr,
                                      job.run(), load_wgt, job.run(), job.run(raw=1)])
    assert result.errors == [(Error.NO_THRESHOLDS, 2), (Error.NO_THRESHOLDS, 7)]
    assert len(result.packets) == 3


def test_order_of_chains():
    cfg, job = TINY, Job(TINY, tokens=1)
    chain = {"chain": 1, "chain_buf": 1, "host": 0}
    result = Reference(cfg).execute([
        *job.load(), job.run(**chain), job.run(**chain, chain_first=1),         # 3: not open
        job.run(**chain, chain_first=1), job.acts(0), job.acts(1),              # 5, 6, 7: open
        job.run(buf=1, raw=1),                                                  # 8: being filled
        *[job.run(**chain)] * 5, job.run(**chain, chain_last=1),                # 9 ..: too long
        job.run(**chain, chain_last=1), job.run(raw=1)])
    assert result.errors == [
        (Error.CHAIN_ORDER, 3), (Error.CHAIN_ORDER, 5), (Error.CHAIN_ORDER, 6),
        (Error.CHAIN_ORDER, 7), (Error.BUF_EMPTY, 8), *((Error.BAD_SIZE, n) for n in range(13, 16))
    ] and len(result.packets) == 1


def test_chains_need_columns_that_pack():
    cfg = Config(rows=3, cols=4, homes=1, int_lanes=1, k=30, train_depth=64, list_depth=64,
                 acc_depth=64)
    job = Job(cfg, k=20, n=4)
    chain = {"chain": 1, "chain_buf": 1, "chain_first": 1, "chain_last": 1}
    assert codes_of(Reference(cfg).execute([*job.load(), job.run(**chain)])) == [Error.BAD_FLAGS]


# -- faulty packets --------------------------------------------------------------------------------

@ALL
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("fault", ["early", "late", "keep", "no payload"])
def test_faulty_loads_leave_their_target_invalid(cfg, which, fault):
    job = Job(cfg)
    program = job.load()
    good, head = program[which], max(1, 128 // cfg.bus_bits)
    beats = head + len(good.payload)
    bad, error = {
        "early": (Packet(good.descriptor, good.payload, cut=beats - 1), Error.TLAST_EARLY),
        "no payload": (Packet(good.descriptor, good.payload, cut=head), Error.TLAST_EARLY),
        "late": (Packet(good.descriptor, [*good.payload, 0, 0]), Error.TLAST_LATE),
        "keep": (Packet(good.descriptor, good.payload, keep={beats - 2: 1}), Error.BAD_KEEP),
    }[fault]
    after = [Error.SLOT_EMPTY, Error.NO_THRESHOLDS, Error.BUF_EMPTY][which]
    program[which] = bad
    again = job.load()
    result = Reference(cfg).execute([*program, job.run(), *again, job.run(raw=1)])
    want = [(error, which)] + [(Error.SLOT_EMPTY, 1)] * (which == 0) + [(after, 3)]
    assert result.errors == want
    assert (raw_sums(cfg, result.packets[0], 3)[:, :job.n] == job.v).all()


def test_last_beat_may_come_short():
    cfg, job = TINY, Job(TINY, n=4)
    load_wgt, load_thr, load_act = job.load()
    at = 2 + len(load_thr.payload) - 1
    thr = Packet(load_thr.descriptor, load_thr.payload, keep={at: 0b111})
    gap = Packet(load_thr.descriptor, load_thr.payload, keep={at: 0b101})
    fence = Packet(isa.encode("FENCE", tag=0x1234), keep={1: 0})
    result = Reference(cfg).execute([load_wgt, thr, load_act, job.run(), gap, job.run(), fence,
                                     Packet(fence.descriptor, keep={0: 0xF}),
                                     Packet(fence.descriptor, cut=1),
                                     Packet(fence.descriptor, [0])])
    assert result.errors == [(Error.BAD_KEEP, 4), (Error.NO_THRESHOLDS, 5), (Error.BAD_KEEP, 7),
                             (Error.TLAST_EARLY, 8), (Error.TLAST_LATE, 9)]
    assert result.packets[1] == [pk.fence_word(cfg, 0x1234)]


def test_overflow_in_a_faulty_load():
    """Tokens that came whole before the fault count; the one that it cuts does not."""
    cfg = TINY
    job = Job(cfg, tokens=8, k=64, n=4)
    too_many = 2 + (capacity(job.codes, cfg) + 1) * (len(job.acts().payload) // 8)
    for cut, full in ((too_many - 1, False), (too_many, True)):
        packet = job.acts()
        result = Reference(cfg).execute([Packet(packet.descriptor, packet.payload, cut=cut)])
        assert codes_of(result) == [Error.TLAST_EARLY] + [Error.TRAIN_FULL] * full


@pytest.mark.parametrize("name", ["tiny", "wide-row", "default"])
@pytest.mark.parametrize("sparse", [False, True])
def test_rows_before_a_fault_stay(name, sparse):
    """A cut load has written what came before: a sparse load after it leaves that as it is."""
    cfg = CONFIGS[name]
    old, new = Job(cfg, seed=1), Job(cfg, seed=2)
    live = np.random.default_rng(3).random(old.k) < 0.6 if sparse else None
    packet = pk.load_wgt(cfg, 0, new.w, live)
    nothing = pk.load_wgt(cfg, 0, new.w, np.zeros(new.k, bool))
    beats = len(packet.payload) // 2
    head = max(1, 128 // cfg.bus_bits)
    result = Reference(cfg).execute([
        *old.load(), Packet(packet.descriptor, packet.payload, cut=head + beats), nothing,
        old.run(raw=1)])
    assert codes_of(result) == [Error.TLAST_EARLY]
    tiles = cfg.col_tiles(old.n)
    wide = np.zeros((cfg.tile_rows(old.k) * cfg.groups, tiles * cfg.cols), np.int64)
    wide[:old.k, :old.n] = old.w
    padded = np.zeros_like(wide)
    padded[:old.k, :old.n] = new.w
    left = beats
    for tile in range(tiles):
        for k in range(len(wide)):
            if sparse:
                left -= k % packing.MAP_BITS == 0
                if k >= old.k or not live[k]:
                    continue
                left -= cfg.wgt_row_beats
            elif k % cfg.wgt_beat_rows == 0:
                left -= cfg.wgt_row_beats
            if left >= 0:
                here = slice(tile * cfg.cols, (tile + 1) * cfg.cols)
                wide[k, here] = padded[k, here]
    want = value(old.codes).numpy() @ wide[:old.k, :old.n]
    assert (raw_sums(cfg, result.packets[0], tiles)[:, :old.n] == want).all()


# -- a machine goes on -----------------------------------------------------------------------------

def test_state_lasts_until_reset():
    job = Job(TINY)
    reference = Reference(TINY)
    assert not reference.execute(job.load()).packets
    result = reference.execute([job.run(raw=1), job.run(slot=1)])
    assert result.errors == [(Error.SLOT_EMPTY, 4)] and len(result.packets) == 1
    reference.reset()
    assert reference.execute([job.run()]).errors == [(Error.SLOT_EMPTY, 0)]


def test_zero_thresholds_fire_at_the_top():
    cfg, job = TINY, Job(TINY)
    zeros = Packet(isa.encode("LOAD_THR", slot=0, tiles=3), [0] * 12)
    result = Reference(cfg).execute([*job.load(), zeros, job.run(spikes_only=1)])
    q, _ = fired(cfg, result.packets[0], 3)
    assert (np.abs(q) == cfg.window).all() and ((q < 0)[:, :job.n] == (job.v < 0)).all()
