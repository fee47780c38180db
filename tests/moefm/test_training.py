"""The training loop."""

from itertools import count, pairwise

import numpy as np
import pytest
import torch

from moefm import (
    VFM,
    ConsistentMoEFM,
    DivergedError,
    FitResult,
    InformationTime,
    Loss,
    MoEFM,
    Objective,
    ZeroInflatedTime,
    fit,
    minibatch_ot,
    moefm_loss,
    sample,
)
from moefm.finite import NotFiniteError
from moefm.training import SCHEDULES, warmup_constant, warmup_cosine

QUICK = {"steps": 5, "batch_size": 8, "warmup": 0}


def blobs(n, generator):
    """Two clouds at (-2, 0) and (2, 0)."""
    side = torch.randint(0, 2, (n, 1), generator=generator) * 4.0 - 2
    return torch.cat([side, torch.zeros(n, 1)], 1) + 0.1 * torch.randn(n, 2, generator=generator)


@pytest.fixture
def data(gen):
    return blobs(200, gen(3))


def weights(field):
    return {name: value.detach().clone() for name, value in field.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("objective, experts", [(VFM(), 1), (MoEFM(0.5), 4), (ConsistentMoEFM(0.5), 4), (None, 4)])
def test_loss_goes_down(make_field, data, gen, objective, experts):
    field = make_field(2, experts, hidden=32)
    seen = []
    result = fit(
        field, data, objective, steps=200, batch_size=64, lr=1e-2, warmup=10, generator=gen(), log_every=20,
        callback=lambda step, loss: seen.append((step, loss.total.item())),
    )  # fmt: skip
    assert isinstance(result, FitResult) and result.steps == 200 and result.seconds > 0
    assert [step for step, _ in seen] == list(range(1, 201))
    assert [step for step, _ in result.losses] == [1, *range(20, 201, 20)]
    assert all(dict(seen)[step] == total for step, total in result.losses)
    first, last = (sum(total for _, total in part) / 20 for part in (seen[:20], seen[-20:]))
    assert last < 0.7 * first
    assert not field.training


def test_learns_the_data(make_field, data, gen):
    field = make_field(2, 2, hidden=32)
    fit(field, data, ConsistentMoEFM(0.5), steps=300, batch_size=128, lr=1e-2, warmup=10, generator=gen())
    z1 = sample(field, torch.randn(500, 2, generator=gen(1)), 4, generator=gen(2)).z1
    assert (z1[:, 0].abs() - 2).abs().mean() < 0.3
    assert 0.35 < (z1[:, 0] > 0).float().mean() < 0.65


def test_seed_decides(make_field, data, gen):
    fields = [make_field() for _ in range(3)]
    losses = [fit(f, data, generator=gen(s), **QUICK).losses for f, s in zip(fields, (1, 1, 2), strict=True)]
    assert losses[0] == losses[1] != losses[2]
    assert same(weights(fields[0]), weights(fields[1])) and not same(weights(fields[0]), weights(fields[2]))


def test_a_function_draws_the_data(make_field, gen):
    asked = []

    def draw(n, generator):
        asked.append(n)
        return blobs(n, generator)

    first, second = (fit(make_field(), draw, generator=gen(), **QUICK).losses for _ in range(2))
    assert asked == [8] * 10
    assert first == second


def test_condition_stays_with_its_row(make_field, data, gen):
    cond = data.sign()[:, :1] * 7
    seen = []

    class Spy(Objective):
        def loss(self, field, at, cond, mask):
            seen.append((at.z0 + at.target, cond))
            return MoEFM().loss(field, at, cond, mask)

    fit(make_field(2, 2, cond_dim=1), data, Spy(), cond=cond, generator=gen(), **QUICK)
    assert len(seen) == 5 and all(torch.equal(c, z1.sign()[:, :1] * 7) for z1, c in seen)


def test_condition_is_learned(make_field, data, gen):
    field, side = make_field(2, 1, hidden=32, cond_dim=1), data.sign()[:, :1]
    fit(field, data, VFM(), cond=side, steps=200, batch_size=64, lr=1e-2, warmup=10, generator=gen())
    for sign in (-1.0, 1.0):
        z1 = sample(field, torch.randn(100, 2, generator=gen()), 4, cond=torch.full((1, 1), sign)).z1
        assert (z1[:, 0] * sign > 0).float().mean() > 0.95


def test_coupling_is_used(make_field, data, gen):
    pairs = []

    def spy(z0, z1):
        pairs.append((z0, z1))
        return minibatch_ot(z0, z1)

    fit(make_field(), data, coupling=spy, generator=gen(), **QUICK)
    assert len(pairs) == 5 and pairs[0][0].shape == pairs[0][1].shape == (8, 2)


def test_coupling_by_name(make_field, data, gen):
    runs = [fit(make_field(), data, coupling=c, generator=gen(), **QUICK).losses for c in ("ot", minibatch_ot)]
    assert runs[0] == runs[1] != fit(make_field(), data, coupling="independent", generator=gen(), **QUICK).losses


def test_labels_are_learned(make_field, data, gen):
    """Two classes, two clouds; with optimal transport within each class."""
    labels = data[:, 0] > 0
    for coupling in ("independent", "ot"):
        field = make_field(2, 2, hidden=32, num_classes=2)
        fit(
            field, data, ConsistentMoEFM(0.5), cond=labels, coupling=coupling, steps=150, batch_size=64, lr=1e-2,
            warmup=10, generator=gen(),
        )  # fmt: skip
        wanted = torch.arange(200) % 2
        z1 = sample(field, torch.randn(200, 2, generator=gen()), 4, cond=wanted, generator=gen(1)).z1
        assert ((z1[:, 0] > 0).long() == wanted).float().mean() > 0.95


def test_the_warning_about_the_scale_is_about_the_caller_s_line(make_field, data, gen):
    for source in (100 * data, lambda n, g: 100 * data[:n]):
        with pytest.warns(UserWarning, match="root mean square of 14.*, far from") as caught:
            fit(make_field(), source, generator=gen(), **QUICK)
        assert [warning.filename for warning in caught] == [__file__]


def test_progress_shows_steps_and_loss(make_field, data, gen, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    plain = fit(make_field(), data, generator=gen(), **QUICK).losses
    assert capfd.readouterr() == ("", "")
    assert fit(make_field(), data, generator=gen(), progress=True, **QUICK).losses == plain
    out, err = capfd.readouterr()
    assert out == "" and "5/5" in err and "loss" in err


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_numpy_numbers_are_numbers(make_field, data, gen, kind):
    plain = fit(make_field(), data, MoEFM(0.5), generator=gen(), clip=1.0, ema=0.5, log_every=2, **QUICK).losses
    counts = {name: kind(value) for name, value in QUICK.items()}
    other = {"clip": np.float32(1), "ema": np.float32(0.5), "lr": np.float64(2e-3), "log_every": kind(2)}
    assert fit(make_field(), data, MoEFM(np.float32(0.5)), generator=gen(), **counts, **other).losses == plain


def test_ema_is_the_moving_average(make_field, data, gen):
    plain, averaged = make_field(), make_field()
    history = []
    fit(plain, data, generator=gen(), callback=lambda *_: history.append(weights(plain)), **QUICK)
    fit(averaged, data, generator=gen(), ema=0.7, **QUICK)
    expected = history[0]
    for state in history[1:]:
        expected = {name: 0.7 * expected[name] + 0.3 * state[name] for name in state}
    torch.testing.assert_close(weights(averaged), expected)
    assert not same(weights(averaged), weights(plain))


def test_clip_bounds_the_gradient(make_field, data, gen):
    def norms(clip):
        field, seen = make_field(), []

        def look(step, loss):
            seen.append(torch.cat([p.grad.flatten() for p in field.parameters()]).norm().item())

        fit(field, data, MoEFM(0.05), generator=gen(), clip=clip, callback=look, **QUICK)
        return seen

    assert max(norms(0.5)) <= 0.5 + 1e-5
    assert min(norms(None)) > 0.5


def test_weight_decay_shrinks(make_field, data, gen):
    sizes = []
    for decay in (0.0, 10.0):
        field = make_field()
        fit(field, data, generator=gen(), weight_decay=decay, lr=1e-2, **QUICK)
        sizes.append(sum(p.square().sum().item() for p in field.parameters()))
    assert sizes[1] < 0.7 * sizes[0]


@pytest.mark.parametrize("warmup", [0, 1, 10, 100, 200])
def test_schedules(warmup):
    cosine, constant = warmup_cosine(100, warmup), warmup_constant(100, warmup)
    for factor in (cosine, constant):
        values = [factor(step) for step in range(100)]
        assert all(0 < v <= 1 for v in values)
        rising = values[:warmup]
        assert rising == pytest.approx([(s + 1) / warmup for s in range(len(rising))])
    if warmup < 100:
        falling = [cosine(step) for step in range(warmup, 100)]
        assert falling[0] == 1 and falling == sorted(falling, reverse=True) and falling[-1] < 0.01
        assert {constant(step) for step in range(warmup, 100)} == {1.0}
    assert cosine(100 + warmup) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("schedule, warmup", [("constant", 0), ("constant", 5), ("cosine", 0), ("cosine", 5)])
def test_the_schedule_sets_the_step_size(make_field, data, gen, schedule, warmup):
    """AdamW moves every weight by about its learning rate as long as gradients keep their sign."""
    field = make_field()
    history = [weights(field)]
    fit(
        field, data, MoEFM(100.0), generator=gen(), steps=20, batch_size=200, lr=1e-3, warmup=warmup,
        schedule=schedule, callback=lambda *_: history.append(weights(field)),
    )  # fmt: skip
    moved = [max((b[name] - a[name]).abs().max().item() for name in a) for a, b in pairwise(history)]
    expected = [1e-3 * SCHEDULES[schedule](20, warmup)(step) for step in range(20)]
    assert moved == pytest.approx(expected, rel=0.25)


class Broken(Objective):
    """NaN from a given call on, in the loss or only in the gradients."""

    def __init__(self, start, where="loss"):
        self.calls, self.start, self.where = count(1), start, where

    def loss(self, field, at, cond, mask):
        loss = MoEFM().loss(field, at, cond, mask)
        if next(self.calls) < self.start:
            return loss
        if self.where == "loss":
            return loss._replace(total=loss.total * torch.nan)
        return Loss(loss.total + (loss.total.detach() - loss.total).sqrt(), loss.velocity, loss.gate)


@pytest.mark.parametrize(
    "where, log_every, noticed, good",
    [("loss", 1, 4, 2), ("loss", 2, 4, 1), ("gradient", 1, 5, 3), ("gradient", 2, 6, 3)],
)
def test_divergence_restores_the_last_good_weights(make_field, data, gen, where, log_every, noticed, good):
    """Step 4 breaks; the field goes back to the weights that entered the last step whose loss was seen to be finite."""
    field, history = make_field(), {}
    history[0] = weights(field)
    with pytest.raises(DivergedError, match=f"nan by step {noticed}.*last good state"):
        fit(
            field, data, Broken(4, where), steps=9, batch_size=8, generator=gen(), log_every=log_every,
            callback=lambda step, _: history.setdefault(step, weights(field)),
        )  # fmt: skip
    assert same(weights(field), history[good])


@pytest.mark.parametrize("ema", [None, 0.9])
def test_divergence_at_the_last_step_is_noticed(make_field, data, gen, ema):
    """The loss of the last step is finite, the weights after it are not."""
    field = make_field()
    with pytest.raises(DivergedError, match="last good state"):
        fit(field, data, Broken(5, "gradient"), generator=gen(), ema=ema, **QUICK)
    assert all(value.isfinite().all() for value in weights(field).values())


class Shut(Objective):
    """The gate leaves no expert from a given call on."""

    def __init__(self, start):
        self.calls, self.start = count(1), start

    def loss(self, field, at, cond, mask):
        u, logits = field(at.z_t, at.t, cond)
        logits = logits - torch.inf if next(self.calls) >= self.start else logits
        return moefm_loss(u, logits, at.target, sigma=0.5)


def test_a_gate_that_breaks_on_the_way_is_a_divergence(make_field, data, gen):
    field = make_field()
    with pytest.raises(DivergedError, match=r"gate logits must leave an expert .* by step 4: .*last good state"):
        fit(field, data, Shut(4), generator=gen(), **QUICK)
    assert all(value.isfinite().all() for value in weights(field).values())


def test_a_gate_that_was_never_right_is_the_caller_s(make_field, data, gen):
    with pytest.raises(NotFiniteError, match="gate logits must leave an expert"):
        fit(make_field(), data, Shut(1), generator=gen(), **QUICK)


def test_divergence_in_the_data(make_field, gen):
    field = make_field()
    before = weights(field)
    with pytest.raises(DivergedError):
        fit(field, lambda n, g: torch.full((n, 2), torch.nan), generator=gen(), **QUICK)
    assert same(weights(field), before)


def test_a_callback_may_stop(make_field, data, gen):
    def stop(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(make_field(), data, generator=gen(), callback=stop, **QUICK)


def test_padded_sequences(make_field, randn, gen):
    """What stands in the padding reaches neither the coupling nor the loss nor the weights."""
    data, mask = randn(20, 5, 2), torch.rand(20, 5, generator=gen(1)) < 0.7
    runs = []
    for garbage in (0.0, torch.nan, 1e30):
        field, spoiled = make_field(), data.masked_fill(~mask.unsqueeze(-1), garbage)
        options = {"mask": mask, "coupling": minibatch_ot, "generator": gen()}
        losses = fit(field, spoiled, MoEFM(0.5, scope=-1), **options, **QUICK).losses
        runs.append((losses, weights(field)))
    assert runs[0][0] == runs[1][0] == runs[2][0]
    assert same(runs[0][1], runs[1][1]) and same(runs[0][1], runs[2][1])
    assert fit(make_field(), data, MoEFM(0.5, scope=-1), generator=gen(), **QUICK).losses != runs[0][0]


def test_float64(make_field, randn, gen):
    field = make_field().double()
    fit(field, randn(20, 2, dtype=torch.float64), generator=gen(), **QUICK)
    assert field.out.weight.dtype == torch.float64


@pytest.mark.parametrize("ema", [None, 0.5])
def test_information_time_is_measured_and_stays_with_the_field(make_field, data, gen, ema):
    information = InformationTime()
    objective, field = MoEFM(0.5, time=ZeroInflatedTime(0.2, information)), make_field()
    fit(field, data, objective, **QUICK, ema=ema, generator=gen())
    assert torch.equal(field.time_change.errors, information.errors)
    assert information.counts.sum() == 5 * 8
    assert field.state_dict()["time_change.counts"].sum() == 5 * 8


def test_an_objective_that_trains_a_second_field_leaves_the_first_as_it_is(make_field, data, gen):
    objective, first = MoEFM(0.5, time=InformationTime()), make_field()
    fit(first, data, objective, **QUICK, generator=gen())
    grid = first.time_change.grid(4)
    fit(make_field(), 4 * data, objective, **QUICK, generator=gen(1))
    assert torch.equal(first.time_change.grid(4), grid)


def test_where_nothing_can_be_trained(make_field, data):
    words = r"field must have a weight that records gradients: field.requires_grad_\(\) lets it, outside torch\.no_grad"
    with pytest.raises(ValueError, match=words):
        fit(make_field().requires_grad_(False), data, **QUICK)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode, pytest.raises(ValueError, match=words):
            fit(make_field(), data, **QUICK)


def test_other_objectives_leave_no_time_change(make_field, data):
    field = make_field()
    fit(field, data, MoEFM(0.5), **QUICK)
    assert field.time_change is None
    fit(field, data, lambda field, z0, z1, **options: MoEFM(0.5)(field, z0, z1, **options), **QUICK)
    assert field.time_change is None


def test_the_measured_curve_falls_where_the_data_is_decided(make_field, gen):
    """Corners of a cube in 16 dimensions are told apart early; a field that knows nothing has the curve (1 - t)^2."""
    corners = torch.where(torch.randn(16, 16, generator=gen()) > 0, 1.0, -1.0)
    field = make_field(16, 1, hidden=64)
    fit(field, lambda n, g: corners[torch.randint(16, (n,), generator=g)], VFM(InformationTime()), steps=500, lr=5e-3,
        batch_size=128, generator=gen())  # fmt: skip
    exact = InformationTime.from_codebook(corners, generator=gen())
    untrained = InformationTime().fit_from(exact.centers, (1 - exact.centers).square())
    measured, true, start = (time.grid(4)[1:4] for time in (field.time_change, exact, untrained))
    assert (measured - true).abs().max() < 0.1
    assert measured[2] - measured[0] < 0.9 * (start[2] - start[0])
