"""Settings of a stage, its clock, and how long and at which rate it trains."""

import math
import os
import signal

import pytest
from stages import train
from standin import StandIn

from yanlm.training import schedule as module
from yanlm.training.checkpoints import latest_checkpoint, load_checkpoint
from yanlm.training.schedule import Plan, TrainSettings

BAD = {
    "steps": 0,
    "batch_size": 0,
    "accumulate": 1.5,
    "lr": -1.0,
    "betas": (0.9, 1.0),
    "weight_decay": math.nan,
    "warmup": -1,
    "schedule": "linear",
    "decay": 1.0,
    "clip": 0.0,
    "ema": 1.0,
    "save_every": 0,
    "log_every": True,
    "sample_every": 0,
    "seed": -1,
    "precision": "fp8",
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_setting_is_named(name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        TrainSettings(**{"steps": 5, name: BAD[name]})


def test_steps_or_minutes():
    for given in ({}, {"steps": 5, "minutes": 1.0}):
        with pytest.raises(ValueError, match="exactly one of steps and minutes"):
            TrainSettings(**given)
    with pytest.raises(ValueError, match=r"^minutes must"):
        TrainSettings(minutes=0)
    assert TrainSettings(minutes=2, betas=[0.5, 0.6]).betas == (0.5, 0.6)


def factors(**settings):
    plan = Plan(TrainSettings(steps=100, **settings))
    return [plan.factor(step, 0.0) for step in range(100)]


def test_constant_warms_up_and_stays():
    assert factors(warmup=4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0] and factors(warmup=4)[-1] == 1


def test_cosine_ends_near_zero():
    values = factors(warmup=10, schedule="cosine")
    assert max(values) == 1.0 and values[55] == pytest.approx(0.5) and 0 < values[-1] < 1e-3
    assert sorted(values[10:], reverse=True) == values[10:]


def test_wsd_is_constant_then_linear():
    values = factors(warmup=10, schedule="wsd", decay=0.2)
    assert values[9:80] == [1.0] * 71
    assert values[80:] == pytest.approx([(20 - i) / 21 for i in range(20)])


def test_with_minutes_the_decay_follows_the_pace():
    plan = Plan(TrainSettings(minutes=1, schedule="wsd", decay=0.25, warmup=0))
    plan.advance(10, 44.0)
    assert plan.total is None and plan.factor(10, 44.0) == 1.0 and not plan.done(10, 44.0)
    plan.advance(30, 45.5)
    assert (plan.decay_from, plan.total) == (30, 40)
    plan.advance(35, 50.0)
    assert plan.total == 40 and plan.factor(39, 59.0) == pytest.approx(1 / 11)
    assert not plan.done(39, 62.9) and plan.done(39, 63.0) and plan.done(40, 50.0)
    again = Plan(plan.settings)
    again.load_state_dict(plan.state_dict(), 50.0)
    assert (again.decay_from, again.total) == (30, 40)
    longer = Plan(TrainSettings(minutes=3, schedule="wsd"))
    longer.load_state_dict(plan.state_dict(), 50.0)
    assert longer.total is None
    timed = Plan(TrainSettings(minutes=1, schedule="cosine", warmup=0))
    assert timed.factor(7, 30.0) == pytest.approx(0.5) and timed.done(7, 60.0) and timed.left(7, 45.0) == 15.0


def test_a_decay_takes_one_step_at_least():
    plan = Plan(TrainSettings(minutes=1, schedule="wsd", decay=0.25, warmup=0))
    plan.advance(1, 45.0)
    assert (plan.decay_from, plan.total) == (1, 2)


def test_with_steps_the_time_left_follows_the_pace():
    plan = Plan(TrainSettings(steps=100))
    assert plan.left(0, 3.0) is None
    assert plan.left(25, 50.0) == 150.0 and plan.left(101, 202.0) == 0.0


def test_lists_of_a_settings_file_become_tuples():
    settings = TrainSettings(steps=5, betas=[0.5, 0.6], log_with=["none"])
    assert settings.betas == (0.5, 0.6) and settings.log_with == ("none",)


class Clock:
    """Time that passes in forward passes only, a hundredth of a minute each: no test of it depends on the machine."""

    now = 1000.0

    def perf_counter(self):
        return self.now

    def model(self):
        clock = self

        class Timed(StandIn):
            def forward(self, **keywords):
                clock.now += 0.6
                return super().forward(**keywords)

        return Timed()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "wsd"])
def test_minutes_are_counted_over_resumes(tmp_path, monkeypatch, schedule):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    settings = {"steps": None, "minutes": 1.0, "schedule": schedule, "save_every": 1000, "log_every": 5}

    def stop(record):
        if record["step"] == 50:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, model=clock.model(), on_log=stop, **settings)
    _, state = load_checkpoint(latest_checkpoint(tmp_path))
    assert state["step"] == 51 and state["seconds"] == pytest.approx(30.6) and state["plan"]["total"] is None
    clock.now += 1e6  # what passes between two sessions does not count
    told = []
    _, result = train(tmp_path, model=clock.model(), resume=True, on_log=told.append, **settings)
    assert 99 <= result.steps <= 101 and result.seconds == pytest.approx(0.6 * result.steps)
    assert told[-1]["total"] == (result.steps if schedule == "wsd" else None) and told[0]["minutes"] == 1.0
    assert told[0]["eta"] == pytest.approx(60 - told[0]["seconds"]) and told[-1]["eta"] < 0.6
    rates = [record["lr"] for record in result.history]
    assert rates[9] < 0.01 if schedule == "cosine" else rates[9] == 0.01
    assert rates[-1] == 0.01 if schedule == "constant" else rates[-1] < 0.001
    _, again = train(tmp_path, model=clock.model(), resume=True, **settings)
    assert again.steps == result.steps
