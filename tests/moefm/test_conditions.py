"""Conditions of a field: vectors and labels are told apart, and broadcast from the left."""

import pytest
import torch

from moefm.conditions import check_labels, check_vectors, expand_vectors

BATCH = torch.Size([2, 3])


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 4), (2, 1, 4), (2, 4), (1, 4)])
def test_vectors_broadcast_from_the_left(shape):
    cond, z = torch.randn(shape), torch.randn(2, 3, 5, dtype=torch.float64)
    check_vectors(cond, BATCH, 4)
    expanded = expand_vectors(cond, z)
    assert expanded.shape == (2, 3, 4) and expanded.dtype == z.dtype
    rows = cond if len(shape) == 3 else cond[:, None]
    assert torch.equal(expanded, rows.expand(2, 3, 4).double())


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        (torch.zeros(2, 3, 5), r"shape \(\*batch, 4\), got torch.float32 of shape \(2, 3, 5\)"),
        (torch.zeros(1, 2, 3, 4), r"shape \(\*batch, 4\)"),
        (torch.zeros(4), r"cond\[None\] one vector for all rows"),
        (torch.zeros(2, 3, dtype=torch.long), r"labels need a field with num_classes=, or one_hot\(cond, 4\)"),
        (torch.zeros(3, 4), r"must broadcast over \(2, 3\) from the left, got shape \(3, 4\)"),
    ],
)
def test_other_vectors_are_refused_with_the_remedy(cond, message):
    with pytest.raises(ValueError, match=message):
        check_vectors(cond, BATCH, 4)


@pytest.mark.parametrize("cond", [torch.tensor([[0, 1, 2]] * 2), torch.tensor([[True]]), torch.tensor([2, 0])])
def test_labels_are_integers_or_booleans(cond):
    check_labels(cond, BATCH, 3)


@pytest.mark.parametrize(
    ("cond", "error", "message"),
    [
        (torch.zeros(2, 3), TypeError, r"cond.long\(\) turns whole numbers into labels"),
        (torch.zeros(2, 3, 1, dtype=torch.long), ValueError, "labels have no feature axis"),
        (torch.tensor([[0, 1, 3]]), ValueError, r"labels 0 .. 2 .*got values from 0 to 3"),
        (torch.tensor([-1, 0]), ValueError, "got values from -1 to 0"),
        (torch.tensor([0, 1, 2]), ValueError, "must broadcast"),
    ],
)
def test_other_labels_are_refused(cond, error, message):
    with pytest.raises(error, match=message):
        check_labels(cond, BATCH, 3)


def test_the_range_is_looked_at_only_if_asked_to():
    check_labels(torch.tensor([[0, 1, 3]]), BATCH, 3, look=False)
