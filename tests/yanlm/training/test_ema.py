"""The moving average of the weights."""

import torch
from stages import train
from torch import nn

from yanlm.training.ema import MovingAverage


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


def test_an_average_without_a_past_starts_with_the_weights():
    layer = nn.Linear(2, 1, bias=False)
    average = MovingAverage(layer, 0.3)
    layer.weight.data.fill_(7.0)  # a checkpoint was loaded since
    average.load_state_dict({}, updates=0)
    assert average.state_dict()["weight"].tolist() == [[7.0, 7.0]]
    average.load_state_dict({"weight": torch.tensor([[1.0, 2.0]])}, updates=4)
    assert average.state_dict()["weight"].tolist() == [[1.0, 2.0]] and average.updates == 4


def test_ema_may_be_switched_on_later(tmp_path):
    train(tmp_path, steps=3)
    _, result = train(tmp_path, steps=6, ema=0.5, resume=True)
    assert result.steps == 6
