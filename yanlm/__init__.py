"""Non-autoregressive language modelling with a latent mixture-of-experts flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm import huggingface
from yanlm.faces import named

if TYPE_CHECKING:
    from yanlm.config import YanConfig as YanConfig
    from yanlm.data.corpus import load_corpus as load_corpus
    from yanlm.evaluation.evaluator import evaluate_task as evaluate_task
    from yanlm.modeling.io import load_model as load_model
    from yanlm.modeling.io import save_model as save_model
    from yanlm.modeling.yan import YanModel as YanModel
    from yanlm.runs.finetuning import finetune as finetune
    from yanlm.runs.run import train as train
    from yanlm.runs.settings import resolve as resolve
    from yanlm.tasks.rows import load_task as load_task
    from yanlm.tokenization.examples import Builder as Builder
    from yanlm.tokenization.masking import Masking as Masking
    from yanlm.tokenization.tokenizer import load_tokenizer as load_tokenizer
    from yanlm.tokenization.tokenizer import train_tokenizer as train_tokenizer
    from yanlm.writer import Writer as Writer

_HOMES = {
    "Builder": "tokenization.examples",
    "Masking": "tokenization.masking",
    "Writer": "writer",
    "YanConfig": "config",
    "YanModel": "modeling.yan",
    "evaluate_task": "evaluation.evaluator",
    "finetune": "runs.finetuning",
    "load_corpus": "data.corpus",
    "load_model": "modeling.io",
    "load_task": "tasks.rows",
    "load_tokenizer": "tokenization.tokenizer",
    "resolve": "runs.settings",
    "save_model": "modeling.io",
    "train": "runs.run",
    "train_tokenizer": "tokenization.tokenizer",
}

__all__ = [
    "Builder",
    "Masking",
    "Writer",
    "YanConfig",
    "YanModel",
    "evaluate_task",
    "finetune",
    "load_corpus",
    "load_model",
    "load_task",
    "load_tokenizer",
    "resolve",
    "save_model",
    "train",
    "train_tokenizer",
]


def __getattr__(name: str) -> Any:
    return named(__name__, _HOMES, name)


huggingface.watch()
