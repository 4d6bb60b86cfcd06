"""Packets: there and back, layouts by hand, faults, output words."""

import time

import numpy as np
import pytest

from hdl.payloads import SCALE_SHIFT_BITS
from sim import packets, packing
from sim.packets import Packet, PacketError
from spinteger import isa
from spinteger.config import PRESETS, Config

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "default": Config(),
    "odd": Config(rows=3, cols=5, homes=1, int_lanes=3, k=40, depth=64, tiles=4, tokens=8,
                  exp_max=2, frac_bits=6, theta_bits=18, train_depth=128, list_depth=64,
                  acc_depth=0, scale_bits=0, bus_bits=32),
    "wide-row": TINY.with_(cols=20, acc_depth=160, bus_bits=32),
    "wide-bus": TINY.with_(bus_bits=256),
    "unsigned": TINY.with_(window=15, signed=False, exp_max=0, train_depth=64),
}
ALL = pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)


def weights(cfg: Config, k: int, n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-cfg.wgt_max, cfg.wgt_max, (k, n))


@ALL
def test_weights_there_and_back(cfg):
    k, n = 2 * cfg.groups + 1, cfg.cols + 2
    w = weights(cfg, k, n)
    packet = packets.load_wgt(cfg, 1, w)
    _, fields = isa.decode(packet.descriptor)
    assert fields == {"slot": 1, "sparse": 0, "rows": 3, "tiles": 2}
    back, came = packets.read_wgt(cfg, packet)
    assert back.shape == (3 * cfg.groups, 2 * cfg.cols) and came.all()
    assert (back[:k, :n] == w).all() and not back[k:].any() and not back[:, n:].any()
    assert packets.payload_beats(cfg, packet) == len(packet.payload)
    assert all(0 <= beat < 1 << cfg.bus_bits for beat in packet.payload)


