"""Early stopping: the best weights stay, patience ends a stage, a resumed stage knows what was best."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from standin import StandIn, StandInDraw

from yanlm.training.early_stopping import BEST_FILE, Best
from yanlm.training.loop import TrainSettings, train_stage

BASE: dict[str, Any] = {"steps": 20, "batch_size": 8, "lr": 0.01, "warmup": 0, "save_every": 100, "check_every": 2}


class Scores:
    """Scores by step, and the weights that were scored."""

    def __init__(self, values: dict[int, float], kill_at: int | None = None) -> None:
        self.values, self.kill_at = values, kill_at
        self.seen: dict[int, torch.Tensor] = {}

    def __call__(self, model: Any, step: int) -> float:
        assert not model.training
        self.seen[step] = model.embedding.weight.detach().clone()
        if step == self.kill_at:
            signal.raise_signal(signal.SIGTERM)
        return self.values.get(step, 0.0)


def train(folder: Path, scores: Scores, resume: bool = False, **settings: Any) -> tuple[Any, Any]:
    chosen = TrainSettings(**{**BASE, **settings})
    model = StandIn()
    draw = StandInDraw(chosen.batch_size)
    return model, train_stage(model, 1, draw, chosen, folder, on_check=scores, resume=resume)


def test_the_best_weights_stay(tmp_path: Path) -> None:
    scores = Scores({2: 0.1, 4: 0.9, 6: 0.5})
    model, result = train(tmp_path, scores)
    assert result.steps == 20 and sorted(scores.seen) == list(range(2, 21, 2))
    assert torch.equal(model.embedding.weight, scores.seen[4])
    assert model.head.weight is model.embedding.weight


def test_patience_ends_the_stage(tmp_path: Path) -> None:
    scores = Scores({4: 0.9})
    model, result = train(tmp_path, scores, patience=3)
    assert result.steps == 10
    assert torch.equal(model.embedding.weight, scores.seen[4])


def test_the_last_step_is_checked_too(tmp_path: Path) -> None:
    scores = Scores({5: 1.0})
    model, _ = train(tmp_path, scores, steps=5)
    assert sorted(scores.seen) == [2, 4, 5]
    assert torch.equal(model.embedding.weight, scores.seen[5])


def test_a_resumed_stage_ends_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    values = {2: 0.3, 4: 0.9, 10: 0.8}
    whole, straight = train(tmp_path / "a", Scores(values), patience=4)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", Scores(values, kill_at=6), patience=4)
    AcceleratorState._reset_state(reset_partial_state=True)
    again = Scores(values)
    resumed, result = train(tmp_path / "b", again, resume=True, patience=4)
    assert result.steps == straight.steps == 12 and min(again.seen) == 8
    assert torch.allclose(resumed.embedding.weight, whole.embedding.weight, atol=1e-6)


def test_no_number_is_no_improvement(tmp_path: Path) -> None:
    best = Best(tmp_path, patience=None)
    weights = {"w": torch.ones(2)}
    best.take(float("nan"), 1, weights)
    assert best.misses == 1 and not (tmp_path / BEST_FILE).exists() and not best.exhausted
    best.take(0.5, 2, weights)
    best.take(0.5, 3, {"w": torch.zeros(2)})
    layer = torch.nn.Module()
    layer.w = torch.nn.Parameter(torch.zeros(2))
    best.give(layer)
    assert layer.w.tolist() == [1, 1] and best.step == 2
    other = Best(tmp_path, patience=1)
    other.load_state_dict(best.state_dict())
    assert other.exhausted and other.score == 0.5


def test_before_the_first_check_nothing_is_missing(tmp_path: Path) -> None:
    best, layer = Best(tmp_path, patience=1), torch.nn.Linear(1, 1)
    assert best.whole
    best.give(layer)  # there is nothing to give
    again = Best(tmp_path, patience=1)
    again.load_state_dict(best.state_dict())
    assert again.whole and again.score == float("-inf")
    best.take(0.5, 2, layer.state_dict())
    again.load_state_dict(best.state_dict() | {"hash": None})  # written by a version without hashes
    assert best.whole and again.whole
    (tmp_path / BEST_FILE).unlink()
    assert not best.whole and not again.whole


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_best_weights_that_were_damaged_are_looked_for_anew(tmp_path: Path, harm: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Scores({4: 0.9, 8: 0.5}, kill_at=6))
    AcceleratorState._reset_state(reset_partial_state=True)
    file = tmp_path / BEST_FILE
    raw = file.read_bytes()
    file.write_bytes(bytes([*raw[:-1], raw[-1] ^ 64]) if harm == "flip" else raw[:-4])
    if harm == "gone":
        file.unlink()
    notes: list[str] = []
    again = Scores({4: 0.9, 8: 0.5})
    chosen = TrainSettings(**BASE)
    model, draw = StandIn(), StandInDraw(chosen.batch_size)
    train_stage(model, 1, draw, chosen, tmp_path, on_check=again, resume=True, on_note=notes.append)
    assert torch.equal(model.embedding.weight, again.seen[8])
    assert len(notes) == 1 and "step 4" in notes[0] and "looked for anew" in notes[0]


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yanlm.training.early_stopping.save_file", full)
    from yanlm.training.checkpoints import CheckpointError

    with pytest.raises(CheckpointError, match=r"disk is full|No space"):
        Best(tmp_path, None).take(1.0, 1, {"w": torch.ones(1)})


@pytest.mark.parametrize("name", ["check_every", "patience"])
def test_bad_settings_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        TrainSettings(**{**BASE, name: 0})
