"""The optimizer of both stages."""

import pytest
from standin import StandIn

from yanlm.training.optimizer import make_optimizer
from yanlm.training.schedule import TrainSettings


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
