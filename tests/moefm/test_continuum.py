"""A continuum of experts: the contracts of a field, where its points lie, and that more of them come nearer."""

import pytest
import torch

from moefm import ConsistentMoEFM, ContinuumField, fit, load_field, moefm_loss, sample, save_field


@pytest.fixture
def field():
    torch.manual_seed(0)
    return ContinuumField(2, 8, hidden=16, layers=2)


def test_one_expert_is_its_part_of_all(field):
    field.eval()
    z, index = torch.randn(7, 3, 2), torch.arange(21).reshape(7, 3) % 8
    features = field.trunk(z, 0.4)
    velocities = field.heads(features)
    assert velocities.shape == (7, 3, 8, 2) and field.gate_logits(features).eq(0).all()
    assert torch.allclose(field.head(features, index), velocities[torch.arange(7)[:, None], torch.arange(3), index])


def test_every_token_has_its_condition(randn):
    field, z, cond = ContinuumField(2, 8, hidden=16, cond_dim=3).eval(), randn(2, 4, 2), randn(2, 4, 3)
    whole = field.experts(z, 0.4, cond)
    torch.testing.assert_close(whole[1], field.experts(z[1], 0.4, cond[1]))
    assert (whole - field.experts(z, 0.4, cond + 1)).abs().amin((-1, -2)).min() > 0


def test_the_points_of_training_fill_their_parts(field):
    drawn = torch.stack([field.numbers() for _ in range(200)])
    assert drawn.mul(8).long().eq(torch.arange(8)).all()  # one in each eighth
    within = drawn[:, 0] * 8
    assert torch.histc(within, 10, 0, 1).min() >= 15  # of 20 on average
    field.eval()
    assert torch.equal(field.numbers(), (torch.arange(8) + 0.5) / 8) and torch.equal(field.numbers(), field.numbers())


def test_a_mixture_loss_estimates_the_integral(field):
    z, target = torch.randn(50, 2), torch.randn(50, 2)

    def loss(points):
        field.num_experts = points
        velocities, logits = field(z, 0.3)
        return moefm_loss(velocities, logits, target, sigma=1.0).total.item()

    exact = loss(2000)
    assert sum(loss(8) for _ in range(50)) / 50 == pytest.approx(exact, abs=2e-3)


def test_neighbouring_points_are_neighbours(field):
    field.eval().num_experts = 1000
    velocities = field.experts(torch.randn(20, 2), 0.5)
    assert velocities.diff(dim=1).norm(dim=-1).max() < 0.3 * velocities.std(1).norm(dim=-1).max()


def test_training_is_repeatable_and_draws_nothing(field):
    data = torch.randn(200, 2)

    def trained():
        torch.manual_seed(0)
        own = ContinuumField(2, 4, hidden=16, layers=1)
        state = torch.get_rng_state()
        fit(own, data, steps=5, objective=ConsistentMoEFM(), generator=torch.Generator().manual_seed(1))
        assert torch.equal(torch.get_rng_state(), state)
        return own.eval()

    a, b = trained(), trained()
    assert torch.equal(a.experts(data, 0.2), b.experts(data, 0.2))


def test_it_separates_two_clouds_in_one_step():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    sides = torch.randint(2, (2000, 1), generator=generator) * 2.0 - 1
    data = torch.cat([sides, torch.zeros_like(sides)], -1) + 0.05 * torch.randn(2000, 2, generator=generator)
    field = ContinuumField(2, 8, hidden=32, layers=2)
    fit(field, data, steps=400, objective=ConsistentMoEFM(sigma=0.3), generator=generator, lr=3e-3)
    z1 = sample(field.eval(), torch.randn(1000, 2, generator=generator), 1, generator=generator).z1
    assert z1[:, 0].abs().sub(1).abs().lt(0.4).float().mean() > 0.9  # one velocity alone would end between them
    assert 0.25 < z1[:, 0].gt(0).float().mean() < 0.75


def test_it_comes_back_from_a_folder(field, tmp_path):
    field.numbers()
    save_field(field, tmp_path)
    again = load_field(tmp_path)
    assert isinstance(again, ContinuumField) and repr(again) == repr(field) and torch.equal(again.place, field.place)
    z = torch.randn(4, 2)
    assert torch.equal(again.experts(z, 0.1), field.eval().experts(z, 0.1))


def test_conditions_and_mistakes():
    field = ContinuumField(2, 3, hidden=8, cond_dim=4)
    assert field.experts(torch.randn(5, 2), 0.1, torch.randn(5, 4)).shape == (5, 3, 2)
    with pytest.raises(ValueError, match="cond must be given: cond_dim=4"):
        field.experts(torch.randn(5, 2), 0.1)
    with pytest.raises(ValueError, match=r"z must have shape \(\*batch, 2\), got \(5, 3\)"):
        field.experts(torch.randn(5, 3), 0.1, torch.randn(5, 4))
    with pytest.raises(ValueError, match="cond must not be given"):
        ContinuumField(2).experts(torch.randn(5, 2), 0.1, torch.randn(5, 4))
    with pytest.raises(ValueError, match="num_experts must be"):
        ContinuumField(2, 0)
