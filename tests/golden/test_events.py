"""Events: time order, salient lists."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.codes import CodeError, Codes, is_silent, recode, value
from golden.events import events, salient_list
from spinteger.config import Config

torch.set_num_threads(1)


def random_codes(seed: int, cfg: Config, *shape: int) -> Codes:
    g = torch.Generator().manual_seed(seed)
    level = (torch.randn(*shape, generator=g) * cfg.window / 2).round().long()
    return recode(level if cfg.signed else level.abs(), cfg)


def test_worked_example() -> None:
    codes = recode(torch.tensor([0, 3, -7, 200, -3, 7, 1, 8]), Config())
    assert events(codes, Config()) == [
        [(0, 2, -1), (0, 5, 1), (4, 1, 1), (4, 4, -1), (6, 6, 1)]]
    assert salient_list(codes, Config()) == [[(3, 100, 1), (7, 8, 0)]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(7, True), (15, False), (3, True)]),
       st.integers(1, 40))
def test_events_hold_every_input_once(seed: int, kind: tuple[int, bool], inputs: int) -> None:
    cfg = Config(window=kind[0], signed=kind[1])
    codes = random_codes(seed, cfg, 2, 3, inputs)
    x = value(codes).reshape(-1, inputs)
    silent = is_silent(codes, cfg).reshape(-1, inputs)
    spikes, salients = events(codes, cfg), salient_list(codes, cfg)
    assert len(spikes) == len(salients) == 6
    for m in range(6):
        assert [(t, k) for t, k, _ in spikes[m]] == sorted((t, k) for t, k, _ in spikes[m])
        rebuilt = [0] * inputs
        for t, k, sign in spikes[m]:
            assert 0 <= t < cfg.window and rebuilt[k] == 0
            rebuilt[k] = sign * (cfg.window - t)
        for k, q, e in salients[m]:
            assert rebuilt[k] == 0
            rebuilt[k] = q << e
        assert rebuilt == x[m].tolist()
        assert len(spikes[m]) + len(salients[m]) + int(silent[m].sum()) == inputs


def test_refusals() -> None:
    bad = Codes(torch.tensor([0, 128]), torch.tensor([0, 0]))
    for call in (events, salient_list):
        with pytest.raises(CodeError, match=r"index \(1,\): q = 128"):
            call(bad, Config())
