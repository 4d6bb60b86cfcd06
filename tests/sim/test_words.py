"""Words against Amaranth's own idea of a layout: packing, unpacking, reading output words."""

from typing import Any

import numpy as np
import pytest
from amaranth.lib import data

from hdl.payloads import (
    OutKind,
    act_layout,
    out_layout,
    prod_layout,
    psum_layout,
    row_layout,
    run_layout,
    thr_layout,
    token_layout,
    wgt_layout,
)
from sim import words
from sim.benches import CONFIGS
from spinteger.config import Config

KIND: Any = OutKind
ALL = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


def random_fields(cfg: Config, name: str, n: int) -> tuple[data.Layout, dict[str, np.ndarray]]:
    """A layout and n random values of each of its fields, over their whole range."""
    gen = np.random.default_rng(7)

    def some(bits: int, *shape: int, signed: bool = False) -> np.ndarray:
        values = gen.integers(0, 1 << bits, (n, *shape))
        return values - (1 << (bits - 1)) if signed else values

    if name == "act":
        fields = {"code.*.q": some(cfg.sal_bits, cfg.groups, signed=True), "last": some(1),
                  "fail": some(1), "buf": some(1), "shift": some(cfg.shift_bits)}
        if cfg.exp_bits:
            fields["code.*.e"] = some(cfg.exp_bits, cfg.groups)
        return act_layout(cfg), fields
    if name == "wgt":
        rows = cfg.wgt_beat_rows
        return wgt_layout(cfg), {
            "row.*.*": some(cfg.wgt_bits, rows, cfg.cols, signed=True), "mask": some(rows),
            "addr": some(cfg.addr_bits), "group": some(cfg.group_bits),
            "pattern": some(cfg.pattern_bits)}
    if name == "psum":
        return psum_layout(cfg), {"v.*": some(cfg.v_bits, cfg.cols, signed=True),
                                  "fire.tile": some(cfg.tile_bits), "fire.run": some(1),
                                  "fire.shift": some(cfg.shift_bits), "fire.last": some(1),
                                  "fire.end": some(1), "fire.drop": some(1)}
    if name == "prod":
        return prod_layout(cfg), {"prod.*": some(cfg.prod_bits, cfg.cols, signed=True),
                                  "last": some(1)}
    if name == "token":
        return token_layout(cfg), {
            "start": some(cfg.train_bits), "left": some(cfg.train_bits),
            "list_start": some(cfg.list_bits), "shift": some(cfg.shift_bits),
            "count.*": some(cfg.list_worst.bit_length(), cfg.int_lanes)}
    banks = data.ArrayLayout(row_layout(cfg), cfg.rows)
    return banks, {"*.*": some(cfg.wgt_bits, cfg.rows, cfg.cols, signed=True)}


def nested(fields: dict[str, np.ndarray], index: int) -> Any:
    """Word `index` as the initialiser that `Layout.const` takes."""
    if "*.*" in fields:
        return fields["*.*"][index].tolist()
    out: dict[str, Any] = {}
    for path, values in fields.items():
        head, *rest = path.split(".")
        value = values[index].tolist()
        if not rest:
            out[head] = value
        elif set(rest) == {"*"}:
            out[head] = value
        elif rest[0] == "*":
            elements = out.setdefault(head, [{} for _ in value])
            for element, one in zip(elements, value, strict=True):
                element[rest[1]] = one
        else:
            out.setdefault(head, {})[rest[0]] = value
    return out


LAYOUTS = ("act", "wgt", "psum", "prod", "token", "rows")


@ALL
@pytest.mark.parametrize("name", LAYOUTS)
def test_pack_is_what_amaranth_packs(cfg: Config, name: str) -> None:
    layout, fields = random_fields(cfg, name, 20)
    packed = words.pack(layout, fields)
    assert packed == [layout.const(nested(fields, i)).as_bits() for i in range(20)]


@ALL
@pytest.mark.parametrize("name", LAYOUTS)
def test_unpack_undoes_pack(cfg: Config, name: str) -> None:
    layout, fields = random_fields(cfg, name, 20)
    packed = words.pack(layout, fields)
    for path, values in fields.items():
        got = words.unpack(layout, path, packed)
        assert got.dtype == np.int64 and np.array_equal(got, values), path


