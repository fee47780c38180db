"""Trainings of the study of agreement: how long they are, what is noted of them, when they are done again."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from yanlm.data.builtin.codes import Codes
from yanlm.studies.tools import training
from yanlm.studies.tools.agreement_methods import TaskPlan
from yanlm.studies.tools.agreement_training import Trainer, Watch, training_key
from yanlm.studies.tools.study import Study

TINY: dict[str, Any] = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "latent_dim": 8}
SHARED: dict[str, Any] = {"eval_rows": 2, "model": TINY, "recipe1": {"batch_size": 4}}
TRUNK: dict[str, Any] = {**SHARED, "model": {**TINY, "denoiser": "trunk"}}


def trainer(folder: Path, **options: Any) -> Trainer:
    study = Study(folder, "agreement").begin({})
    return Trainer(study, Codes(vocabulary=4, groups=1, train=100), TaskPlan(1.0), **{"shared": SHARED, **options})


def test_stages_of_a_flow_share_the_steps_of_a_model(tmp_path: Path) -> None:
    alike = trainer(tmp_path, steps=10)
    assert alike.settings("one pass", 0).steps1 == alike.settings("flow", 0).steps1 == 10
    flow = trainer(tmp_path, steps=10, shared=TRUNK).settings("flow", 3)
    assert (flow.steps1, flow.steps2, flow.seed) == (4, 6, 3)
    assert flow.data == ("builtin:codes:vocabulary=4,groups=1,train=100",)
    timed = trainer(tmp_path, minutes=2.0, shared=TRUNK).settings("flow", 0)
    assert (timed.minutes, timed.steps1, timed.stage_minutes(1)) == (2.0, None, 0.8)


class Model:
    """Knows whether it is training, and says so."""

    def __init__(self, generate: bool = True) -> None:
        self.can, self.training = SimpleNamespace(generate=generate), True

    def eval(self) -> None:
        self.training = False

    def train(self, mode: bool) -> None:
        self.training = mode


def log(watch: Watch, model: Model, stage: int, seconds: list[float]) -> None:
    watch.stage(stage, model, None)  # type: ignore[arg-type]
    for number, at in enumerate(seconds):
        watch.log(stage, {"seconds": at, "step": 1 + 10 * number, "loss": float(number)})


def test_looks_come_at_equal_times_and_models_go_on_training() -> None:
    seen = []
    watch = Watch(lambda model: float(seen.append(model.training) or len(seen)), seconds=6.0, steps=None)
    model = Model()
    log(watch, model, 1, [1.0, 3.0, 7.0, 8.0, 20.0, 21.0, 25.0])
    assert [round(60 * minutes) for minutes, _ in watch.valid] == [1, 7, 20, 25]
    assert seen == [False] * 4 and model.training
    assert [loss for _, loss in watch.losses] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_looks_come_at_equal_steps_and_begin_once_there_is_something_to_generate_with() -> None:
    watch = Watch(lambda model: 0.5, seconds=None, steps=20)
    log(watch, Model(generate=False), 1, [1.0, 2.0, 4.0])
    log(watch, Model(), 2, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert [round(60 * minutes) for minutes, _ in watch.valid] == [5, 7, 9], "minutes go on behind stage 1"
    curves = watch.curves(most=3)
    assert [loss for _, loss in curves["loss"]] == [1.0, 1.0, 3.5] and curves["valid"][0] == [5 / 60, 0.5]


def test_a_model_is_trained_once_and_again_if_its_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = trainer(tmp_path, steps=3, look=2)
    named = several.model("masked diffusion", 1)
    facts = several.study.pieces[training_key("masked diffusion", 1)]
    assert facts["steps"] == [3] and facts["parameters"] == sum(p.numel() for p in named.model.parameters())
    assert facts["seconds"] > 0 and len(facts["loss"]) == 2 and all(0 <= share <= 1 for _, share in facts["valid"])
    assert not list(tmp_path.rglob("state")), "checkpoints are of no use any more"
    with monkeypatch.context() as patched:
        patched.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
        again = several.model("masked diffusion", 1)
    assert again.mark == named.mark
    shutil.rmtree(tmp_path / "models")
    assert several.model("masked diffusion", 1).mark == named.mark
