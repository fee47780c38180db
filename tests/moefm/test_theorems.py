"""The paper's statements, as tests: section 3, Lemma A.3, Theorem 3.2 (A.4), Proposition A.5."""

import math

import pytest
import torch

from moefm import (
    VFM,
    ConsistentMoEFM,
    MLPMixtureField,
    MoEFM,
    consistent_moefm_loss,
    fit,
    moefm_loss,
    responsibilities,
    sample,
    vfm_loss,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def close(actual, expected, **tolerance):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), **(tolerance or EXACT))


def gradients(total, *inputs):
    return torch.autograd.grad(total, inputs, retain_graph=True)


# --- K = 1 is vanilla flow matching -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.1, 1.0, 7.0])
def test_one_expert_is_vfm(mixture, sigma):
    u, logits, target = mixture((5, 4), experts=1, dim=3)
    loss, vfm = moefm_loss(u, logits, target, sigma=sigma).total, vfm_loss(u.squeeze(-2), target).total
    close(loss * 2 * sigma**2, vfm)
    close(gradients(loss, u)[0] * 2 * sigma**2, gradients(vfm, u)[0])


def test_one_expert_consistent_is_half_of_two_vfm_losses(mixture):
    u, logits, target = mixture((6,), experts=1)
    u_0 = mixture((6,), experts=1, seed=7)[0]
    loss = consistent_moefm_loss(u, u_0, logits, target, sigma=0.3).total
    vfm = 0.5 * (vfm_loss(u.squeeze(-2), target).total + vfm_loss(u_0.squeeze(-2), target).total)
    close(loss, vfm)
    for a, b in zip(gradients(loss, u, u_0), gradients(vfm, u, u_0), strict=True):
        close(a, b)


def test_one_expert_objective_is_vfm_for_every_parameter(make_field, randn, gen):
    field, sigma = make_field(3, 1).double(), 0.2
    z0, z1 = randn(16, 3, seed=1, dtype=torch.float64), randn(16, 3, seed=2, dtype=torch.float64)
    parameters = list(field.parameters())
    mixture = torch.autograd.grad(MoEFM(sigma)(field, z0, z1, generator=gen(3)).total, parameters)
    vanilla = torch.autograd.grad(VFM()(field, z0, z1, generator=gen(3)).total, parameters)
    for a, b in zip(mixture, vanilla, strict=True):
        close(a * 2 * sigma**2, b)


# --- Lemma A.3 --------------------------------------------------------------------------------------------------------

SEGMENTS = torch.tensor([[0, 0, 1, 1, 1], [2, 0, 0, 2, 4]])
SCOPES = {
    "token": (None, torch.arange(10)),
    "sequence": (-1, torch.arange(2).repeat_interleave(5)),
    "column": (0, torch.arange(5).repeat(2)),
    "all": ((0, 1), torch.zeros(10, dtype=torch.long)),
    "segments": (SEGMENTS, (SEGMENTS + torch.tensor([[0], [5]])).flatten()),
}


def closed_form(u, logits, target, sigma, groups):
    """Loss, its two gradients and the responsibilities by the formulas of the paper, group after group."""
    u, logits, target = u.detach().flatten(0, -3), logits.detach().flatten(0, -2), target.flatten(0, -2)
    n, nll = len(u), 0.0
    grad_u, grad_logits, gamma = torch.zeros_like(u), torch.zeros_like(logits), torch.zeros_like(logits)
    for group in groups.unique():
        rows = groups == group
        distance = (u[rows] - target[rows].unsqueeze(1)).square().sum((0, 2))
        pi = logits[rows].mean(0).exp() / logits[rows].mean(0).exp().sum()
        joint = pi * (-distance / (2 * sigma**2)).exp()
        nll -= joint.sum().log() / n
        posterior = joint / joint.sum()
        gamma[rows] = posterior
        grad_u[rows] = posterior[:, None] * (u[rows] - target[rows].unsqueeze(1)) / sigma**2 / n
        grad_logits[rows] = (pi - posterior) / rows.sum() / n
    return nll, grad_u, grad_logits, gamma


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("name", SCOPES)
def test_lemma_a3(mixture, name, sigma):
    scope, groups = SCOPES[name]
    u, logits, target = mixture((2, 5), experts=4, dim=3)
    loss = moefm_loss(u, logits, target, sigma=sigma, scope=scope)
    nll, grad_u, grad_logits, gamma = closed_form(u, logits, target, sigma, groups)
    tolerance = {"rtol": 1e-8, "atol": 1e-8}
    close(loss.total, nll, **tolerance)
    close(loss.responsibilities.flatten(0, 1), gamma, **tolerance)
    actual_u, actual_logits = gradients(loss.total, u, logits)
    close(actual_u.flatten(0, 1), grad_u, **tolerance)
    close(actual_logits.flatten(0, 1), grad_logits, **tolerance)


