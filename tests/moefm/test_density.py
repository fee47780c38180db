"""Log-densities against closed forms, a grid, and the sampler."""

import math

import numpy as np
import pytest
import torch

from moefm import InformationTime, MixtureField, MLPMixtureField, log_prob, sample
from moefm.finite import NotFiniteError


class Standstill(MixtureField):
    """Velocity zero, whatever the state: the density is that of the noise."""

    num_experts = 2

    def trunk(self, z, t, cond=None):
        return z

    def heads(self, features):
        return torch.zeros(*features.shape[:-1], 2, features.shape[-1])

    def head(self, features, index):
        return torch.zeros_like(features)

    def gate_logits(self, features):
        return features[..., :1] * torch.tensor([1.0, -1.0])


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_zero_velocity_leaves_the_gaussian(randn, dim):
    z = randn(6, dim)
    expected = -0.5 * z.square().sum(-1) - dim / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(log_prob(Standstill(), z, steps=3), expected)


@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
@pytest.mark.parametrize("dim, experts", [(1, 1), (3, 1), (1, 3), (2, 3)])
def test_affine_experts_in_closed_form(affine_field, randn, dim, experts, solver):
    field, z = affine_field(dim, experts), 2 * randn(20, dim, seed=4, dtype=torch.float64)
    tolerance = 1e-6 if solver == "rk4" else 1e-4  # the times are float32
    torch.testing.assert_close(
        log_prob(field, z, solver=solver), field.exact_log_prob(z), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("experts", [1, 3])
def test_sequences_that_share_an_expert(affine_field, randn, experts):
    field, z = affine_field(2, experts), 2 * randn(6, 4, 2, seed=4, dtype=torch.float64)
    expected = field.exact_log_prob(z, event_dims=2)
    actual = log_prob(field, z, event_dims=2)
    assert actual.shape == (6,)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    if experts == 1:
        torch.testing.assert_close(actual, log_prob(field, z).sum(-1))
    else:
        assert (actual - log_prob(field, z).sum(-1)).abs().max() > 0.1


@pytest.mark.parametrize("batch", [(), (0,), (4, 3)])
def test_any_batch_shape(affine_field, randn, batch):
    field, z = affine_field(2, 3), randn(*batch, 2, dtype=torch.float64)
    torch.testing.assert_close(log_prob(field, z), field.exact_log_prob(z), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
def test_sums_to_one_on_a_grid(make_field, separate):
    field = make_field(2, 3, separate=separate, gain=2.0)
    axis = torch.linspace(-8, 8, 97)
    density = log_prob(field, torch.cartesian_prod(axis, axis), steps=10).exp()
    assert density.sum().item() * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1, abs=0.01)
    plain = log_prob(Standstill(), torch.cartesian_prod(axis, axis), steps=1).exp()
    assert (density - plain).abs().max() > 0.02  # the field does move the noise


def test_is_the_density_that_frozen_routing_samples_from(affine_field, gen):
    field, n, width = affine_field(1, 3), 40_000, 0.2
    noise = torch.randn(n, 1, generator=gen(), dtype=torch.float64)
    samples = sample(field, noise, 1, generator=gen(1)).z1
    edges = torch.arange(-10, 10, width, dtype=torch.float64)
    counts = torch.histogram(samples.detach().flatten(), torch.cat([edges, edges[-1:] + width])).hist / n
    density = log_prob(field, (edges + width / 2).unsqueeze(-1)).exp() * width
    assert 0.5 * (counts - density).abs().sum() < 0.02


def test_converges_with_the_steps(make_field, randn):
    field, z = make_field(2, 3, gain=2.0).double(), randn(4, 2, dtype=torch.float64)
    fine = log_prob(field, z, steps=60)
    errors = [(log_prob(field, z, steps=n) - fine).abs().max() for n in (5, 10, 20)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_another_grid_gives_the_same_density(make_field, randn):
    field, points = make_field(2, 3, gain=1.5), randn(4, 2)
    time = InformationTime(8).fit_from(torch.tensor([0.0, 0.2, 0.4]), torch.tensor([2.0, 1.0, 0.0]))
    torch.testing.assert_close(
        log_prob(field, points, steps=60, times=time), log_prob(field, points), atol=1e-3, rtol=1e-3
    )
    coarse = [log_prob(field, points, steps=2, solver="euler", times=t) for t in (time, None, [0, 0.3, 1])]
    assert (coarse[0] - coarse[1]).abs().max() > 1e-3 < (coarse[1] - coarse[2]).abs().max()


@pytest.mark.parametrize("event_dims", [1, 2])
def test_probes_estimate_the_divergence(make_field, randn, gen, event_dims):
    field, z = make_field(3, 2, gain=1.5), randn(4, 2, 3)
    exact = log_prob(field, z, steps=5, event_dims=event_dims)
    estimates = torch.stack(
        [log_prob(field, z, steps=5, event_dims=event_dims, probes=8, generator=gen(s)) for s in range(12)]
    )
    error = estimates.std(0) / 12**0.5
    assert error.max() < 0.2
    assert ((estimates.mean(0) - exact).abs() < 4 * error + 0.02).all()
    assert estimates.std(0).min() > 0


def test_probes_are_seeded(make_field, randn, gen):
    field, z = make_field(3, 2), randn(4, 3)
    first, same, other = (log_prob(field, z, steps=2, probes=1, generator=gen(s)) for s in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_one_dimension_needs_no_more_than_one_probe(make_field, randn):
    field, z = make_field(1, 3, gain=2.0), randn(5, 1)
    torch.testing.assert_close(log_prob(field, z, steps=5, probes=1), log_prob(field, z, steps=5))


def test_condition(make_field, randn):
    field, z = make_field(2, 3, cond_dim=2, gain=2.0), randn(4, 2)
    cond = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    zero, mixed = (log_prob(field, z, cond=c, steps=5) for c in (torch.zeros(1, 2), cond))
    torch.testing.assert_close(mixed[:2], zero[:2])
    assert (mixed[2:] - zero[2:]).abs().min() > 1e-3


def test_leaves_no_graph_and_works_without_gradients(make_field, randn):
    field, z = make_field(2, 2), randn(4, 2).requires_grad_()
    value = log_prob(field, z, steps=3)
    assert not value.requires_grad
    assert all(p.grad is None for p in field.parameters())
    with torch.no_grad():
        torch.testing.assert_close(log_prob(field, z, steps=3), value)


# --- gradients --------------------------------------------------------------------------------------------------------

DENSITIES = {
    "rk4": {},
    "dopri5": {"solver": "dopri5", "tolerance": 3e-3},  # its own tolerance is 1e-5 a step
    "euler": {"solver": "euler"},
    "sequences": {"event_dims": 2},
    "probes": {"probes": 2},
}


@pytest.mark.parametrize("options", DENSITIES.values(), ids=DENSITIES)
@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
def test_gradients_equal_finite_differences(make_field, randn, gen, options, separate):
    """With respect to points, condition and parameters, along a random direction of each."""
    options = {"steps": 2, "solver": "rk4", "tolerance": 1e-6} | options
    tolerance = options.pop("tolerance")
    field = make_field(2, 2, hidden=8, cond_dim=2, separate=separate, gain=1.5).double()
    z, cond = randn(2, 2, 2, dtype=torch.float64), randn(2, 2, seed=1, dtype=torch.float64)
    parameters = list(field.parameters())
    leaves = [z.requires_grad_(), cond.requires_grad_(), *parameters]

    def value(**more):
        return log_prob(field, z, cond=cond, generator=gen(), **options, **more).sum()

    grads = torch.autograd.grad(value(create_graph=True), leaves)
    assert all(grad.abs().max() > 0 for grad in grads)
    for moved, slopes in (([z], grads[:1]), ([cond], grads[1:2]), (parameters, grads[2:])):
        directions, ends = [randn(*x.shape, seed=i, dtype=torch.float64) for i, x in enumerate(moved)], []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                for x, direction in zip(moved, directions, strict=True):
                    x += step * direction
                ends.append(value().item())
        with torch.no_grad():
            for x, direction in zip(moved, directions, strict=True):
                x += 1e-5 * direction
        actual = sum((grad * direction).sum().item() for grad, direction in zip(slopes, directions, strict=True))
        assert actual == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=tolerance, abs=tolerance)


def test_gradients_in_closed_form(affine_field, randn):
    field, z = affine_field(2, 3), randn(6, 2, dtype=torch.float64).requires_grad_()
    actual = torch.autograd.grad(log_prob(field, z, create_graph=True).sum(), z)[0]
    expected = torch.autograd.grad(field.exact_log_prob(z).sum(), z)[0]
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


def test_second_derivatives(affine_field, randn):
    """The graph of a gradient is there too, as for curvatures and score matching."""
    field, z = affine_field(1, 2), randn(1, 1, dtype=torch.float64)
    curvature = torch.autograd.functional.hessian(lambda x: log_prob(field, x, create_graph=True).sum(), z)
    expected = torch.autograd.functional.hessian(lambda x: field.exact_log_prob(x).sum(), z)
    torch.testing.assert_close(curvature, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_likelihood_can_be_learned(make_field, randn, dtype):
    field, z = make_field(2, 3, gain=1.5).to(dtype), 0.3 * randn(30, 2, dtype=dtype) + 1
    optimizer, seen = torch.optim.Adam(field.parameters(), lr=0.02), []
    for _ in range(8):
        optimizer.zero_grad()
        loss = -log_prob(field, z, steps=3, create_graph=True).mean()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in field.parameters())
        optimizer.step()
        seen.append(loss.item())
    assert seen[-1] < seen[0] - 0.1


@pytest.mark.parametrize("recording", [True, False])
def test_the_value_is_the_same_with_and_without_a_graph(make_field, randn, recording):
    """Also where gradients are off: what was asked for is given."""
    field, z = make_field(2, 3), randn(5, 2)
    with torch.set_grad_enabled(recording):
        value = log_prob(field, z, steps=3, create_graph=True)
        assert value.requires_grad
        torch.testing.assert_close(value, log_prob(field, z, steps=3))


# --- what is handed in ------------------------------------------------------------------------------------------------


def test_arrays_and_float64_points(make_field, randn):
    field, z = make_field(2, 3), randn(5, 2)
    expected = log_prob(field, z, steps=3)
    for given in (z.numpy(), z.double(), z.double().numpy()):
        assert torch.equal(log_prob(field, given, steps=np.int64(3)), expected)
    assert torch.equal(log_prob(field, z, steps=3, event_dims=np.int64(1)), expected)


def test_labels(make_field, randn):
    field, z, labels = make_field(2, 3, num_classes=4, gain=2.0), randn(8, 2), torch.arange(8) % 4
    mixed = log_prob(field, z, cond=labels, steps=4)
    for k in range(4):
        alone = log_prob(field, z, cond=torch.tensor(k), steps=4)
        torch.testing.assert_close(mixed[labels == k], alone[labels == k])
    grads = torch.autograd.grad(log_prob(field, z, cond=labels, steps=2, create_graph=True).sum(), field.classes.weight)
    assert (grads[0].abs().amax(1) > 0).all()


def test_a_gate_without_experts_is_an_error(make_field, randn):
    field = make_field(2, 3)
    with torch.no_grad():
        field.gating.last.bias.fill_(-torch.inf)
    with pytest.raises(NotFiniteError, match="gate logits must leave an expert"):
        log_prob(field, randn(4, 2), steps=2)


def test_inference_mode_gives_the_same(randn):
    field, z = MLPMixtureField(2, 3), randn(5, 2)
    expected = log_prob(field, z, steps=3)
    with torch.inference_mode():
        assert torch.equal(log_prob(field, z, steps=3), expected)
        torch.testing.assert_close(log_prob(field, 1.0 * z, steps=3), expected)  # a tensor of this mode
    assert torch.equal(log_prob(field, z, steps=3), expected)
