"""`python -m bench.energy`: our machine and rivals as gates, what an event costs, the command."""

import os
import shutil

import numpy as np
import pytest
import torch

from bench import energy as command
from bench.gates import cells, crosscheck, energy, machine, memory, rival, spice
from bench.gates.liberty import LibertyError
from bench.gates.mapping import Recipe
from golden.realdata import make_layer
from spinteger.config import preset
from tests.bench.gates import tiny

pytestmark = pytest.mark.silicon

CFG = preset("tiny")


def layer(k=24, n=8, tokens=3, seed=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, k, generator=generator) ** 3
    return make_layer("blk.0.random", x, torch.randn(n, k, generator=generator), CFG, 2.5)


@pytest.fixture(scope="module")
def measured():
    """Our machine, checked word by word against the golden model on the way."""
    return command.ours(layer(), CFG, tiny(), 3, 2)


def test_our_machine_gives_the_golden_words_and_every_block_is_known(measured):
    design, details = measured
    assert "other" not in design.blocks and "" not in design.blocks
    assert set(machine.ARRAY) <= set(design.blocks)
    assert design.array.total < design.total.total
    assert design.cycles_per_mac > 0.5 and design.memory_bits > 1
    counts = details["counts"]
    assert counts["outputs"] == 3 * 8 and counts["inputs"] == 3 * 24
    assert 0 < counts["salients"] < counts["spikes"]


def test_events_add_up_to_what_was_measured(measured):
    _, details = measured
    events, counts, phase = (details["events"], details["counts"],
                             details["phases"]["compute"])
    predicted = (
        events["idle_cycle"] * phase["cycles"] + events["control_cycle"] * phase["cycles"]
        + CFG.cols * (events["spike_column"] * counts["spikes"]
                      + events["v_add_column"] * counts["v_adds"]
                      + events["salient_column"] * counts["salients"])
        + events["fired_output"] * counts["outputs"])
    total = sum(part["logic"] + part["registers"] + part["clock"]
                for part in phase["blocks"].values())
    assert predicted == pytest.approx(total)


def test_a_wrong_word_is_noticed():
    """An inverter in the trees that has become a buffer: the check must see it."""
    net = machine.machine(CFG, tiny(), Recipe())
    for gate in net.gates:
        if gate.block in ("tree", "S") and gate.cell.name == "INV":
            gate.cell = net.library.library.cells["BUF"]
    runner = machine.Runner(CFG, net)
    with pytest.raises(machine.MachineError):
        for program in machine.Work(layer(), 3, 2).packets(CFG).values():
            runner.phase(program)
        runner.check()


@pytest.mark.parametrize("kind", [
    pytest.param(kind, id=f"{kind.name}-{kind.bits}",
                 marks=[pytest.mark.slow] if kind.bits == 8 else []) for kind in rival.KINDS])
def test_rivals_give_the_product(kind):
    rng = np.random.default_rng(4)
    x, w = rng.integers(-300, 300, (4, 20)), rng.integers(-7, 8, (20, 8))
    window = rival.simulate(kind, 4, 4, tiny(), Recipe(), x, w)      # raises if it does not
    blocks = energy.breakdown(window.sim, window.counted)
    assert energy.total(blocks).total > 0 and "" not in blocks
    assert sum(memory.accesses(window.sim, window.counted).values()) > 0


def test_zeros_save_energy_and_memory_reads():
    rng = np.random.default_rng(5)
    # Long enough for banks of more words than become registers.
    x, w = rng.integers(-7, 8, (2, 100)), rng.integers(-7, 8, (100, 4))
    kind = next(kind for kind in rival.KINDS if kind.name == "adder tree, multipliers")
    found = []
    for share in (1.0, 0.3):
        window = rival.simulate(kind, 4, 4, tiny(), Recipe(), np.where(
            rng.random(x.shape) < share, x, 0), w)
        found.append((energy.total(energy.breakdown(window.sim, window.counted)).total,
                      sum(memory.accesses(window.sim, window.counted).values())))
    assert found[1][0] < 0.9 * found[0][0] and found[1][1] < found[0][1]


# -- against ngspice -----------------------------------------------------------------------------

def tools_missing() -> str:
    """Why the comparison cannot run; with CI=1 it must."""
    if os.environ.get("CI"):
        return ""
    try:
        spice.ngspice(), spice.folder()
    except LibertyError as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.skipif(bool(tools_missing()), reason=tools_missing() or "-")
def test_a_chain_of_full_adders_takes_what_ngspice_says():
    found = crosscheck.check(bits=4, vectors=16)
    assert abs(found.error) < 0.15, found


@pytest.mark.skipif(not cells.OSU018.exists() and not os.environ.get("CI"),
                    reason="qflow-tech-osu018 is not installed")
def test_osu018_is_read_and_has_its_roles():
    library = cells.load("osu018")
    assert library.library.voltage == 1.8
    for name in (library.buffer, library.clock_buffer, library.latch, library.gate):
        assert name in library.library.cells


# -- command -------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, words", [
    (["--layers", "q_proj"], "layer q_proj"), (["--batch", "0"], "--batch"),
    (["--clock", "-1"], "--clock"), (["--library", "nangate"], "--library"),
    (["--json", "/nowhere/x.json"], "--json")])
def test_bad_arguments_are_one_line(arguments, words, capsys):
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_missing_library_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cells, "OSU018", tmp_path / "none.lib")
    with pytest.raises(LibertyError, match="apt-get install qflow-tech-osu018"):
        cells.osu018(cells.OSU018)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(LibertyError, match="ngspice"):
        spice.ngspice()
