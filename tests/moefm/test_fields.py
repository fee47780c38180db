"""Fields: the chosen expert alone equals gathering it from all experts, in value and in gradient."""

import pytest
import torch
from torch.nn import functional as F

from moefm import VFM, ConsistentMoEFM, MLPMixtureField, MoEFM

INDEX = torch.tensor([2, 0, 2, 3, 0, 0, 2])  # expert 1 has no rows
kinds = pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])


@pytest.fixture(params=["grouped", "fallback"])
def kernel(request, monkeypatch):
    if request.param == "fallback":
        monkeypatch.delattr(F, "grouped_mm")
    elif not hasattr(F, "grouped_mm"):
        pytest.skip("this torch has no grouped_mm")


def gathered(field, z, t, index, cond=None):
    """The chosen expert the long way round."""
    velocities = field.experts(z, t, cond)
    return velocities.gather(-2, index[..., None, None].expand(*index.shape, 1, field.dim)).squeeze(-2)


def assert_expert_is_gathering(field, z, t, index, cond=None, tolerance=1e-5):
    z = z.detach().clone().requires_grad_()
    weights = torch.linspace(-1, 1, z.numel(), dtype=z.dtype).reshape(z.shape)
    results = []
    for out in (field.expert(z, t, index, cond), gathered(field, z, t, index, cond)):
        grads = torch.autograd.grad((out * weights).sum(), [z, *field.parameters()], allow_unused=True)
        results.append((out, *(torch.zeros(()) if g is None else g for g in grads)))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dim", [1, 2, 3, 50])
@kinds
def test_expert_equals_gathering(kernel, make_field, randn, dim, separate):
    field = make_field(dim, 4, hidden=17, separate=separate)
    assert_expert_is_gathering(field, randn(7, dim), 0.3, INDEX)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.bfloat16, 4e-2), (torch.float16, 4e-3)])
@kinds
def test_expert_equals_gathering_in_other_dtypes(kernel, make_field, randn, dtype, tolerance, separate):
    field = make_field(3, 4, hidden=17, separate=separate).to(dtype)
    out = field.expert(randn(7, 3, dtype=dtype), 0.3, INDEX)
    assert out.dtype == dtype == field.experts(randn(7, 3, dtype=dtype), 0.3).dtype
    assert_expert_is_gathering(field, randn(7, 3, dtype=dtype), 0.3, INDEX, tolerance=tolerance)


@kinds
def test_expert_equals_gathering_under_autocast(kernel, make_field, randn, separate):
    field = make_field(3, 4, hidden=17, separate=separate)
    with torch.autocast("cpu", torch.bfloat16):
        out, all_out = field.expert(randn(7, 3), 0.3, INDEX), field.experts(randn(7, 3), 0.3)
        assert out.dtype == all_out.dtype == torch.bfloat16
        assert_expert_is_gathering(field, randn(7, 3), 0.3, INDEX, tolerance=4e-2)


@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 0), (2, 3), (2, 1, 3)])
@kinds
def test_any_batch_shape(kernel, make_field, randn, batch, separate):
    field = make_field(3, 4, separate=separate)
    index = torch.randint(4, batch, generator=torch.Generator().manual_seed(0))
    z = randn(*batch, 3)
    velocities, logits = field(z, 0.5)
    assert velocities.shape == (*batch, 4, 3) and logits.shape == (*batch, 4)
    assert field.expert(z, 0.5, index).shape == (*batch, 3)
    assert_expert_is_gathering(field, z, 0.5, index)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64], ids=str)
def test_any_integer_index(make_field, randn, dtype):
    field = make_field(2, 4)
    torch.testing.assert_close(field.expert(randn(7, 2), 0.5, INDEX.to(dtype)), field.expert(randn(7, 2), 0.5, INDEX))