def test_values_that_do_not_fit_are_refused() -> None:
    cfg = CONFIGS["tiny"]
    for tile_last in (cfg.tiles, -1):
        with pytest.raises(words.WordError, match=f"tile_last {tile_last} .word 1.: must be 0..7"):
            words.pack(run_layout(cfg), {"tile_last": np.array([0, tile_last])})
    with pytest.raises(words.WordError, match="q 200 .*-128..127"):
        words.act_words(cfg, np.array([[200]]), np.array([[0]]))
    with pytest.raises(words.WordError, match="e 4 .*0..3"):
        words.act_words(cfg, np.array([[100]]), np.array([[4]]))
    with pytest.raises(words.WordError, match="row.* 8 .*-8..7"):
        words.wgt_words(cfg, np.array([[8]]))


def test_fields_left_out_are_zero() -> None:
    packed = words.pack(run_layout(CONFIGS["tiny"]), {"fire.raw": np.array([1, 0])})
    assert words.unpack(run_layout(CONFIGS["tiny"]), "fire.raw", packed).tolist() == [1, 0]
    assert words.unpack(run_layout(CONFIGS["tiny"]), "stride", packed).tolist() == [0, 0]


def test_unpack_of_no_words() -> None:
    assert words.unpack(run_layout(CONFIGS["tiny"]), "buf", []).shape == (0,)


