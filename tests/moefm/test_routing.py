"""Routing policies."""

import pytest
import torch

from moefm.drawing import Router
from moefm.routing import ROUTINGS, Argmax, Frozen, Greedy, Mean, Resampled, get_routing


@pytest.mark.parametrize("batch", [(60,), (12, 5)])
def test_policies_by_hand(make_field, randn, gen, batch):
    field, z = make_field(2, 4, gain=3.0), randn(*batch, 2)
    velocities, logits = field(z, 0.2)
    features, given = field.trunk(z, 0.2), torch.arange(60).reshape(batch) % 4

    def of(assignment):
        return velocities.take_along_dim(assignment[..., None, None], -2).squeeze(-2)

    for policy in (Frozen(), Greedy()):
        u, assignment = policy(field, features, given, Router())
        assert torch.equal(assignment, given)
        torch.testing.assert_close(u, of(given))

    u, assignment = Frozen()(field, features, None, Router(gen()))
    assert torch.equal(assignment, Router(gen()).draw(logits))
    torch.testing.assert_close(u, of(assignment))

    u, assignment = Resampled()(field, features, given, Router(gen()))
    assert torch.equal(assignment, Router(gen()).draw(logits))
    torch.testing.assert_close(u, of(assignment))

    for policy, held in ((Greedy(), None), (Argmax(), None), (Argmax(), given)):
        u, assignment = policy(field, features, held, Router())
        assert torch.equal(assignment, logits.argmax(-1))
        torch.testing.assert_close(u, of(assignment))

    u, assignment = Mean()(field, features, None, Router())
    assert assignment is None
    torch.testing.assert_close(u, (logits.softmax(-1).unsqueeze(-1) * velocities).sum(-2))


def test_what_solvers_and_samplers_are_told():
    assert [name for name in ROUTINGS if get_routing(name).stochastic_in_time] == ["resampled"]
    assert [name for name in ROUTINGS if get_routing(name).uses_assignment] == ["frozen", "greedy"]


def test_lookup_by_name():
    assert {name: type(get_routing(name)) for name in ROUTINGS} == {
        "frozen": Frozen,
        "greedy": Greedy,
        "resampled": Resampled,
        "mean": Mean,
        "argmax": Argmax,
    }
    policy = Mean()
    assert get_routing(policy) is policy
