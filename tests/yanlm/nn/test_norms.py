"""Norms that follow the time: each by its own map, or all by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from yanlm.nn.norms import Modulations, Norm, is_plain


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_norms_follow_the_time() -> None:
    x, time = normal(2, 3, 16), normal(2, 1, 8, seed=1)
    norm = Norm(16, 8)
    torch.testing.assert_close(norm(x, torch.zeros(2, 1, 8)), torch.nn.functional.layer_norm(x, (16,)))
    assert not torch.allclose(norm(x, time), norm(x, 2 * time))
    assert torch.equal(Norm(16)(x, time), Norm(16)(x, None))


@pytest.mark.parametrize("times", [(1, 1), (3, 1), (3, 5)])
def test_one_map_for_all_is_that_of_each(times: tuple[int, int]) -> None:
    norms = [Norm(16, 8) for _ in range(3)]
    for number, norm in enumerate(norms):
        nn.init.normal_(norm.modulation.bias, generator=torch.Generator().manual_seed(number))  # type: ignore[union-attr, arg-type]
    x, time = normal(3, 5, 16), normal(*times, 8, seed=1)
    modulations = Modulations.joined(norms)
    assert modulations is not None
    for norm, change in zip(norms, modulations.at(time, 16), strict=True):
        torch.testing.assert_close(norm(x, change), norm(x, time))


def test_maps_that_are_more_than_weights_stay_apart() -> None:
    class Adapted(nn.Linear):
        pass

    norms = [Norm(16, 8) for _ in range(2)]
    norms[1].modulation = Adapted(8, 32)
    assert Modulations.joined(norms) is None and not is_plain(Adapted(1, 1)) and is_plain(nn.Linear(1, 1))
    hooked = nn.Linear(1, 1)
    handle = hooked.register_forward_pre_hook(lambda *_: None)
    assert not is_plain(hooked)
    handle.remove()
    assert is_plain(hooked)


def test_a_norm_has_its_own_scale_or_that_of_the_time() -> None:
    assert set(dict(Norm(16).named_parameters())) == {"norm.weight", "norm.bias"}
    norm = Norm(64, 64)
    assert set(dict(norm.named_parameters())) == {"modulation.weight", "modulation.bias"}
    assert norm.modulation is not None and norm.modulation.bias.eq(0).all()
    assert 0.015 < float(norm.modulation.weight.detach().std()) < 0.025  # it starts as a plain norm, nearly
