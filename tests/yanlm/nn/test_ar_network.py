"""Networks of the autoregressive baselines: which states predict which tokens, against transformers alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import Batch, logits_of, row_of, trimmed

from yanlm.modeling.autoregressive import ARModel

Make = Callable[..., ARModel]


@pytest.fixture(params=["gpt2", "bart"])
def model(request: pytest.FixtureRequest, make_ar: Make) -> ARModel:
    return make_ar(method=request.param)


def read(model: ARModel, batch: Batch) -> Any:
    return model.read(*(batch[name] for name in ("source_ids", "slots", "source_mask", "slot_mask")))


def test_every_token_of_an_answer_is_read_off_the_one_before(model: ARModel, spans_batch: Batch) -> None:
    laid_out = [row_of(model, trimmed(spans_batch, row)) for row in range(3)]
    states = model.states(read(model, spans_batch), [answer for _, _, answer in laid_out])
    mask = model.config.mask_token_id
    wanted = torch.cat([logits_of(model, prefix, [mask, *answer[:-1]]) for prefix, _, answer in laid_out])
    logits = model.net.lm_head(states) + getattr(model.net, "final_logits_bias", 0)
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)


def test_tokens_of_the_source_are_read_too_if_wanted(make_ar: Make, spans_batch: Batch) -> None:
    model = make_ar(method="gpt2")
    before = read(model, spans_batch)
    for share in (0.0, 1.0):
        _, (states, tokens) = model.answer_states(before, [[]] * 3, share)
        following = [token for prefix in before for token in prefix.ids[1:] if token != model.config.mask_token_id]
        assert tokens.tolist() == (following if share else []) and len(states) == len(tokens)
    _, (_, tokens) = make_ar(method="bart").answer_states(before, [[]] * 3, 1.0)
    assert not len(tokens), "an encoder reads the whole source at once: nothing there is predicted"


def test_bart_has_an_encoder_and_gpt2_has_room_for_prefix_and_answer(make_ar: Make) -> None:
    gpt2, bart = make_ar(method="gpt2"), make_ar(method="bart", layers=3)
    assert not gpt2.has_encoder and gpt2.net.config.n_positions == 2 * 48 + 2
    assert bart.has_encoder and (bart.net.config.encoder_layers, bart.net.config.decoder_layers) == (2, 1)


def test_sources_that_are_too_long_are_refused(model: ARModel) -> None:
    with pytest.raises(ValueError, match="at most max_length=48 tokens a row, got 49"):
        model.read(torch.zeros(1, 49, dtype=torch.long), torch.tensor([[1]]))
