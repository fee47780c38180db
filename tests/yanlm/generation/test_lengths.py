"""How many tokens stand behind a mask: what the length head finds most probable, or what a model writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from yanlm.generation.lengths import capped, predicted_lengths, shared_lengths, written_lengths
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.yan import YanModel
from yanlm.tokenization.examples import Builder


def test_adjacent_masks_share_what_was_written() -> None:
    assert shared_lengths([3], [4]) == [4]
    assert shared_lengths([1, 2, 3, 7], [2, 1]) == [1, 1, 1, 1]
    assert shared_lengths([0, 1, 4, 5], [5, 2]) == [3, 2, 1, 1]


def test_predicted_lengths_are_the_head_s_at_every_mask(make_model: Callable[..., YanModel], builder: Builder) -> None:
    model = make_model()
    sources = [builder.prompt(text).source for text in ("the <mask> sat on <mask>", "<mask> old town", "a <mask>")]
    lengths = predicted_lengths(model, builder, sources, batch_size=2)
    for source, own in zip(sources, lengths, strict=True):
        with torch.no_grad():
            states = model.encode(torch.tensor([source]))[0]
        at = [place for place, token in enumerate(source) if token == builder.mask]
        assert own == [int(model.length_head(states[place]).argmax()) + 1 for place in at]


def test_written_lengths_are_those_of_what_is_written(make_ar: Callable[..., ARModel], builder: Builder) -> None:
    model = make_ar()
    examples = [builder.prompt(text) for text in ("the <mask> sat on <mask>", "a <mask><mask> town")]
    lengths = written_lengths(model, examples)
    spans = [
        model.generate_free(torch.tensor([example.source]), slots=torch.tensor([example.slots]))[0]
        for example in examples
    ]
    assert lengths[0] == [len(span) for span in spans[0]]
    assert len(lengths[1]) == 2 and sum(lengths[1]) == max(2, len(spans[1][0]))


def test_no_more_is_written_than_was_seen_in_training() -> None:
    wanted = [[2, 7], [], [3]]
    assert capped(wanted, most=7) == wanted and capped(wanted, most=0) == wanted
    assert capped([[], []], most=2) == [[], []]

    def called() -> list[list[int]]:
        return capped(wanted, most=3, depth=2)

    with pytest.warns(UserWarning, match="never saw more than 3 tokens .* so 3 are written in place of 7") as told:
        assert called() == [[2, 3], [], [3]]
    assert told[0].filename == __file__
