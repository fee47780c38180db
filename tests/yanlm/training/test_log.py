"""The curve of a run, in log.jsonl."""

import errno
import json

import pytest
import torch
from stages import curve, train

from yanlm.training import log as module
from yanlm.training.checkpoints import CheckpointError
from yanlm.training.log import RunLog, Window, read_log


def test_a_line_is_in_the_file_at_once_and_goes_to_the_trackers(tmp_path, monkeypatch):
    class Tracker:
        def __init__(self):
            self.told = []

        def log(self, values, step):
            self.told.append((values, step))

        def finish(self):
            self.told.append("end")

    tracker = Tracker()
    monkeypatch.setattr(module, "started", lambda names, folder, step: [tracker])
    log = RunLog(tmp_path, ["one"])
    log.write({"step": 0, "loss": 9.0})  # nothing is open
    log.open(2, [{"step": 1, "loss": 3.0}, {"step": 3, "loss": 0.0}])
    record = {"step": 3, "loss": 2.0, "parts": {"ce": 1.5}}
    log.write(record)
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1, "loss": 3.0}, record]
    assert tracker.told == [({"loss": 2.0, "parts/ce": 1.5}, 3)]
    log.close()
    RunLog(tmp_path).close()  # never opened
    assert tracker.told[-1] == "end"


def test_what_is_no_record_is_left_out(tmp_path):
    lines = [{"step": 1}, {"step": "2"}, {"loss": 1.0}, [3], 4, {"step": 5, "loss": 1.0}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 6, "lo')
    assert read_log(tmp_path / "log.jsonl") == [lines[0], lines[-1]]
    assert read_log(tmp_path / "none.jsonl") == []


def test_a_window_has_the_means_since_the_last_line():
    window = Window()
    assert (window.since, window.steps, window.tokens, window.rate, window.grad_norm) == (0.0, 0, 0, None, 0.0)
    for step in range(1, 4):
        for weight in (0.25, 0.75):
            window.add({"loss": torch.tensor(4.0 * step, requires_grad=True), "kl": torch.tensor(1.0)}, weight)
        window.count(10 * step, rate=0.1 * step, grad_norm=torch.tensor(float(step)))
    assert {name: mean.item() for name, mean in window.means().items()} == {"loss": 8.0, "kl": 1.0}
    assert not window.sums["loss"].requires_grad
    state = window.state_dict()
    assert state == {"steps": 3, "tokens": 60, "since": 0.0, "lr": pytest.approx(0.3), "grad_norm": 3.0}
    sums = {name: value.item() for name, value in window.sums.items()}
    again = Window.of({**state, "since": 2.5, "sums": sums}, torch.device("cpu"))
    assert again.state_dict() == state | {"since": 2.5} and again.means() == window.means()
    old = Window.of({"steps": 1, "tokens": 2, "since": 0.0, "sums": {}}, torch.device("cpu"))
    assert old.rate is None and old.grad_norm == 0.0


def test_resume_drops_lines_after_the_checkpoint_and_fills_lost_ones(tmp_path):
    _, full = train(tmp_path, steps=8)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    lost = "\n".join(lines[:5]) + '\n{"step": 9, "loss": 1.0}\n{"step": 10, "lo'
    (tmp_path / "log.jsonl").write_text(lost)
    _, more = train(tmp_path, steps=12, resume=True)
    assert curve(more)[:8] == curve(full) and [record["step"] for record in more.history] == list(range(1, 13))


def test_a_log_that_cannot_be_written_is_told_too(tmp_path, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    def fill(record):
        monkeypatch.setattr(RunLog, "write", lambda log, record: broken(log, record))

    write = RunLog.write

    def broken(log, record):
        log._file = Full()
        write(log, record)

    with pytest.raises(CheckpointError, match=r"disk is full while writing the log.*step 0 is intact"):
        train(tmp_path, on_log=fill)
