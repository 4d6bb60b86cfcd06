"""The configuration: derived widths against brute force, and what it says about mistakes."""

import itertools
import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import trains
from spinteger.config import (
    PRESETS,
    V_BITS_MAX,
    Config,
    ConfigError,
    flag_of,
    parse_pe,
    preset,
    user_fields,
)

WINDOWS = (1, 3, 7, 15)


@st.composite
def small(draw: st.DrawFn) -> Config:
    """Configurations small enough to try every input of."""
    rows = draw(st.sampled_from([1, 2, 3, 4, 8]))
    homes = draw(st.sampled_from([n for n in (1, 2, 4, 8) if n == 1 or rows % n == 0]))
    lanes = range(1, homes + 1) if homes > 1 else [n for n in range(1, rows + 1) if rows % n == 0]
    window = draw(st.sampled_from([1, 3, 7]))
    return Config(
        rows=rows, cols=draw(st.integers(1, 5)), wgt_bits=draw(st.integers(2, 4)), window=window,
        homes=homes, int_lanes=draw(st.sampled_from([*lanes])),
        sal_bits=draw(st.integers(max(4, window.bit_length() + 1), 6)),
        exp_max=draw(st.integers(0, 3)), k=draw(st.integers(1, 12)), tiles=draw(st.integers(1, 8)),
        slots=draw(st.integers(1, 3)), tokens=draw(st.integers(1, 9)),
        train_depth=draw(st.integers(90, 140)), list_depth=draw(st.integers(16, 70)),
        bus_bits=draw(st.sampled_from([32, 64, 128])), theta_bits=draw(st.integers(20, 32)),
        scale_bits=draw(st.sampled_from([0, 4])), acc_depth=draw(st.sampled_from([0, 40])))


def weights(cfg: Config) -> range:
    return range(-(1 << (cfg.wgt_bits - 1)), 1 << (cfg.wgt_bits - 1))


def salients(cfg: Config) -> list[int]:
    """Every value of a salient input that its bits can hold, also q = -2^(b-1)."""
    half = 1 << (cfg.sal_bits - 1)
    return [q << e for q in range(-half, half) for e in range(cfg.exp_max + 1)]


def inputs(cfg: Config) -> list[int]:
    return [*range(-cfg.window, cfg.window + 1), *salients(cfg)]


def extremes(values: list[int], count: int) -> list[int]:
    """All sums of the extreme values, one for each of `count` terms."""
    low, high = min(values), max(values)
    return [low * n + high * (count - n) for n in range(count + 1)]


def signed_bits(values: list[int]) -> int:
    """The fewest bits of two's complement that hold all values."""
    return next(bits for bits in range(1, 99)
                if all(-(1 << (bits - 1)) <= value < 1 << (bits - 1) for value in values))


@given(small())
def test_running_sum(cfg):
    # Every input fires once, in one of its home lanes.
    contributions = [w * s for w in weights(cfg) for s in (-1, 0, 1)]
    sums = extremes(contributions, cfg.groups * cfg.rows_k)
    assert cfg.s_bits == signed_bits(sums)


@given(small())
@settings(deadline=None)
def test_total(cfg):
    contributions = [w * x for w in weights(cfg) for x in (min(inputs(cfg)), max(inputs(cfg)))]
    assert cfg.v_bits == signed_bits(extremes(contributions, cfg.groups * cfg.rows_k))


@given(small())
def test_products(cfg):
    products = [w * x for w in weights(cfg) for x in (min(salients(cfg)), max(salients(cfg)))]
    assert cfg.prod_bits == signed_bits(extremes(products, cfg.int_lanes))


@given(small())
def test_levels(cfg):
    coded = [abs(q) << e for q in range(-cfg.sal_max, cfg.sal_max + 1)
             for e in range(cfg.exp_max + 1)]
    assert cfg.level_max == max(coded)
    assert cfg.out_level_bits == max(*coded, cfg.window).bit_length()
    assert cfg.level_bits == len(f"{cfg.window:b}")
    assert cfg.sal_max >= cfg.window


