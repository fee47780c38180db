"""Signals stop a stage after its step."""

import os
import signal

import pytest
from stages import curve, equal_weights, train
from standin import StandIn

from yanlm.training.checkpoints import latest_checkpoint
from yanlm.training.interrupts import SIGNALS, Interrupts


@pytest.fixture(params=SIGNALS)
def number(request):
    """A signal that this process hears, also where the tests were begun with nohup."""
    before = signal.getsignal(request.param)
    if before is signal.SIG_IGN:
        signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_saves_and_resume_goes_on_exactly(tmp_path, number):
    options = {"ema": 0.9, "log_every": 4, "model": StandIn(dropout=0.2)}
    whole, full = train(tmp_path / "a", **options)
    handler = signal.getsignal(number)

    def stop(record):
        if record["step"] == 8:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", **{**options, "model": StandIn(dropout=0.2)}, on_log=stop)
    assert signal.getsignal(number) is handler
    assert latest_checkpoint(tmp_path / "b").name == "step-00000009"  # in the middle of a line's window
    resumed, rest = train(tmp_path / "b", **{**options, "model": StandIn(dropout=0.2)}, resume=True)
    for x, y in zip(curve(full), curve(rest), strict=True):
        assert x == pytest.approx(y, rel=1e-6)
    assert equal_weights(whole, resumed) and rest.tokens == full.tokens and rest.seconds > 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
def test_a_terminal_that_is_closed_stops_a_run_unless_nohup_began_it():
    assert signal.SIGHUP in SIGNALS
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    try:
        interrupts = Interrupts()
        with interrupts.heard(alone=True):
            signal.raise_signal(signal.SIGHUP)
        assert not interrupts.asked and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_ends_at_once_where_the_process_is_alone():
    for alone in (True, False):
        interrupts = Interrupts()
        with interrupts.heard(alone):
            signal.raise_signal(signal.SIGINT)
            if alone:
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
            else:
                signal.raise_signal(signal.SIGINT)
        assert interrupts.asked
