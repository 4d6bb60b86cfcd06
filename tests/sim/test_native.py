"""The harnesses around the machine, on a stand-in for it: beats, stalls, registers, hangs."""

import signal
import subprocess
import sys
import time
from functools import cache

import pytest

from sim import backends, beats, builds, native, packets, tools
from sim.backends import Throttle, backend
from sim.packets import Packet
from spinteger import isa
from spinteger.config import PRESETS, Config
from tests.sim.loopback import Loopback

TINY = PRESETS["tiny"]
CONFIGS = {"tiny": TINY, "narrow": TINY.with_(bus_bits=32), "wide": TINY.with_(bus_bits=256)}
SLOW = Throttle(input_stall=0.5, output_stall=0.5, input_every=3, seed=7)


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    try:
        tools.verilator()
    except tools.SimulatorMissing as error:
        pytest.skip(str(error))
    monkeypatch.setattr(native, "Machine", Loopback)
    monkeypatch.setattr(native, "verilog", cache(native.verilog.__wrapped__))


def echo(cfg: Config) -> tuple[list[Packet], list[list[int]]]:
    """A program for the loopback, and the words that it answers."""
    words = [[5, 6, 7], [1 << 40 | 1]]
    mine = [[data for data, _ in packets.write_words(cfg, [packet])] for packet in words]
    program = [Packet(1, mine[0]), packets.fence(9), Packet(2, mine[1])]
    return program, [words[0], [packets.fence_word(cfg, 9)], words[1]]


@pytest.mark.parametrize("cfg", CONFIGS.values(), ids=CONFIGS)
def test_every_beat_arrives_stalled_or_not(cfg):
    program, words = echo(cfg)
    verilator = backend("verilator", cfg)
    fast, slow = verilator.execute(program), verilator.execute(program, throttle=SLOW)
    assert fast.packets == slow.packets == words
    assert fast.cycles is not None and slow.cycles is not None and fast.cycles < slow.cycles / 2
    total = len(beats.input_payloads(cfg, [*program, packets.end_fence()]))
    assert slow.cycles > 3 * total
    assert fast.counters["cycles"] in range(fast.cycles, fast.cycles + 8)
    assert verilator.execute(program, throttle=SLOW) == slow     # the same seed, the same stalls


def test_registers_and_the_error(monkeypatch):
    with native.Native(TINY) as machine:
        assert machine.read("id") == isa.ID_VALUE
        machine.write("control", 0x8000_0003)
        assert machine.read("control") == 0x8000_0003
        assert machine.cycles == 5          # a read takes two
    with_error = backends.execution(TINY, [[1], [packets.fence_word(TINY)]], dict.fromkeys(
        backends.READ, 0) | {"error": 7 << 8 | 5, "error_count": 2, "cycles_high": 1,
                             "idle_high": 1}, 11)
    assert with_error.error == (isa.Error.BAD_FLAGS, 7) and with_error.error_count == 2
    assert with_error.counters["cycles"] == with_error.counters["idle"] == 11
    assert with_error.packets == [[1]]


def test_a_limit_and_a_hang():
    with native.Native(TINY) as machine:
        machine.feed(beats.input_payloads(TINY, [Packet(255)]), b"")
        assert not machine.run(limit=1000)
        assert machine.cycles == 1000
        with pytest.raises(native.NativeError, match="hangs: no beat moved for 5000 cycles, at "
                                                     "cycle 500., after 2 beats in and 0 out"):
            machine.run(quiet=5000)
        machine.reset()
        assert machine.cycles == 0 and not len(machine.output())
        program, words = echo(TINY)
        machine.feed(beats.input_payloads(TINY, program), b"")
        machine.run(limit=100)
        assert beats.output_packets(TINY, machine.output()) == words