@kinds
def test_one_expert(make_field, randn, separate):
    field, z = make_field(2, 1, separate=separate), randn(5, 2)
    velocities, logits = field(z, 0.5)
    assert torch.equal(logits, torch.zeros(5, 1))
    assert_expert_is_gathering(field, z, 0.5, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(field.expert(z, 0.5, torch.zeros(5, dtype=torch.long)), velocities[:, 0])


@kinds
def test_parts_agree_with_forward(make_field, randn, separate):
    field, z, t = make_field(2, 4, separate=separate), randn(5, 2), torch.linspace(0, 1, 5)
    velocities, logits = field(z, t)
    assert torch.equal(field.experts(z, t), velocities)
    assert torch.equal(field.gate(z, t), logits)


@kinds
def test_experts_differ_and_see_state_and_time(make_field, randn, separate):
    field = make_field(2, 4, separate=separate)
    z = randn(1, 2).requires_grad_()
    t = torch.tensor([0.5], requires_grad=True)
    velocities, logits = field(z, t)
    assert torch.pdist(velocities[0]).min() > 1e-3
    for out in (velocities, logits):
        assert all(g.abs().max() > 0 for g in torch.autograd.grad(out.square().sum(), (z, t), retain_graph=True))


def test_token_level_is_the_flattened_computation(make_field, randn):
    field, z, t = make_field(2, 4), randn(3, 3, 2), torch.tensor([0.1, 0.5, 0.9])  # B == L: t belongs to the rows
    velocities, logits = field(z, t)
    flat_velocities, flat_logits = field(z.flatten(0, 1), t.repeat_interleave(3))
    torch.testing.assert_close(velocities.flatten(0, 1), flat_velocities)
    torch.testing.assert_close(logits.flatten(0, 1), flat_logits)


@pytest.mark.parametrize("shape", [(3, 5), (1, 5), (3, 4, 5), (3, 1, 5), (1, 4, 5)])
@kinds
def test_condition_broadcasts_from_the_left(make_field, randn, shape, separate):
    field, z, cond = make_field(2, 4, cond_dim=5, separate=separate), randn(3, 4, 2), randn(*shape, seed=1)
    full = cond.reshape(*shape[:-1], *(1,) * (3 - len(shape)), 5).expand(3, 4, 5)
    torch.testing.assert_close(field.experts(z, 0.5, cond), field.experts(z, 0.5, full))
    index = torch.arange(12).reshape(3, 4) % 4
    assert_expert_is_gathering(field, z, 0.5, index, cond)
    assert (field.experts(z, 0.5, cond) - field.experts(z, 0.5, cond + 1)).abs().max() > 1e-3


@pytest.mark.parametrize("shape", [(), (3,), (1,), (3, 4), (3, 1), (1, 4)])
@kinds
def test_labels_broadcast_from_the_left(make_field, randn, gen, shape, separate):
    field, z = make_field(2, 4, num_classes=5, separate=separate), randn(3, 4, 2)
    labels = torch.randint(5, shape, generator=gen())
    full = labels.reshape(*shape, *(1,) * (2 - len(shape))).expand(3, 4)
    torch.testing.assert_close(field.experts(z, 0.5, labels), field.experts(z, 0.5, full))
    assert_expert_is_gathering(field, z, 0.5, torch.arange(12).reshape(3, 4) % 4, labels)
    assert (field.experts(z, 0.5, full) - field.experts(z, 0.5, (full + 1) % 5)).abs().amin((0, 1)).max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64], ids=str)
def test_any_dtype_of_labels(make_field, randn, dtype):
    field, z, labels = make_field(2, 4, num_classes=2), randn(6, 2), torch.arange(6) % 2
    for given in (labels.to(dtype), labels.to(dtype).numpy()):
        torch.testing.assert_close(field.experts(z, 0.5, given), field.experts(z, 0.5, labels))


