"""Texts in, filled texts out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign import FOREIGN, foreign_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yanlm.config import YanConfig
from yanlm.generation.options import GenerationOptions
from yanlm.modeling.io import save_model
from yanlm.modeling.yan import YanModel
from yanlm.tokenization import prompts
from yanlm.tokenization.masked_text import split_at_masks
from yanlm.writer import Writer

Make = Callable[..., YanModel]
words = st.sampled_from(["the", "cat", "red", "river", "Zug", "né", "12", ",", "日本"])
texts = st.lists(st.one_of(words, st.just("<mask>")), min_size=1, max_size=9).map(" ".join)


@pytest.fixture
def writer(make_model: Make, tokenizer: Any) -> Writer:
    return Writer(make_model(), tokenizer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(text=texts, seed=st.integers(0, 99))
def test_known_text_comes_back_exactly(writer: Writer, text: str, seed: int) -> None:
    [out] = writer.write([text], length=2, samples=2, seed=seed, steps=2)
    known = split_at_masks(text)
    for sample in out.samples:
        at = 0
        for part in known:
            assert part in sample[at:], (text, sample)
            at = sample.index(part, at) + len(part)


def test_a_text_is_the_same_alone_and_among_others(writer: Writer) -> None:
    many = ["the <mask> sat", "a small <mask> near the <mask> house in the old town", "the dog"]
    together = writer.write(many, seed=3, samples=2)
    in_twos = writer.write(many, seed=3, samples=2, batch_size=2)
    assert together == in_twos
    assert together[0] == writer.write(many[:1], seed=3, samples=2)[0]
    assert together != writer.write(many, seed=4, samples=2)


@pytest.mark.parametrize(("length", "tokens"), [(1, 2), (3, 6), ("source", None)])
def test_given_lengths(writer: Writer, length: str | int, tokens: int | None) -> None:
    [out] = writer.write(["the <mask> sat on <mask>"], length=length)
    assert len(out.fills[0]) == 2
    if tokens is not None:
        assert out.tokens == tokens
    else:
        assert out.tokens == 2 * len(writer.tokenizer.encode("the sat on"))


def test_predicted_lengths_are_the_head_s(writer: Writer) -> None:
    with torch.no_grad():
        writer.model.length_head[-1].weight.zero_()
        writer.model.length_head[-1].bias.zero_()
        writer.model.length_head[-1].bias[4] = 9.0  # five tokens
    assert writer.write(["the <mask> sat"])[0].tokens == 5
    assert writer.write(["the cat"])[0].tokens == 5, "a text without a mask is continued"


def test_padding_ends_a_fill(make_model: Make, tokenizer: Any) -> None:
    model = make_model(pad_to=6)
    with torch.no_grad():
        model.decoder.head.bias[tokenizer.pad_token_id] = 1e4
    [out] = Writer(model, tokenizer).write(["the <mask> sat"])
    assert out.tokens == 6
    assert out.text == "the sat" and out.fills == [[""]]


def test_the_separate_form_writes_whole_texts(make_model: Make, tokenizer: Any) -> None:
    writer = Writer(make_model(form="separate", align=False), tokenizer)
    [out] = writer.write(["the <mask> sat"], length=2)
    assert out.tokens == 2 + len(tokenizer.encode("the sat"))


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["the cat", "  "], {}, "text 2 is empty"),
        (["word " * 60 + "<mask>"], {}, "text 1: .*48"),
        (["<mask>"], {"length": 0}, "length"),
        (["<mask>"], {"length": "long"}, "length"),
        (["<mask>"], {"steps": 0}, "steps"),
        (["<mask>"], {"length": 99}, "text 1"),
        (["<mask>"], {"length": True}, "length"),
        (["a <mask>", "<mask> <mask>"], {"length": "source"}, "length=source counts the tokens of text 2, .*number"),
        (["<mask>"], {"seeds": [1]}, "give seed"),
        (["<mask>"], {"seed": 1.5}, "seed must be an integer, got 1.5"),
        (["<mask>"], {"batch_size": 0}, "batch_size"),
        (["<mask>"], {"guidance": 1}, "no option 'guidance'"),
        (["<mask>"], {"temperature": 1.0}, "temperature goes with reread"),
    ],
)
def test_bad_input_is_named(writer: Writer, texts: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        writer.write(texts, **options)


@pytest.mark.parametrize("text", [3, b"a <mask>", None, ["a"]])
def test_only_text_is_taken(writer: Writer, text: Any) -> None:
    with pytest.raises(TypeError, match=f"texts must be strings, and text 2 is of type {type(text).__name__}"):
        writer.write(["a <mask>", text])


@pytest.mark.parametrize("texts", [None, 3, b"a <mask>", {"text": "a <mask>"}])
def test_texts_are_a_list(writer: Writer, texts: Any) -> None:
    with pytest.raises(TypeError, match=f"texts must be a string or a list of strings, got {type(texts).__name__}"):
        writer.write(texts)


def test_one_text_may_be_given_by_itself(writer: Writer) -> None:
    assert writer.write("the <mask> sat", length=2) == writer.write(["the <mask> sat"], length=2)
    assert writer.write([]) == []


def test_numbers_of_numpy_are_numbers(writer: Writer) -> None:
    given = {"length": np.int64(2), "batch_size": np.int32(1), "seed": np.int64(5), "steps": np.uint8(2)}
    assert writer.write("the <mask>", **given) == writer.write("the <mask>", length=2, seed=5, steps=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("mask", ["[MASK]", "<MASK>", "[mask]", "<Mask>", "<|mask|>", "<|MASK|>"])
def test_masks_of_other_models_are_masks(writer: Writer, mask: str) -> None:
    [out], [wanted] = (writer.write([f"the {one} sat on {one}"], length=1, seed=1) for one in (mask, "<mask>"))
    assert out.source == f"the {mask} sat on {mask}" and out.fills == wanted.fills and out.text == wanted.text


@pytest.mark.parametrize("length", ["auto", "source", 2])
def test_a_text_is_tokenized_once(writer: Writer, monkeypatch: pytest.MonkeyPatch, length: str | int) -> None:
    read: list[str] = []

    def encode_piece(tokenizer: Any, text: str, **around: Any) -> list[int]:
        read.append(text)
        return encode(tokenizer, text, **around)

    encode = prompts.encode_piece
    monkeypatch.setattr(prompts, "encode_piece", encode_piece)
    writer.write(["the <mask> sat", "a dog"], length=length)
    assert [piece for piece in read if piece] == ["the", " sat", "a dog"]


def test_every_result_says_what_it_took(writer: Writer) -> None:
    options = GenerationOptions(steps=2, solver="midpoint", samples=2)
    results = writer.write(["the <mask> sat", "a dog"], options=options, batch_size=1)
    assert [out.nfe for out in results] == [4, 4] and len(results[0].samples) == 2
    assert results == writer.write(["the <mask> sat", "a dog"], steps=2, solver="midpoint", samples=2)
    assert writer.write("the <mask>", options=options, steps=1)[0].nfe == 2, "keywords have the last word"


def test_a_model_and_a_tokenizer_must_belong_together(make_model: Make, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="belong together"):
        Writer(make_model(vocab_size=100, pad_token_id=98, mask_token_id=99), tokenizer)
    ids = {"mask_token_id": tokenizer.mask_token_id, "pad_token_id": tokenizer.pad_token_id}
    for name, id in ids.items():
        other = make_model(**ids | {"vocab_size": len(tokenizer) + 1, name: len(tokenizer)})
        with pytest.raises(ValueError, match=f"{name} is {id} in the tokenizer and {len(tokenizer)} in the model"):
            Writer(other, tokenizer)


def test_a_folder_is_loaded(make_model: Make, tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path / "run" / "stage2", make_model(), tokenizer, {"seed": 0})
    for folder in (tmp_path / "run", str(tmp_path / "run")):
        assert Writer.load(folder).write(["the <mask>"], length=1)[0].tokens == 1


@pytest.mark.parametrize("kind", FOREIGN)
def test_text_comes_back_with_tokenizers_of_every_kind(kind: str) -> None:
    tokenizer = foreign_tokenizer(kind)
    ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
    torch.manual_seed(0)
    writer = Writer(YanModel(YanConfig(vocab_size=len(tokenizer), d_model=16, num_heads=2, **ids)), tokenizer)
    filled, continued = "  Zoé\tsaw 東京 😀 (<mask>), and My AUNT <mask> left.\n ", " Who left? \n"
    texts = [filled, "<mask>'s <|padding|> BOAT<mask>", continued]
    for text, out in zip(texts, writer.write(texts, length=2, samples=2), strict=True):
        for sample in out.samples:  # where nothing visible is written, the space before it goes as well
            assert re.fullmatch(".*".join(map(re.escape, split_at_masks(text))) + "(?s:.*)", sample, re.DOTALL)
            assert text != filled or sample.endswith(" left.\n ")
            assert text != continued or sample.startswith(continued)


def test_texts_with_seeds_of_their_own_are_written_as_if_alone(writer: Writer) -> None:
    many = ["the <mask> sat", "a small <mask> near the <mask> house in the old town", "the dog"]
    together = writer.write(many, seed=[3, 8, 3], samples=2)
    assert together == [writer.write(text, seed=seed, samples=2)[0] for text, seed in zip(many, [3, 8, 3], strict=True)]
    for seed in ([1, 2], 1.5, "7", [1, 2, True]):
        with pytest.raises(ValueError, match="seed must be"):
            writer.write(many, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [9, "source", "auto"])
def test_no_more_is_written_than_was_ever_trained(make_model, tokenizer, length):
    model = make_model(longest_span=2)
    if length == "auto":
        torch.nn.init.zeros_(model.length_head[-1].weight)
        model.length_head[-1].bias.data = torch.arange(model.config.max_span).float()  # the longest there is
    writer = Writer(model, tokenizer)
    with pytest.warns(UserWarning, match="never saw more than 2 tokens behind a mask, so 2 are written in place of"):
        [out] = writer.write("the cat sat on the <mask> and <mask>", length=length, seed=0)
    assert out.tokens == 4
    assert writer.write("the cat <mask>", length=2)[0].tokens == 2
