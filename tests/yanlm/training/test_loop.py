"""train_stage: what its caller gets, keeps and is told."""

import pytest
import torch
from accelerate.state import AcceleratorState
from stages import BASE, train
from standin import StandIn, StandInDraw
from torch import nn

from yanlm.nn import half_precision
from yanlm.training.checkpoints import CheckpointError
from yanlm.training.loop import TrainSettings, make_accelerator, train_stage


def test_the_next_stage_takes_the_same_model(tmp_path):
    model, _ = train(tmp_path / "stage1", steps=3)
    model, result = train(tmp_path / "stage2", steps=3, stage=2, model=model)
    assert result.steps == 3


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


def test_bf16_warns_where_it_is_slow(monkeypatch, recwarn):
    monkeypatch.setattr(half_precision, "_lacks_bfloat16", lambda: True)
    make_accelerator("no", "cpu")
    assert not [warning for warning in recwarn if "bfloat16" in str(warning.message)]
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.warns(UserWarning, match="no instructions for bfloat16.*: train with precision 'no'"):
        make_accelerator("bf16", "cpu")


@pytest.mark.parametrize(("device", "told"), [("gpu", "device must be one of auto, cpu"), ("mps", "torch has here")])
def test_a_device_that_is_not_there_is_refused(device, told):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(ValueError, match=told):
        make_accelerator("no", device)


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
