"""Operations counted by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from yanlm.studies.tools.flops import count_flops, measured_rates


@pytest.mark.parametrize("masked", [False, True])
def test_attention(masked: bool) -> None:
    q, k = torch.ones(2, 3, 5, 8), torch.ones(2, 3, 7, 8)
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool) if masked else None
    assert count_flops(lambda: F.scaled_dot_product_attention(q, k, k, attn_mask=mask)) == 2 * 2 * 2 * 3 * 5 * 7 * 8


def test_gradients_of_attention_cost_two_and_a_half_times_as_much() -> None:
    q = torch.ones(1, 2, 16, 8, requires_grad=True)
    products = 2 * 2 * 16 * 16 * 8
    count = count_flops(lambda: F.scaled_dot_product_attention(q, q, q).sum().backward())
    assert count in (7 * products, 6 * products)  # six where the weights were kept


def test_products_by_groups() -> None:
    rows = torch.ones(16, 8, requires_grad=True)
    weights = torch.ones(2, 32, 8, requires_grad=True)
    ends = torch.tensor([4, 16], dtype=torch.int32)

    def run() -> torch.Tensor:
        return F.grouped_mm(rows, weights.transpose(1, 2), offs=ends)

    assert count_flops(run) == 2 * 16 * 8 * 32
    assert count_flops(lambda: run().square().sum().backward()) == 3 * 2 * 16 * 8 * 32


def test_rates_are_positive() -> None:
    rates = measured_rates("cpu", torch.float32, "cpu", 1)
    assert rates["matrix_tflops"] > 0 and rates["copy_gb_per_s"] > 0