@pytest.mark.parametrize("name", SCOPES)
def test_nll_is_velocity_part_plus_divergence(mixture, name):
    scope, groups = SCOPES[name]
    u, logits, target = mixture((2, 5), experts=4, dim=3)
    loss = moefm_loss(u, logits, target, sigma=0.7, scope=scope)
    gamma = loss.responsibilities.flatten(0, 1)
    distance = (u.detach() - target.unsqueeze(-2)).square().sum(-1).flatten(0, 1)
    velocity, divergence = 0.0, 0.0
    for group in groups.unique():
        rows = groups == group
        log_pi = logits.detach().flatten(0, 1)[rows].mean(0).log_softmax(-1)
        posterior = gamma[rows][0]
        velocity += (posterior * distance[rows].sum(0)).sum() / (2 * 0.7**2) / 10
        divergence += (posterior * (posterior.log() - log_pi)).sum() / 10
    close(loss.velocity, velocity)
    close(loss.gate, divergence)
    close(loss.total.detach(), velocity + divergence)


@pytest.mark.parametrize("velocity_scale, gate_scale", [(2.0, 0.5), (0.0, 1.0), (1.0, 0.0), (1e-3, 1.0), (1.0, 30.0)])
@pytest.mark.parametrize("scope", [None, -1, SEGMENTS])
def test_separate_scales_scale_each_gradient(mixture, velocity_scale, gate_scale, scope):
    u, logits, target = mixture((2, 5), experts=4, dim=3)
    scales = {"velocity_scale": velocity_scale, "gate_scale": gate_scale}
    plain = moefm_loss(u, logits, target, sigma=0.5, scope=scope)
    scaled = moefm_loss(u, logits, target, sigma=0.5, scope=scope, **scales)
    close(scaled.total.detach(), velocity_scale * plain.velocity + gate_scale * plain.gate)
    for factor, a, b in zip(
        (velocity_scale, gate_scale),
        gradients(scaled.total, u, logits),
        gradients(plain.total, u, logits),
        strict=True,
    ):
        close(a, factor * b)


@pytest.mark.parametrize("velocity_scale, gate_scale", [(2.0, 0.5), (0.0, 1.0), (1.0, 0.0)])
def test_separate_scales_of_the_consistent_loss(mixture, velocity_scale, gate_scale):
    u, logits, target = mixture((7,), experts=4)
    u_0 = mixture((7,), experts=4, seed=9)[0]
    plain = consistent_moefm_loss(u, u_0, logits, target, sigma=0.5)
    scaled = consistent_moefm_loss(
        u, u_0, logits, target, sigma=0.5, velocity_scale=velocity_scale, gate_scale=gate_scale
    )
    close(scaled.total.detach(), velocity_scale * plain.velocity + gate_scale * plain.gate)
    factors = (velocity_scale, velocity_scale, gate_scale)
    inputs = (u, u_0, logits)
    for factor, a, b in zip(factors, gradients(scaled.total, *inputs), gradients(plain.total, *inputs), strict=True):
        close(a, factor * b)


# --- Proposition A.5: the two extrema of sigma ------------------------------------------------------------------------


def test_small_sigma_assigns_the_nearest_expert(mixture):
    u, logits, target = mixture((50,), experts=5)
    gamma = responsibilities(u, logits, target, sigma=1e-3)
    nearest = (u - target.unsqueeze(-2)).square().sum(-1).argmin(-1)
    close(gamma.detach(), torch.nn.functional.one_hot(nearest, 5), rtol=0, atol=1e-9)


def test_small_sigma_shares_ties_by_the_gate():
    u = torch.tensor([[[1.0], [-1.0], [5.0]]], dtype=torch.float64)  # the first two are as near to 0
    pi = torch.tensor([[0.2, 0.6, 0.2]], dtype=torch.float64)
    gamma = responsibilities(u, pi.log(), torch.zeros(1, 1, dtype=torch.float64), sigma=1e-3)
    close(gamma, [[0.25, 0.75, 0.0]])


def test_large_sigma_is_uninformative(mixture):
    u, logits, target = mixture((50,), experts=5)
    loss = moefm_loss(u, logits, target, sigma=1e4)
    close(loss.responsibilities, logits.detach().softmax(-1), rtol=0, atol=1e-6)
    grad_u, grad_logits = gradients(loss.total, u, logits)
    assert max(grad_u.abs().max(), grad_logits.abs().max()) < 1e-6
    assert abs(loss.total.item()) < 1e-6


# --- Theorem 3.2: fixed points ----------------------------------------------------------------------------------------


