"""The choice of K: by the distance to rows held out, the same split for all."""

from dataclasses import replace

import pytest
import torch

from moefm import ConsistentMoEFM, MLPMixtureField
from moefm.semidiscrete import SemiDiscrete
from moefm.sklearn.selection import CANDIDATES, Recipe, Rows, choose_experts, coupling_for, distance

RECIPE = Recipe(ConsistentMoEFM(), "independent", 8, 1, 0, 30, 16, 2e-3, 0, "cpu", False)


@pytest.fixture
def rows(randn):
    return Rows(randn(50, 2), None, None)


def test_the_nearest_is_chosen(rows, monkeypatch):
    monkeypatch.setattr("moefm.sklearn.selection.distance", lambda field, *_: abs(field.num_experts - 3.2))
    chosen, distances = choose_experts(RECIPE, rows)
    assert chosen == 3 and tuple(distances) == CANDIDATES


def test_rows_held_out_are_not_trained_on(rows, monkeypatch):
    seen, unseen = [], []
    monkeypatch.setattr(Recipe, "train", lambda _, some, k, *__: (seen.append(some) or MLPMixtureField(2, k), None))
    monkeypatch.setattr("moefm.sklearn.selection.distance", lambda field, some, generator: unseen.append(some) or 1.0)
    choose_experts(RECIPE, replace(rows, weight=(torch.arange(50) < 30).double()), (1, 2))
    for some, others in zip(seen, unseen, strict=True):
        assert len(some.z) == 40 and len(others.z) == 10 and bool((others.weight > 0).all())
        assert not {tuple(row) for row in some.z.tolist()} & {tuple(row) for row in others.z.tolist()}
    assert torch.equal(unseen[0].z, unseen[1].z)


def test_the_coupling_is_the_best_that_rows_and_conditions_allow(rows):
    label, vectors = replace(rows, cond=torch.zeros(50).long()), replace(rows, cond=torch.zeros(50, 2))
    assert coupling_for(None, rows, 0) == "semidiscrete"
    assert coupling_for(None, Rows(torch.zeros(5001, 1), None, None), 0) == "ot" == coupling_for(None, label, 1)
    assert coupling_for(None, vectors, 0) == "independent" == coupling_for("independent", rows, 0)
    with pytest.raises(ValueError, match="'semidiscrete' beside cond"):
        coupling_for("semidiscrete", label, 1)


def test_transport_to_all_rows_is_found_once_for_all_candidates(rows, monkeypatch):
    couplings = []
    monkeypatch.setattr(Recipe, "train", lambda *given: (couplings.append(given[-1]) or MLPMixtureField(2, 1), None))
    choose_experts(replace(RECIPE, coupling="semidiscrete"), rows, (1, 2))
    assert isinstance(couplings[0], SemiDiscrete) and couplings[0] is couplings[1] and len(couplings[0].rows) == 40


def test_distance_is_between_pairs_with_their_conditions(randn):
    # A flow that knows the label is near; asked about the labels in another order it is far.
    label = torch.arange(2).repeat_interleave(30)
    rows = Rows(0.1 * randn(60, 2) + (2 * label - 1).unsqueeze(-1), label, None)
    field = replace(RECIPE, num_classes=2, hidden=32, lr=1e-2).train(rows, 1, 200, "independent")[0]
    near, far = (distance(field, replace(rows, cond=c), torch.Generator().manual_seed(0)) for c in (label, 1 - label))
    assert near < 0.7 < 0.9 < far


def test_the_seed_decides(rows):
    one, two = (RECIPE.train(rows, 2, 5, "independent")[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    other = replace(RECIPE, seed=1).train(rows, 2, 5, "independent")[0]
    assert not torch.equal(one.out.weight, other.out.weight)
