"""Muon: which weights it takes, the step it makes, checkpoints and resume."""

import pytest
import torch
from stages import curve, equal_weights, train
from standin import StandIn

import yanlm
from yanlm import YanConfig, YanModel
from yanlm.training import muon
from yanlm.training.muon import Muon, matrices
from yanlm.training.optimizer import make_optimizer
from yanlm.training.schedule import TrainSettings


@pytest.mark.parametrize("tied", [True, False])
def test_matrices_are_what_maps_hidden_to_hidden(tied):
    sizes = {"vocab_size": 60, "pad_token_id": 58, "mask_token_id": 59, "d_model": 16, "num_heads": 2}
    model = YanModel(YanConfig(**sizes, tie_word_embeddings=tied, conv=3))
    taken = {id(weight) for weight in matrices(model)}
    names = {name for name, weight in model.named_parameters() if id(weight) in taken}
    assert {name for name in names if name.endswith("mixer.qkv.weight")}
    shapes = [tuple(weight.shape) for name, weight in model.named_parameters() if name in names]
    assert all(len(shape) == 2 and 60 not in shape for shape in shapes)
    assert not [name for name in names if "embedding" in name or name.endswith(("conv.weight", "norm.weight"))]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert matrices(model) == []


def test_the_linear_layers_of_gpt2_are_matrices_too():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_positions=16, n_embd=16, n_layer=1, n_head=2))
    taken = {id(weight) for weight in matrices(model)}
    names = {name for name, weight in model.named_parameters() if id(weight) in taken}
    assert names == {
        f"transformer.h.0.{part}.weight" for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }


def test_a_step_has_the_singular_vectors_of_the_gradient():
    """Its singular values are one within the approximation, times the size that AdamW's steps have."""
    torch.manual_seed(0)
    model = StandIn()
    optimizer = make_optimizer(model, TrainSettings(steps=1, optimizer="muon", lr=0.1, weight_decay=0.0))
    weight = model.blocks[0].linear.weight
    before = weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    u, _, v = torch.linalg.svd(weight.grad)
    optimizer.step()
    step = (u.T @ (before - weight.detach()) @ v.T) / (0.1 * 0.2 * max(weight.shape) ** 0.5)
    assert step.diagonal().sub(1).abs().max() < 0.5
    assert (step - step.diagonal().diag()).abs().max() < 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_steps_are_those_of_torch(monkeypatch, dtype):
    """Matrices wide, tall, square and without a gradient; torch computes in bfloat16, with three digits."""
    monkeypatch.setattr(muon, "fast_dtype", lambda device: dtype)
    torch.manual_seed(0)
    shapes = [(8, 24), (24, 8), (8, 24), (12, 12), (5, 7), (24, 8)]
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    groups = ([{"params": x[:3], "weight_decay": 0.3}, {"params": x[3:], "weight_decay": 0.0}] for x in (ours, theirs))
    mine = Muon(next(groups), [], lr=0.1, adamw={})
    torchs = torch.optim.Muon(next(groups), lr=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for x, y, shape in zip(ours[:-1], theirs, shapes, strict=False):
            x.grad = torch.randn(shape)
            y.grad = x.grad.clone()
        mine.step()
        torchs.step()
    for x, y in zip(ours, theirs, strict=True):
        step = (y - 1).abs().mean().clamp_min(1e-6)
        assert (x - y).abs().mean() < 0.02 * step
    assert torch.equal(ours[-1], torch.ones(24, 8))
    for x, y in zip(ours[:-1], theirs, strict=False):
        assert torch.equal(mine.state[x]["momentum_buffer"], torchs.state[y]["momentum_buffer"])


@pytest.mark.parametrize("shape", [(3, 6, 10), (2, 10, 6), (1, 1, 4), (2, 5, 5)])
def test_singular_vectors_stay_and_singular_values_become_about_one(shape):
    torch.manual_seed(1)
    given = torch.randn(shape)
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    got = u.mT @ muon.orthogonal(given, torch.float32).float() @ v.mT
    values = got.diagonal(dim1=1, dim2=2)
    assert 0.6 < values.min() and values.max() < 1.3
    assert (got - torch.diag_embed(values)).abs().max() < 0.02
    assert not muon.orthogonal(torch.zeros(shape), torch.float32).any()


def test_what_is_no_matrix_gets_the_step_of_adamw():
    torch.manual_seed(0)
    model, twin = StandIn(), StandIn()
    twin.load_state_dict(model.state_dict())
    ours = make_optimizer(model, TrainSettings(steps=1, optimizer="muon", lr=0.01))
    theirs = make_optimizer(twin, TrainSettings(steps=1, lr=0.01))
    taken = {id(weight) for weight in matrices(model)}
    assert {group["lr"] for group in [*ours.param_groups, *theirs.param_groups]} == {0.01}
    for _ in range(2):
        for group in [*ours.param_groups, *theirs.param_groups]:
            group["lr"] = 0.02
        for x, y in zip(model.parameters(), twin.parameters(), strict=True):
            x.grad = torch.randn_like(x)
            y.grad = x.grad.clone()
        ours.step()
        theirs.step()
    for x, y in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(x, y) is (id(x) not in taken)


def test_a_model_without_matrices_or_without_others_trains():
    for kept in ("embedding", "linear"):
        model = StandIn()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(kept in name and name.endswith("weight"))
        optimizer = make_optimizer(model, TrainSettings(steps=1, optimizer="muon"))
        assert len(optimizer.kinds) == 1
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
        before = [parameter.detach().clone() for parameter in model.parameters()]
        assert optimizer.step(lambda: 3.0) == 3.0
        moved = [not torch.equal(x, y) for x, y in zip(before, model.parameters(), strict=True)]
        assert moved == [parameter.requires_grad for parameter in model.parameters()]


def test_a_stopped_run_goes_on_exactly(tmp_path):
    def stop(record):
        if record["step"] == 8:
            raise KeyboardInterrupt

    options = {"optimizer": "muon", "log_every": 4, "ema": 0.9}
    whole, full = train(tmp_path / "a", **options, model=StandIn(dropout=0.2))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", **options, model=StandIn(dropout=0.2), on_log=stop)
    resumed, rest = train(tmp_path / "b", **options, model=StandIn(dropout=0.2), resume=True)
    for x, y in zip(curve(full), curve(rest), strict=True):
        assert x == pytest.approx(y, rel=1e-6)
    assert equal_weights(whole, resumed)


def test_a_recipe_names_it():
    chosen = yanlm.resolve({"preset": "tiny", "data": ["builtin:pydoc"], "recipe1": {"optimizer": "muon"}})
    assert chosen.recipe1.optimizer == "muon"
    with pytest.raises(ValueError, match="recipe1: optimizer must be one of adamw, muon"):
        yanlm.resolve({"preset": "tiny", "data": ["builtin:pydoc"], "recipe1": {"optimizer": "sgd"}})


def test_sharded_matrices_are_refused():
    model = StandIn()
    model.blocks[0].linear.weight.full_tensor = lambda: None  # what DTensor has
    with pytest.raises(ValueError, match="use 'adamw' with FSDP"):
        make_optimizer(model, TrainSettings(steps=1, optimizer="muon"))
