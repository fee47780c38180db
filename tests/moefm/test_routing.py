"""Routing policies."""

import torch

from moefm.drawing import Router
from moefm.routing import ROUTINGS, Argmax, Frozen, Greedy, Mean, Resampled, get_routing


def test_policies_by_hand(make_field, randn, gen):
    field, z = make_field(2, 4, gain=3.0), randn(50, 2)
    velocities, logits = field(z, 0.2)
    features, given = field.trunk(z, 0.2), torch.arange(50) % 4
    rows = torch.arange(50)

    u, assignment = Frozen()(field, features, given, Router())
    assert torch.equal(assignment, given)
    torch.testing.assert_close(u, velocities[rows, given])

    u, assignment = Frozen()(field, features, None, Router(gen()))
    torch.testing.assert_close(u, velocities[rows, assignment])

    u, assignment = Resampled()(field, features, given, Router(gen()))
    assert not torch.equal(assignment, given)
    torch.testing.assert_close(u, velocities[rows, assignment])

    u, assignment = Argmax()(field, features, None, Router())
    assert torch.equal(assignment, logits.argmax(-1))
    torch.testing.assert_close(u, velocities[rows, assignment])

    u, assignment = Mean()(field, features, None, Router())
    assert assignment is None
    torch.testing.assert_close(u, (logits.softmax(-1).unsqueeze(-1) * velocities).sum(-2))


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
