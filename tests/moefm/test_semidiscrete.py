"""Transport to all rows: every row gets its share of the noise, by cells that no other pairing undercuts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moefm import ConsistentMoEFM, MLPMixtureField, fit, sample
from moefm.couplings import minibatch_ot
from moefm.semidiscrete import SemiDiscrete


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 99), st.booleans())
@settings(max_examples=8, deadline=None)
def test_rows_get_their_share_of_the_noise(count, dim, seed, weighted):
    source = generator(seed)
    rows = torch.randn(count, dim, generator=source) + 3 * torch.randn(1, dim, generator=source)
    weight = torch.rand(count, generator=source) + 0.2 if weighted else None
    coupling = SemiDiscrete(rows, weight, iterations=300, batch_size=512, generator=source)
    z0 = torch.randn(4000, dim, generator=source)
    noise, z1 = coupling(z0, torch.zeros_like(z0))
    assert noise is z0
    got = (torch.cdist(z1, rows, compute_mode="donot_use_mm_for_euclid_dist") == 0).double().mean(0)
    share = torch.ones(count) if weight is None else weight
    assert (got - share / share.sum()).abs().max() < 0.06


def test_no_pairing_of_the_same_points_is_shorter():
    rows = torch.randn(30, 3, generator=generator())
    z0, z1 = SemiDiscrete(rows, generator=generator())(torch.randn(200, 3, generator=generator(1)), torch.zeros(200, 3))
    best, _ = minibatch_ot(z0, z1)
    assert (z0 - z1).square().sum() == pytest.approx(float((best - z1).square().sum()), rel=1e-5)


def test_on_a_line_it_is_the_rank():
    rows = torch.tensor([[4.0], [-2.0], [0.5], [1.0]])
    z0 = torch.tensor([[-1.2], [-0.3], [0.3], [1.2]])  # one in each quarter of the normal
    assert SemiDiscrete(rows, generator=generator())(z0, z0)[1].flatten().tolist() == [-2.0, 0.5, 1.0, 4.0]


def test_fit_takes_it_and_one_step_is_enough():
    rows = torch.cat([torch.full((20, 2), -1.0), torch.full((20, 2), 1.0)])
    spreads = []
    for coupling in ("independent", SemiDiscrete(rows, iterations=100, generator=generator())):
        field = MLPMixtureField(2, 1, hidden=32, layers=2)
        fit(field, rows, ConsistentMoEFM(), steps=80, batch_size=64, lr=5e-3, coupling=coupling, generator=generator())
        with torch.no_grad():
            spreads.append(float(sample(field, torch.randn(500, 2, generator=generator(1)), steps=1).z1.abs().mean()))
    assert spreads[0] < 0.5 and 0.7 < spreads[1] < 1.3  # independent pairs end between the two places


def test_the_noise_decides():
    rows = torch.randn(10, 2, generator=generator())
    one, two = (SemiDiscrete(rows, iterations=20, generator=generator(5)).heights for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, SemiDiscrete(rows, iterations=20, generator=generator(6)).heights)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SemiDiscrete(torch.zeros(3)), r"rows must be \(N, D\)"),
        (lambda: SemiDiscrete(torch.zeros(0, 2)), r"rows must be \(N, D\)"),
        (lambda: SemiDiscrete(torch.tensor([[float("nan")]])), "rows"),
        (lambda: SemiDiscrete(torch.zeros(3, 2), torch.ones(2)), "weight must"),
        (lambda: SemiDiscrete(torch.zeros(3, 2), torch.zeros(3)), "weight must"),
        (lambda: SemiDiscrete(torch.zeros(3, 2), torch.tensor([1.0, -1.0, 1.0])), "weight must"),
        (lambda: SemiDiscrete(torch.zeros(3, 2), iterations=0), "iterations must"),
        (lambda: SemiDiscrete(torch.eye(2), iterations=1)(torch.zeros(4, 3), torch.zeros(4, 3)), "z0 must"),
        (lambda: SemiDiscrete(torch.eye(2), iterations=1)(torch.zeros(4, 2), torch.zeros(3, 2)), "z1 must"),
    ],
)
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("tail", [1.0, 1.5, 2.0])
def test_outliers_get_their_share_too(tail):
    """Rows so far out that hardly any noise is nearest to them, as of incomes."""
    rows = torch.randn(400, 1, generator=generator()).mul(tail).exp()
    rows = (rows - rows.mean()) / rows.std()
    z1 = SemiDiscrete(rows, generator=generator())(
        torch.randn(40_000, 1, generator=generator(1)), torch.zeros(40_000, 1)
    )[1]
    assert 0.8 < float(z1.std()) < 1.3
    assert (z1 == rows.max()).sum() > 30  # of 100


def test_any_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        assert SemiDiscrete(torch.randn(5, 2), iterations=3).heights.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
