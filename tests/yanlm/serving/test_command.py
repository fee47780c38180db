"""The command of a request."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from yanlm.generation.options import GenerationOptions
from yanlm.modeling.sequences import SlotGenerationMixin
from yanlm.serving.command import command_of
from yanlm.serving.job import Job
from yanlm.serving.served import Served

ALWAYS = "yanlm generate --seed 4 --length auto --samples 1 --steps 3 --sampler"


def said(served: Served, options: GenerationOptions, text: str = "a <mask>") -> str:
    return command_of(served, Job(text, 4, "auto", options))


def test_the_command_names_what_is_not_the_models_default(
    make_served: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = make_served()
    options = GenerationOptions(routing="greedy", perturb=1, z0_scale=1.5)
    assert said(served, options) == f"{ALWAYS} flow --z0-scale 1.5 --routing greedy --perturb 1 'a <mask>'"
    diffusion = GenerationOptions(sampler="diffusion", order="margin", temperature=1e-7)
    assert said(served, diffusion) == f"{ALWAYS} diffusion --temperature 1e-07 --order margin 'a <mask>'"
    monkeypatch.setattr(SlotGenerationMixin, "defaults", GenerationOptions(reread=True, temperature=0.7))
    assert said(served, GenerationOptions()) == f"{ALWAYS} flow --temperature 0 --no-reread 'a <mask>'"
    assert said(served, diffusion) == f"{ALWAYS} diffusion --temperature 1e-07 --order margin 'a <mask>'"


def test_the_command_names_the_model_as_the_user_did_and_its_precision(served: Served) -> None:
    own = Served(served.writer, served.name, served.limits, Path("runs/my model"))
    served.writer.model.to(torch.bfloat16)
    words = shlex.split(said(own, GenerationOptions(), text="- it's"))
    assert words[:4] == ["yanlm", "generate", "--model", "runs/my model"]
    assert words[-4:] == ["--precision", "bfloat16", "--", "- it's"]
