"""The loop over a stage: what it learns, logs, samples and stops at."""

import json

import pytest
import torch
from stages import curve, equal_weights, train
from standin import StandIn, StandInDraw

from yanlm.training.checkpoints import latest_checkpoint, load_checkpoint


def test_a_run_learns_logs_and_reports(tmp_path, board):
    told, steps = [], []
    hears = {"on_log": told.append, "on_step": lambda: steps.append(len(told))}
    model, result = train(tmp_path, steps=40, log_every=5, **hears, ema=0.9, schedule="wsd")
    assert len(steps) == 40
    assert (result.steps, not model.training) == (40, True)
    assert [record["step"] for record in result.history] == [1, 5, 10, 15, 20, 25, 30, 35, 40]
    assert result.history[-1]["loss"] < 0.8 * result.history[0]["loss"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == result.history
    for record in lines:
        assert set(record) == {"step", "loss", "parts", "lr", "grad_norm", "tokens_per_second", "seconds"}
        assert record["loss"] == pytest.approx(sum(record["parts"].values()), rel=1e-5)
    assert {"total", "minutes", "eta", "stage"} < set(told[0]) and told[-1]["eta"] == 0 and told[0]["total"] == 40
    assert ("parts/ce", lines[-1]["parts"]["ce"], 40) in board
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


def test_a_loss_that_nothing_can_lower_is_told(tmp_path):
    class Apart(StandIn):
        def forward(self, **keywords):
            output = super().forward(**keywords)
            return output._replace(loss=output.loss.detach().requires_grad_())

    with pytest.raises(TypeError, match="no gradient reached the model"):
        train(tmp_path, model=Apart())


def test_bf16_trains_and_keeps_float32_weights(tmp_path):
    model, result = train(tmp_path, precision="bf16", clip=None)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert model.head.weight.dtype == torch.float32 and "forward" not in vars(model)
