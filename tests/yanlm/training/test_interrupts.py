"""Signals stop a stage after its step."""

import os
import signal

import pytest
from stages import curve, equal_weights, train
from standin import StandIn

from yanlm.training.checkpoints import latest_checkpoint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