@ALL
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_sparse_weights(cfg, share):
    k, n = min(cfg.k, 40) - 1, cfg.cols + 2
    w = weights(cfg, k, n)
    live = np.random.default_rng(2).random(k) < share
    packet = packets.load_wgt(cfg, 0, w, live)
    back, came = packets.read_wgt(cfg, packet)
    assert (came[:, :k] == live).all() and not came[:, k:].any()
    assert (back[:k, :n] == np.where(live[:, None], w, 0)).all()
    maps = 2 * -(-cfg.tile_rows(k) * cfg.groups // 32)
    assert len(packet.payload) == maps + 2 * live.sum() * cfg.wgt_row_beats
    assert packets.payload_beats(cfg, packet) == len(packet.payload)
    short = Packet(packet.descriptor, packet.payload[:-1])
    assert packets.payload_beats(cfg, short) > len(short.payload)
    with pytest.raises(PacketError, match="beats, not"):
        packets.read_wgt(cfg, short)


def test_weight_beats_by_hand():
    cfg = Config()                  # 16 columns of 4 bits: one row a beat of 64
    w = np.zeros((5, 17), np.int64)
    w[1, 0], w[1, 15], w[4, 16] = 3, -1, 7
    dense = packets.load_wgt(cfg, 0, w).payload
    assert len(dense) == 2 * 8      # two tiles of two rows of G = 4 inputs
    assert dense[1] == 0xF << 60 | 3 and dense[8 + 4] == 7
    live = np.array([0, 1, 0, 0, 1], bool)
    assert packets.load_wgt(cfg, 0, w, live).payload == [
        0b10010, 0xF << 60 | 3, 0, 0b10010, 0, 7]


def test_several_rows_a_beat_and_several_beats_a_row():
    cfg = TINY                      # 4 columns of 4 bits, G = 2: two rows in a beat of 64
    w = np.array([[1, 2, 3, 4], [5, 6, 7, -8]])
    assert cfg.wgt_beat_rows == 2
    assert packets.load_wgt(cfg, 0, w).payload == [0x8765_4321]
    cfg = CONFIGS["wide-row"]       # 20 columns: 80 bits in three beats of 32
    w = np.arange(40).reshape(2, 20) % 8
    assert packets.load_wgt(cfg, 0, w).payload[:3] == [0x76543210, 0x76543210, 0x3210]


@ALL
def test_thresholds_and_scales(cfg):
    gen = np.random.default_rng(3)
    n = cfg.cols + 1
    theta = gen.integers(1, 1 << cfg.theta_bits, n)
    packet = packets.load_thr(cfg, 2, theta)
    back = packets.read_thr(cfg, packet)
    assert (back[:n] == theta).all() and (back[n:] == 1).all() and len(back) == 2 * cfg.cols
    assert packets.payload_beats(cfg, packet) == len(packet.payload)
    if not cfg.scale_bits:
        return
    mul, shift = gen.integers(0, 1 << cfg.scale_bits, n), gen.integers(0, 32, n)
    packet = packets.load_scale(cfg, 2, mul, shift)
    got = packets.read_scale(cfg, packet)
    assert (got[0][:n] == mul).all() and (got[1][:n] == shift).all()
    assert packet.payload[0] == mul[0] | shift[0] << cfg.scale_bits
    assert packet.payload[0] < 1 << cfg.scale_bits + SCALE_SHIFT_BITS


@ALL
def test_activations_there_and_back(cfg):
    gen = np.random.default_rng(4)
    k = 2 * cfg.groups + 1
    q = gen.integers(-cfg.sal_max if cfg.signed else 0, cfg.sal_max + 1, (3, k))
    e = gen.integers(0, cfg.exp_max + 1, (3, k))
    shift = gen.integers(0, 1 << cfg.shift_bits, 3)
    packet = packets.load_act(cfg, 1, q, e, shift)
    back = packets.read_act(cfg, packet)
    assert (back[0][:, :k] == q).all() and (back[1][:, :k] == e).all()
    assert not back[0][:, k:].any() and (back[2] == shift).all()
    assert len(packet.payload) == 3 * (1 + 3 * cfg.act_word_beats)
    assert packets.payload_beats(cfg, packet) == len(packet.payload)


def test_activation_beats_by_hand():
    cfg = Config()
    packet = packets.load_act(cfg, 0, [[1, -2, 100]], [[0, 0, 9]], [5])
    assert packet.payload == [5, 0x0964_00FE_0001]


@ALL
def test_beats_of_a_packet(cfg):
    packet = packets.run(cfg, slot=1, buf=1, rows=2, tiles=2, tokens=3, host=1, acc_last=True)
    beats = packet.beats(cfg)
    assert len(beats) == max(1, 128 // cfg.bus_bits)
    assert [last for _, last in beats] == [False] * (len(beats) - 1) + [True]
    joined = sum(word << at * cfg.bus_bits for at, (word, _) in enumerate(beats))
    assert joined == packet.descriptor
    assert len(Packet(0, [1, 2], cut=1).beats(cfg)) == 1


@ALL
def test_output_words_there_and_back(cfg):
    gen = np.random.default_rng(5)
    width = packets.out_layout(cfg).size
    words = [[int.from_bytes(gen.bytes(-(-width // 8)), "little") % (1 << width)
              for _ in range(n)] for n in (1, 5, 2)]
    beats = packets.write_words(cfg, words)
    assert packets.read_words(cfg, beats) == words
    assert sum(last for _, last in beats) == 3
    with pytest.raises(PacketError, match="no last beat"):
        packets.read_words(cfg, beats[:-1] if packets.word_beats(cfg) == 1
                           else [*beats, (0, False)])


def test_out_of_range_names_the_place():
    cfg = TINY
    for what, call in {
        r"weight \(1, 0\): 8, must be -8..7": lambda: packets.load_wgt(cfg, 0, [[1], [8]]),
        r"theta 0: 0, must be 1..1048575": lambda: packets.load_thr(cfg, 0, [0]),
        r"scale 1: 256, must be 0..255": lambda: packets.load_scale(cfg, 0, [1, 256]),
        r"scale shift 0: 32": lambda: packets.load_scale(cfg, 0, [1], 32),
        r"q \(0, 1\): -128": lambda: packets.load_act(cfg, 0, [[0, -128]]),
        r"e \(0, 0\): 4, must be 0..3": lambda: packets.load_act(cfg, 0, [[1]], [[4]]),
        r"token shift 0: 16": lambda: packets.load_act(cfg, 0, [[1]], None, [16]),
        r"fence tag": lambda: packets.fence(packets.END_TAG),
        r"weights \[3\]": lambda: packets.load_wgt(cfg, 0, [1, 2, 3]),
    }.items():
        with pytest.raises(PacketError, match=what):
            call()


def test_a_large_layer_packs_fast():
    cfg = Config()
    w = weights(cfg, 576, 1536)
    started = time.perf_counter()
    packet = packets.load_wgt(cfg, 0, w)
    back, _ = packets.read_wgt(cfg, packet)
    assert (back == w).all()
    assert time.perf_counter() - started < 3        # typically 0.2 s


def test_packing_bits():
    values = np.array([[1, -1, -8], [7, 0, 3]])
    rows = packing.pack_bits(values, 4, 64)
    assert rows.shape == (2, 8)
    assert (packing.unpack_bits(rows, 4, 3, signed=True) == values).all()
