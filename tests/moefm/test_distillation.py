"""The objective of students: trajectories of the teacher, average velocities, and shares that stay."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moefm import Distillation, InformationTime, Loss, MLPFlowMap, sample
from moefm.distillation import divergence
from moefm.finite import NotFiniteError

TIMES = torch.tensor([0.0, 0.1, 0.15, 0.4, 0.7, 1.0])


def total(objective, student, z0, gen, **options):
    return objective(student, z0, generator=gen(1), **options).total.item()


def test_trajectories_are_those_of_the_sampler(make_field, randn, gen):
    teacher, z0 = make_field(gain=2.0), randn(50, 2)
    along = Distillation(teacher, teacher_steps=8).follow(z0, generator=gen())
    with torch.no_grad():
        drawn = sample(teacher, z0, 8, generator=gen(), trajectory=True)
        torch.testing.assert_close(along.logits, teacher.gate(z0, 0.0))
    assert torch.equal(along.states, drawn.trajectory) and torch.equal(along.expert, drawn.assignment)
    assert not along.states.requires_grad


def test_the_teacher_steps_along_the_grid_that_is_given(make_field, randn, gen, count_trunk):
    teacher = make_field()
    calls = count_trunk(teacher)
    Distillation(teacher, teacher_steps=5, times=TIMES).follow(randn(5, 2), generator=gen())
    assert calls == pytest.approx([*TIMES[:-1].tolist(), 0])  # and once for its gate


def test_the_grid_of_an_information_time_is_halved_by_halving_its_steps(make_field):
    t = torch.linspace(0, 1, 100)
    time = InformationTime().fit_from(t, (1 - 3 * t).clamp_min(0))
    times = Distillation(make_field(), 4, times=time).times
    torch.testing.assert_close(times[::8], time.grid(4))
    assert 0.05 < times[8] < 0.2


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_student_that_is_right_has_no_loss(affine_field, randn, gen, steps):
    """Experts that go straight: the velocity is the average velocity, whatever the steps."""
    field, z0 = affine_field(3, 4), randn(200, 3, dtype=torch.float64)
    loss = Distillation(field, steps, teacher_steps=8)(field, z0, generator=gen())
    assert isinstance(loss, Loss) and loss.total.item() < 1e-12
    loss.total.backward()
    assert all(p.grad is None or p.grad.abs().max() < 1e-5 for p in field.parameters())


class Spy(torch.nn.Module):
    """A student that says 0 and remembers where it was asked."""

    num_experts = 1

    def __init__(self):
        super().__init__()
        self.asked = []

    def trunk(self, z, t, cond=None):
        self.asked.append((z, t, cond))
        return z

    def heads(self, features):
        return torch.zeros_like(features).unsqueeze(-2)

    def head(self, features, index):
        return torch.zeros_like(features)

    def gate_logits(self, features):
        return features.new_zeros(*features.shape[:-1], 1)


@pytest.mark.parametrize("times", [None, TIMES[[0, 1, 2, 4, 5]]])
def test_the_target_is_the_average_velocity_between_times_of_the_student(make_field, randn, gen, times):
    teacher, student = make_field(num_experts=1, gain=2.0), Spy()
    objective = Distillation(teacher, 2, teacher_steps=4, times=times)
    along = objective.follow(randn(300, 2), generator=gen())
    loss = objective.loss(student, along, gen(1)).total
    (z, t, _), grid = student.asked[0], objective.times
    first = (t != 0).long()
    assert torch.equal(t.unique(), grid[[0, 2]]) and 100 < first.sum() < 200
    rows = torch.arange(300)
    assert torch.equal(z, along.states[2 * first, rows])
    gone = (along.states[2 * first + 2, rows] - z) / (grid[2 * first + 2] - t)[:, None]
    torch.testing.assert_close(loss, gone.square().sum(-1).mean())


def test_conditions_stay_with_their_rows(make_field, randn, gen):
    teacher, student, cond = make_field(num_experts=1, cond_dim=3), Spy(), randn(20, 3)
    Distillation(teacher, 2, teacher_steps=4)(student, randn(20, 2), cond=cond, generator=gen())
    assert student.asked[0][2] is cond


def test_a_student_may_have_a_condition_of_its_own(make_field, randn, gen):
    teacher, student, own = make_field(num_experts=1, cond_dim=3), Spy(), randn(20, 5)
    objective = Distillation(teacher, 2, teacher_steps=4)
    along = objective.follow(randn(20, 2), cond=randn(20, 3), generator=gen())
    objective.loss(student, along._replace(cond=own), gen())
    assert student.asked[0][2] is own


def test_what_the_mask_leaves_out_does_not_matter(make_field, randn, gen):
    teacher, student = make_field(seed=1), make_field(seed=2)
    objective, z0 = Distillation(teacher, 2, teacher_steps=4), randn(6, 5, 2)
    mask = torch.arange(5) < torch.arange(6)[:, None]
    other = z0.masked_fill(~mask.unsqueeze(-1), torch.nan)
    assert total(objective, student, z0, gen, mask=mask) == total(objective, student, other, gen, mask=mask)
    assert total(objective, student, z0, gen) != total(objective, student, z0, gen, mask=mask)
    for scope in (-1, torch.tensor([[0, 0, 1, 1, 1]]).expand(6, 5)):  # nor to the shares of a group
        assert objective(student, other, mask=mask, scope=scope, generator=gen()).total.isfinite()
        along = objective.follow(z0, mask=mask, scope=scope, generator=gen())
        assert objective.loss(teacher, along, gen()).gate == 0 < objective.loss(student, along, gen()).gate


@pytest.mark.parametrize("scope", [-1, torch.tensor([[0, 0, 1, 1, 1]]).expand(6, 5)])
def test_positions_of_a_scope_share_their_expert(make_field, randn, gen, scope):
    teacher = make_field(gain=3.0)
    along = Distillation(teacher, teacher_steps=4).follow(randn(6, 5, 2), scope=scope, generator=gen())
    groups = along.expert.split([5] if isinstance(scope, int) else [2, 3], 1)
    assert all((group == group[:, :1]).all() for group in groups)
    assert torch.equal(along.logits[:, 0], along.logits[:, 1])  # pooled
    with torch.no_grad():
        assert Distillation(teacher, 4, teacher_steps=4).loss(teacher, along, gen()).gate == 0


def test_the_gate_of_the_teacher_is_learned(make_field, randn, gen):
    teacher, student = make_field(seed=1, gain=2.0), make_field(seed=2, gain=2.0)
    with torch.no_grad():
        teacher.gating.last.weight.mul_(10)
    objective = Distillation(teacher, 1, teacher_steps=2)
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    g, z0 = gen(), randn(500, 2)
    for _ in range(150):
        loss = objective(student, torch.randn(64, 2, generator=g), generator=g)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    with torch.no_grad():
        wanted, learned = (field.gate(z0, 0.0).softmax(-1) for field in (teacher, student))
    assert (wanted - wanted.mean(0)).abs().mean() > 0.05  # it is not all the same
    assert (learned - wanted).abs().mean() < 0.02


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=6), st.integers(0, 99))
def test_divergence_is_kl_to_second_order(logits, seed):
    p = torch.tensor(logits, dtype=torch.float64)
    shift = 1e-3 * torch.randn(len(p), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    log_p, log_q = p.log_softmax(-1), (p + shift).log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_q)).sum()
    torch.testing.assert_close(divergence(p, p + shift), kl, atol=1e-8, rtol=1e-8)


def test_divergence_has_no_gradient_where_gates_agree(randn):
    teacher = randn(100, 8)
    teacher[:, 3] = -torch.inf
    student = teacher.clone().requires_grad_()
    value = divergence(teacher, student)
    value.sum().backward()
    assert (value == 0).all() and (student.grad == 0).all()


def test_batches_are_used_again(make_field, randn, gen, count_trunk):
    teacher, student, g = make_field(), make_field(seed=1), gen()
    calls = count_trunk(teacher)
    objective = Distillation(teacher, 2, teacher_steps=4, reuse=3)
    losses = [objective(student, randn(8, 2, seed=i), generator=g).total.item() for i in range(9)]
    assert len(calls) == 3 * (4 + 1)
    assert len(set(losses)) > 3  # other steps of the trajectories
    used, memory = [], list(objective._memory)
    objective.loss = lambda field, along, generator: used.append(next(i for i in range(3) if memory[i] is along))
    for _ in range(60):
        objective._calls = 1  # no fresh batch
        objective(student, randn(8, 2), generator=g)
    assert all(used.count(i) > 10 for i in range(3))  # each as often, on average


def test_a_seed_decides(make_field, randn, gen, global_rng_untouched):
    teacher, student, z0 = make_field(), make_field(seed=1), randn(30, 2)
    with global_rng_untouched():
        losses = [Distillation(teacher, 4)(student, z0, generator=gen(s)).total.item() for s in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_a_flow_map_learns_steps_of_every_length(make_field, randn, gen):
    teacher, asked = make_field(num_experts=1), []

    class Spy(MLPFlowMap):
        def trunk(self, z, t, cond=None, end=None):
            asked.append(torch.stack([t, end], -1))
            return super().trunk(z, t, cond, end)

    student = Spy(MLPFlowMap.from_field(teacher).field)
    Distillation(teacher, (1, 2, 4), teacher_steps=4)(student, randn(400, 2), generator=gen())
    pairs = asked[0].unique(dim=0)
    assert pairs.tolist() == [[0, 0.25], [0, 0.5], [0, 1], [0.25, 0.5], [0.5, 0.75], [0.5, 1], [0.75, 1]]


def test_a_teacher_of_nan_is_named(make_field, randn, gen):
    teacher = make_field(num_experts=1)
    with torch.no_grad():
        teacher.out.bias.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="velocity must be finite, got nan in row 0 at t = 0"):
        Distillation(teacher)(make_field(num_experts=1), randn(3, 2), generator=gen())


@pytest.mark.parametrize(
    "name, options",
    [
        ("steps", {"steps": 3}),
        ("steps", {"steps": 0}),
        ("steps", {"steps": ()}),
        ("steps", {"steps": (1, 64)}),
        ("steps", {"steps": True}),
        ("teacher_steps", {"teacher_steps": 0}),
        ("teacher_steps", {"teacher_steps": 4.0}),
        ("times", {"times": TIMES}),
        ("times", {"teacher_steps": 5, "times": TIMES.flip(0)}),
        ("times", {"teacher_steps": 2, "times": [0.0, 0.5, 0.9]}),
        ("gate_scale", {"gate_scale": -1.0}),
        ("reuse", {"reuse": 0}),
    ],
)
def test_errors_name_the_argument(make_field, name, options):
    with pytest.raises(ValueError, match=name) as caught:
        Distillation(make_field(), **options)
    assert "\n" not in str(caught.value)


def test_teacher_and_student_must_be_fields(make_field, randn):
    with pytest.raises(TypeError, match="field must be a MixtureField"):
        Distillation(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"field must be a FlowMap to learn several step counts \(1, 2\)"):
        Distillation(make_field(), (1, 2))(make_field(), randn(4, 2))