def test_ctrl_c_is_heard_and_frees_the_model():
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    machine = native.Native(TINY)
    try:
        machine.feed(beats.input_payloads(TINY, [Packet(255)]), b"")
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt), machine:
            machine.run(quiet=1 << 40)
        assert machine._handle is None
        machine.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_ends_a_build_and_what_it_started(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess.Popen, "wait", _interrupted(subprocess.Popen.wait))
    with pytest.raises(KeyboardInterrupt):
        native._call(["sh", "-c", "(sleep 1; touch late) & wait"], tmp_path, tmp_path / "log", {})
    time.sleep(1.5)
    assert not (tmp_path / "late").exists()


def _interrupted(wait):
    """Popen.wait that Ctrl-C breaks, the first time."""
    calls = []

    def once(self, timeout=None):
        calls.append(self)
        if len(calls) == 1:
            time.sleep(0.2)
            raise KeyboardInterrupt
        return wait(self, timeout)
    return once


def test_a_failed_build_names_its_log(monkeypatch, tmp_path):
    monkeypatch.setenv("SPINTEGER_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "verilog", lambda cfg: "module spinteger(); nonsense\nendmodule\n")
    with pytest.raises(native.NativeError, match=r"see .*build\.log\n(.|\n)*syntax error"):
        native.build(TINY)
    monkeypatch.setattr(native, "verilog", lambda cfg: "module spinteger(); nonsense\nendmodule\n")
    with pytest.raises(builds.BenchError):          # not taken for a finished build
        native.build(TINY)


def test_waves(tmp_path):
    vcd = tmp_path / "machine.vcd"
    program, words = echo(TINY)
    assert backends.Verilator(TINY, waves=vcd).execute(program).packets == words
    assert "input__payload" in vcd.read_text()


def test_two_configurations_in_one_process():
    machines = [(cfg, native.Native(cfg)) for cfg in CONFIGS.values()]
    for cfg, machine in machines:
        program, words = echo(cfg)
        machine.feed(beats.input_payloads(cfg, program), b"")
        machine.run(limit=200)
        assert beats.output_packets(cfg, machine.output()) == words
        machine.close()


def test_throttles_are_checked():
    for wrong in ({"input_stall": 1.0}, {"output_stall": -0.1}, {"input_every": 0}):
        with pytest.raises(ValueError, match="must be"):
            Throttle(**wrong)
    with pytest.raises(ValueError, match="backend fpga: choose from golden, verilator"):
        backend("fpga", TINY)


def test_output_without_the_end_fence():
    with pytest.raises(packets.PacketError, match="end fence"):
        beats.finish(TINY, [[1]])
    cut = beats.output_payloads(CONFIGS["narrow"], [[1, 2]])[:-1]
    with pytest.raises(packets.PacketError, match="no last beat"):
        beats.output_packets(CONFIGS["narrow"], cut)


def test_faults_reach_the_beats():
    packet = Packet(1, [1, 2, 3], keep={3: 0x0F}, cut=4)
    rows = beats.input_payloads(TINY, [packet])
    assert len(rows) == 4 and rows.shape[1] == 12
    assert [int(row[8]) for row in rows] == [255, 255, 255, 15]
    assert [int(row[9]) for row in rows] == [0, 0, 0, 1]


@pytest.mark.parametrize("simulator", ["icarus", "cocotb"])
def test_the_same_under_cocotb(simulator, monkeypatch):
    from sim import runner
    from tb import tops
    monkeypatch.setitem(tops.TOPS, "machine", Loopback)
    runner._verilog.cache_clear()
    try:
        program, words = echo(TINY)
        under = backend(simulator, TINY)
        fast, slow = under.execute(program), under.execute(program, throttle=SLOW)
        assert fast.packets == slow.packets == words
        assert fast.cycles is not None and slow.cycles is not None
        assert fast.cycles < slow.cycles / 2 and fast.counters["cycles"] >= fast.cycles
    finally:
        runner._verilog.cache_clear()


def test_a_machine_that_is_not_closed_does_no_harm():
    code = ("from tests.sim.loopback import Loopback\nfrom sim import native\n"
            "from spinteger.config import PRESETS\nnative.Machine = Loopback\n"
            "machine = native.Native(PRESETS['tiny'])\nprint('end')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "end\n" and not done.stderr