def test_a_field_without_classes_draws_the_same_weights():
    """Adding classes to the library changed no seeded result."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = [p.sum().item() for p in MLPMixtureField(2, 3, 8).parameters()]
        after = torch.rand(1).item()
        torch.manual_seed(0)
        assert [p.sum().item() for p in MLPMixtureField(2, 3, 8, num_classes=0).parameters()] == sizes
        assert torch.rand(1).item() == after


@pytest.mark.parametrize(
    "cond", [torch.eye(3).long()[[0, 2]], torch.eye(3, dtype=torch.bool)[[0, 2]]], ids=["int", "bool"]
)
def test_integers_with_a_feature_axis_are_numbers(make_field, randn, cond):
    field, z = make_field(2, 4, cond_dim=3), randn(2, 2)
    torch.testing.assert_close(field.experts(z, 0.5, cond), field.experts(z, 0.5, cond.float()))


@pytest.mark.parametrize(
    "cond, remedy",
    [
        (torch.arange(3), r"got torch.int64 of shape \(3,\): class labels need a field with num_classes=, or one_hot"),
        (torch.arange(12).reshape(3, 4), "num_classes="),
        (torch.zeros(3), r"cond\[:, None\] is a number a row, cond\[None\] one vector for all rows"),
    ],
)
def test_a_condition_without_feature_axis_is_refused_with_the_remedy(make_field, randn, cond, remedy):
    """Although it has as many numbers as the condition is wide."""
    field = make_field(2, 4, cond_dim=cond.shape[-1])
    with pytest.raises(ValueError, match=remedy):
        field(randn(3, 4, 2) if cond.ndim == 2 else randn(3, 2), 0.5, cond)


def test_a_state_without_rows_takes_one_vector(make_field, randn):
    field, cond = make_field(2, 4, cond_dim=3), randn(3, seed=1)
    alone = field.experts(randn(1, 2)[0], 0.5, cond)
    torch.testing.assert_close(alone, field.experts(randn(1, 2), 0.5, cond[None])[0])


@pytest.mark.parametrize("objective", [VFM(), MoEFM(0.5), ConsistentMoEFM(0.5)], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("labels", [False, True], ids=["vectors", "labels"])
@kinds
def test_every_parameter_gets_a_gradient(make_field, randn, gen, objective, separate, labels):
    experts = 1 if isinstance(objective, VFM) else 4
    options, cond = ({"num_classes": 7}, torch.arange(64) % 7) if labels else ({"cond_dim": 3}, randn(64, 3, seed=3))
    field = make_field(2, experts, separate=separate, **options)
    objective(field, randn(64, 2), randn(64, 2, seed=1), cond=cond, generator=gen()).total.backward()
    for name, parameter in field.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@kinds
def test_state_dict_round_trip(make_field, randn, separate):
    field, other = (make_field(2, 4, separate=separate, seed=seed) for seed in (0, 1))
    z = randn(5, 2)
    assert not torch.equal(field.experts(z, 0.5), other.experts(z, 0.5))
    other.load_state_dict(field.state_dict())
    for a, b in zip(field(z, 0.5), other(z, 0.5), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cond", [{"cond_dim": 2}, {"num_classes": 30}], ids=str)
def test_config_rebuilds_the_field(make_field, cond):
    field = make_field(3, 5, hidden=9, layers=1, separate=True, gate_hidden=7, **cond)
    again = MLPMixtureField(**field.config)
    assert again.config == field.config
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in field.state_dict().items()}


def test_shared_and_separate_do_the_work_they_say(make_field):
    """A shared trunk has one hidden stack, separate experts have K."""
    shared, separate = (make_field(2, 4, hidden=8, layers=3, separate=s) for s in (False, True))
    stack = (3 * 8 + 8) + 2 * (8 * 8 + 8)
    heads, gate = 4 * (8 * 2 + 2), sum(p.numel() for p in shared.gating.parameters())
    assert sum(p.numel() for p in shared.parameters()) == stack + heads + gate
    assert sum(p.numel() for p in separate.parameters()) == 4 * stack + heads + gate


@pytest.mark.parametrize("experts", [8, 9], ids=["all heads narrow", "sorted rows"])
def test_the_chosen_head_is_that_of_all_heads(randn, experts):
    field = MLPMixtureField(2, experts, hidden=16)
    z, index = randn(20, 2), torch.arange(20) % experts
    features = field.trunk(z, 0.3)
    expected = field.heads(features)[torch.arange(20), index]
    torch.testing.assert_close(field.head(features, index), expected)


def test_layers_overwrite_nothing_that_a_gradient_needs(randn):
    field, z = MLPMixtureField(2, 4, hidden=16), randn(5, 2)
    with torch.no_grad():
        plain, given = field.experts(z, 0.3), z.clone()
    assert torch.equal(z, given)
    recorded = field.experts(z.requires_grad_(), 0.3)
    torch.testing.assert_close(recorded, plain)
    assert torch.autograd.grad(recorded.sum(), z)[0].isfinite().all()
