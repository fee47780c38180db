"""Students of few steps: they follow their teacher, keep its gate and leave it alone."""

import pytest
import torch

from moefm import DivergedError, FitResult, FlowMap, MLPMixtureField, distill, sample
from moefm.finite import NotFiniteError

QUICK = {"teacher_steps": 4, "train_steps": 3, "batch_size": 8, "warmup": 0}
TRAINED = {"teacher_steps": 16, "train_steps": 250, "batch_size": 128, "lr": 5e-3, "warmup": 10}


def noise(n, generator):
    return torch.randn(n, 2, generator=generator)


@pytest.fixture(scope="module")
def curved(make_field):
    """A teacher whose trajectories are curved, and whose gate has a preference."""
    field = make_field(num_experts=3, hidden=32, seed=3, gain=2.0)
    with torch.no_grad():
        field.gating.last.weight.mul_(10)
    return field


def ends(field, steps, randn, gen):
    with torch.no_grad():
        return sample(field, randn(400, 2), steps, generator=gen()).z1


@pytest.fixture(scope="module")
def far(curved, randn, gen):
    """How far the teacher's own few steps end from its 16, by number of steps."""
    fine = ends(curved, 16, randn, gen)
    return lambda field, steps: (ends(field, steps, randn, gen) - fine).square().sum(-1).mean().sqrt().item()


@pytest.mark.parametrize("steps", [1, 2])
def test_a_student_ends_where_its_teacher_ends(curved, far, gen, steps):
    student, result = distill(curved, noise, steps=steps, generator=gen(1), **TRAINED)
    assert isinstance(result, FitResult) and result.steps == 250 and not student.training
    assert type(student) is MLPMixtureField
    assert far(student, steps) < 0.35 * far(curved, steps)


def test_one_flow_map_serves_every_number_of_steps(curved, far, gen):
    student, _ = distill(curved, noise, method="flow_map", generator=gen(1), **TRAINED)
    assert isinstance(student, FlowMap)
    for steps in (1, 2, 4):
        assert far(student.on(steps), steps) < 0.5 * far(curved, steps)


def test_a_flow_map_learns_the_steps_of_its_teacher_too(make_field, gen, randn):
    field = make_field()
    student, _ = distill(field, noise, method="flow_map", generator=gen(), **{**QUICK, "teacher_steps": 1})
    assert not torch.equal(student.on(1).experts(randn(5, 2), 0.0), field.experts(randn(5, 2), 0.0))


def test_the_gate_stays_to_the_last_bit(curved, randn, gen):
    student, _ = distill(curved, noise, generator=gen(), **{**TRAINED, "train_steps": 30})
    assert torch.equal(student.gate(randn(50, 2), 0.0), curved.gate(randn(50, 2), 0.0))
    assert not torch.equal(student.experts(randn(50, 2), 0.0), curved.experts(randn(50, 2), 0.0))


def test_the_teacher_is_left_as_it_is(make_field, gen, global_rng_untouched):
    field = make_field().train()
    before = {name: value.clone() for name, value in field.state_dict().items()}
    with global_rng_untouched():
        distill(field, noise, generator=gen(), **QUICK)
    assert all(torch.equal(before[name], value) for name, value in field.state_dict().items())
    assert field.training and all(p.requires_grad and p.grad is None for p in field.parameters())


def test_a_frozen_teacher_has_students_that_learn(make_field, randn, gen):
    field = make_field().requires_grad_(False)
    student, _ = distill(field, noise, generator=gen(), **QUICK)
    assert not torch.equal(student.experts(randn(5, 2), 0.0), field.experts(randn(5, 2), 0.0))


def test_a_student_may_begin_elsewhere(make_field, randn, gen):
    field, larger = make_field(), make_field(hidden=24, seed=1)
    student, _ = distill(field, noise, student=larger, generator=gen(), **QUICK)
    assert student.hidden == 24 and student is not larger
    with torch.no_grad():
        moved = (student.experts(randn(5, 2), 0.0) - larger.experts(randn(5, 2), 0.0)).abs().max()
    assert 0 < moved < 0.1


@pytest.mark.parametrize("method", ["progressive", "flow_map"])
def test_conditions_masks_and_scopes(make_field, randn, gen, method):
    field = make_field(num_classes=3)
    rows, labels = randn(10, 4, 2), torch.arange(10) % 3
    mask = torch.arange(4) < 2 + torch.arange(10)[:, None] % 3
    student, _ = distill(
        field, rows, method=method, cond=labels, mask=mask, scope=-1, generator=gen(), **QUICK
    )  # fmt: skip
    on = student.on(1) if isinstance(student, FlowMap) else student
    assignment = sample(on, rows, 1, cond=labels, scope=-1, mask=mask, generator=gen()).assignment
    assert (assignment == assignment[:, :1]).all()


