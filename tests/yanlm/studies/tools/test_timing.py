"""Texts of a length to be written, and rounds in which they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from yanlm.config import YanConfig
from yanlm.generation.result import Generation
from yanlm.studies.tools import timing
from yanlm.studies.tools.models import Named


@pytest.mark.parametrize("rate", [0.25, 1.0])
@pytest.mark.parametrize("form", ["slots", "separate"])
def test_questions_of_a_length(form: str, rate: float) -> None:
    config = YanConfig(form=form, align=False)
    asked = timing.question(config, 40, rate, 0)
    masks = int((asked["source_ids"] == config.mask_token_id).sum())
    if form == "separate":
        assert asked["slots"].tolist() == [list(range(40))] and ("wanted" in asked) == (rate < 1)
        spans = 0 if rate == 1 else int((asked["wanted"].int().diff(prepend=torch.zeros(1, 1)) > 0).sum())
        wanted = 0 if rate == 1 else int(asked["wanted"].sum())
        assert masks == spans and asked["source_ids"].shape == (1, 40 - wanted + spans)
    else:
        assert asked["source_ids"].shape == (1, 40) and masks == asked["slots"].shape[1]
        assert masks == pytest.approx(40 * rate, abs=1)
        assert bool((asked["source_ids"].gather(1, asked["slots"]) == config.mask_token_id).all())


def test_a_batch_hides_the_same_places_in_other_words() -> None:
    config = YanConfig()
    asked = timing.question(config, 40, 0.25, 0, 3)
    hidden = asked["source_ids"] == config.mask_token_id
    assert asked["slots"].shape == (3, int(hidden[0].sum())) and bool((hidden == hidden[0]).all())
    assert not torch.equal(asked["source_ids"][0], asked["source_ids"][1])


class Writer(torch.nn.Linear):
    """Stands for a model: says how it was called."""

    config, device = YanConfig(), torch.device("cpu")

    def __init__(self, label: str, calls: list[Any]) -> None:
        super().__init__(1, 1)
        self.label, self.calls = label, calls

    def generate(self, **asked: Any) -> Any:
        self.calls.append((self.label, asked["slots"].shape, asked["seeds"]))
        return Generation(asked["slots"].unsqueeze(1), None, 1)


def entered(calls: list[Any]) -> list[timing.Contestant]:
    return [timing.Contestant(label, Named(label, Writer(label, calls)), 1) for label in "ab"]


def test_rounds_are_interleaved_and_the_first_ones_do_not_count() -> None:
    calls: list[Any] = []
    runs = timing.timed(entered(calls), 20, timing.Rules(repeats=3, seed=5), batch=2)
    assert "".join(label for label, *_ in calls) == "ab" + "ab" + "ba" + "ab" + "ba" + "ab"
    assert [shape[0] for _, shape, _ in calls] == [1, 1] + [2] * 10 and calls[2][2] == [5, 6]
    assert all(len(run["seconds"]) == 3 and "peak_memory_gb" in run for run in runs.values())


def test_what_is_slow_runs_once() -> None:
    calls: list[Any] = []
    runs = timing.timed(entered(calls), 20, timing.Rules(slow=1e-12))
    assert len(calls) == 4 and all(len(run["seconds"]) == 1 for run in runs.values())


def test_ratios_without_equal_rounds() -> None:
    runs = {"a": {"seconds": [1.0, 2.0]}, "b": {"seconds": [3.0]}}
    assert timing.compared(runs, "a")["b"]["ratio"] == 2.25
    assert timing.compared(runs, None)["b"]["ratio"] is None


def test_what_runs_out_of_memory_is_left_out() -> None:
    calls: list[Any] = []
    both = entered(calls)

    def fails(**asked: Any) -> Any:
        if asked["slots"].shape[1] > timing.WARM_UP:
            raise torch.OutOfMemoryError
        return Writer.generate(both[1].named.model, **asked)

    both[1].named.model.generate = fails
    runs = timing.timed(both, 20, timing.Rules(repeats=2))
    assert list(runs) == ["a"] and len(runs["a"]["seconds"]) == 2
