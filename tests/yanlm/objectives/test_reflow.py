"""Reflow: the teacher's words belong to the student's noise, rows draw for themselves, and noise gets a meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from yanlm.modeling.yan import YanModel
from yanlm.objectives.denoising import denoising_loss
from yanlm.objectives.reflow import coupled, reflow_loss
from yanlm.objectives.settings import Denoising

Make = Callable[..., YanModel]
KINDS: list[dict[str, Any]] = [
    {"num_experts": 1},
    {"num_experts": 3, "scope": "span"},
    {"num_experts": 3, "scope": "sequence", "experts": "source", "expert_layer": 1},
]
SEEDS = [5, 6, 7]
ALL = Denoising(reflow=1.0, teacher_steps=3, length=0.0)


@pytest.mark.parametrize("reveal", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_words_are_what_the_teacher_writes_from_the_noise(
    make_model: Make, spans_batch: Any, kind: Any, reveal: float
) -> None:
    teacher = make_model(denoiser="encoder", **kind).eval()
    pairs = coupled(teacher, spans_batch, replace(ALL, reveal=reveal), SEEDS)
    names = ("source_ids", "slots", "source_mask", "slot_mask")
    ids, slots, seen, held = (spans_batch[name] for name in names)
    how = {"steps": 3, "reread": reveal > 0, "seeds": SEEDS}
    own = teacher.generate(ids, slots=slots, source_mask=seen, slot_mask=held, **how).tokens[:, 0]
    assert torch.equal(pairs["target_ids"].gather(1, slots)[held], own[held])
    outside = torch.ones_like(ids, dtype=torch.bool).scatter(1, slots, ~held)
    assert torch.equal(pairs["target_ids"][outside], spans_batch["target_ids"][outside]), "only slots change"
    assert pairs["noise"].any(-1).equal(held)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_row_draws_for_itself(make_model: Make, spans_batch: Any, share: float) -> None:
    teacher, student = (make_model(denoiser="encoder", **KINDS[1]).eval() for _ in range(2))
    settings = Denoising(reflow=share, teacher_steps=2, points=2, length=0.0)
    totals = student.counts(spans_batch)

    def of(rows: list[int], seeds: list[int]) -> torch.Tensor:
        part = {name: tensor[rows] for name, tensor in spans_batch.items()}
        return reflow_loss(student, teacher, part, settings, seeds, totals)[0].detach()

    assert of([0, 1, 2], SEEDS).allclose(of([0], SEEDS[:1]) + of([1, 2], SEEDS[1:]), rtol=1e-4)
    assert not of([0, 1, 2], SEEDS).allclose(of([0, 1, 2], [5, 6, 8]), rtol=1e-4)


def test_a_share_of_the_rows_keeps_the_words_of_the_data(make_model: Make, spans_batch: Any) -> None:
    teacher = make_model(denoiser="encoder").eval()
    kept = 0
    for seed in range(12):
        pairs = coupled(teacher, spans_batch, Denoising(reflow=0.5, teacher_steps=2), [seed, seed + 50, seed + 100])
        kept += int((pairs["target_ids"] == spans_batch["target_ids"]).all(1).sum())
        assert pairs["noise"].any(-1).equal(spans_batch["slot_mask"])
    assert 9 <= kept <= 27  # 18 of 36 on average


def test_a_loss_of_pairs_is_a_mean_over_their_points(make_model: Make, spans_batch: Any) -> None:
    """At t = 0 all points of a pair are the same, and so is the loss on the pair alone."""
    model = make_model(denoiser="encoder").eval()
    settings = Denoising(reflow=1.0, teacher_steps=2, points=3, length=0.0, plain=0.0, reveal=0.0, zero_share=1.0)
    totals = model.counts(spans_batch)
    many, _ = reflow_loss(model, model, spans_batch, settings, SEEDS, totals)
    once, _ = denoising_loss(model, coupled(model, spans_batch, settings, SEEDS), settings, SEEDS, totals)
    assert many.detach().allclose(once.detach(), rtol=1e-5)


def test_noise_comes_to_mean_words(make_model: Make, spans_batch: Any) -> None:
    """A student learns, at t = 0, which words its teacher makes of a noise; from the data alone noise means nothing."""
    teacher = make_model(denoiser="encoder", num_experts=1).eval()
    student = make_model(denoiser="encoder", num_experts=1).train()
    student.load_state_dict(teacher.state_dict())
    student.denoising = Denoising(reflow=1.0, teacher_steps=2, points=2, plain=0.0, reveal=0.0, zero_share=1.0)
    student.learn_from(teacher)
    student.prepare_stage(1)
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        seeds = [step % 3, 10 + step % 3, 20 + step % 3]
        loss = student(stage=1, seeds=seeds, **spans_batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])
    assert len(list(student.parameters())) == len(list(teacher.parameters()))  # the teacher is no part of the student


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"reflow": 1.5}, "reflow"), ({"points": 0}, "points"), ({"reflow": 0.5, "student_steps": 1}, "student_steps")],
)
def test_settings_out_of_range(settings: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Denoising(**settings)
