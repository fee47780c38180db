"""Numbers of the latent space: known answers on made-up clouds."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yanlm.analysis.geometry import geometry, principal_components, token_variance, wide_bandwidths

NONE = torch.zeros(1000, dtype=torch.long)


D = 16  # above 8, where moefm computes distances the fast way


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_isotropic_normal():
    found = geometry(normal(1000, D), NONE, seed=1)
    assert found["participation"] == pytest.approx(1, abs=0.03)  # 1 / (1 + D / 1000) on average
    assert found["isoscore"] == pytest.approx(1, abs=0.03)
    assert found["cosine"] == pytest.approx(0, abs=0.01)
    assert found["offset"] == pytest.approx(0, abs=0.01)
    assert found["mean_square"] == pytest.approx(1, abs=0.05)
    assert found["first_two"] == pytest.approx(2 / D, abs=0.04)
    assert abs(found["mmd2"]) < 0.01
    assert abs(found["mmd2_wide"]) < 0.01
    assert found["token_variance"] == pytest.approx(0, abs=1e-9)  # a single token explains nothing


def test_line():
    found = geometry(normal(1000, 1) * torch.ones(D) / math.sqrt(D), NONE)
    assert found["participation"] == pytest.approx(1 / D)
    assert found["isoscore"] == pytest.approx(0, abs=1e-9)
    assert found["first_two"] == pytest.approx(1)
    assert found["mmd2"] > 0.1


def test_common_direction_is_an_offset_and_a_cosine():
    found = geometry(normal(1000, D) + 5, NONE)
    assert found["offset"] == pytest.approx(25 / 26, abs=0.01)
    assert found["cosine"] == pytest.approx(25 / 26, abs=0.01)
    assert found["participation"] == pytest.approx(1, abs=0.03)  # which variance cannot see


def test_collapsed_cloud_has_numbers():
    found = geometry(torch.full((100, 4), 2.0), NONE[:100])
    assert found["cosine"] == pytest.approx(1)
    assert found["mean_square"] == pytest.approx(4)
    assert found["participation"] == 0
    assert all(math.isfinite(value) for value in found.values())


def test_identity_explains_everything_where_latents_are_their_token():
    ids = torch.arange(20).repeat(10)
    found = geometry(normal(20, D)[ids], ids)
    assert found["token_variance"] == pytest.approx(1)


def test_identity_explains_what_chance_gives_where_latents_do_not_know_it():
    ids = torch.arange(20).repeat(50)
    assert token_variance(normal(1000, D), ids) == pytest.approx(19 / 999, rel=0.3)
    assert token_variance(normal(40, 8), torch.arange(40)) is None  # no token occurs often enough
    rare = torch.cat([torch.zeros(10), torch.arange(1, 31)]).long()
    assert token_variance(normal(40, 8), rare) == pytest.approx(0, abs=1e-9)  # only the first does


def iso_score(z):
    """As Rudman et al. (2022) define it, step by step."""
    n = z.shape[1]
    variances = principal_components(z)[0]
    scaled = math.sqrt(n) * variances / variances.norm()
    defect = (scaled - 1).norm() / math.sqrt(2 * (n - math.sqrt(n)))
    used = (n - defect**2 * (n - math.sqrt(n))) ** 2 / n**2
    return float((n * used - 1) / (n - 1))


@given(st.integers(0, 10**6), st.integers(2, 12), st.floats(0, 3))
def test_isoscore_is_the_published_one_and_all_shares_are_shares(seed, d, skew):
    z = normal(60, d, seed=seed) * torch.arange(1, d + 1) ** skew + normal(1, d, seed=seed + 1)
    found = geometry(z, torch.arange(60) % 7)
    assert found["isoscore"] == pytest.approx(iso_score(z), abs=1e-5)
    assert 1 / d - 1e-9 <= found["participation"] <= 1 + 1e-9
    for name in ("first_two", "offset", "token_variance"):
        assert 0 <= found[name] <= 1 + 1e-9
    pairs = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=-1)
    assert found["cosine"] == pytest.approx(float((pairs.sum() - 60) / (60 * 59)), abs=1e-4)


def test_wide_bandwidths_see_what_the_papers_do_not():
    far = normal(1000, 512) + 0.5  # 11 away from the origin
    found = geometry(far, NONE[:1000], seed=1)
    assert abs(found["mmd2"]) < 1e-6
    assert found["mmd2_wide"] > 0.1
    assert wide_bandwidths(4) == (0.4, 1.0, 2.0, 4.0, 10.0)


def test_principal_components_have_a_fixed_sign_and_order():
    z = normal(500, 3) * torch.tensor([1.0, 5.0, 2.0])
    spectrum, axes = principal_components(z)
    assert spectrum.tolist() == sorted(spectrum.tolist(), reverse=True)
    assert axes.abs().argmax(0).tolist() == [1, 2, 0]
    assert (axes.gather(0, axes.abs().argmax(0, keepdim=True)) > 0).all()
    torch.testing.assert_close(principal_components(-z)[1], axes)


def test_two_latents_at_least():
    with pytest.raises(ValueError, match="at least two"):
        geometry(normal(1, 4), NONE[:1])
