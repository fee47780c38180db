"""What a stage holds goes into a checkpoint and back; a stage that diverges goes back to it."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from stages import BASE, Poisoned, curve, equal_weights, train
from standin import StandIn, StandInDraw, fill_disk, run

from moefm.routing import draw_expert
from moefm.training import DivergedError
from yanlm.training import checkpoints
from yanlm.training import stage_state as module
from yanlm.training.checkpoints import CheckpointError, latest_checkpoint, load_checkpoint, saved_checkpoints


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


def test_a_draw_of_experts_without_finite_numbers_is_a_divergence_too(tmp_path):
    class Shut(StandIn):
        steps = 0

        def forward(self, **keywords):
            self.steps += 1
            draw_expert(torch.full((2, 3), math.nan if self.steps == 9 else 0.0))
            return super().forward(**keywords)

    with pytest.raises(DivergedError, match=r"stage 1.*step 9.*back at step 6"):
        train(tmp_path, model=Shut())


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


def rewritten(path, **changes):
    """The state of a checkpoint with other values, as a version without hashes would have written it."""
    state = json.loads((path / "state.json").read_text())
    state.pop("hashes", None)
    for name, value in changes.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    (path / "state.json").write_text(json.dumps(state))


def with_tensors(path, file, change):
    """Weights changed and their sizes written down anew, without hashes."""
    tensors = {name: change(value) for name, value in load_file(path / file).items()}
    save_file(tensors, path / file)
    files = json.loads((path / "state.json").read_text())["files"]
    rewritten(path, files={**files, file: (path / file).stat().st_size})


def cut(path):
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])


def flip(path):
    file = path / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-101] ^= 64
    file.write_bytes(raw)


DAMAGES = {
    "a flipped bit": flip,
    "a truncated file": cut,
    "a missing file": lambda path: (path / "optimizer.safetensors").unlink(),
    "no state": lambda path: (path / "state.json").unlink(),
    "a list": lambda path: (path / "state.json").write_text("[]"),
    "another stage": lambda path: rewritten(path, stage=2),
    "no window": lambda path: rewritten(path, window=None),
    "a window of another form": lambda path: rewritten(path, window=[1]),
    "no streams": lambda path: rewritten(path, streams=[]),
    "a step that is no number": lambda path: rewritten(path, step="x"),
    "history of another form": lambda path: rewritten(path, history=[1]),
    "a plan of another form": lambda path: rewritten(path, tokens=[7]),
    "foreign shapes": lambda path: with_tensors(path, "model.safetensors", lambda x: x[None]),
    "foreign moments": lambda path: with_tensors(path, "optimizer.safetensors", lambda x: x[None] if x.ndim else x),
    "a foreign average": lambda path: with_tensors(path, "ema.safetensors", lambda x: x[None]),
    "weights that are no numbers": lambda path: with_tensors(path, "model.safetensors", lambda x: x * math.nan),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_checkpoint_that_does_not_load_is_passed_over(tmp_path, name):
    whole, full = train(tmp_path / "a", ema=0.9)
    train(tmp_path / "b", ema=0.9, steps=12)
    newest, before = saved_checkpoints(tmp_path / "b")
    DAMAGES[name](newest)
    notes = []
    resumed, rest = train(tmp_path / "b", ema=0.9, resume=True, on_note=notes.append)
    assert len(notes) == 1 and newest.name in notes[0] and f"step {int(before.name[5:])}, the one before" in notes[0]
    for x, y in zip(curve(rest), curve(full), strict=True):
        assert x == pytest.approx(y)
    assert equal_weights(whole, resumed)
    assert saved_checkpoints(tmp_path / "b")[0].name == "step-00000020"


def test_where_no_checkpoint_loads_it_is_told(tmp_path):
    train(tmp_path, steps=12)
    for path in saved_checkpoints(tmp_path):
        flip(path)
    with pytest.raises(CheckpointError, match=r"step-00000012: model\.safetensors is not as it was written"):
        train(tmp_path, resume=True)


def test_a_divergence_goes_back_to_a_checkpoint_that_loads(tmp_path):
    class Damaging(Poisoned):
        def forward(self, **keywords):
            if self.calls + 1 == self.fatal:
                flip(latest_checkpoint(tmp_path))
            return super().forward(**keywords)

    with pytest.raises(DivergedError, match="back at step 0"):
        train(tmp_path, model=Damaging())


@pytest.mark.parametrize("steps", [2, 3])
def test_the_line_after_the_last_step_is_of_that_step(tmp_path, steps):
    _, full = train(tmp_path / "a", steps=steps, log_every=10)
    train(tmp_path / "b", steps=steps, log_every=10, save_every=1)
    last = saved_checkpoints(tmp_path / "b")[0]
    (tmp_path / "b" / "log.jsonl").write_text("")
    window = {"steps": steps - 1, "tokens": 9, "since": 0.0, "sums": {"loss": 1.0, "ce": 0.5, "slots": 0.5}}
    written = json.loads((last / "state.json").read_text())["window"]
    assert {"lr", "grad_norm"} <= written.keys()
    rewritten(last, window={**window, "lr": 0.25, "grad_norm": 0.5}, history=[])
    _, rest = train(tmp_path / "b", steps=steps, log_every=10, resume=True)
    assert [(record["step"], record["lr"], record["grad_norm"]) for record in rest.history] == [(steps, 0.25, 0.5)]
    assert all(record["lr"] > 0 and record["grad_norm"] > 0 for record in full.history)
    rewritten(last, window=window)  # an earlier version did not say: no such line
    (tmp_path / "b" / "log.jsonl").write_text("")
    assert train(tmp_path / "b", steps=steps, log_every=10, resume=True)[1].history == []


def test_a_checkpoint_that_is_spoiled_already_goes(tmp_path):
    """At a rate of 1e30 the first step leaves finite weights from which nothing can be learned."""
    with pytest.raises(DivergedError, match=r"by step 2; the model is back at step 0"):
        train(tmp_path, lr=1e30, warmup=0, save_every=1, clip=None)
    assert [path.name for path in saved_checkpoints(tmp_path)] == ["step-00000000"]
    _, result = train(tmp_path, resume=True)
    assert result.steps == 20 and all(math.isfinite(record["loss"]) for record in result.history)
