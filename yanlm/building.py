"""What a stage is built from: the tokenizer, the model it begins with, and what makes its examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from yanlm.config import YanConfig
from yanlm.data import Corpus
from yanlm.folders import load_model, model_folder
from yanlm.masking import Masking
from yanlm.modeling import YanModel
from yanlm.settings import RunSettings
from yanlm.stream import RowStream
from yanlm.tasks import Builder
from yanlm.tokenization import load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FLOW_OPTIONS = (
    "num_experts",
    "sigma",
    "prediction",
    "flow_layers",
    "cross_layers",
    "align",
    "form",
    "d_time",
    "pad_to",
)
"""Options of the model that leave its autoencoder as it is."""


def make_tokenizer(settings: RunSettings, corpus: Corpus) -> PreTrainedTokenizerFast:
    """The tokenizer that the settings ask for: trained on the corpus, or loaded."""
    if settings.init is not None:
        return load_tokenizer(model_folder(settings.init))
    if not settings.tokenizer.startswith("bpe:"):
        return load_tokenizer(settings.tokenizer)
    size = settings.tokenizer.removeprefix("bpe:")
    if not size.isdigit():
        raise ValueError(f"tokenizer must be bpe:SIZE, a folder, a file or a name, got {settings.tokenizer!r}")
    if corpus.rows is None:
        stream = RowStream(corpus, 1000, seed=settings.seed)
        rows = [row for _ in range(20) for _, row in next(stream)]
    else:
        rows = corpus.rows[:200_000]
    return train_tokenizer((" ".join(map(str, row.values())) for row in rows), int(size))


def stage_model(settings: RunSettings, stage: int, out: Path, tokenizer: PreTrainedTokenizerFast) -> YanModel:
    """A fresh model, or the one that the stage begins from.

    Raises:
        ValueError: It is stage 2, and there is no model of stage 1.
    """
    own = out / "stage1"
    if stage == 2 and (own / "model.safetensors").is_file():
        model = load_model(own)
    elif settings.init is not None:
        model = with_flow(load_model(model_folder(settings.init)), settings)
    elif stage == 2:
        raise ValueError(f"stage 2 needs a trained stage 1: run --stage both, or give --init DIR (there is no {own})")
    else:
        ids = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "mask_token_id": tokenizer.mask_token_id,
        }
        model = _fresh(YanConfig(**(settings.model | ids)), settings.seed)
    model.stage1, model.stage2 = settings.stage1, settings.stage2
    return model


def with_flow(model: YanModel, settings: RunSettings) -> YanModel:
    """A trained model, with a new flow where the settings ask for another one than it has."""
    wanted = {name: settings.model[name] for name in FLOW_OPTIONS if name in settings.model}
    if all(getattr(model.config, name) == value for name, value in wanted.items()):
        return model
    changed = _fresh(YanConfig(**(model.config.to_dict() | wanted)), settings.seed)
    for name in ("encoder", "decoder", "positions"):
        if getattr(model, name) is not None:
            getattr(changed, name).load_state_dict(getattr(model, name).state_dict())
    return changed


def _fresh(config: YanConfig, seed: int) -> YanModel:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return YanModel(config)


def make_builder(model: YanModel, tokenizer: PreTrainedTokenizerFast, masking: Masking, stage: int = 2) -> Builder:
    """What makes the examples of a stage, as the model takes them."""
    config = model.config
    form = config.form if stage == 2 else "slots"  # the autoencoder always decodes the text that it encodes
    padding = {"lengths": "padding", "pad_to": config.pad_to} if config.pad_to else {}
    return Builder(tokenizer, form=form, max_length=config.max_length, masking=masking, **padding)
