"""Objectives: a field evaluated along the path, and its loss."""

from dataclasses import replace

import pytest
import torch

from moefm import (
    VFM,
    BetaTime,
    ConsistentMoEFM,
    InformationTime,
    MoEFM,
    UniformTime,
    ZeroInflatedTime,
    consistent_moefm_loss,
    linear_path,
    moefm_loss,
    vfm_loss,
)
from moefm.objectives import Objective

OPTIONS = {"sigma": 0.6, "scope": -1, "velocity_scale": 0.5, "gate_scale": 2.0}
OBJECTIVES = {
    "vfm": (VFM(BetaTime(2.0, 1.0)), 1),
    "moefm": (MoEFM(time=BetaTime(2.0, 1.0), **OPTIONS), 4),
    "consistent": (ConsistentMoEFM(time=BetaTime(2.0, 1.0), **OPTIONS), 4),
}
every_objective = pytest.mark.parametrize("name", OBJECTIVES)
MASK = torch.tensor([[True, True, False], [True, False, True], [True, True, True]])


@pytest.fixture
def pairs(randn):
    return randn(3, 3, 2, seed=1), randn(3, 3, 2, seed=2)


def by_hand(name, field, z0, z1, t, mask):
    path = linear_path(z0, z1, t)
    velocities, logits = field(path.z_t, t)
    if name == "vfm":
        return vfm_loss(velocities.squeeze(-2), path.velocity, mask)
    if name == "moefm":
        return moefm_loss(velocities, logits, path.velocity, mask=mask, **OPTIONS)
    return consistent_moefm_loss(velocities, *field(z0, 0.0), path.velocity, mask=mask, **OPTIONS)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@every_objective
def test_one_time_a_row_and_the_loss_by_hand(make_field, pairs, gen, name, mask):
    objective, experts = OBJECTIVES[name]
    field, t = make_field(2, experts), objective.time((3,), generator=gen(5))
    actual = objective(field, *pairs, mask=mask, generator=gen(5))
    expected = by_hand(name, field, *pairs, t, mask)
    torch.testing.assert_close(actual.total, expected.total)
    torch.testing.assert_close(actual.velocity, expected.velocity)
    torch.testing.assert_close(actual.gate, expected.gate)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e30])
@every_objective
def test_padding_does_not_reach_the_gradients_of_the_field(make_field, pairs, gen, name, garbage):
    """Not even as 0 * NaN inside the field's own backward pass."""
    objective, experts = OBJECTIVES[name]
    field, results = make_field(2, experts), []
    for value in (0.0, garbage):
        spoiled = [z.masked_fill(~MASK.unsqueeze(-1), value) for z in pairs]
        loss = objective(field, *spoiled, mask=MASK, generator=gen())
        gradients = torch.autograd.grad(loss.total, list(field.parameters()), allow_unused=True)
        results.append((loss.total, *gradients))
    for clean, other in zip(*results, strict=True):
        assert torch.equal(clean, other)


@every_objective
def test_evaluations_are_counted_right(make_field, pairs, count_trunk, name):
    objective, experts = OBJECTIVES[name]
    field = make_field(2, experts)
    calls = count_trunk(field)
    objective(field, *pairs)
    assert len(calls) == objective.evaluations
    if name == "consistent":
        assert calls[0] == 0  # responsibilities come from t = 0


@every_objective
def test_condition_reaches_the_field(make_field, pairs, randn, gen, name):
    objective, experts = OBJECTIVES[name]
    field = make_field(2, experts, cond_dim=3)
    totals = [objective(field, *pairs, cond=randn(3, 3, seed=s), generator=gen()).total for s in (3, 4)]
    assert totals[0] != totals[1]


@every_objective
def test_seed_decides_the_times(make_field, pairs, gen, name):
    objective, experts = OBJECTIVES[name]
    field = make_field(2, experts)
    first, same, other = (objective(field, *pairs, generator=gen(s)).total for s in (1, 1, 2))
    assert first == same != other


@pytest.mark.parametrize("shape", [(2,), (5, 2), (5, 3, 4, 2)])
@every_objective
def test_any_batch_shape(make_field, randn, name, shape):
    objective, experts = OBJECTIVES[name]
    if shape == (2,) and experts > 1:
        objective = type(objective)()  # no dimension to pool over
    assert objective(make_field(2, experts), randn(*shape), randn(*shape, seed=1)).total.isfinite()


def test_vanilla_wants_one_expert(make_field, pairs):
    with pytest.raises(ValueError, match=r"field must have one expert .* got 4"):
        VFM()(make_field(2, 4), *pairs)


def test_at_time_zero_the_consistent_loss_is_the_paper_s_with_its_own_scale(make_field, randn):
    """Both evaluations coincide there: sigma^2 NLL plus half the weighted error."""
    field, z0, z1 = make_field(2, 4), randn(8, 2), randn(8, 2, seed=1)
    time = ZeroInflatedTime(1.0)
    consistent, paper = ConsistentMoEFM(0.3, time)(field, z0, z1), MoEFM(0.3, time)(field, z0, z1)
    torch.testing.assert_close(consistent.gate, 0.09 * paper.gate)
    torch.testing.assert_close(consistent.velocity, 2 * 0.09 * paper.velocity)
    torch.testing.assert_close(consistent.responsibilities, paper.responsibilities)


def test_your_own_objective(make_field, pairs):
    class Twice(Objective):
        def loss(self, field, at, cond, mask):
            loss = moefm_loss(*field(at.z_t, at.t, cond), at.target, sigma=0.1, mask=mask)
            return loss._replace(total=2 * loss.total)

    assert Twice()(make_field(), *pairs).total.requires_grad
    assert Twice.evaluations == 1


def test_defaults_are_the_paper_s():
    assert MoEFM() == MoEFM(sigma=0.1, time=UniformTime(), scope=None, velocity_scale=1.0, gate_scale=1.0)


@pytest.mark.parametrize("mask", [None, MASK, torch.tensor([[True] * 3, [False] * 3, [True, False, True]])])
@every_objective
def test_information_time_measures_what_is_not_known_of_the_data(make_field, pairs, gen, name, mask):
    information, (objective, experts) = InformationTime(4), OBJECTIVES[name]
    objective = replace(objective, time=information)
    field, t = make_field(2, experts), information((3,), generator=gen(5))
    loss = objective(field, *pairs, mask=mask, generator=gen(5))
    path, expected = linear_path(*pairs, t), InformationTime(4)
    known = path.z_t.unsqueeze(-2) + (1 - t)[:, None, None, None] * field.experts(path.z_t, t)
    weight = loss.responsibilities if experts > 1 else torch.ones(3, 3, 1)
    errors = ((known - pairs[1].unsqueeze(-2)).square().sum(-1) * weight).sum(-1)
    counts = torch.ones(3, 3) if mask is None else mask.float()
    expected.observe(t, (errors * counts).sum(-1) / counts.sum(-1))
    torch.testing.assert_close(information.errors, expected.errors)
    assert torch.equal(information.counts, expected.counts)
    assert information.counts.sum() == (3 if mask is None else int(mask.any(-1).sum()))


def test_information_time_is_measured_in_training_alone(make_field, pairs):
    information = InformationTime(4)
    VFM(information)(make_field(2, 1).eval(), *pairs)
    assert information.counts.sum() == 0
    VFM(ZeroInflatedTime(0.5, information))(make_field(2, 1), *pairs)
    assert information.counts.sum() == 3
    given = InformationTime(4).fit_from(torch.tensor([0.1, 0.9]), torch.tensor([3.0, 1.0]))
    before = given.errors.clone()
    VFM(given)(make_field(2, 1), *pairs)
    assert torch.equal(given.errors, before)


@pytest.mark.parametrize("objective", [MoEFM(), ConsistentMoEFM()])
def test_noise_and_data_take_the_precision_of_the_field(make_field, randn, gen, objective):
    field, z0, z1 = make_field().double(), randn(8, 2), randn(8, 2, seed=1)
    loss = objective(field, z0, z1, generator=gen())
    exact = objective(field, z0.double(), z1.double(), generator=gen())
    torch.testing.assert_close(loss.total, exact.total)
