"""Energy per event: what a report says is what comes out; damaged reports are named."""

import json

import pytest

from gen import event_energy
from gen.explore import main
from sim.predict import Prediction
from spinteger.config import Config, ConfigError

EVENTS = {"spike_column": 2.0, "v_add_column": 3.0, "salient_column": 5.0, "fired_output": 7.0,
          "idle_cycle": 32.0, "control_cycle": 32.0, "coded_input": 1.0, "weight_row_bit": 1.0}
RUN = Prediction("layer", tokens=1, macs=100, cycles=30, compute_cycles=20, dense_cycles=25,
                 spike_rows=10, salient_rows=4, dense_rows=16, v_adds=6, outputs=8)


def report(**changes) -> dict:
    return {"library": "osu018", "memory_pj_per_bit": 0.5, "config": {"rows": 8, "cols": 8},
            "layers": {"one": {"events": EVENTS}, "two": {"events": EVENTS}}, **changes}


def test_every_event_counts(tmp_path) -> None:
    path = tmp_path / "energy.json"
    path.write_text(json.dumps(report()))
    events = event_energy.load(path)
    cfg = Config(rows=16, cols=4)                   # as many lanes as were measured
    assert events is not None and events.origin == "8x8, osu018"
    spent = 4 * (10 * 2 + 4 * 5 + 6 * 3) + 8 * 7 + 20 * 64
    assert events.logic([RUN], cfg) == pytest.approx(spent / 100)
    assert events.logic([RUN, RUN], cfg) == pytest.approx(spent / 100)
    assert events.memory([RUN], cfg) == pytest.approx(14 * 4 * 4 * 0.5 / 100)


def test_a_cycle_costs_in_proportion_to_the_array(tmp_path) -> None:
    path = tmp_path / "energy.json"
    path.write_text(json.dumps(report()))
    events = event_energy.load(path)
    assert events is not None
    more = events.logic([RUN], Config(rows=32, cols=4)) - events.logic([RUN], Config(cols=4))
    assert more == pytest.approx(20 * 64 / 100)


def test_the_mean_of_layers(tmp_path) -> None:
    path = tmp_path / "energy.json"
    layers = {"one": {"events": EVENTS}, "two": {"events": EVENTS | {"spike_column": 4.0}}}
    path.write_text(json.dumps(report(layers=layers)))
    events = event_energy.load(path)
    assert events is not None and events.spike_column == 3.0


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", json.dumps(report(layers={}))])
def test_damaged_reports_are_named(tmp_path, text, capsys) -> None:
    path = tmp_path / "energy.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"--energy .*energy\.json: is no report of `python -m"):
        event_energy.load(path)
    with pytest.raises(ConfigError):
        event_energy.load(tmp_path / "none.json")


def test_no_report_is_no_energy(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(event_energy, "MEASURED", (tmp_path / "none.json",))
    assert event_energy.load() is None


def test_explore_names_it(tmp_path, capsys) -> None:
    path = tmp_path / "energy.json"
    path.write_text("{}")
    assert main(["--preset", "tiny", "--layers", "blk.2.q_proj", "--energy", str(path)]) == 2
    assert "--energy" in capsys.readouterr().err
