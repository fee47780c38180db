"""A tokenizer of the texts whose latents are looked at."""

import pytest
from inspected import TEXTS

from yanlm.tokenization.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 300)
