"""One stage in this process: settings, schedules, the log, averages, guards, resume."""

import errno
import json
import math
import os
import signal

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from standin import StandIn, StandInDraw, fill_disk, run
from torch import nn

from yanlm.training import checkpoints
from yanlm.training import distributed as _processes
from yanlm.training import stage_state as _stage_state
from yanlm.training.checkpoints import CheckpointError, latest_checkpoint, load_checkpoint
from yanlm.training.ema import MovingAverage
from yanlm.training.loop import DivergedError, TrainSettings, make_accelerator, train_stage
from yanlm.training.optimizer import make_optimizer
from yanlm.training.schedule import Plan

BASE = {"steps": 20, "batch_size": 8, "lr": 0.01, "warmup": 3, "save_every": 6, "log_every": 1}


@pytest.fixture(autouse=True)
def fresh_accelerate(monkeypatch):
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", Board)
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    assert not PartialState._shared_state


class Board:
    scalars: list[tuple[str, float, int]] = []  # noqa: RUF012

    def __init__(self, folder, purge_step):
        Board.scalars = []

    def add_scalar(self, *args):
        Board.scalars.append(args)

    def close(self):
        pass


def train(folder, *, model=None, draw=None, stage=1, resume=False, on_log=None, on_sample=None, extra=None, **settings):
    settings = TrainSettings(**{**BASE, **settings})
    model = StandIn() if model is None else model
    draw = StandInDraw(settings.batch_size, accumulate=settings.accumulate) if draw is None else draw
    keywords = {"resume": resume, "on_log": on_log, "on_sample": on_sample, "extra_state": extra}
    return model, train_stage(model, stage, draw, settings, folder, **keywords)


def curve(result):
    return [(record["step"], record["loss"], record["parts"]["slots"]) for record in result.history]


def equal_weights(a, b, tolerance=1e-6):
    return all(
        torch.allclose(x, y, atol=tolerance, rtol=0) for x, y in zip(a.parameters(), b.parameters(), strict=True)
    )


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


