"""The configuration: derived widths against brute force, and what it says about mistakes."""

import itertools
import re
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    rows = draw(st.sampled_from([1, 2, 3, 4]))
    window = draw(st.sampled_from([1, 3, 7]))
    return Config(
        rows=rows, cols=draw(st.integers(1, 5)), wgt_bits=draw(st.integers(2, 4)), window=window,
        int_lanes=draw(st.sampled_from([n for n in range(1, rows + 1) if rows % n == 0])),
        sal_bits=draw(st.integers(max(4, window.bit_length() + 1), 6)),
        exp_max=draw(st.integers(0, 3)), k=draw(st.integers(1, 12)), tiles=draw(st.integers(1, 8)))


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
    ends = {min(values), max(values)}
    return [sum(terms) for terms in itertools.product(ends, repeat=count)]


def signed_bits(values: list[int]) -> int:
    """The fewest bits of two's complement that hold all values."""
    return next(bits for bits in range(1, 99)
                if all(-(1 << (bits - 1)) <= value < 1 << (bits - 1) for value in values))


@given(small())
def test_running_sum(cfg):
    # Every input fires once in a step; a lane without an input there reads a zero.
    contributions = [w * s for w in weights(cfg) for s in (-1, 0, 1)]
    sums = extremes(contributions, cfg.rows * cfg.rows_k)
    assert cfg.s_bits == signed_bits(sums)


@given(small())
@settings(deadline=None)
def test_total(cfg):
    contributions = [w * x for w in weights(cfg) for x in (min(inputs(cfg)), max(inputs(cfg)))]
    assert cfg.v_bits == signed_bits(extremes(contributions, cfg.rows * cfg.rows_k))


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
                         (cfg.tile_bits, cfg.tiles)):
        assert places <= 1 << bits
        assert bits == 1 or places > 1 << (bits - 1)


@given(small())
def test_inputs_have_places(cfg):
    places = {(k % cfg.rows, k // cfg.rows) for k in range(cfg.k)}
    assert len(places) == cfg.k
    assert max(row for _, row in places) == cfg.rows_k - 1
    # All rows of a lane in one bucket, and all inputs of a group in one salient list.
    fullest = max(sum(lane == number for lane, _ in places) for number in range(cfg.rows))
    assert cfg.count_bits == fullest.bit_length()
    assert cfg.salient_depth == cfg.rows_k * cfg.group
    assert cfg.group * cfg.int_lanes == cfg.rows


@given(small(), st.integers(1, 12))
def test_resident_tiles(cfg, k):
    k = min(k, cfg.k)
    tiles = cfg.tiles_resident(k)
    assert tiles * cfg.tile_rows(k) <= cfg.bank_depth
    assert tiles == cfg.tiles or (tiles + 1) * cfg.tile_rows(k) > cfg.bank_depth
    assert cfg.tile_rows(k) == len({i // cfg.rows for i in range(k)})


@given(small())
def test_weight_and_salient_ranges(cfg):
    assert cfg.wgt_max == max(map(abs, weights(cfg)))
    assert cfg.sal_max == max(range(-(1 << (cfg.sal_bits - 1)), 1 << (cfg.sal_bits - 1)))
    assert 1 << cfg.exp_bits > cfg.exp_max >= (1 << cfg.exp_bits) >> 1


def test_all_derived_names_have_a_test_or_a_range():
    assert set(Config().derived()) == {
        "rows_k", "bank_depth", "row_bits", "addr_bits", "lane_bits", "col_bits", "tile_bits",
        "level_bits", "count_bits", "exp_bits", "group", "salient_depth", "wgt_max", "sal_max",
        "s_bits", "prod_bits", "v_bits", "level_max", "out_level_bits"}


# -- presets and views ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    cfg = preset(name)
    assert cfg == PRESETS[name] and cfg.v_bits <= V_BITS_MAX
    assert Config(**cfg.params()) == cfg
    assert cfg.with_() == cfg and cfg.with_(cols=cfg.cols + 1) != cfg


def test_default_depth_is_eight_tiles():
    assert Config().bank_depth == 8 * Config().rows_k
    assert Config(depth=512).bank_depth == 512


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
    ({"tiles": 0}, "--tiles 0: .*1..4096"), ({"frac_bits": 25}, "--frac-bits 25: .*0..24"),
    ({"theta_bits": 49}, "--theta-bits 49: .*4..48"), ({"fire": "fast"}, "--fire fast: .*sar"),
    ({"int_lanes": 0}, "--int-lanes 0: .*1, 2, 4"), ({"int_lanes": 17}, "--int-lanes 17: "),
    ({"window": 15, "sal_bits": 4}, "--sal-bits 4: .*--sal-bits 5"),
    ({"depth": 100}, "--k 2048: .*--k 1600 or less, or --depth 128 or more"),
    ({"k": 16}, "--tiles 32: .*--tiles 8 or less"),
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
        "rows": st.sampled_from([1, 4, 16, 64]), "wgt_bits": st.integers(2, 8),
        "window": st.sampled_from(WINDOWS), "sal_bits": st.integers(4, 12),
        "exp_max": st.integers(0, 15), "k": st.integers(1, 65536), "depth": st.integers(0, 65536),
        "tiles": st.integers(1, 4096), "theta_bits": st.integers(4, 48),
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
