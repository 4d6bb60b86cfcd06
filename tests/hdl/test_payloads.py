"""Stream words: field order is bit order, every field holds its worst case."""

import pytest
import torch
from amaranth.lib import data

import golden
from golden import Codes
from hdl.payloads import (
    OutKind,
    act_layout,
    code_layout,
    fire_layout,
    neuron_layout,
    out_data_bits,
    out_layout,
    prod_layout,
    psum_layout,
    row_layout,
    run_layout,
    salient_layout,
    salients_layout,
    thr_layout,
    token_layout,
    wgt_layout,
)
from spinteger.config import Config
from tests.hdl.traffic import SMALL

CONFIGS = {
    "default": Config(),
    "small": SMALL,
    "plain_int8": SMALL.with_(exp_max=0),
    "1x1": SMALL.with_(rows=1, cols=1),
    "3x5": SMALL.with_(rows=3, cols=5),
    "group_of_1": SMALL.with_(int_lanes=4),
    "window_15": SMALL.with_(window=15, signed=False),
    "wide": Config(cols=64, depth=512),
}
LAYOUTS = [code_layout, act_layout, wgt_layout, thr_layout, run_layout, fire_layout, psum_layout,
           prod_layout, salient_layout, neuron_layout, out_layout, token_layout, salients_layout]
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
    assert names(salient_layout(SMALL.with_(exp_max=0, int_lanes=4))) == ["q", "row"]


@configs
def test_act_word_holds_one_code_per_lane_then_last(cfg: Config) -> None:
    layout, code_bits = act_layout(cfg), cfg.sal_bits + cfg.exp_bits
    codes = [{"q": n % 100} for n in range(cfg.rows)]
    bits = layout.const({"code": codes, "last": 1}).as_value().value
    for n in range(cfg.rows):
        assert bits >> n * code_bits & ((1 << code_bits) - 1) == n % 100
    assert bits >> cfg.rows * code_bits == 1


@configs
def test_worst_cases_fit(cfg: Config) -> None:
    inputs = cfg.rows * cfg.rows_k
    worst_v = inputs * cfg.wgt_max << cfg.sal_bits - 1 + cfg.exp_max
    psum = psum_layout(cfg).const({"v": [worst_v] * cfg.cols})
    assert all(psum.v[n] == worst_v for n in range(cfg.cols))
    assert neuron_layout(cfg).const({"mag": worst_v}).mag == worst_v
    assert -worst_v > -(1 << cfg.v_bits - 1), "|V| would need another bit"
    worst_prod = cfg.int_lanes * cfg.wgt_max << cfg.sal_bits - 1 + cfg.exp_max
    assert prod_layout(cfg).const({"prod": [worst_prod] * cfg.cols}).prod[0] == worst_prod
    row = row_layout(cfg).const([-cfg.wgt_max] * cfg.cols)
    assert row[cfg.cols - 1] == -cfg.wgt_max
    run = run_layout(cfg).const({"stride": cfg.bank_depth, "tile_last": cfg.tiles - 1,
                                 "silence": cfg.window})
    assert (run.stride, run.tile_last, run.silence) == (cfg.bank_depth, cfg.tiles - 1, cfg.window)
    count = salients_layout(cfg).const({"count": [cfg.salient_depth] * cfg.int_lanes})
    assert count.count[cfg.int_lanes - 1] == cfg.salient_depth
    assert out_layout(cfg).const({"step": cfg.window - 1}).step == cfg.window - 1


@configs
def test_output_data_holds_every_kind(cfg: Config) -> None:
    need = {OutKind.RAW: cfg.v_bits, OutKind.SPIKE: 2 * cfg.cols,
            OutKind.SALIENT: cfg.sal_bits + cfg.exp_bits, OutKind.END: 0}
    assert out_data_bits(cfg) == max(need.values())
    for kind, bits in need.items():
        word = out_layout(cfg).const({"data": (1 << bits) - 1, "kind": kind,
                                      "column": cfg.cols - 1, "last": 1})
        assert (word.data, word.kind, word.column, word.last) == (
            (1 << bits) - 1, kind, cfg.cols - 1, 1)


def test_worst_case_codes_reach_the_worst_v() -> None:
    """The golden product of -8 weights and the largest codes is what v_bits was sized for."""
    inputs = SMALL.rows * SMALL.rows_k
    w = torch.full((inputs, 1), -SMALL.wgt_max)
    codes = Codes(torch.full((1, inputs), -1 << SMALL.sal_bits - 1),
                  torch.full((1, inputs), SMALL.exp_max))
    v = int(golden.matmul(codes, w))
    assert v.bit_length() + 1 == SMALL.v_bits
