"""A model that only writes is the whole model's equal, and loads without Hugging Face's models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from yanlm.modeling.io import load_model
from yanlm.modeling.writing import WritingModel
from yanlm.modeling.yan import YanModel
from yanlm.writer import Writer


@pytest.mark.parametrize("name", ["flow", "encoder", "mlm"])
def test_it_writes_what_the_whole_model_writes(models: Path, name: str) -> None:
    whole, writing = load_model(models / name), load_model(models / name, writing=True)
    assert isinstance(whole, YanModel) and type(writing) is WritingModel and not writing.training
    assert (writing.device, writing.dtype) == (whole.device, whole.dtype)
    weights = writing.state_dict()
    assert weights.keys() == whole.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in whole.state_dict().items())
    assert writing.decoder.head.weight is writing.encoder.embedding.weight
    texts = ["Mary went to the <mask> .", "Where is <mask> ?"]
    written = [Writer.load(models / name, writing=flag).write(texts, steps=2, seed=3) for flag in (False, True)]
    assert written[0] == written[1]


def test_weights_that_are_not_tied(models: Path, tmp_path: Path) -> None:
    from yanlm.modeling.io import save_model

    config = load_model(models / "flow").config
    config.tie_word_embeddings = False
    model = YanModel(config)
    save_model(tmp_path, model, Writer.load(models / "flow").tokenizer)
    writing = load_model(tmp_path, writing=True)
    assert writing.decoder.head.weight is not writing.encoder.embedding.weight
    assert torch.equal(writing.decoder.head.weight, model.decoder.head.weight)


def test_a_baseline_of_another_library_is_itself(models: Path) -> None:
    assert type(load_model(models / "gpt2", writing=True)).__name__ == "ARModel"


def test_nothing_is_imported_that_writing_does_not_need(models: Path) -> None:
    code = (
        f"import sys; from yanlm.writer import Writer; writer = Writer.load({str(models / 'flow')!r}, writing=True); "
        "writer.write('the <mask>', length=2, steps=2, seed=0); "
        "heavy = 'transformers.modeling_utils torch._dynamo sympy accelerate scipy datasets matplotlib'.split(); "
        "print(sorted(set(heavy) & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr
