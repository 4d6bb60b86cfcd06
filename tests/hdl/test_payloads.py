"""Stream words: field order is bit order, every field holds its worst case."""

import pytest
import torch
from amaranth.lib import data

import golden
from golden import Codes
from hdl import payloads
from hdl.payloads import (
    OutKind,
    act_layout,
    code_layout,
    coded_layout,
    index_bits,
    neuron_layout,
    out_data_bits,
    out_layout,
    prod_layout,
    psum_layout,
    row_layout,
    run_layout,
    salient_layout,
    scale_layout,
    thr_layout,
    token_layout,
    train_layout,
    wgt_layout,
)
from spinteger.config import Config
from tests.hdl.traffic import SMALL

CONFIGS = {
    "default": Config(),
    "small": SMALL,
    "plain_int8": SMALL.with_(exp_max=0),
    "no_sums": SMALL.with_(scale_bits=0, acc_depth=0),
    "1x1": SMALL.with_(rows=1, cols=1, homes=1, int_lanes=1),
    "3x5": SMALL.with_(rows=3, cols=5, homes=1, int_lanes=3),
    "group_of_1": SMALL.with_(homes=4),
    "window_15": SMALL.with_(window=15, signed=False),
    "wide": Config(cols=64),
}
#: All that takes a configuration and gives a struct.
LAYOUTS = [function for name, function in vars(payloads).items() if name.endswith("_layout")
           and name != "row_layout"]
configs = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


@configs
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_fields_follow_each_other_without_gaps(layout, cfg: Config) -> None:
    offset = 0
    for _, field in layout(cfg):
        assert field.offset == offset
        offset += field.width
    assert layout(cfg).size == offset


@configs
def test_every_code_survives_its_word(cfg: Config) -> None:
    levels = torch.cat([torch.arange(0, 300), torch.tensor([cfg.level_max - 1, cfg.level_max])])
    codes = golden.recode(torch.cat([levels, -levels]) if cfg.signed else levels, cfg)
    layout = code_layout(cfg)
    for q, e in zip(*(part.tolist() for part in codes), strict=True):
        word = layout.const({"q": q, "e": e} if cfg.exp_bits else {"q": q})
        assert word.q == q and (not cfg.exp_bits or word.e == e)
        bits = word.as_value().value
        assert bits == q % (1 << cfg.sal_bits) | e << cfg.sal_bits      # q in the low bits


def test_exponent_and_bank_fields_only_where_needed() -> None:
    def names(layout: data.StructLayout) -> list[str]:
        return [name for name, _ in layout]

    assert names(code_layout(SMALL)) == ["q", "e"]
    assert names(code_layout(SMALL.with_(exp_max=0))) == ["q"]
    assert names(salient_layout(SMALL)) == ["q", "row", "e", "lane"]
    assert names(salient_layout(SMALL.with_(exp_max=0, homes=4))) == ["q", "row"]


@configs
def test_act_word_holds_one_code_per_group_then_last(cfg: Config) -> None:
    layout, code_bits = act_layout(cfg), cfg.sal_bits + cfg.exp_bits
    codes = [{"q": n % 100} for n in range(cfg.groups)]
    bits = layout.const({"code": codes, "last": 1}).as_value().value
    for n in range(cfg.groups):
        assert bits >> n * code_bits & ((1 << code_bits) - 1) == n % 100
    assert bits >> cfg.groups * code_bits == 1


@configs
def test_worst_cases_fit(cfg: Config) -> None:
    inputs = cfg.groups * cfg.rows_k
    worst_v = inputs * cfg.wgt_max << cfg.sal_bits - 1 + cfg.exp_max
    psum = psum_layout(cfg).const({"v": [worst_v] * cfg.cols})
    assert all(psum.v[n] == worst_v for n in range(cfg.cols))
    assert -worst_v > -(1 << cfg.v_bits - 1), "|V| would need another bit"
    worst_sum = max(worst_v, (1 << 31) - 1 if cfg.scale_bits or cfg.acc_depth else 0)
    assert neuron_layout(cfg).const({"mag": worst_sum}).mag == worst_sum
    worst_prod = cfg.int_lanes * cfg.wgt_max << cfg.sal_bits - 1 + cfg.exp_max
    assert prod_layout(cfg).const({"prod": [worst_prod] * cfg.cols}).prod[0] == worst_prod
    row = row_layout(cfg).const([-cfg.wgt_max] * cfg.cols)
    assert row[cfg.cols - 1] == -cfg.wgt_max


