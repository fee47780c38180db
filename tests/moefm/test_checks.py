"""Checks of arguments."""

import math

import numpy as np
import pytest
import torch

from moefm.checks import check_choice, check_count, check_mask, check_positive, check_shape, check_share


@pytest.mark.parametrize("value", [0, -1, 0.0, math.nan, math.inf, True, "1", None, np.float32("nan"), np.bool_(1)])
def test_not_positive(value):
    with pytest.raises(ValueError, match=r"sigma must be a finite number above 0, got"):
        check_positive("sigma", value)


@pytest.mark.parametrize("value", [1, 1e-30, 2.5, np.float64(0.1), np.float32(0.1), np.float16(2), np.int64(3)])
def test_positive(value):
    checked = check_positive("sigma", value)
    assert checked == float(value) and type(checked) is float


@pytest.mark.parametrize("value", [3, np.int64(3), np.int8(3), np.uint16(3)])
def test_count(value):
    checked = check_count("steps", value)
    assert checked == 3 and type(checked) is int


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_share(value):
    assert check_share("share", value) == float(value)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, True, "0.5", None, np.float32(1.5), np.bool_(True)])
def test_not_a_share(value):
    with pytest.raises(ValueError, match=r"quantile must be a share from 0 to 1, got"):
        check_share("quantile", value)


@pytest.mark.parametrize("value", [0, -3, 2.0, 2.5, True, "4", None, np.int64(0), np.float64(2), np.bool_(1)])
def test_not_a_count(value):
    with pytest.raises(ValueError, match=r"steps must be an integer of at least 1, got"):
        check_count("steps", value)


def test_count_with_a_minimum():
    assert check_count("warmup", 0, minimum=0) == 0
    with pytest.raises(ValueError, match="at least 0, got -1"):
        check_count("warmup", -1, minimum=0)


def test_choice_lists_what_is_accepted():
    assert check_choice("routing", "mean", ["mean", "frozen"]) == "mean"
    with pytest.raises(ValueError, match="routing must be one of frozen, mean, got 'fixed'"):
        check_choice("routing", "fixed", ["mean", "frozen"])


def test_shape_says_both_shapes():
    with pytest.raises(ValueError, match=r"target must have shape \(\*batch, D\) = \(2, 3\), got \(3, 2\)"):
        check_shape("target", torch.zeros(3, 2), (2, 3), "(*batch, D)")


@pytest.mark.parametrize("mask", [torch.ones(3), torch.ones(3, dtype=torch.uint8), torch.ones(3).long(), [True], 1])
def test_mask_of_another_type(mask):
    with pytest.raises(TypeError, match="mask must be a boolean tensor"):
        check_mask(mask, (3,))


def test_mask_of_another_shape():
    check_mask(None, (3,))
    check_mask(torch.ones(3, dtype=torch.bool), (3,))
    with pytest.raises(ValueError, match="mask must have shape"):
        check_mask(torch.ones(3, 1, dtype=torch.bool), (3,))
