"""A source with slots: rows of it, and what is put at the slots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from yanlm.modeling.yan import YanModel
from yanlm.nn.places import Places

Make = Callable[..., YanModel]


def places_of(model: YanModel) -> Places:
    mask, pad = model.config.mask_token_id, model.config.pad_token_id
    source = torch.tensor([[3, mask, mask, 4], [mask, 5, pad, pad]])
    held = torch.tensor([[True, True], [True, False]])
    return model.places(source, source != pad, torch.tensor([[1, 2], [0, 0]]), held, [])


def test_values_lie_at_the_slots_only(make_model: Make) -> None:
    places = places_of(make_model(denoiser="encoder"))
    values = torch.arange(1.0, 5).reshape(2, 2, 1).expand(2, 2, places.embedded.shape[-1])
    assert places.placed(values)[..., 0].tolist() == [[0, 1, 2, 0], [3, 0, 0, 0]]  # what is no slot adds nothing
    placed = places.placed(values)
    assert torch.equal(placed, placed[..., :1].expand_as(placed)) and placed.shape == places.embedded.shape
    assert replace(places, mask=None).placed(values)[..., 0].tolist() == [[0, 1, 2, 0], [7, 0, 0, 0]]


def test_rows_are_taken_with_all_that_belongs_to_them(make_model: Make) -> None:
    places = places_of(make_model(denoiser="encoder", scope="span", num_experts=2))
    twice = places.repeated(2)
    assert twice.slots.tolist() == [[1, 2], [1, 2], [0, 0], [0, 0]] and places.repeated(1) is places
    second = places.take(torch.tensor([1]))
    for name in ("embedded", "source_mask", "slots", "mask", "scope"):
        assert torch.equal(getattr(second, name), getattr(places, name)[1:]) and len(getattr(twice, name)) == 4