@configs
def test_every_place_has_a_number(cfg: Config) -> None:
    """The last of everything: rows, tiles, tokens, train words, list entries, thresholds."""
    last_row = cfg.bank_depth - 1
    run = run_layout(cfg).const({
        "base": last_row, "stride": cfg.rows_k, "tile_last": cfg.tiles - 1,
        "token_last": cfg.tokens - 1,
        "fire": {"silence": cfg.window, "index": (cfg.slots - 1) * cfg.tiles}})
    assert (run.base, run.stride, run.tile_last, run.token_last) == (
        last_row, cfg.rows_k % (1 << cfg.addr_bits), cfg.tiles - 1, cfg.tokens - 1)
    assert (run.fire.silence, run.fire.index) == (cfg.window, (cfg.slots - 1) * cfg.tiles)
    wgt = wgt_layout(cfg).const({"addr": last_row, "group": cfg.groups - 1,
                                 "pattern": cfg.patterns - 1})
    assert (wgt.addr, wgt.group, wgt.pattern) == (last_row, cfg.groups - 1, cfg.patterns - 1)
    train = train_layout(cfg).const({
        "event": [{"row": cfg.rows_k - 1, "neg": 1, "valid": 1}] * cfg.rows, "dt": cfg.window})
    assert (train.event[cfg.rows - 1].row, train.dt) == (cfg.rows_k - 1, cfg.window)
    for layout in (token_layout, coded_layout):
        most = layout(cfg).const({"list_start": cfg.list_depth - 1,
                                  "count": [cfg.list_worst] * cfg.int_lanes})
        assert most.list_start == cfg.list_depth - 1
        assert most.count[cfg.int_lanes - 1] == cfg.list_worst
    token = token_layout(cfg).const({"start": cfg.train_depth - 1, "left": cfg.train_worst - 1})
    assert (token.start, token.left) == (cfg.train_depth - 1, cfg.train_worst - 1)
    assert coded_layout(cfg).const({"levels": (1 << cfg.window) - 1}).levels == (
        1 << cfg.window) - 1
    entry = salient_layout(cfg).const({"row": cfg.rows_k - 1, "q": -1 << cfg.sal_bits - 1})
    assert (entry.row, entry.q) == (cfg.rows_k - 1, -1 << cfg.sal_bits - 1)
    if cfg.group > 1:
        assert salient_layout(cfg).const({"lane": cfg.group - 1}).lane == cfg.group - 1
    assert out_layout(cfg).const({"step": cfg.window - 1}).step == cfg.window - 1


@configs
def test_thresholds_and_scales_share_a_word(cfg: Config) -> None:
    layout, last = thr_layout(cfg), cfg.slots * cfg.tiles - 1
    theta = (1 << cfg.theta_bits) - 1
    word = layout.const({"value": theta, "column": cfg.cols - 1, "index": last})
    assert (word.value, word.column, word.index) == (theta, cfg.cols - 1, last)
    assert last < 1 << index_bits(cfg) and (last == 0 or last >= 1 << index_bits(cfg) - 1)
    scale = scale_layout(cfg).const({"mul": (1 << cfg.scale_bits) - 1, "shift": 31})
    assert (scale.mul, scale.shift) == ((1 << cfg.scale_bits) - 1, 31)
    assert layout.const({"value": scale.as_bits()}).value == scale.as_bits()


@configs
def test_output_data_holds_every_kind(cfg: Config) -> None:
    need = {OutKind.RAW: cfg.acc_bits, OutKind.SPIKE: 2 * cfg.cols,
            OutKind.SALIENT: cfg.sal_bits + cfg.exp_bits, OutKind.END: 0}
    assert out_data_bits(cfg) == max(need.values())
    for kind, bits in need.items():
        word = out_layout(cfg).const({"data": (1 << bits) - 1, "kind": kind,
                                      "column": cfg.cols - 1, "last": 1, "run_end": 1})
        assert (word.data, word.kind, word.column, word.last, word.run_end) == (
            (1 << bits) - 1, kind, cfg.cols - 1, 1, 1)


def test_worst_case_codes_reach_the_worst_v() -> None:
    """The golden product of -8 weights and the largest codes is what v_bits was sized for."""
    inputs = SMALL.groups * SMALL.rows_k
    w = torch.full((inputs, 1), -SMALL.wgt_max)
    codes = Codes(torch.full((1, inputs), -1 << SMALL.sal_bits - 1),
                  torch.full((1, inputs), SMALL.exp_max))
    v = int(golden.matmul(codes, w))
    assert v.bit_length() + 1 == SMALL.v_bits