@ALL
def test_wgt_words_hold_every_code_once(cfg: Config) -> None:
    k, n = min(cfg.k, 2 * cfg.groups + 1), cfg.cols + 1
    w = np.random.default_rng(3).integers(-8, 8, (k, n))
    packed, layout = words.wgt_words(cfg, w, base=5), wgt_layout(cfg)
    found = {}
    for word in map(layout.from_bits, packed):
        assert word["mask"] == (1 << cfg.wgt_beat_rows) - 1
        assert word["pattern"] == (word["addr"] - 5) % cfg.tile_rows(k) % cfg.patterns
        for number in range(cfg.wgt_beat_rows):
            found[word["addr"], word["group"] + number] = [word["row"][number][c]
                                                           for c in range(cfg.cols)]
    assert len(found) == len(packed) * cfg.wgt_beat_rows
    for tile in range(2):
        for at in range(cfg.tile_rows(k) * cfg.groups):
            want = [int(w[at, col]) if at < k and col < n else 0
                    for col in range(tile * cfg.cols, (tile + 1) * cfg.cols)]
            assert found[5 + tile * cfg.tile_rows(k) + at // cfg.groups, at % cfg.groups] == want


@ALL
def test_thr_words_fill_the_last_tile_with_ones(cfg: Config) -> None:
    theta = np.arange(2, cfg.cols + 3)
    read = list(map(thr_layout(cfg).from_bits, words.thr_words(cfg, theta, index=1)))
    got = {(word["index"] - 1, word["column"]): word["value"] for word in read}
    assert got == {(i // cfg.cols, i % cfg.cols): int(theta[i]) if i < len(theta) else 1
                   for i in range(-(-len(theta) // cfg.cols) * cfg.cols)}
    assert not any(word["is_scale"] for word in read)


@ALL
def test_scale_words_fill_the_last_tile_with_zeros(cfg: Config) -> None:
    mul, shift = np.arange(2, cfg.cols + 3), np.arange(cfg.cols + 1) % 32
    read = list(map(thr_layout(cfg).from_bits, words.scale_words(cfg, mul, shift)))
    want = [int(m | s << cfg.scale_bits) for m, s in zip(mul, shift, strict=True)]
    assert [word["value"] for word in read] == want + [0] * (len(read) - len(want))
    assert all(word["is_scale"] for word in read)


@ALL
def test_act_words_end_every_token(cfg: Config) -> None:
    k = cfg.groups + 1
    q = np.arange(2 * k).reshape(2, k) - k
    e = np.abs(q) % (cfg.exp_max + 1)
    read = list(map(act_layout(cfg).from_bits,
                    words.act_words(cfg, q, e, buf=1, shift=np.array([3, 5]))))
    per_token = cfg.tile_rows(k)
    assert [word["last"] for word in read] == ([0] * (per_token - 1) + [1]) * 2
    assert [word["shift"] for word in read] == [3] * per_token + [5] * per_token
    assert all(word["buf"] and not word["fail"] for word in read)
    for token in range(2):
        codes = [word["code"][lane] for word in read[token * per_token:][:per_token]
                 for lane in range(cfg.groups)]
        assert [code["q"] for code in codes] == q[token].tolist() + [0] * (len(codes) - k)
        if cfg.exp_bits:
            assert [code["e"] for code in codes[:k]] == e[token].tolist()


def test_run_word() -> None:
    cfg = CONFIGS["odd"]
    word = run_layout(cfg).from_bits(words.run_word(cfg, 40, 3, 2, buf=1, slot=1, raw=True,
                                                    silence=5))
    assert (word["tile_last"], word["token_last"], word["stride"]) == (2, 1, 14)
    assert (word["buf"], word["base"]) == (1, cfg.slot_rows)
    fire = word["fire"]
    assert (fire["raw"], fire["unsigned"], fire["spikes_only"], fire["silence"]) == (1, 0, 0, 5)
    assert (fire["index"], fire["acc_first"], fire["acc_last"], fire["host"]) == (cfg.tiles, 1, 1,
                                                                                  1)


def out_word(cfg: Config, kind: str, **fields: int) -> int:
    return out_layout(cfg).const({"kind": KIND[kind], **fields}).as_bits()


def raw_tile(cfg: Config, v: list[int], last: int) -> list[int]:
    mask = (1 << cfg.acc_bits) - 1
    return [out_word(cfg, "RAW", column=c, data=x & mask) for c, x in enumerate(v)] + [
        out_word(cfg, "END", last=last)]


@ALL
def test_read_tiles(cfg: Config) -> None:
    q, e = -cfg.sal_max, cfg.exp_max
    salient = (q & (1 << cfg.sal_bits) - 1) | e << cfg.sal_bits
    column = cfg.cols - 1
    most = -(1 << (cfg.acc_bits - 1))
    stream = [out_word(cfg, "RAW", column=column, data=most & (1 << cfg.acc_bits) - 1),
              out_word(cfg, "END"),
              out_word(cfg, "SALIENT", column=column, data=salient),
              out_word(cfg, "SPIKE", step=0, data=1 | 1 << cfg.cols),
              out_word(cfg, "SPIKE", step=2, data=1 << column),
              out_word(cfg, "END", last=1)]
    raw, fired = words.read_tiles(cfg, stream)
    assert raw == words.Tile({column: most}, {}, [], False)
    assert fired == words.Tile({}, {column: (q, e)}, [(0, 0, -1), (2, column, 1)], True)
    assert words.read_ends(cfg, stream) == [False, True]
    with pytest.raises(words.WordError, match="no END"):
        words.read_tiles(cfg, stream[:-1])


@ALL
def test_psums_join_the_tiles_of_a_token(cfg: Config) -> None:
    n = cfg.cols + 1
    v = np.arange(-2 * cfg.cols, 2 * cfg.cols).reshape(2, -1)
    stream = [word for row in v for half in range(2)
              for word in raw_tile(cfg, row[half * cfg.cols:][:cfg.cols].tolist(), half)]
    assert np.array_equal(words.psums(cfg, words.read_tiles(cfg, stream), n), v[:, :n])
    missing = words.read_tiles(cfg, stream[1:])
    with pytest.raises(words.WordError, match="tile 0: raw V of columns"):
        words.psums(cfg, missing, n)


def test_codes_join_spikes_and_salients() -> None:
    cfg = CONFIGS["odd"]
    tile = words.Tile({}, {4: (-100, 2)}, [(0, 1, -1), (6, 0, 1)], True)
    q, e = words.codes(cfg, [tile, words.Tile({}, {}, [], True)], 5)
    assert q.tolist() == [[1, -7, 0, 0, -100], [0] * 5]
    assert e.tolist() == [[0, 0, 0, 0, 2], [0] * 5]


@pytest.mark.parametrize(("tile", "message"), [
    (words.Tile({}, {}, [(3, 0, 1), (2, 1, 1)], True), "tile 0: spikes out of time order"),
    (words.Tile({}, {}, [(2, 1, 1), (3, 1, 1)], True), "tile 0: a column fires twice"),
    (words.Tile({}, {1: (9, 0)}, [(2, 1, 1)], True), "tile 0: a column fires twice"),
])
def test_codes_refuse_what_no_if_bank_emits(tile: words.Tile, message: str) -> None:
    with pytest.raises(words.WordError, match=message):
        words.codes(CONFIGS["tiny"], [tile], 4)
