"""Batches of a training."""

import warnings

import numpy as np
import pytest
import torch

from moefm import MLPMixtureField
from moefm.batches import open_data

FIELD, CPU = MLPMixtureField(2, 2, 4), torch.device("cpu")


def draw(data, cond=None, mask=None, field=FIELD, size=50):
    return open_data(data, cond, mask, field, CPU)(size, torch.Generator().manual_seed(0))


def test_rows_stay_with_their_conditions_and_masks(randn):
    data, mask = randn(20, 3, 2), torch.arange(60).reshape(20, 3) % 3 < 2
    field = MLPMixtureField(2, 2, 4, num_classes=20)
    z1, c, m = draw(data, torch.arange(20), mask, field)
    assert torch.equal(z1, data[c]) and torch.equal(m, mask[c]) and len(c.unique()) > 10


def test_float64_and_arrays_give_the_same_batches(randn):
    data = randn(20, 2)
    expected = draw(data)[0]
    for given in (data.double(), data.numpy(), data.double().numpy(), lambda n, g: expected.double().numpy()):
        z1 = draw(given)[0]
        assert z1.dtype == torch.float32 and torch.equal(z1, expected)


def test_conditions_may_be_arrays(randn):
    _, c, _ = draw(randn(20, 2), np.arange(20), field=MLPMixtureField(2, 2, 4, num_classes=20))
    assert c.dtype == torch.int64 and c.max() < 20


def test_a_label_out_of_range_is_seen_before_it_is_drawn(randn):
    labels = torch.zeros(20, dtype=torch.long)
    labels[17] = 3
    with pytest.raises(ValueError, match=r"class labels 0 \.\. 2 of shape .*got values from 0 to 3"):
        open_data(randn(20, 2), labels, None, MLPMixtureField(2, 2, 4, num_classes=3), CPU)


FAR = {"large": lambda x: 100 * x, "small": lambda x: 0.01 * x, "away": lambda x: x + 30, "ten": lambda x: 10 * x}


@pytest.mark.parametrize("change", FAR.values(), ids=FAR)
@pytest.mark.parametrize("fresh", [False, True], ids=["rows", "draws"])
def test_data_far_from_unit_scale_gets_one_sentence(randn, change, fresh):
    data = change(randn(200, 2))
    source = open_data(data if not fresh else lambda n, g: data[:n], None, None, FIELD, CPU) if fresh else None
    with pytest.warns(UserWarning, match=r"data has a root mean square of \S+, far from .* scale it") as caught:
        source = source or open_data(data, None, None, FIELD, CPU)
        for _ in range(3):
            source(50, torch.Generator())
    assert len(caught) == 1


@pytest.mark.parametrize(
    "change", [lambda x: x, lambda x: 3 * x + 1, lambda x: 0.3 * x], ids=["unit", "wide", "narrow"]
)
def test_data_of_about_unit_scale_gets_none(randn, change):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(change(randn(200, 2)))
        draw(lambda n, g: change(randn(n, 2)))
        padded = torch.cat([change(randn(20, 3, 2)), torch.full((20, 3, 2), 1e30)], 1)
        draw(padded, mask=(torch.arange(6) < 3).expand(20, 6))


def test_rows_are_drawn_by_their_weight(gen):
    data, weight = torch.tensor([[-1.0], [1.0], [2.0]]), [1.0, 3.0, 0.0]
    draw = open_data(data, None, None, MLPMixtureField(1, 2), torch.device("cpu"), np.array(weight))
    drawn = draw(4000, gen())[0]
    assert drawn.max() == 1 and abs((drawn == 1).float().mean() - 0.75) < 0.03


@pytest.mark.parametrize("scale", [1e-300, 1e-50, 1e50, 1e300])
def test_only_the_proportions_of_weights_matter(gen, scale):
    data, weight = torch.tensor([[-1.0], [1.0], [2.0]]), scale * np.array([1.0, 4.0, 0.0])
    draw = open_data(data, None, None, MLPMixtureField(1, 2), torch.device("cpu"), weight)
    assert float(draw(1000, gen())[0].mean()) == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("weight", [[1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, torch.nan, 1.0]])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(ValueError, match="weight must be 3 finite numbers of at least 0, not all 0"):
        open_data(
            torch.tensor([[-1.0], [1.0], [2.0]]),
            None,
            None,
            MLPMixtureField(1, 2),
            torch.device("cpu"),
            torch.tensor(weight),
        )


def test_fresh_draws_have_no_weights():
    with pytest.raises(ValueError, match="cond, mask and weight need data as a tensor"):
        open_data(lambda n, g: None, None, None, MLPMixtureField(1, 2), torch.device("cpu"), torch.ones(3))


def test_a_graph_behind_the_data_is_left_alone(randn):
    weight = randn(2, 2).requires_grad_()
    z1, _, _ = draw(randn(20, 2) @ weight)
    assert not z1.requires_grad


def test_conditions_are_finite(randn):
    field = MLPMixtureField(2, 2, 4, cond_dim=1)
    for cond in (torch.full((20, 1), torch.nan), np.full((20, 1), np.inf)):
        with pytest.raises(ValueError, match=r"cond must be finite, got (nan|inf) in row 0"):
            draw(randn(20, 2), cond, field=field)
