"""Small models and texts that all tests of the language model share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState

from yanlm.config import AUTOREGRESSIVE, ARConfig, YanConfig
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))  # the tests share standin.py and toys.py
import toys

WORDS = """the cat sat on the mat and the dog ran to the red house near a small river in the old town""".split()  # noqa: SIM905
TEXTS = [" ".join(WORDS[i % 7 :: 1 + i % 3]) + " ." for i in range(21)]
SMALL = {"d_model": 16, "num_heads": 2, "encoder_layers": 2, "flow_layers": 2, "max_length": 48, "d_time": 8}


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """There is no accelerator before the test, and none after it."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    assert not PartialState._shared_state


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS, 320)


@pytest.fixture
def make_model(tokenizer: Any) -> Callable[..., YanModel]:
    """A small model with random weights; options go to its configuration."""

    def make(**options: Any) -> YanModel:
        ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        config = YanConfig(**{**SMALL, **ids, "mask_token_id": tokenizer.mask_token_id, **options})
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model = YanModel(config)
            for parameter in model.parameters():  # zeros at the start (convolutions, biases) would hide mistakes
                parameter.data += 0.02 * torch.randn_like(parameter)
        return model.eval()

    return make


@pytest.fixture
def builder(tokenizer: Any) -> Builder:
    return Builder(tokenizer, max_length=48)


@pytest.fixture
def rows() -> list[dict[str, str]]:
    return [{"text": text} for text in TEXTS]


@pytest.fixture(params=toys.KINDS, ids=str)
def model(request: pytest.FixtureRequest, make_model: Callable[..., YanModel]) -> YanModel:
    """A model of every kind."""
    return make_model(**toys.KINDS[request.param])


@pytest.fixture
def autoencoder_batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    return Builder(tokenizer, max_length=48).batch([{"text": text} for text in toys.TEXT_ROWS], [1, 2, 3])


@pytest.fixture
def stage_batches(batch: dict[str, torch.Tensor], autoencoder_batch: dict[str, torch.Tensor]) -> Any:
    """What each stage is trained on: the autoencoder decodes the text that it encodes, whatever the flow's form."""
    return {1: autoencoder_batch, 2: batch}


@pytest.fixture
def batch(model: YanModel, tokenizer: Any) -> dict[str, torch.Tensor]:
    """Three texts in the form of the model."""
    build = Builder(tokenizer, form=model.config.form, max_length=48)
    return build.batch([{"text": text} for text in toys.TEXT_ROWS], [1, 2, 3], with_lengths=True)


@pytest.fixture
def make_ar(tokenizer: Any) -> Callable[..., ARModel]:
    """A small autoregressive model with random weights; options go to its configuration."""

    def make(**options: Any) -> ARModel:
        ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
        sizes = {"vocab_size": len(tokenizer), "d_model": 16, "num_heads": 2, "layers": 2, "max_length": 48}
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model = ARModel(ARConfig(**{**sizes, **ids, **options}))
            for parameter in model.parameters():  # as they begin, all tokens are about as likely
                parameter.data += 0.2 * torch.randn_like(parameter)
        return model.eval()

    return make


@pytest.fixture
def make_kind(make_model: Callable[..., YanModel], make_ar: Callable[..., ARModel]) -> Callable[..., Any]:
    """A small model of any method."""

    def make(method: str, **options: Any) -> Any:
        return (make_ar if method in AUTOREGRESSIVE else make_model)(method=method, **options)

    return make


@pytest.fixture
def spans_batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    """Three texts with two of five tokens masked, in the slots form."""
    masking = Masking(rate=(0.4, 0.4))
    build = Builder(tokenizer, max_length=48, masking=masking)
    return build.batch([{"text": text} for text in toys.TEXT_ROWS], [1, 2, 3], with_lengths=True)
