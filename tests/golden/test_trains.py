"""Spike trains: every event once and in its home, balanced, ordered; lengths without detail."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import trains
from golden.codes import CodeError, Codes, is_salient, is_spike, recode
from golden.events import events, salient_list
from spinteger.config import PRESETS, Config

torch.set_num_threads(1)

CONFIGS = {
    "default": Config(),
    "tiny": PRESETS["tiny"],
    "one-home": Config(homes=1, int_lanes=4, k=576, list_depth=512),
    "one-home-odd": Config(rows=6, homes=1, int_lanes=3, k=200),
    "two-homes": Config(homes=2, int_lanes=2),
    "uneven-lists": Config(int_lanes=3),
    "eight-homes": Config(homes=8, int_lanes=5),
    "all-homes": Config(homes=16, int_lanes=1, k=500),
    "unsigned": Config(window=15, signed=False, exp_max=2),
}
ALL = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


def random_codes(cfg: Config, tokens: int, k: int, seed: int = 0, spread: float = 0.7) -> Codes:
    g = torch.Generator().manual_seed(seed)
    level = (torch.randn(tokens, k, generator=g) * cfg.window * spread).round().long()
    return recode(level if cfg.signed else level.abs(), cfg)


def slow_train(q: list[int], e: list[int], cfg: Config) -> list[dict[int, list[tuple[int, int]]]]:
    """The rules once more, one input at a time: per lane {level: [(row, q), ...]}."""
    lanes: list[dict[int, list[tuple[int, int]]]] = [{} for _ in range(cfg.rows)]
    for row in range(-(-len(q) // cfg.groups)):
        before = [{level: len(held) for level, held in lane.items()} for lane in lanes]
        for k in range(row * cfg.groups, min((row + 1) * cfg.groups, len(q))):
            level = abs(q[k])
            if e[k] or not 1 <= level <= cfg.window:
                continue
            fewest = min(before[lane].get(level, 0) for lane in cfg.home_lanes(k))
            lane = next(lane for lane in cfg.home_lanes(k)
                        if before[lane].get(level, 0) == fewest)
            lanes[lane].setdefault(level, []).append((row, q[k]))
    return lanes


@ALL
def test_against_the_rules_one_by_one(cfg):
    codes = random_codes(cfg, 3, min(cfg.k, 5 * cfg.rows + 3))
    for t, train in enumerate(trains.trains(codes, cfg)):
        lanes = slow_train(codes.q[t].tolist(), codes.e[t].tolist(), cfg)
        levels = sorted({level for lane in lanes for level in lane}, reverse=True)
        assert train.levels == sum(1 << level - 1 for level in levels)
        word = 0
        for level, below in zip(levels, [*levels[1:], 0], strict=True):
            longest = max(len(lane.get(level, [])) for lane in lanes)
            for at in range(longest):
                for number, lane in enumerate(lanes):
                    stack = lane.get(level, [])
                    valid = bool(train.valid[word, number])
                    assert valid == (at < len(stack))
                    if valid:
                        row, q = stack[-1 - at]
                        assert train.row[word, number] == row
                        assert train.neg[word, number] == (q < 0)
                assert train.snap[word] == (at == longest - 1)
                assert train.dt[word] == (level - below if train.snap[word] else 0)
                word += 1
        assert word == train.length and train.end.tolist() == [False] * (word - 1) + [True]


@ALL
def test_lists_hold_every_salient_in_its_copy(cfg):
    codes = random_codes(cfg, 3, min(cfg.k, 5 * cfg.rows + 3), spread=2.0)
    want = salient_list(codes, cfg)
    for t, train in enumerate(trains.trains(codes, cfg)):
        found = []
        for lane, entries in enumerate(train.lists):
            order = [entry.row for entry in entries]
            assert order == sorted(order)
            for entry in entries:
                bank = (lane * cfg.groups if cfg.homes > 1 else lane * cfg.group) + entry.bank
                (k,) = [k for k in range(entry.row * cfg.groups, (entry.row + 1) * cfg.groups)
                        if bank in cfg.home_lanes(k)]
                found.append((k, entry.q, entry.e))
        assert sorted(found) == want[t]
        if cfg.homes > 1:       # dealt out in turn
            sizes = [len(entries) for entries in train.lists]
            assert sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[-1] <= 1
            assert found[0] == want[t][0]
        assert train.list_length == trains.list_length(codes, cfg)[t]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(CONFIGS)), st.integers(1, 300),
       st.sampled_from([0.1, 0.5, 1.5]))
def test_lengths_and_counts(seed, name, k, spread):
    cfg = CONFIGS[name]
    k = min(k, cfg.k)
    codes = random_codes(cfg, 2, k, seed, spread)
    counts = trains.counts(codes, cfg)
    assert counts.shape == (2, cfg.rows, cfg.window + 1) and counts.dtype == np.int64
    spikes = events(codes, cfg)
    for t, train in enumerate(trains.trains(codes, cfg)):
        assert train.length == trains.train_length(codes, cfg)[t] <= cfg.train_worst
        assert (train.valid.sum(axis=0) == counts[t].sum(axis=1)).all()
        assert sorted((int(train.row[w, lane]), bool(train.neg[w, lane]))
                      for w, lane in zip(*train.valid.nonzero(), strict=True)) == sorted(
                          (k // cfg.groups, sign < 0) for _, k, sign in spikes[t])


@ALL
def test_home_lanes_of_a_row_are_disjoint(cfg):
    table = trains.home_table(cfg)
    for pattern in table:
        assert len(set(pattern.ravel().tolist())) == cfg.rows
        blocks = pattern // cfg.groups if cfg.homes > 1 else pattern * 0
        assert (blocks == np.arange(cfg.homes)).all()


def test_four_homes_are_an_affine_plane():
    """Two lanes of different blocks share exactly one group and pattern; of one block none."""
    table = trains.home_table(Config())
    lines = [set(homes) for pattern in table.tolist() for homes in pattern]
    assert len(lines) == 16
    for a in range(16):
        for b in range(a):
            shared = sum(a in line and b in line for line in lines)
            assert shared == (a // 4 != b // 4)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["default", "tiny", "two-homes", "eight-homes", "one-home"]))
def test_a_bucket_holds_at_most_its_share(data, name):
    """However inputs are chosen, ceil(rows / homes) events of a level are the most a lane gets."""
    cfg = CONFIGS[name]
    rows = data.draw(st.integers(1, min(cfg.rows_k, 40)))
    live = data.draw(st.lists(st.booleans(), min_size=rows * cfg.groups,
                              max_size=rows * cfg.groups))
    levels = np.array([live], np.int64) * cfg.window
    counts = trains.place(levels, cfg)[1]
    assert counts.max() <= -(-rows // cfg.homes)


@ALL
def test_worst_case_lengths_are_reached_or_held(cfg):
    ones = torch.ones(1, cfg.rows_k * cfg.groups, dtype=torch.int64)
    spikes = Codes(ones, 0 * ones)
    salients = Codes(ones * cfg.sal_max, 0 * ones)
    assert trains.counts(spikes, cfg).max() == -(-cfg.rows_k // cfg.homes) <= cfg.bucket_depth
    assert trains.list_length(salients, cfg).tolist() == [cfg.list_worst]
    assert trains.train_length(salients, cfg).tolist() == [1]


def test_silent_and_empty_tokens():
    cfg = PRESETS["tiny"]
    codes = recode(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 100]]), cfg)
    for train, salients in zip(trains.trains(codes, cfg), (0, 1), strict=True):
        assert train.length == 1 and not train.valid.any() and train.levels == 0
        assert train.snap.tolist() == train.end.tolist() == [True] and train.dt.tolist() == [0]
        assert train.list_length == salients


def test_capacity_counts_to_the_brim():
    cfg = PRESETS["tiny"].with_(k=16, train_depth=64, list_depth=64)
    one = torch.ones(1, 16, dtype=torch.int64)
    words = int(trains.train_length(Codes(one, 0 * one), cfg)[0])
    for extra in (-1, 0, 1):
        depth = 9 * words + extra
        small = cfg.with_(train_depth=depth)
        codes = Codes(one.repeat(12, 1), 0 * one.repeat(12, 1))
        assert trains.capacity(codes, small) == min(12, depth // words)
    salient = Codes(one.repeat(12, 1) * 100, 0 * one.repeat(12, 1))
    assert trains.capacity(salient, cfg.with_(list_depth=40)) == 5      # 8 places each
    assert trains.capacity(salient, cfg.with_(list_depth=39)) == 4
    # A token that does not fit ends it, even if a later, smaller one would.
    mixed = Codes(torch.cat([salient.q[:4], one.repeat(1, 1)]), torch.zeros(5, 16).long())
    assert trains.capacity(mixed, cfg.with_(list_depth=31)) == 3


def test_classes_are_the_golden_ones_and_negative_codes_stay_integers():
    for cfg in (Config(), CONFIGS["unsigned"]):
        codes = random_codes(cfg, 2, 200)
        levels, salient = trains.classify(codes.q.numpy(), codes.e.numpy(), cfg)
        assert ((levels > 0) == is_spike(codes, cfg).numpy()).all()
        assert (salient == is_salient(codes, cfg).numpy()).all()
    levels, salient = trains.classify(np.array([[-3, 3, 0]]), np.zeros((1, 3), np.int64),
                                      CONFIGS["unsigned"])
    assert levels.tolist() == [[0, 3, 0]] and salient.tolist() == [[True, False, False]]


def test_illegal_codes():
    bad = Codes(torch.tensor([[0, 128]]), torch.tensor([[0, 0]]))
    for call in (trains.counts, trains.train_length, trains.list_length, trains.trains,
                 trains.capacity):
        with pytest.raises(CodeError, match="q = 128"):
            call(bad, Config())