def test_conditions_are_learned(make_field, randn, gen):
    """Each label has a teacher of its own: where it ends depends on the label."""
    field, z0, labels = make_field(num_experts=1, num_classes=2, gain=3.0), randn(200, 2), torch.arange(200) % 2
    with torch.no_grad():
        fine, other = (sample(field, z0, 16, cond=c).z1 for c in (labels, 1 - labels))
    for method in ("progressive", "flow_map"):
        student, _ = distill(field, z0, method=method, cond=labels, generator=gen(), **TRAINED)
        with torch.no_grad():
            end = sample(student.on(1) if isinstance(student, FlowMap) else student, z0, 1, cond=labels).z1
        error, gap = ((end - x).square().sum(-1).mean() for x in (fine, other))
        assert error < 0.25 * gap


def test_the_grid_of_the_teacher_is_used(make_field, gen, count_trunk):
    """Times that crowd at the start: the student's are every second of them."""
    times = torch.linspace(0, 1, 5).square()
    field, seen = make_field(num_experts=1), []

    class Spy(MLPMixtureField):
        def trunk(self, z, t, cond=None):
            seen.append(torch.as_tensor(t))
            return super().trunk(z, t, cond)

    field.__class__ = Spy
    distill(field, noise, steps=2, times=times, generator=gen(), **QUICK)
    by_teacher = [t for t in seen if t.ndim == 0]
    by_student = torch.cat([t for t in seen if t.ndim == 1])
    assert torch.stack(by_teacher).unique().tolist() == pytest.approx(times[:-1].tolist())
    assert by_student.unique().tolist() == pytest.approx([0, 0.25])


def test_a_seed_decides(make_field, randn, gen):
    students = [distill(make_field(), noise, generator=gen(s), **QUICK)[0] for s in (1, 1, 2)]
    first, second, third = (student.experts(randn(5, 2), 0.0) for student in students)
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_divergence_is_told(make_field, gen):
    with pytest.raises(DivergedError, match="last good state"):
        distill(make_field(), noise, lr=1e18, generator=gen(), **{**QUICK, "train_steps": 20, "log_every": 1})
    broken = make_field(num_experts=1)
    with torch.no_grad():
        broken.out.bias.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="velocity must be finite"):
        distill(broken, noise, **QUICK)


@pytest.mark.parametrize(
    "name, options",
    [
        ("method", {"method": "consistency"}),
        ("steps", {"steps": 3}),
        ("steps", {"steps": 0}),
        ("steps", {"method": "flow_map", "steps": 2}),
        ("teacher_steps", {"teacher_steps": 0}),
        ("teacher_steps", {"method": "flow_map", "teacher_steps": 2.5}),
        ("times", {"times": torch.tensor([0.0, 1.0])}),
        ("student", {"student": MLPMixtureField(2, 2)}),
        ("field", {"student": torch.nn.Linear(2, 2)}),
        ("reuse", {"reuse": 0}),
        ("gate_scale", {"gate_scale": 0}),
        ("batch_size", {"batch_size": 0}),
        ("lr", {"lr": -1.0}),
        ("mask", {"mask": torch.ones(3, dtype=torch.bool)}),
        ("cond", {"cond": torch.ones(10, 3)}),
    ],
)
def test_errors_name_the_argument(make_field, randn, name, options):
    with pytest.raises((ValueError, TypeError), match=name) as caught:
        distill(make_field(), randn(10, 2), **{**QUICK, **options})
    assert "\n" not in str(caught.value)


def test_fields_without_a_flow_map_are_told(affine_field):
    with pytest.raises(TypeError, match="to_flow_map"):
        distill(affine_field(2, 3), noise, method="flow_map", **QUICK)
    with pytest.raises(TypeError, match="field must be a MixtureField"):
        distill(torch.nn.Linear(2, 2), noise)


def test_wrong_train_steps_are_called_so(make_field, randn):
    with pytest.raises(ValueError, match="train_steps must be an integer of at least 1, got 0"):
        distill(make_field(), randn(20, 2), train_steps=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("method", ["progressive", "flow_map"])
def test_a_student_may_have_another_precision(make_field, randn, dtype, method):
    student = make_field().to(dtype)
    student, _ = distill(
        make_field(), randn(20, 2), student=student, method=method, teacher_steps=4, train_steps=2, batch_size=8
    )
    assert {p.dtype for p in student.parameters()} == {dtype}