def test_fixed_points_of_free_parameters(gen):
    """At one (z_t, t) with finitely many targets, minimizing Eq. (5) ends where the theorem says."""
    target = torch.cat([torch.full((3, 1), -2.0), torch.full((5, 1), 1.0), torch.full((2, 1), 4.0)]).double()
    u = torch.randn(1, 3, 1, generator=gen(1), dtype=torch.float64).requires_grad_()
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [u, logits], max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        total = moefm_loss(u.expand(10, 3, 1), logits.expand(10, 3), target, sigma=1.0).total
        total.backward()
        return total

    optimizer.step(closure)
    gamma = responsibilities(u.expand(10, 3, 1), logits.expand(10, 3), target, sigma=1.0).detach()
    close(logits.detach().softmax(-1)[0], gamma.mean(0), rtol=0, atol=1e-6)
    close(u.detach()[0, :, 0], (gamma * target).sum(0) / gamma.sum(0), rtol=0, atol=1e-6)
    assert u.detach().max() - u.detach().min() > 2  # and it is not the collapsed stationary point


POINTS, WEIGHTS = torch.tensor([-1.0, 1.0]), torch.tensor([0.3, 0.7])
SIGMA = 1.0


def two_points(n, generator):
    """Draw 1-D data: -1 with probability 0.3, else 1."""
    return POINTS[(torch.rand(n, 1, generator=generator) < WEIGHTS[1]).long()]


def early_time(shape, *, generator=None, device=None):
    """Uniform on [0, 0.9): the targets (z1 - z_t) / (1 - t) are unbounded near 1."""
    return 0.9 * torch.rand(tuple(shape), generator=generator, device=device)


@pytest.fixture(scope="module")
def posterior(gen):
    """States on the path with the exact law of the target there: ``z_t, t, p(u* | z_t, t), u*``."""
    g, n = gen(9), 4000
    t, z0 = early_time((n,), generator=g).unsqueeze(-1), torch.randn(n, 1, generator=g)
    z_t = t * two_points(n, g) + (1 - t) * z0
    noise = (z_t - t * POINTS) / (1 - t)
    return z_t, t.squeeze(-1), (WEIGHTS.log() - noise.square() / 2).softmax(-1), POINTS - noise


def train(objective, num_experts, gen, steps):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        field = MLPMixtureField(1, num_experts, hidden=64)
    fit(field, two_points, objective, steps=steps, lr=4e-3, generator=gen(0))
    return field


def test_proposition_3_1_after_training(posterior, gen):
    z_t, t, p, u = posterior
    field = train(VFM(time=early_time), 1, gen, steps=800)
    expected = (p * u).sum(-1)
    with torch.no_grad():
        error = field.experts(z_t, t)[:, 0, 0] - expected
    assert error.square().mean().sqrt() / expected.square().mean().sqrt() < 0.25


def test_theorem_3_2_after_training(posterior, gen):
    z_t, t, p, u = posterior
    field = train(MoEFM(SIGMA, time=early_time), 3, gen, steps=1500)
    with torch.no_grad():
        v, logits = field(z_t, t)
    gamma = torch.stack([responsibilities(v, logits, u[:, j : j + 1], sigma=SIGMA) for j in range(2)], 1)
    mean_gamma = (p.unsqueeze(-1) * gamma).sum(1)
    assert (logits.softmax(-1) - mean_gamma).abs().mean() < 0.02
    mean_velocity = (p.unsqueeze(-1) * gamma * u.unsqueeze(-1)).sum(1) / mean_gamma
    assert (v[..., 0] - mean_velocity)[mean_gamma > 0.05].abs().mean() < 0.08

    def nll(velocities, log_pi):
        distance = (velocities.unsqueeze(1) - u.unsqueeze(-1)).square() / (2 * SIGMA**2)
        return -(p * torch.logsumexp(log_pi.unsqueeze(1) - distance, -1)).sum(-1).mean()

    collapsed = (p * u).sum(-1, keepdim=True).expand(-1, 3)  # all experts at the mean is stationary too
    assert nll(v[..., 0], logits.log_softmax(-1)) < 0.8 * nll(collapsed, torch.full((1, 3), -math.log(3)))


def test_consistent_experts_keep_their_share(gen):
    """Frozen routing of the consistent loss reproduces the weights of the data, with few steps and with many."""
    field = train(ConsistentMoEFM(0.5), 2, gen, steps=800)
    noise = torch.randn(4000, 1, generator=gen(5))
    for steps in (2, 50):
        with torch.no_grad():
            z1 = sample(field, noise, steps, generator=gen(6)).z1
        assert (z1 > 0).float().mean() == pytest.approx(WEIGHTS[1].item(), abs=0.05)
        assert (z1.abs() - 1).abs().mean() < 0.1