@given(small())
def test_numbers_of_places(cfg):
    """A number of `bits` bits tells `places` places apart, and one bit less would not."""
    for bits, places in ((cfg.row_bits, cfg.rows_k), (cfg.addr_bits, cfg.bank_depth),
                         (cfg.lane_bits, cfg.rows), (cfg.col_bits, cfg.cols),
                         (cfg.tile_bits, cfg.tiles), (cfg.group_bits, cfg.groups),
                         (cfg.pattern_bits, cfg.patterns), (cfg.slot_bits, cfg.slots),
                         (cfg.token_bits, cfg.tokens), (cfg.train_bits, cfg.train_depth),
                         (cfg.list_bits, cfg.list_depth), (cfg.bucket_bits, cfg.bucket_depth),
                         (cfg.count_bits, cfg.bucket_depth + 1)):
        assert places <= 1 << bits
        assert bits == 1 or places > 1 << (bits - 1)


@given(small())
def test_inputs_have_places(cfg):
    assert cfg.groups * cfg.homes == cfg.rows
    assert cfg.rows_k == len({k // cfg.groups for k in range(cfg.k)})
    assert cfg.slot_rows >= cfg.rows_k and cfg.slot_rows * cfg.slots <= cfg.bank_depth
    # No two inputs share a bank's row.
    places = [(lane, k // cfg.groups) for k in range(cfg.k) for lane in cfg.home_lanes(k)]
    assert len(places) == len(set(places)) == cfg.k * cfg.homes


@given(small(), st.integers(1, 12))
def test_resident_tiles(cfg, k):
    k = min(k, cfg.k)
    tiles = cfg.tiles_resident(k)
    assert tiles * cfg.tile_rows(k) <= cfg.slot_rows
    assert tiles == cfg.tiles or (tiles + 1) * cfg.tile_rows(k) > cfg.slot_rows
    assert cfg.tile_rows(k) == len({i // cfg.groups for i in range(k)})


@given(small())
def test_sums_and_beats(cfg):
    v = 1 << (cfg.v_bits - 1)
    assert 1 << (cfg.acc_bits - 1) == (max(v, 1 << 31) if cfg.scale_bits or cfg.acc_depth else v)
    assert cfg.shift_bits == (4 if cfg.scale_bits else 0)
    row_bits = cfg.cols * cfg.wgt_bits
    rows = [n for n in (1, 2, 4, 8) if n * row_bits <= cfg.bus_bits and cfg.groups % n == 0]
    assert cfg.wgt_beat_rows == max(rows, default=1)
    assert cfg.wgt_row_beats == (1 if rows else len(range(0, row_bits, cfg.bus_bits)))
    assert cfg.act_word_beats == len(range(0, 16 * cfg.groups, cfg.bus_bits))


# -- homes, queues, trains and lists: every token of a small machine ----------------------------

#: rows, homes, int_lanes; all shapes of up to four lanes with every kind of overlap.
SHAPES = [(1, 1, 1), (2, 1, 2), (3, 1, 1), (4, 1, 2), (2, 2, 1), (4, 2, 2), (4, 4, 3)]
shapes = pytest.mark.parametrize("rows, homes, int_lanes", SHAPES)


def shape(rows: int, homes: int, int_lanes: int, inputs: int, window: int = 1) -> Config:
    groups = rows // homes
    return Config(rows=rows, cols=1, homes=homes, int_lanes=int_lanes, window=window,
                  k=inputs // groups * groups)


def every_token(levels: int, inputs: int) -> np.ndarray:
    """All tokens of so many inputs, each at a level below `levels`."""
    return np.array([*itertools.product(range(levels), repeat=inputs)], np.int64)


@shapes
def test_bucket_depth_is_the_most_that_any_token_needs(rows, homes, int_lanes):
    cfg = shape(rows, homes, int_lanes, inputs=12)
    _, counts = trains.place(every_token(2, cfg.k), cfg)
    assert counts.max() == cfg.bucket_depth


@pytest.mark.parametrize("rows, homes", [(16, 2), (16, 4), (16, 8), (8, 8), (32, 4), (16, 16)])
def test_no_adversary_overfills_a_bucket(rows, homes):
    """Whole rows, one line of lanes, every second row, and a search that keeps what fills most."""
    cfg = Config(rows=rows, cols=1, homes=homes, int_lanes=1, k=12 * rows // homes)
    rng, (inputs, depth) = np.random.default_rng(rows + homes), (cfg.k, cfg.bucket_depth)
    row, group = np.arange(inputs) // cfg.groups, np.arange(inputs) % cfg.groups
    with_lane_0 = np.array([0 in cfg.home_lanes(k) for k in range(inputs)])
    tokens = np.stack([np.ones(inputs, bool), with_lane_0, group == 0, row % 2 == 0,
                       *(rng.random((60, inputs)) < rng.random((60, 1)))]).astype(np.int64)
    reached = 0
    for _ in range(40):
        fullest = trains.place(tokens, cfg)[1].max(axis=(1, 2))
        reached = max(reached, int(fullest.max()))
        best = tokens[np.argsort(-fullest, kind="stable")[:8]]
        flips = rng.random((len(tokens), inputs)) < 2 / inputs
        tokens = best[rng.integers(0, len(best), len(tokens))] ^ flips
        tokens[:len(best)] = best
    assert reached == depth      # all inputs at one level need it


@shapes
def test_train_worst_holds_every_token(rows, homes, int_lanes):
    """All tokens of one level and more inputs, then of three levels and fewer; at most one word
    above what is ever needed."""
    for window, inputs in ((1, 12), (3, 6)):
        cfg = shape(rows, homes, int_lanes, inputs, window)
        levels = every_token(window + 1, cfg.k)
        words, _ = trains.lengths(levels, np.zeros_like(levels, dtype=bool), cfg)
        assert words.max() <= cfg.train_worst <= words.max() + 1
        assert words.min() == 1


@shapes
def test_list_worst_is_the_longest_list(rows, homes, int_lanes):
    cfg = shape(rows, homes, int_lanes, inputs=12)
    salient = every_token(2, cfg.k) == 1
    _, lists = trains.lengths(np.zeros_like(salient, dtype=np.int64), salient, cfg)
    assert lists.max() == cfg.list_worst
    assert cfg.list_worst * cfg.int_lanes >= cfg.k


HOMES = [(2, 2), (4, 2), (4, 4), (8, 2), (8, 4), (8, 8), (16, 1), (16, 2), (16, 4), (16, 8),
         (16, 16), (64, 4), (128, 8)]


@pytest.mark.parametrize("rows, homes", HOMES)
def test_one_home_in_each_block_and_no_lane_twice_in_a_row(rows, homes):
    cfg = Config(rows=rows, homes=homes, int_lanes=1, k=1024, list_depth=1024)
    for row in range(2 * cfg.patterns):
        lanes = [cfg.home_lanes(row * cfg.groups + group) for group in range(cfg.groups)]
        for mine in lanes:
            assert [lane // cfg.groups for lane in mine] == list(range(homes))
        assert sorted(itertools.chain(*lanes)) == list(range(rows))     # so beats' rows too
        assert lanes == [cfg.home_lanes((row + cfg.patterns) * cfg.groups + group)
                         for group in range(cfg.groups)]


@pytest.mark.parametrize("rows, homes", [(r, h) for r, h in HOMES if 1 < h <= r // h])
def test_two_lanes_meet_in_one_input_at_most(rows, homes):
    """Where there are as many groups as homes: two lanes of different blocks share one of the
    patterns x groups homes, two of a block none. For 16 and 4, the affine plane of order 4."""
    cfg = Config(rows=rows, homes=homes, int_lanes=1, k=1024, list_depth=1024)
    shared = np.zeros((rows, rows), np.int64)
    for k in range(cfg.patterns * cfg.groups):
        lanes = cfg.home_lanes(k)
        shared[np.ix_(lanes, lanes)] += 1
    block = np.arange(rows) // cfg.groups
    assert (shared == np.where(block[:, None] != block, 1, 0) + np.diag(shared.diagonal())).all()


def test_one_home_is_the_plain_order():
    cfg = Config(rows=6, homes=1, int_lanes=3, k=100)
    assert [cfg.home_lanes(k) for k in range(100)] == [[k % 6] for k in range(100)]
    assert cfg.patterns == 1


@given(small())
def test_weight_and_salient_ranges(cfg):
    assert cfg.wgt_max == max(map(abs, weights(cfg)))
    assert cfg.sal_max == max(range(-(1 << (cfg.sal_bits - 1)), 1 << (cfg.sal_bits - 1)))
    assert 1 << cfg.exp_bits > cfg.exp_max >= (1 << cfg.exp_bits) >> 1


@pytest.mark.parametrize("k, tokens, rows", [(4, 1, 4), (64, 8, 256), (64, 64, 1024)])
def test_act_queue_holds_a_full_buffer_or_a_few_block_rams(k, tokens, rows):
    """A power of two, and never fewer rows than a queue is worth having for."""
    cfg = PRESETS["tiny"].with_(k=k, tokens=tokens, depth=0)
    assert cfg.act_queue == rows
    assert cfg.act_queue >= min(1024, tokens * cfg.rows_k)


def test_all_derived_names_have_a_test_or_a_range():
    assert set(Config().derived()) == {
        "groups", "rows_k", "patterns", "slot_rows", "bank_depth", "row_bits", "addr_bits",
        "group_bits", "pattern_bits", "slot_bits", "token_bits", "lane_bits", "col_bits",
        "tile_bits", "level_bits", "bucket_depth", "count_bits", "bucket_bits", "exp_bits", "group",
        "list_worst", "list_bits", "train_worst", "train_bits", "act_queue", "acc_bits",
        "shift_bits", "wgt_beat_rows", "wgt_row_beats", "act_word_beats", "wgt_max", "sal_max",
        "s_bits", "prod_bits", "v_bits", "level_max", "out_level_bits"}


# -- presets and views ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    cfg = preset(name)
    assert cfg == PRESETS[name] and cfg.v_bits <= V_BITS_MAX
    assert Config(**cfg.params()) == cfg
    assert cfg.with_() == cfg and cfg.with_(cols=cfg.cols + 1) != cfg


def test_default_depth_is_one_power_of_two_for_the_largest_k_in_every_slot():
    assert Config().bank_depth == 2 * Config().rows_k == 1024
    assert Config(k=2049, train_depth=2048, exp_max=8).bank_depth == 2048
    assert Config(slots=3).bank_depth == 3 * 512
    assert Config(depth=1100).bank_depth == 1100


def test_frozen_and_hashable():
    with pytest.raises(FrozenInstanceError):
        Config().rows = 4    # type: ignore[misc]
    assert len({Config(), Config(), PRESETS["tiny"]}) == 2


def test_every_field_says_what_it_means_and_costs():
    assert {field.name for field in user_fields()} == set(Config().params())
    for field in user_fields():
        assert field.metadata["help"] and field.metadata["cost"]


@pytest.mark.parametrize("text, shape", [("16x16", (16, 16)), ("4X8", (4, 8)), ("1x256", (1, 256))])
def test_parse_pe(text, shape):
    assert parse_pe(text) == shape


@pytest.mark.parametrize("text", ["", "16", "x", "16x", "x16", "0x4", "4x0", "4x4x4", "-4x4",
                                  "4.0x4", "4 x 4"])
def test_parse_pe_refuses(text):
    with pytest.raises(ConfigError, match="--pe .*16x16"):
        parse_pe(text)


# -- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("change, words", [
    ({"rows": 0}, "--pe 0x16: .*1..256"), ({"cols": 257}, "--pe 16x257: .*1..256"),
    ({"wgt_bits": 1}, "--wgt-bits 1: .*2..8"), ({"wgt_bits": 9}, "--wgt-bits 9: .*2..8"),
    ({"window": 0}, "--window 0: "), ({"window": 16}, "--window 16: "),
    ({"sal_bits": 13}, "--sal-bits 13: .*4..12"), ({"exp_max": -1}, "--exp-max -1: .*0..15"),
    ({"k": 0}, "--k 0: .*1..65536"), ({"depth": -1}, "--depth -1: .*0..65536"),
    ({"slots": 0}, "--slots 0: .*1..16"), ({"tokens": 2049}, "--tokens 2049: .*1..2048"),
    ({"tiles": 0}, "--tiles 0: .*1..2048"), ({"frac_bits": 25}, "--frac-bits 25: .*0..24"),
    ({"theta_bits": 49}, "--theta-bits 49: .*4..48"), ({"fire": "fast"}, "--fire fast: .*sar"),
    ({"bus": "pci"}, "--bus pci: .*stream, axi, wishbone"),
    ({"bus_bits": 48}, "--bus-bits 48: .*32, 64, 128"),
    ({"scale_bits": 13}, "--scale-bits 13: .*0..12"), ({"homes": 17}, "--homes 17: .*1..16"),
    ({"homes": 3}, "--homes 3: .*--homes 1"),
    ({"rows": 12}, "--homes 4: .*--homes 1 or --pe 16x16"),
    ({"homes": 8, "rows": 4, "int_lanes": 1}, "--homes 8: .*here 4"),
    ({"int_lanes": 5}, "--int-lanes 5: .*1..4"), ({"int_lanes": 0}, "--int-lanes 0: .*1..4"),
    ({"homes": 1, "int_lanes": 0}, "--int-lanes 0: .*1, 2, 4"),
    ({"homes": 1, "int_lanes": 17}, "--int-lanes 17: "),
    ({"window": 15, "sal_bits": 4}, "--sal-bits 4: .*--sal-bits 5"),
    ({"depth": 100}, "--k 2048: .*--k 200 or less, or --depth 1024 or more"),
    ({"train_depth": 517}, "--train-depth 517: .*--k 2048 may need 518 words"),
    ({"list_depth": 511}, "--list-depth 511: .*--k 2048 may have 512 salient"),
    ({"acc_depth": 15}, "--acc-depth 15: .*at least the 16 columns"),
    ({"theta_bits": 33, "bus_bits": 32}, "--theta-bits 33: .*--bus-bits 32"),
    ({"theta_bits": 16}, "--theta-bits 16: .*--frac-bits 16"),
    ({"exp_max": 15}, "--k 2048: .*32: use --exp-max 9 or less, or --k 32 or less")])
def test_mistakes_say_what_would_work(change, words):
    with pytest.raises(ConfigError) as caught:
        Config(**change)
    assert re.match(words, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


def test_unknown_preset():
    with pytest.raises(ConfigError, match="--preset huge: .*tiny, default, large"):
        preset("huge")


@st.composite
def changes(draw: st.DrawFn) -> dict[str, int]:
    """Parameters that often do not fit together, each in its own range."""
    return draw(st.fixed_dictionaries({
        "rows": st.sampled_from([1, 4, 16, 64]), "homes": st.sampled_from([1, 1, 2, 4]),
        "int_lanes": st.sampled_from([1, 2]), "slots": st.integers(1, 4),
        "wgt_bits": st.integers(2, 8), "train_depth": st.just(65536),
        "list_depth": st.just(65536),
        "window": st.sampled_from(WINDOWS), "sal_bits": st.integers(4, 12),
        "exp_max": st.integers(0, 15), "k": st.integers(1, 65536), "depth": st.integers(0, 65536),
        "tiles": st.integers(1, 2048), "theta_bits": st.integers(4, 48),
        "frac_bits": st.integers(0, 24)}))


@given(changes())
@settings(max_examples=300, deadline=None)
def test_advice_works(given_changes):
    """Whatever value a message recommends removes the complaint that it came with."""
    try:
        Config(**given_changes)
        return
    except ConfigError as error:
        message = str(error)
    fields = {flag_of(field.name): field.name for field in user_fields()}
    complaint, _, advice = message.partition(": ")
    offers = re.findall(r"(--[a-z-]+) (\d+) or (?:less|more)", advice)
    for flag, value in offers:
        try:
            Config(**{**given_changes, fields[flag]: int(value)})
        except ConfigError as error:
            # Another complaint may follow, but not this one again.
            again = str(error)
            assert again.partition(": ")[0].split()[0] != complaint.split()[0] \
                or again.partition(": ")[2].split()[:2] != advice.split()[:2], (message, again)


@pytest.mark.parametrize("wrong", [{"rows": "16"}, {"rows": 4.0}, {"signed": "no"}, {"k": True}])
def test_values_of_another_type_are_refused(wrong) -> None:
    (name, value), = wrong.items()
    with pytest.raises(ConfigError, match=f"--{name} .*{value}.*must be"):
        Config(**wrong)
