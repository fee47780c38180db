"""Sampling: evaluations, routing, seeds, independence of the batch."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from moefm import InformationTime, MixtureField, MLPMixtureField, Routing, sample
from moefm.finite import NotFiniteError
from moefm.routing import draw_uniforms
from moefm.solvers import SOLVERS

ROUTINGS = ["frozen", "greedy", "resampled", "mean", "argmax"]
every_routing = pytest.mark.parametrize("routing", ROUTINGS)
every_solver = pytest.mark.parametrize("solver", SOLVERS)


@pytest.fixture
def field(make_field):
    """Four experts that clearly differ, and a gate that depends on the state."""
    return make_field(2, 4, gain=2.5)


def test_euler_by_hand(field, randn, gen):
    z, t = randn(9, 2), 0.0
    out = sample(field, z, steps=4, generator=gen(), trajectory=True)
    for step in range(4):
        z = z + field.expert(z, t, out.assignment) / 4
        torch.testing.assert_close(out.trajectory[step + 1], z)
        t += 0.25
    assert torch.equal(out.z1, out.trajectory[-1])


def test_euler_on_a_grid_by_hand(field, randn, gen):
    z, grid = randn(9, 2), [0.0, 0.1, 0.3, 1.0]
    out = sample(field, z, times=grid, generator=gen())
    for a, b in pairwise(grid):
        z = z + (b - a) * field.expert(z, a, out.assignment)
    torch.testing.assert_close(out.z1, z)
    assert out.nfe == 3 and torch.equal(out.times, torch.tensor(grid))


@pytest.mark.parametrize("steps, times", [(None, InformationTime()), (5, InformationTime()), (None, [0, 0.2, 1])])
def test_evaluations_do_not_depend_on_where_the_steps_lie(field, randn, count_trunk, steps, times):
    calls = count_trunk(field)
    out = sample(field, randn(3, 2), steps, times=times)
    assert len(calls) == out.nfe == len(out.times) - 1 == (steps or (4 if len(calls) == 4 else 2))
    assert calls == out.times[:-1].tolist()


@every_solver
def test_a_hint_by_hand(field, randn, gen, solver):
    """Only the first evaluation is another one: that of the noise as a later state."""
    z0, h = randn(9, 2), 0.4
    out = sample(field, z0, 1, solver="euler", hint=h, generator=gen())
    end = (1 - h) * z0 + (1 - h) * field.expert((1 - h) * z0, h, out.assignment)
    torch.testing.assert_close(out.z1, end)
    plain = sample(field, z0, 3, solver=solver, generator=gen())
    torch.testing.assert_close(sample(field, z0, 3, solver=solver, hint=0.0, generator=gen()).z1, plain.z1)
    other = sample(field, z0, 3, solver=solver, hint=h, generator=gen())
    assert other.nfe == plain.nfe and not torch.allclose(other.z1, plain.z1)


class Posterior(MixtureField):
    """The exact field of points ``(N, D)`` that are equally probable."""

    num_experts = 1

    def __init__(self, points):
        super().__init__()
        self.points = points

    def trunk(self, z, t, cond=None):
        gap = 1 - torch.as_tensor(t)
        far = (z.unsqueeze(-2) - t * self.points).square().sum(-1) / (2 * gap**2)
        return ((-far).softmax(-1) @ self.points - z) / gap

    def heads(self, features):
        return features.unsqueeze(-2)

    def head(self, features, index):
        return features

    def gate_logits(self, features):
        return features.new_zeros(*features.shape[:-1], 1)


def test_a_hint_changes_nothing_where_nothing_is_to_decide(randn):
    field = Posterior(torch.tensor([[1.0, 2.0]]))
    for steps in (1, 3):
        torch.testing.assert_close(sample(field, randn(50, 2), steps, hint=0.5).z1, field.points.expand(50, 2))


def test_one_step_with_a_hint_decides(randn):
    """Without one every sample is the mean of the two points."""
    field = Posterior(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]))
    ends = [sample(field, randn(500, 2), 1, hint=hint).z1[:, 0] for hint in (0.0, 0.5)]
    assert ends[0].abs().max() < 1e-4
    assert (ends[1].abs() > 1.5).float().mean() > 0.6 and ends[1].mean().abs() < 0.3


@pytest.mark.parametrize("options", [{"hint": 1.0}, {"hint": -0.1}, {"hint": 0.5, "solver": "dopri5"}])
def test_a_hint_that_cannot_be(field, randn, options):
    with pytest.raises(ValueError, match="hint must be"):
        sample(field, randn(3, 2), **options)


def test_many_steps_come_to_the_same_wherever_they_lie(field, randn, gen):
    """The solution of the equation is one; a grid only decides how fast it is reached."""
    time = InformationTime().fit_from(torch.linspace(0, 1, 100), (1 - 4 * torch.linspace(0, 1, 100)).clamp_min(0))
    ends = [sample(field, randn(50, 2), 400, times=t, generator=gen()).z1 for t in (None, time)]
    torch.testing.assert_close(*ends, atol=0.05, rtol=0)
    few = [sample(field, randn(50, 2), 2, times=t, generator=gen()).z1 for t in (None, time)]
    assert (few[0] - few[1]).abs().max() > 0.1


@pytest.mark.parametrize("steps", [1, 2, 5])
@every_routing
@every_solver
def test_evaluations(field, randn, count_trunk, solver, routing, steps):
    calls = count_trunk(field)
    out = sample(field, randn(3, 2), steps, solver=solver, routing=routing, trajectory=True)
    assert out.nfe == len(calls) == steps * len(SOLVERS[solver].nodes)
    assert calls[0] == 0
    assert out.trajectory.shape == (steps + 1, 3, 2)
    assert out.times.tolist() == pytest.approx([i / steps for i in range(steps + 1)])


def test_euler_evaluates_at_the_left_ends(field, randn, count_trunk):
    calls = count_trunk(field)
    sample(field, randn(3, 2), steps=4)
    assert calls == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("routing", ["frozen", "resampled", "argmax"])
def test_only_the_chosen_expert_is_computed_where_all_are_wide(randn, monkeypatch, routing):
    field = MLPMixtureField(2, 9, hidden=16)
    monkeypatch.setattr(field, "heads", None)
    assert sample(field, randn(3, 2), 2, routing=routing).z1.isfinite().all()


def test_the_gate_is_asked_once_under_frozen_routing(field, randn, monkeypatch):
    asked, original = [], field.gate_logits
    monkeypatch.setattr(field, "gate_logits", lambda features: asked.append(1) or original(features))
    sample(field, randn(3, 2), 5)
    assert len(asked) == 1


@pytest.mark.parametrize("solver", ["dopri5", "dopri8", "bosh3", "adaptive_heun", "fehlberg2", "scipy_solver"])
def test_adaptive_methods_agree_with_a_fine_grid(field, randn, count_trunk, solver):
    z0, index = randn(6, 2), torch.arange(6) % 4
    fine = sample(field, z0, 100, solver="rk4", assignment=index).z1
    calls = count_trunk(field)
    with torch.no_grad():
        out = sample(field, z0, 2, solver=solver, assignment=index)
    torch.testing.assert_close(out.z1, fine, rtol=0, atol=2e-3)
    assert out.nfe == len(calls)


@pytest.mark.parametrize("solver", ["heun2", "heun3", "implicit_adams", "fixed_adams"])
def test_other_methods_of_torchdiffeq_agree_with_a_fine_grid(field, randn, solver):
    z0, index = randn(6, 2), torch.arange(6) % 4
    fine = sample(field, z0, 100, solver="rk4", assignment=index).z1
    torch.testing.assert_close(sample(field, z0, 50, solver=solver, assignment=index).z1, fine, rtol=0, atol=2e-3)


def test_adaptive_trajectory(field, randn):
    z0 = randn(6, 2)
    out = sample(field, z0, 5, solver="dopri5", trajectory=True, assignment=torch.zeros(6, dtype=torch.long))
    assert out.trajectory.shape == (6, 6, 2)
    assert torch.equal(out.trajectory[0], z0)
    assert torch.equal(out.trajectory[-1], out.z1)


def test_drawing_anew_defeats_error_control(field, randn):
    with pytest.raises(ValueError, match=r"routing Resampled\(\) .* 'dopri5'"):
        sample(field, randn(3, 2), solver="dopri5", routing="resampled")


# --- routing ----------------------------------------------------------------------------------------------------------


def test_frozen_assignment_follows_the_gate_at_time_zero(field, gen):
    z0 = torch.zeros(20_000, 2)
    share = torch.bincount(sample(field, z0, 1, generator=gen()).assignment, minlength=4) / 20_000
    assert (share - field.gate(torch.zeros(2), 0.0).softmax(-1)).abs().max() < 0.015


@pytest.mark.parametrize("routing", ["mean", "argmax"])
def test_deterministic_routing(field, randn, gen, routing):
    first, second = (sample(field, randn(9, 2), routing=routing, generator=gen(s)) for s in (1, 2))
    assert torch.equal(first.z1, second.z1)
    assert (first.assignment is None) == (routing == "mean")


@every_routing
def test_one_expert_makes_all_routings_equal(make_field, randn, routing):
    field, z0 = make_field(2, 1), randn(5, 2)
    out = sample(field, z0, 3, routing=routing)
    torch.testing.assert_close(out.z1, sample(field, z0, 3, routing="frozen").z1)
    assert out.assignment is None or (out.assignment == 0).all()


def test_given_assignment_is_kept(field, randn):
    z0, index = randn(8, 2), torch.arange(8) % 4
    out = sample(field, z0, 3, assignment=index)
    assert torch.equal(out.assignment, index)
    assert not torch.allclose(out.z1, sample(field, z0, 3, assignment=index.flip(0)).z1)


def test_resampled_expert_changes_along_the_way(field, randn, gen):
    seen, original = [], field.head
    field.head = lambda features, index: seen.append(index) or original(features, index)
    out = sample(field, randn(50, 2), 4, routing="resampled", generator=gen())
    assert len(seen) == 4
    assert not any(torch.equal(a, b) for a, b in pairwise(seen))
    assert torch.equal(out.assignment, seen[-1])


def test_your_own_routing(field, randn):
    class Last(Routing):
        def __call__(self, field, features, assignment, router):
            index = torch.full(features.hidden.shape[:-1], field.num_experts - 1)
            return field.head(features, index), index

    z0 = randn(5, 2)
    expected = sample(field, z0, 3, assignment=torch.full((5,), 3)).z1
    for solver in ("euler", "dopri5"):
        out = sample(field, z0, 3, routing=Last(), solver=solver)
        assert (out.assignment == 3).all()
        if solver == "euler":
            assert torch.equal(out.z1, expected)


def test_your_own_stochastic_routing_is_refused_with_error_control(field, randn):
    class Coin(Routing):
        stochastic_in_time = True

        def __call__(self, field, features, assignment, router):
            raise AssertionError("never reached")

    with pytest.raises(ValueError, match=r"routing Coin\(\)"):
        sample(field, randn(3, 2), routing=Coin(), solver="bosh3")


def test_scope_gives_a_sequence_one_expert(make_field, randn, gen):
    field = make_field(2, 50, gain=1.5)
    out = sample(field, randn(20, 6, 2), 2, scope=-1, generator=gen())
    assert (out.assignment == out.assignment[:, :1]).all()
    assert len(out.assignment[:, 0].unique()) > 10
    segments = torch.tensor([0, 0, 3, 3, 3, 1]).expand(20, 6)
    spans = sample(field, randn(20, 6, 2), 2, scope=segments, generator=gen()).assignment
    assert (spans[:, 0] == spans[:, 1]).all() and (spans[:, 2:5] == spans[:, 2:3]).all()
    assert (spans[:, 1] != spans[:, 2]).any() and (spans[:, 4] != spans[:, 5]).any()


@every_routing
def test_padding_does_not_enter_the_pooled_gate(field, randn, gen, routing):
    z0 = randn(30, 4, 2)
    longer = torch.cat([z0, torch.full((30, 3, 2), 50.0)], 1)
    mask = torch.ones(30, 7, dtype=torch.bool)
    mask[:, 4:] = False
    short = sample(field, z0, 1, scope=-1, routing=routing, generator=[gen(s) for s in range(30)])
    padded = sample(field, longer, 1, scope=-1, routing=routing, mask=mask, generator=[gen(s) for s in range(30)])
    torch.testing.assert_close(padded.z1[:, :4], short.z1)
    unmasked = sample(field, longer, 1, scope=-1, routing=routing, generator=[gen(s) for s in range(30)])
    assert not torch.allclose(unmasked.z1[:, :4], short.z1)


# --- seeds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("routing", ["frozen", "resampled"])
def test_seed_decides(field, randn, gen, routing):
    first, same, other = (sample(field, randn(60, 2), routing=routing, generator=gen(s)) for s in (1, 1, 2))
    assert torch.equal(first.z1, same.z1) and torch.equal(first.assignment, same.assignment)
    assert not torch.equal(first.assignment, other.assignment)


@pytest.mark.parametrize("routing", ["frozen", "resampled"])
def test_no_generator_is_fresh_randomness(field, randn, routing):
    first, second = (sample(field, randn(60, 2), routing=routing).assignment for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("rest, scope", [((), None), ((5,), None), ((5,), -1)])
@pytest.mark.parametrize("rows", [1, 3, 17])
@every_routing
def test_rows_do_not_depend_on_those_that_follow(field, randn, gen, routing, rows, rest, scope):
    z0 = randn(40, *rest, 2)
    alone = sample(field, z0[:rows], 5, routing=routing, scope=scope, generator=gen(7))
    among = sample(field, z0, 5, routing=routing, scope=scope, generator=gen(7))
    if alone.assignment is not None:
        assert torch.equal(alone.assignment, among.assignment[:rows])
    torch.testing.assert_close(alone.z1, among.z1[:rows], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rest, scope", [((), None), ((5,), None), ((5,), -1)])
@pytest.mark.parametrize("routing", ["frozen", "resampled"])
def test_a_generator_a_row_makes_rows_independent_of_place_and_batch(field, randn, gen, routing, rest, scope):
    z0, order = randn(12, *rest, 2), torch.tensor([7, 2, 11])

    def run(rows):
        generators = [gen(100 + int(i)) for i in rows]
        return sample(field, z0[rows], 5, routing=routing, scope=scope, generator=generators)

    everything, some = run(torch.arange(12)), run(order)
    assert torch.equal(everything.assignment[order], some.assignment)
    torch.testing.assert_close(everything.z1[order], some.z1, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scope", [None, -1])
@every_routing
def test_a_generator_a_row_makes_rows_independent_of_padding(field, randn, gen, routing, scope):
    z0 = randn(12, 4, 2)
    mask = torch.arange(9) < 4
    longer = torch.cat([z0, randn(12, 5, 2, seed=3)], 1)
    short = sample(field, z0, 5, routing=routing, scope=scope, generator=[gen(s) for s in range(12)])
    padded = sample(
        field, longer, 5, routing=routing, scope=scope, mask=mask.expand(12, 9), generator=[gen(s) for s in range(12)]
    )  # fmt: skip
    torch.testing.assert_close(padded.z1[:, :4], short.z1, rtol=1e-5, atol=1e-5)


# --- numbers that are not finite --------------------------------------------------------------------------------------


def spoil(field, value, name="out.weight", expert=2):
    with torch.no_grad():
        field.get_parameter(name)[expert] = value
    return field


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("solver", ["euler", "rk4", "dopri5"])
def test_a_velocity_that_is_not_finite_is_an_error(field, randn, solver, value):
    index = torch.tensor([0, 1, 2, 3])
    with pytest.raises(NotFiniteError, match=r"velocity must be finite, got (nan|-?inf) in row 2 at t = 0"):
        sample(spoil(field, value), randn(4, 2), 3, solver=solver, assignment=index)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@every_routing
def test_a_gate_that_is_not_finite_is_an_error(field, randn, routing, value):
    with pytest.raises(NotFiniteError, match=r"gate logits must be finite.*, got (nan|inf) in row 0"):
        sample(spoil(field, value, "gating.last.bias"), randn(4, 2), 3, routing=routing)


def test_noise_that_is_not_finite_is_an_error_and_padding_is_not(field, randn):
    z0, mask = randn(3, 4, 2), torch.ones(3, 4, dtype=torch.bool)
    z0[1, 3, 0], mask[1, 3] = torch.nan, False
    with pytest.raises(NotFiniteError, match=r"z0 must be finite, got nan at \(1, 3\)"):
        sample(field, z0)
    assert sample(field, z0, mask=mask).z1.isfinite().all(-1).equal(mask)


def test_an_end_out_of_range_is_an_error(field, monkeypatch):
    z0 = torch.full((2, 2), 3e38)
    monkeypatch.setattr(field, "head", lambda features, index: z0)
    with pytest.raises(NotFiniteError, match=r"z1 must be finite, got inf in row 0"):
        sample(field, z0, 1, assignment=torch.tensor([0, 1]))


def test_weights_that_are_not_used_do_no_harm(field, randn):
    assert sample(spoil(field, torch.nan), randn(4, 2), assignment=torch.tensor([0, 1, 3, 3])).z1.isfinite().all()


@pytest.mark.parametrize("name", ["out.weight", "gating.last.bias"])
@every_routing
def test_where_nothing_is_looked_at_nan_reaches_the_end(field, randn, monkeypatch, routing, name):
    """As on an accelerator: one look at the end without gradients, none with them, and never a finite sample."""
    for module in ("sampling", "drawing", "finite", "experts"):
        monkeypatch.setattr(f"moefm.{module}.can_look", lambda values: False)
    spoil(field, torch.nan, name, slice(None))
    assert sample(field, randn(4, 2), routing=routing).z1.isnan().all()
    with torch.no_grad(), pytest.raises(NotFiniteError, match="z1 must be finite, got nan in row 0"):
        sample(field, randn(4, 2), routing=routing)


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_condition_changes_the_samples(make_field, randn):
    field, z0 = make_field(2, 4, cond_dim=3, gain=2.0), randn(5, 2)
    index = torch.zeros(5, dtype=torch.long)
    cond = torch.cat([torch.zeros(2, 3), torch.ones(3, 3)])
    zero = sample(field, z0, cond=torch.zeros(1, 3), assignment=index).z1
    mixed = sample(field, z0, cond=cond, assignment=index).z1
    torch.testing.assert_close(mixed[:2], zero[:2])
    assert (mixed[2:] - zero[2:]).abs().min(0).values.max() > 1e-3


@pytest.mark.parametrize("batch", [(), (0,), (2, 3)])
@every_routing
def test_any_batch_shape(field, randn, routing, batch):
    out = sample(field, randn(*batch, 2), routing=routing, trajectory=True)
    assert out.z1.shape == (*batch, 2)
    assert out.trajectory.shape == (5, *batch, 2)
    assert out.assignment is None or out.assignment.shape == batch


def test_arrays_and_float64_noise(field, randn):
    z0, index = randn(5, 2), torch.arange(5) % 4
    expected = sample(field, z0, assignment=index).z1
    double = z0.double()
    for given in (z0.numpy(), double.numpy(), double, np.asfortranarray(double.numpy()), double.numpy().astype(">f8")):
        assert torch.equal(sample(field, given, np.int64(4), assignment=index).z1, expected)
    assert torch.equal(sample(field, double.flip(0).numpy()[::-1], assignment=index).z1, expected)
    assert sample(field.double(), z0.numpy().astype("f8"), assignment=index).z1.dtype == torch.float64


def test_labels_choose_the_samples(make_field, randn):
    field, z0 = make_field(2, 4, num_classes=3, gain=2.0), randn(6, 2)
    index, labels = torch.zeros(6, dtype=torch.long), torch.arange(6) % 3
    mixed = sample(field, z0, cond=labels, assignment=index).z1
    for k in range(3):
        alone = sample(field, z0, cond=torch.tensor(k), assignment=index).z1
        torch.testing.assert_close(mixed[labels == k], alone[labels == k])
    assert torch.equal(sample(field, z0, cond=labels.numpy(), assignment=index).z1, mixed)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@every_routing
def test_samples_keep_the_dtype_of_the_noise(field, randn, routing, dtype):
    assert sample(field.to(dtype), randn(5, 2, dtype=dtype), routing=routing).z1.dtype == dtype


def test_autocast_keeps_the_state_in_float32(field, randn):
    with torch.autocast("cpu", torch.bfloat16):
        assert sample(field, randn(5, 2)).z1.dtype == torch.float32


def test_a_field_that_answers_in_another_dtype_does_not_change_the_state_s(field, randn, monkeypatch):
    head = field.head
    monkeypatch.setattr(field, "head", lambda features, index: head(features, index).double())
    assert sample(field, randn(5, 2)).z1.dtype == torch.float32


@every_routing
def test_gradients_flow_through_the_states(field, randn, gen, routing):
    z0 = randn(5, 2).requires_grad_()
    out = sample(field, z0, 3, routing=routing, generator=gen())
    grads = torch.autograd.grad(out.z1.square().sum(), [z0, field.out.weight])
    assert all(g.isfinite().all() and g.abs().max() > 0 for g in grads)
    with torch.no_grad():
        assert not sample(field, z0, 3, routing=routing).z1.requires_grad


def test_one_euler_step_is_exact_on_straight_paths(affine_field, randn):
    field, z0 = affine_field(2, 3), randn(9, 2, dtype=torch.float64)
    index = torch.arange(9) % 3
    expected = field.means[index] + field.scales[index].unsqueeze(-1) * z0
    for steps in (1, 7):
        torch.testing.assert_close(sample(field, z0, steps, assignment=index).z1, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver, draws", [("euler", 3), ("heun", 6)])
def test_uniforms_in_place_of_a_generator(make_field, randn, gen, solver, draws):
    field, z0 = make_field(2, 4, gain=3.0), randn(7, 2)
    how = {"steps": 3, "solver": solver, "routing": "resampled"}
    ahead = sample(field, z0, uniforms=draw_uniforms(draws, (7,), gen()), **how)
    assert torch.equal(ahead.z1, sample(field, z0, generator=gen(), **how).z1)
    with pytest.raises(ValueError, match="uniforms must have shape"):
        sample(field, z0, uniforms=torch.rand(draws, 6), **how)
