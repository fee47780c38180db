"""A flow that reads what it wrote: one turn is one step, and the pace at which it writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import DENOISERS, Batch, generate, speaking

from yanlm.generation.denoising_turns import PACE
from yanlm.generation.unmasking import filled_after
from yanlm.modeling.yan import YanModel

Make = Callable[..., YanModel]


@pytest.fixture(params=DENOISERS)
def model(request: pytest.FixtureRequest, make_model: Make) -> YanModel:
    return speaking(make_model(denoiser="encoder", latent_dim=8, **DENOISERS[request.param]))


def test_one_turn_is_one_step(model: YanModel, spans_batch: Batch) -> None:
    turn, step = (generate(model, spans_batch, [5, 6, 7], steps=1, reread=reread) for reread in (True, False))
    held = spans_batch["slot_mask"].unsqueeze(1)
    assert torch.equal(turn.tokens[held], step.tokens[held]) and torch.equal(
        turn.assignment[held], step.assignment[held]
    )
    more = generate(model, spans_batch, [5, 6, 7], steps=3, reread=True)
    assert more.nfe == 3 and torch.equal(more.assignment[held], turn.assignment[held])  # experts stay


@torch.no_grad()
def test_the_first_turn_believes_its_noise_and_the_later_ones_read_their_state(
    make_model: Make, spans_batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = speaking(make_model(denoiser="encoder", latent_dim=8, num_experts=1))
    read, seen = model.denoiser.trunk, []

    def trunk(z: torch.Tensor, t: torch.Tensor, places: Any, perturb: float | None) -> Any:
        seen.append((t.unique().tolist(), perturb, int(places.mask.sum())))
        return read(z, t, places, perturb)

    monkeypatch.setattr(model.denoiser, "trunk", trunk)
    out = generate(model, spans_batch, [5, 6, 7], steps=2, reread=True, perturb=0.7)
    assert out.nfe == 2 and seen[0][0] == [0.0] and seen[1][0][0] > 0
    assert [perturb for _, perturb, _ in seen] == [0.7, 0.7]
    counts = spans_batch["slot_mask"].sum(1)
    written = filled_after(1, counts, counts.clamp(max=2), PACE)
    assert seen[1][2] == int((counts - written).sum()), "as many slots as the pace says are written after a turn"
