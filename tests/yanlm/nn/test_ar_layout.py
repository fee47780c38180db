"""Texts as an autoregressive model reads and writes them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from yanlm.modeling.yan import YanModel
from yanlm.nn.ar_layout import Prefix, answer, prefixes
from yanlm.tokenization.collation import padded

Make = Callable[..., YanModel]


def test_a_layout() -> None:
    source = torch.tensor([[9, 5, 9, 9, 6, 0], [7, 8, 0, 0, 0, 0]])
    slots = torch.tensor([[0, 2, 3], [0, 0, 0]])
    held = torch.tensor([[True] * 3, [False] * 3])
    seen = torch.tensor([[True] * 5 + [False], [True] * 2 + [False] * 4])
    assert prefixes(source, slots, seen, held) == [Prefix([9, 5, 9, 6], [1, 2]), Prefix([7, 8], [])]
    assert answer([1, 2, 3], [1, 2], 9, 0) == [1, 9, 2, 3, 0] and answer([], [], 9, 0) == []
    ids, mask = padded([[1], [2, 3]], 0, torch.device("cpu"))
    assert ids.tolist() == [[1, 0], [2, 3]] and mask.tolist() == [[True, False], [True, True]]
