"""Probabilities as lines."""

import pytest
import torch

from moefm_cli.common import UsageError
from moefm_cli.yanlm.shown import ALTERNATIVES, check_shown, token_chances
from yanlm.generation.watching import Pass, Watched
from yanlm.tokenization.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["the cat sat on the mat"], 270)


def test_the_written_token_is_no_alternative_to_itself(tokenizer):
    best = torch.tensor([[[5, 6, 7, 8, 9]]])
    chances = torch.tensor([[[0.4, 0.3, 0.1, 0.0, 0.0]]])
    one = torch.ones(1, 1, dtype=torch.bool)
    for token, others in ((5, 2), (6, 2), (20, ALTERNATIVES)):
        last = Pass(torch.tensor([[token]]), torch.tensor([[0.2]]), best, chances, one, None, None)
        [[slot]] = token_chances(Watched([last], [1], None, 1), tokenizer)
        assert len(slot["alternatives"]) == others and slot["probability"] == 0.2


def test_there_is_one_thing_to_show():
    check_shown(None)
    check_shown("probabilities")
    with pytest.raises(UsageError, match="--show must be probabilities"):
        check_shown("logits")
