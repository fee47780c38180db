"""The optimizer of both stages."""

import pytest
import torch
from standin import StandIn

from yanlm.training.optimizer import make_optimizer
from yanlm.training.schedule import TrainSettings


def test_weight_decay_spares_vectors_and_embeddings_unless_told(tmp_path):
    model = StandIn()
    for decay_all in (False, True):
        optimizer = make_optimizer(model, TrainSettings(steps=1, decay_all=decay_all))
        decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
        names = {name for name, p in model.named_parameters() if id(p) in decayed}
        matrices = {"blocks.0.linear.weight", "blocks.1.linear.weight"}
        assert names == (dict(model.named_parameters()).keys() if decay_all else matrices)
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimizer(model.requires_grad_(False), TrainSettings(steps=1))


def test_the_fused_step_is_adamw():
    """The same step as torch's plain loop over parameters makes, within rounding."""
    torch.manual_seed(0)
    model, twin = StandIn(), StandIn()
    twin.load_state_dict(model.state_dict())
    settings = TrainSettings(steps=1, lr=0.01, weight_decay=0.1, decay_all=True)
    fused = make_optimizer(model, settings)
    plain = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1, foreach=False)
    assert all(group["fused"] for group in fused.param_groups)
    for _ in range(3):
        for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
            ours.grad = torch.randn_like(ours)
            theirs.grad = ours.grad.clone()
        fused.step()
        plain.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
