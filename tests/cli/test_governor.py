"""Threads follow the free cores, and what the user has chosen stays."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moefm_cli import governor as module
from moefm_cli.governor import OWN, SPIN, Governor, Times, allowed_cores, free_cores, read_times


@pytest.fixture
def machine(monkeypatch):
    """A clock and a number of torch's threads that tests move."""

    class Machine:
        now, most, times = 0.0, 2, Times(0.0, 0.0, 0.0)

        def passes(self, seconds, idle, own):
            """Time passes, in which so many cores are idle and so many this process's own."""
            self.now += seconds
            before = self.times
            self.times = Times(self.now, before.idle + idle * seconds, before.own + own * seconds)

    state = Machine()
    monkeypatch.setattr(module.time, "perf_counter", lambda: state.now)
    monkeypatch.setattr(module, "read_times", lambda: state.times)
    monkeypatch.setattr(module, "allowed_cores", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: state.most)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: setattr(state, "most", count))
    return state


def test_threads_follow_the_free_cores(machine):
    governor = Governor(machine.times)
    seen = []
    for idle, own in [(1.0, 1.0), (0.0, 1.9), (0.0, 1.3), (0.0, 1.0), (1.0, 1.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.9)]:
        machine.passes(1.5, idle, own)
        governor.look()
        seen.append(machine.most)
    # a busy core is left at once, and taken again when two looks have seen it free
    assert seen == [2, 2, 1, 1, 1, 1, 1, 2]


def test_the_first_look_comes_at_once_and_the_next_a_second_later(machine):
    governor = Governor(machine.times)
    machine.passes(0.3, 0.0, 1.0)
    governor.look()
    assert machine.most == 1
    for _ in range(3):
        machine.passes(0.3, 1.0, 1.0)
        governor.look()
        assert governor.wanted == 1
    machine.passes(0.3, 1.0, 1.0)
    governor.look()
    assert governor.wanted == 2


def test_a_number_set_elsewhere_stays(machine):
    governor = Governor(machine.times)
    machine.passes(2.0, 1.0, 1.0)
    governor.look()
    machine.most = 7
    machine.passes(2.0, 0.0, 1.0)
    governor.look()
    assert machine.most == 7


def test_a_quota_of_the_container_is_kept(machine, monkeypatch, tmp_path):
    machine.most = 64
    for text, cores in (("150000 100000\n", 2), ("max 100000\n", None), ("", None)):
        (tmp_path / "cpu.max").write_text(text)
        monkeypatch.setattr(module, "QUOTA", tmp_path / "cpu.max")
        assert allowed_cores() == cores
    monkeypatch.setattr(module, "allowed_cores", lambda: 2)
    machine.passes(1.0, 60.0, 1.0)
    Governor(Times(0.0, 0.0, 0.0)).look()
    assert machine.most == 2


@given(idle=st.floats(0, 64), own=st.floats(0, 64), seconds=st.floats(0.1, 100), start=st.floats(0, 1e6))
def test_free_cores_are_those_idle_and_our_own(idle, own, seconds, start):
    before = Times(start, start, start)
    after = Times(start + seconds, start + idle * seconds, start + own * seconds)
    assert free_cores(before, after) == pytest.approx(idle + own, abs=1e-3)


@pytest.mark.skipif(not module.STAT.exists(), reason="the system has no /proc/stat")
def test_times_move_on():
    before = read_times()
    total = sum(i * i for i in range(200_000))
    after = read_times()
    assert total and after.wall > before.wall and after.own > before.own and after.idle >= before.idle


def test_a_system_that_does_not_tell(monkeypatch, tmp_path):
    for text in ("", "cpu0 0 0 0 0 0\ncpu1 0 0 0 0 0", "cpu0 x", None):
        monkeypatch.setattr(module, "STAT", tmp_path / "stat")
        if text is not None:
            (tmp_path / "stat").write_text(text)
        else:
            (tmp_path / "stat").unlink()
        assert read_times() is None


BEGIN = "import os; from moefm_cli import governor; governor.begin(); print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("code", "environment", "spins"),
    [
        (BEGIN, {}, SPIN),
        (BEGIN, {"OMP_NUM_THREADS": "2"}, "None"),
        (BEGIN, {"OMP_WAIT_POLICY": "PASSIVE"}, "None"),
        (BEGIN, {"GOMP_SPINCOUNT": "7"}, "7"),
        ("import sys; sys.modules['torch'] = None; " + BEGIN, {}, "None"),
    ],
    ids=["alone", "threads set", "policy set", "spins set", "inside another program"],
)
def test_what_is_set_before_torch_is_loaded(code, environment, spins):
    clean = {name: value for name, value in os.environ.items() if name not in OWN}
    run = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True)
    assert run.stdout.strip() == spins, run.stderr


def test_doctor_says_who_has_chosen(monkeypatch, machine):
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    assert module.threads_in_force() == {"threads": 2, "threads_by": "torch's own choice"}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert module.threads_in_force()["threads_by"] == "OMP_NUM_THREADS=2"
    monkeypatch.setattr(module, "_governor", Governor(machine.times))
    machine.passes(1.0, 1.0, 1.0)
    assert module.threads_in_force()["threads_by"] == "as cores are free, at most 2; GOMP_SPINCOUNT=20000"