def test_a_run_learns_logs_and_reports(tmp_path):
    told = []
    model, result = train(tmp_path, steps=40, log_every=5, on_log=told.append, ema=0.9, schedule="wsd")
    assert (result.steps, not model.training) == (40, True)
    assert [record["step"] for record in result.history] == [1, 5, 10, 15, 20, 25, 30, 35, 40]
    assert result.history[-1]["loss"] < 0.8 * result.history[0]["loss"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == result.history
    for record in lines:
        assert set(record) == {"step", "loss", "parts", "lr", "grad_norm", "tokens_per_second", "seconds"}
        assert record["loss"] == pytest.approx(sum(record["parts"].values()), rel=1e-5)
    assert {"total", "minutes", "eta", "stage"} < set(told[0]) and told[-1]["eta"] == 0 and told[0]["total"] == 40
    assert ("parts/ce", lines[-1]["parts"]["ce"], 40) in Board.scalars
    draw = StandInDraw(8)
    assert result.tokens == sum(int(StandIn.counts(draw.next()[0])[0]) for _ in range(40))


def test_lines_are_means_since_the_last(tmp_path):
    _, fine = train(tmp_path / "a", steps=7)
    _, coarse = train(tmp_path / "b", steps=7, log_every=3)
    loss = [record["loss"] for record in fine.history]
    expected = [loss[0], sum(loss[1:3]) / 2, sum(loss[3:6]) / 3, loss[6]]
    assert [record["loss"] for record in coarse.history] == pytest.approx(expected)


def test_accumulated_micro_batches_equal_one_batch(tmp_path):
    one, a = train(tmp_path / "a")
    three, b = train(tmp_path / "b", accumulate=3)
    for x, y in zip(curve(a), curve(b), strict=True):
        assert x == pytest.approx(y, rel=1e-6)
    assert equal_weights(one, three, 1e-5) and a.tokens == b.tokens


def test_stage_two_moves_only_what_trains(tmp_path):
    model, before = StandIn(), StandIn()
    train(tmp_path, model=model, stage=2, ema=0.5)
    assert torch.equal(model.embedding.weight, before.embedding.weight)
    assert not torch.equal(model.blocks[0].linear.weight, before.blocks[0].linear.weight)


def test_weight_decay_spares_vectors_and_embeddings_unless_told(tmp_path):
    model = StandIn()
    for decay_all in (False, True):
        optimizer = make_optimizer(model, TrainSettings(steps=1, decay_all=decay_all), fused=False)
        decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
        names = {name for name, p in model.named_parameters() if id(p) in decayed}
        matrices = {"blocks.0.linear.weight", "blocks.1.linear.weight"}
        assert names == (dict(model.named_parameters()).keys() if decay_all else matrices)
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimizer(model.requires_grad_(False), TrainSettings(steps=1), fused=False)


def test_the_average_is_the_formula_and_comes_back():
    layer = nn.Linear(2, 1, bias=False)
    average = MovingAverage(layer, 0.3)
    expected = layer.weight.detach().clone()
    for n in range(1, 6):
        layer.weight.data.add_(torch.randn(1, 2, generator=torch.Generator().manual_seed(n)))
        average.update()
        decay = min(0.3, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * layer.weight.detach()
    own = layer.weight.detach().clone()
    with average.in_use():
        assert torch.allclose(layer.weight, expected)
    assert torch.equal(layer.weight, own)


def test_the_model_ends_with_the_average_and_samples_show_it(tmp_path):
    seen = []
    sample = lambda model, step: seen.append((step, model.training, model.blocks[0].linear.weight.detach().clone()))  # noqa: E731
    model, _ = train(tmp_path, ema=0.9, steps=6, sample_every=3, on_sample=sample)
    assert [(step, training) for step, training, _ in seen] == [(3, False), (6, False)]
    tensors, _ = load_checkpoint(latest_checkpoint(tmp_path))
    name = "blocks.0.linear.weight"
    assert torch.equal(model.blocks[0].linear.weight, tensors["ema"][name])
    assert torch.equal(seen[-1][2], tensors["ema"][name]) and not torch.equal(tensors["model"][name], seen[-1][2])
    assert "head.weight" not in tensors["model"] and not any("pickle" in p.name for p in tmp_path.rglob("*"))


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


def test_resume_drops_lines_after_the_checkpoint_and_fills_lost_ones(tmp_path):
    _, full = train(tmp_path, steps=8)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    lost = "\n".join(lines[:5]) + '\n{"step": 9, "loss": 1.0}\n{"step": 10, "lo'
    (tmp_path / "log.jsonl").write_text(lost)
    _, more = train(tmp_path, steps=12, resume=True)
    assert curve(more)[:8] == curve(full) and [record["step"] for record in more.history] == list(range(1, 13))


def test_a_finished_run_is_only_loaded(tmp_path):
    model, full = train(tmp_path, ema=0.9)
    again, rest = train(tmp_path, ema=0.9, resume=True)
    assert rest.history == full.history and rest.steps == 20 and equal_weights(model, again, 0)


def test_resume_without_a_checkpoint_begins(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 3, "loss": 1.0, "parts": {}}\n')
    _, result = train(tmp_path, resume=True)
    assert result.steps == 20 and len(result.history) == 20


def test_the_draw_ends_where_the_run_did_and_extra_state_is_kept(tmp_path):
    draw = StandInDraw(8)
    train(tmp_path, draw=draw, steps=5, extra={"vocabulary": 20})
    assert draw.taken == 5
    _, state = load_checkpoint(latest_checkpoint(tmp_path))
    assert (
        state["extra"] == {"vocabulary": 20} and state["settings"]["lr"] == 0.01 and state["streams"] == [{"taken": 5}]
    )


def test_the_next_stage_takes_the_same_model(tmp_path):
    model, _ = train(tmp_path / "stage1", steps=3)
    model, result = train(tmp_path / "stage2", steps=3, stage=2, model=model)
    assert result.steps == 3


def test_ema_may_be_switched_on_later(tmp_path):
    train(tmp_path, steps=3)
    _, result = train(tmp_path, steps=6, ema=0.5, resume=True)
    assert result.steps == 6


class Poisoned(StandIn):
    """Its loss is NaN in step ``fatal`` and later, as long as ``ill``."""

    ill, calls, fatal = True, 0, 9

    def forward(self, **keywords):
        output = super().forward(**keywords)
        self.calls += 1
        if self.ill and self.calls >= self.fatal:
            output = output._replace(loss=output.loss * math.nan)
        return output


def test_a_loss_that_is_not_finite_goes_back_and_stops(tmp_path):
    model = Poisoned()
    with pytest.raises(DivergedError, match=r"stage 1.*step 9.*back at step 6.*Lower --lr \(it was 0\.01\)"):
        train(tmp_path, model=model)
    tensors, state = load_checkpoint(latest_checkpoint(tmp_path))
    assert state["step"] == 6 and all(value.isfinite().all() for value in tensors["optimizer"].values())
    assert all(torch.equal(tensors["model"][name], p) for name, p in model.named_parameters())
    model.ill = False
    _, result = train(tmp_path, model=model, resume=True, lr=0.005)
    assert result.steps == 20 and all(math.isfinite(record["loss"]) for record in result.history)


def test_a_gradient_that_is_not_finite_stops_in_the_first_steps_too(tmp_path):
    class Steep(StandIn):
        def forward(self, **keywords):
            output = super().forward(**keywords)
            weight = self.blocks[0].linear.weight
            return output._replace(loss=output.loss + (0 * weight.sum()).abs().sqrt())

    model = Steep()
    with pytest.raises(DivergedError, match=r"step 1; .*back at step 0"):
        train(tmp_path, model=model)
    assert equal_weights(model, StandIn(), 0)


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
    monkeypatch.setattr(_stage_state, "time", clock)
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


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(_stage_state, "save_checkpoint", checkpoints.save_checkpoint)
    monkeypatch.setattr(checkpoints, "save_file", checkpoints.save_file)
    _, full = train(tmp_path / "a")
    fill_disk(checkpoints, 12)
    with pytest.raises(CheckpointError, match=r"disk is full while saving step 12.*step 6 is intact"):
        train(tmp_path / "b")
    fill_disk(checkpoints, 1000)
    _, rest = train(tmp_path / "b", resume=True)
    assert curve(rest) == curve(full)


def test_a_log_that_cannot_be_written_is_told_too(tmp_path, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    def fill(record):
        monkeypatch.setattr(_stage_state.RunLog, "write", lambda log, record: broken(log, record))

    write = _stage_state.RunLog.write

    def broken(log, record):
        log._file = Full()
        write(log, record)

    with pytest.raises(CheckpointError, match=r"disk is full while writing the log.*step 0 is intact"):
        train(tmp_path, on_log=fill)


def test_users_mistakes_are_told_before_training(tmp_path):
    train(tmp_path / "run", steps=2)
    with pytest.raises(ValueError, match=r"holds a run \(step-00000002\)"):
        train(tmp_path / "run", steps=2)
    with pytest.raises(CheckpointError, match="is of stage 1, not of stage 2"):
        train(tmp_path / "run", stage=2, resume=True)
    other = StandIn()
    other.blocks.append(nn.Linear(3, 3))
    with pytest.raises(CheckpointError, match=r"another model: 2 of .*, for instance blocks\.2\.bias"):
        train(tmp_path / "run", model=other, steps=4, resume=True)
    with pytest.raises(ValueError, match=r"batch_size must .* at least 9 .*got 8"):
        train(tmp_path / "small", accumulate=9)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write to"):
        train(tmp_path / "file")
    with pytest.raises(ValueError, match="precision is 'bf16', but the accelerator was made with 'no'"):
        settings = TrainSettings(**BASE, precision="bf16")
        train_stage(StandIn(), 1, StandInDraw(8), settings, tmp_path, accelerator=make_accelerator("no", "cpu"))


def test_a_loss_that_nothing_can_lower_is_told(tmp_path):
    class Apart(StandIn):
        def forward(self, **keywords):
            output = super().forward(**keywords)
            return output._replace(loss=output.loss.detach().requires_grad_())

    with pytest.raises(TypeError, match="no gradient reached the model"):
        train(tmp_path, model=Apart())


def test_errors_of_the_draw_come_out_and_the_model_is_left_usable(tmp_path):
    class Ending(StandInDraw):
        def next(self):
            if self.taken == 4:
                raise StopIteration
            return super().next()

    class Failing(StandInDraw):
        def next(self):
            raise OSError("line 3 is broken")

    with pytest.raises(RuntimeError, match="must be endless"):
        train(tmp_path / "a", draw=Ending(8))
    model = StandIn()
    with pytest.raises(OSError, match="line 3 is broken"):
        train(tmp_path / "b", draw=Failing(8), model=model)
    assert not model.training


def test_global_randomness_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    train(tmp_path, steps=3, model=StandIn(dropout=0.3))
    assert torch.equal(before, torch.random.get_rng_state())


def test_bf16_trains_and_keeps_float32_weights(tmp_path):
    model, result = train(tmp_path, precision="bf16", clip=None)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert model.head.weight.dtype == torch.float32 and "forward" not in vars(model)


def test_tied_names():
    assert _processes.aliases(StandIn()) == {"head.weight": "embedding.weight"}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_bf16_resumes_and_diverges_as_on_a_cpu(tmp_path):
    settings = {**BASE, "precision": "bf16", "ema": 0.9, "log_every": 4}
    whole, full = run(tmp_path / "a", settings, device="auto")
    run(tmp_path / "b", {**settings, "steps": 12}, device="auto")
    resumed, rest = run(tmp_path / "b", settings, device="auto", resume=True)
    assert curve(rest) == pytest.approx(curve(full), rel=1e-4) and equal_weights(whole, resumed, 1e-4)
    with pytest.raises(DivergedError, match="back at step 6"):
        run(tmp_path / "c", settings, device="auto", model=Poisoned())
