"""Latents of held-out texts: which are drawn, and what is decoded from them under noise."""

import pytest
import torch
from inspected import ROWS, normal, tiny

from yanlm.analysis.inspection import inspect_latents
from yanlm.analysis.latents import LEAST, accuracy_under_noise, checked_levels, clean_examples, crossing, draw_latents
from yanlm.tokenization.examples import Builder


def test_accuracy_under_noise(tokenizer):
    model = tiny(tokenizer, encoder_layers=1, d_model=64)
    with torch.no_grad():  # latents that are the token's own direction, and a decoder that reads it
        model.encoder.blocks = torch.nn.ModuleList()
        model.encoder.embedding.weight.copy_(normal(len(tokenizer), 64))
        model.decoder.ffn = torch.nn.Identity()
    numbers = inspect_latents(model, tokenizer, ROWS, tokens=300, noise_levels=(3, 0, 0.1, 50)).numbers
    accuracy = numbers["accuracy_under_noise"]
    assert list(accuracy) == ["0", "0.1", "3", "50"]
    assert numbers["reconstruction"] == accuracy["0"] == accuracy["0.1"] == 1
    assert numbers["token_variance"] == pytest.approx(1)
    assert 1 > accuracy["3"] > accuracy["50"]
    assert 0.1 < numbers["half_noise"] < 50


def test_too_little_text_and_wrong_options(tokenizer):
    model = tiny(tokenizer)
    with pytest.raises(ValueError, match=r"at least 50 tokens, got \d+ in 1 rows; give more text"):
        inspect_latents(model, tokenizer, ROWS[:1])
    with pytest.raises(ValueError, match="at least 50 tokens, got 0"):
        inspect_latents(model, tokenizer, [])
    with pytest.raises(ValueError, match="tokens"):
        inspect_latents(model, tokenizer, ROWS, tokens=LEAST - 1)
    with pytest.raises(ValueError, match="noise_levels"):
        inspect_latents(model, tokenizer, ROWS, noise_levels=[0, -1])
    with pytest.raises(ValueError, match="noise_levels"):
        inspect_latents(model, tokenizer, ROWS, noise_levels=[])
    with torch.no_grad():
        model.encoder.norm.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        inspect_latents(model, tokenizer, ROWS, tokens=100)


def test_whole_texts_are_taken_until_there_is_enough(tokenizer):
    builder = Builder(tokenizer, max_length=64)
    sizes = {tuple(builder.example(row, 0).target) for row in ROWS}
    examples = clean_examples(builder, ROWS, enough=100, seed=0)
    assert 100 <= sum(len(example.target) for example in examples) < 100 + max(map(len, sizes))
    assert {tuple(example.target) for example in examples} <= sizes
    assert examples == clean_examples(builder, ROWS, enough=100, seed=0)
    assert examples != clean_examples(builder, ROWS, enough=100, seed=1)


def test_drawn_latents_are_those_of_their_texts_whatever_the_size_of_a_batch(tokenizer):
    model, builder = tiny(tokenizer), Builder(tokenizer, max_length=64)
    examples = clean_examples(builder, ROWS, enough=200, seed=0)
    total = sum(len(example.target) for example in examples)
    z, ids, right = draw_latents(model, builder, examples, total, seed=0)
    assert ids.tolist() == [token for example in examples for token in example.target]
    assert right == pytest.approx(accuracy_under_noise(model, z, ids, [0.0], seed=0)["0"], abs=1e-6)
    some, few, _ = draw_latents(model, builder, examples, 60, seed=0, size=3)
    assert len(some) == len(few) == 60
    assert torch.cdist(some, z).amin(1).max() < 1e-2


def test_levels_are_in_order_and_the_crossing_lies_between_two():
    assert checked_levels([1, 0.5, 1.0, 0]) == [0.0, 0.5, 1.0]
    assert crossing([0, 1, 3], [1.0, 0.8, 0.2]) == pytest.approx(2)
    assert crossing([0, 1, 3], [1.0, 0.8, 0.2], height=0.9) == pytest.approx(0.5)
    assert crossing([0, 1, 3], [0.4, 0.3, 0.2]) is None and crossing([0, 1], [1.0, 0.5]) is None
