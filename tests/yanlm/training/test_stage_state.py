"""What a stage holds goes into a checkpoint and back; a stage that diverges goes back to it."""

import math

import pytest
import torch
from stages import BASE, Poisoned, curve, equal_weights, train
from standin import StandIn, StandInDraw, fill_disk, run

from moefm.training import DivergedError
from yanlm.training import checkpoints
from yanlm.training import stage_state as module
from yanlm.training.checkpoints import CheckpointError, latest_checkpoint, load_checkpoint


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


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "save_checkpoint", checkpoints.save_checkpoint)
    monkeypatch.setattr(checkpoints, "save_file", checkpoints.save_file)
    _, full = train(tmp_path / "a")
    fill_disk(checkpoints, 12)
    with pytest.raises(CheckpointError, match=r"disk is full while saving step 12.*step 6 is intact"):
        train(tmp_path / "b")
    fill_disk(checkpoints, 1000)
    _, rest = train(tmp_path / "b", resume=True)
    assert curve(rest) == curve(full)


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
