"""Reflow: the teacher's words belong to the student's noise, rows draw for themselves, and noise gets a meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from toys import EXPERTS as KINDS

from yanlm.modeling.yan import YanModel
from yanlm.objectives import reflow
from yanlm.objectives.reflow import Pairs
from yanlm.objectives.settings import Denoising
from yanlm.seeding import NOISE, generators, row_normal, row_seed

Make = Callable[..., YanModel]
SEEDS = [5, 6, 7]
ALL = Denoising(reflow=1.0, teacher_steps=3, pairs=1, length=0.0)


def places(batch: Any) -> dict[str, torch.Tensor]:
    return {name: batch[name] for name in ("slots", "source_mask", "slot_mask")}


@pytest.mark.parametrize("reveal", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_words_are_what_the_teacher_writes_from_the_noise(
    make_model: Make, spans_batch: Any, kind: Any, reveal: float
) -> None:
    teacher, settings = make_model(denoiser="encoder", **kind).eval(), replace(ALL, reveal=reveal)
    pairs, held = Pairs(teacher), spans_batch["slot_mask"]
    coupled = pairs.of(spans_batch, settings, SEEDS)
    seeds = [row_seed(number, 0, 0) for number in pairs.texts]
    how = {"steps": 3, "reread": reveal > 0, "seeds": seeds}
    own = teacher.generate(spans_batch["source_ids"], **places(spans_batch), **how).tokens[:, 0]
    slots = spans_batch["slots"]
    assert torch.equal(coupled["target_ids"].gather(1, slots)[held], own[held])
    assert torch.equal(coupled["noise"], row_normal(generators(seeds, NOISE), held, teacher.denoiser.dim))
    outside = torch.ones_like(coupled["target_ids"], dtype=torch.bool).scatter(1, slots, ~held)
    assert torch.equal(coupled["target_ids"][outside], spans_batch["target_ids"][outside]), "only slots change"


def test_a_text_is_written_once_and_belongs_to_its_row(
    make_model: Make, spans_batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = Pairs(make_model(denoiser="encoder").eval())
    first = pairs.of(spans_batch, ALL, SEEDS)
    count = len(pairs.texts)
    monkeypatch.setattr(pairs.teacher, "generate", None)  # not called again
    again = pairs.of(spans_batch, ALL, [8, 9, 10])
    assert torch.equal(first["target_ids"], again["target_ids"]) and torch.equal(first["noise"], again["noise"])
    part = {name: tensor[[2, 0]] for name, tensor in spans_batch.items()}
    alone = pairs.of(part, ALL, [1, 2])
    assert torch.equal(alone["target_ids"], first["target_ids"][[2, 0]]) and len(pairs.texts) == count


def test_what_is_kept_has_a_limit_and_is_the_same_when_written_again(
    make_model: Make, spans_batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = Pairs(make_model(denoiser="encoder").eval())
    first = pairs.of(spans_batch, ALL, SEEDS)
    monkeypatch.setattr(reflow, "MOST", 4)
    part = {name: tensor[:2] for name, tensor in spans_batch.items()}
    other = {**part, "target_ids": part["target_ids"].flip(1)}
    assert not torch.equal(pairs.of(other, ALL, SEEDS[:2])["noise"], first["noise"][:2])
    assert len(pairs.texts) == 2, "the first three are gone"
    assert torch.equal(pairs.of(part, ALL, SEEDS[:2])["target_ids"], first["target_ids"][:2])


def test_every_row_has_as_many_noises_as_are_asked_for(make_model: Make, spans_batch: Any) -> None:
    pairs = Pairs(make_model(denoiser="encoder").eval())
    seen = [pairs.of(spans_batch, replace(ALL, pairs=3), [seed, seed + 50, seed + 100])["noise"] for seed in range(20)]
    assert len({str(noise[0].tolist()) for noise in seen}) == 3
    assert all(len(texts) == 3 for texts in pairs.texts.values())


def test_a_share_of_the_rows_keeps_the_words_of_the_data(make_model: Make, spans_batch: Any) -> None:
    pairs, kept = Pairs(make_model(denoiser="encoder").eval()), 0
    for seed in range(12):
        coupled = pairs.of(spans_batch, replace(ALL, reflow=0.5), [seed, seed + 50, seed + 100])
        kept += int((coupled["target_ids"] == spans_batch["target_ids"]).all(1).sum())
        assert coupled["noise"].any(-1).equal(spans_batch["slot_mask"])
    assert 9 <= kept <= 27  # 18 of 36 on average


def test_noise_gets_a_meaning(make_model: Make, spans_batch: Any) -> None:
    """A student learns, at t = 0, which words its teacher makes of a noise; from the data alone noise means nothing."""
    teacher = make_model(denoiser="encoder", num_experts=1).eval()
    student = make_model(denoiser="encoder", num_experts=1).train()
    student.load_state_dict(teacher.state_dict())
    student.denoising = replace(ALL, pairs=3, plain=0.0, reveal=0.0, zero_share=1.0)
    student.learn_from(teacher)
    student.prepare_stage(1)
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        loss = student(stage=1, seeds=[step, 100 + step, 200 + step], **spans_batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])
    assert len(list(student.parameters())) == len(list(teacher.parameters()))  # the teacher is no part of the student


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"reflow": 1.5}, "reflow"), ({"pairs": 0}, "pairs"), ({"reflow": 0.5, "student_steps": 1}, "student_steps")],
)
def test_settings_out_of_range(settings: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Denoising(**settings)
