"""A student of few steps: a perfect copy of one step, gradients to it alone, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import EXPERTS as KINDS

from yanlm.modeling.yan import YanModel
from yanlm.objectives.distilling import distillation_loss
from yanlm.objectives.settings import Denoising

Make = Callable[..., YanModel]


def loss_of(student: YanModel, teacher: YanModel, batch: Any, seeds: list[int], **settings: Any) -> torch.Tensor:
    total, _ = distillation_loss(student, teacher, batch, Denoising(**settings), seeds, student.counts(batch))
    return total


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_copy_of_the_teacher_takes_its_steps(make_model: Make, spans_batch: Any, kind: Any) -> None:
    teacher = make_model(denoiser="encoder", **kind)
    student = make_model(denoiser="encoder", **kind)
    totals = student.counts(spans_batch)
    _, exact = distillation_loss(
        student, teacher, spans_batch, Denoising(student_steps=4, teacher_steps=4), [1, 2, 3], totals
    )
    assert float(exact["distill"]) == pytest.approx(0, abs=1e-6)
    _, far = distillation_loss(student, teacher, spans_batch, Denoising(student_steps=1), [1, 2, 3], totals)
    assert far["distill"] > 1e-3


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_row_draws_for_itself(make_model: Make, spans_batch: Any, kind: Any) -> None:
    teacher, student = (make_model(denoiser="encoder", **kind) for _ in range(2))
    settings, totals = Denoising(student_steps=4, teacher_steps=8), student.counts(spans_batch)

    def of(rows: list[int], seeds: list[int]) -> torch.Tensor:
        part = {name: tensor[rows] for name, tensor in spans_batch.items()}
        return distillation_loss(student, teacher, part, settings, seeds, totals)[0].detach()

    assert of([0, 1, 2], [5, 6, 7]).allclose(of([0], [5]) + of([1, 2], [6, 7]), rtol=1e-4)
    assert not of([0, 1, 2], [5, 6, 7]).allclose(of([0, 1, 2], [5, 6, 8]), rtol=1e-4)


def test_only_the_student_learns_and_it_does(make_model: Make, spans_batch: Any) -> None:
    teacher = make_model(denoiser="encoder", num_experts=3, scope="span")
    student = make_model(denoiser="encoder", num_experts=3, scope="span").train()
    student.denoising = Denoising(student_steps=1, teacher_steps=8)
    student.learn_from(teacher)
    student.prepare_stage(1)
    assert len(list(student.parameters())) == len(list(teacher.parameters()))  # it is no part of the student
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    losses = []
    for step in range(30):
        output = student(stage=1, seeds=[step, 100 + step, 200 + step], **spans_batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(float(output.loss.detach()))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert all(parameter.grad is None for parameter in teacher.parameters())
    idle = [name for name, p in student.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle, "several processes would wait for their gradients"


def test_steps_of_a_student_divide_those_of_its_teacher() -> None:
    with pytest.raises(ValueError, match="student_steps must divide teacher_steps=16, got 3"):
        Denoising(student_steps=3)
