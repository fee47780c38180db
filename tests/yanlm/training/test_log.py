"""The curve of a run, in log.jsonl."""

import errno

import pytest
from stages import curve, train

from yanlm.training.checkpoints import CheckpointError
from yanlm.training.log import RunLog


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
