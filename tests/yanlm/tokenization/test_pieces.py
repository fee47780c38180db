"""Pieces of a text with tokenizers of every kind: their ids in the text, and the text around masks as it was."""

import re

import pytest
from foreign import FOREIGN, foreign_tokenizer
from hypothesis import assume, given
from hypothesis import strategies as st

from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masked_text import fill
from yanlm.tokenization.pieces import carries_space, decode_piece, encode_piece
from yanlm.tokenization.prompts import encode_with_masks
from yanlm.tokenization.tokenizer import encode, encode_with_places

WORDS = ["The", "boat", "left", "(late)", "on", "Sunday.", "aunt's", '"here"', "Who", "knows!", "old,", "x7", "(old"]
OTHERS = ["\n", "\n\n", "\t", "", "é", "東京", "😀", "...", "²"]
BEFORE = ["The boat (", "Who left\n", '"', "東京", "My ", "the old,"]
texts = st.lists(st.sampled_from(WORDS + OTHERS), min_size=1, max_size=8).map(" ".join)
kinds = pytest.mark.parametrize("kind", FOREIGN)


@kinds
@given(text=texts, data=st.data())
def test_a_masked_word_leaves_the_ids_of_its_text(kind, text, data):
    tokenizer = foreign_tokenizer(kind)
    words = list(re.finditer(r"(?<![A-Za-z])[A-Za-z]+(?![A-Za-z0-9])", text))
    assume(words)
    word = data.draw(st.sampled_from(words))
    ids, places = encode_with_places(tokenizer, text)
    assume(text[: word.start()].strip(" ") or not word.start())  # a text that begins with a space may have one more
    spaced = word.start() > 0 and text[word.start() - 1] == " "
    inside = [i for i, (first, last) in enumerate(places) if last > word.start() and first < word.end()]
    first, last = inside[0], inside[-1] + 1
    assume(places[first][0] >= word.start() - spaced and places[last - 1][1] == word.end())  # tokens of it alone
    tokens = tokenizer.convert_ids_to_tokens(ids)
    if spaced and first and tokens[first - 1] in ("▁", "Ġ") and places[first][0] == word.start():
        first -= 1  # its space is a token of its own
    masked = f"{text[: word.start()]}<mask>{text[word.end() :]}"
    wanted = [*ids[:first], tokenizer.mask_token_id, *ids[last:]]
    assert encode_with_masks(tokenizer, masked) == wanted, (masked, tokens)


@kinds
@given(parts=st.lists(texts | st.sampled_from([*OTHERS, " ", "  "]), min_size=2, max_size=4), data=st.data())
def test_the_text_around_the_masks_comes_back_as_it_was(kind, parts, data):
    tokenizer = foreign_tokenizer(kind)
    some = st.lists(st.integers(0, len(tokenizer) - 3), max_size=3)
    spans = data.draw(st.lists(some, min_size=len(parts) - 1, max_size=len(parts) - 1))
    text = "<mask>".join(parts)
    before = [part.removesuffix(" ") for part in parts[:-1]]
    wanted = ".*".join(re.escape(part) for part in [*before, parts[-1]])
    assert re.fullmatch(wanted, fill(tokenizer, text, spans), re.DOTALL)
    assert fill(tokenizer, parts[0], spans[:1]).startswith(parts[0]), "and what is continued"


@kinds
@given(
    before=st.sampled_from(["The boat (", "Who left\n", '"', "東京", "My ", "the old,"]), word=st.sampled_from(WORDS)
)
def test_a_word_is_written_back_where_it_stood(kind, before, word):
    """Up to what the tokenizer cannot write, a text from which a word is taken and put back is the text."""
    tokenizer = foreign_tokenizer(kind)
    letters = re.sub("[^A-Za-z]", "", word)
    space = " " if before.endswith(" ") else ""
    ids = encode_piece(tokenizer, space + letters, following="")
    assume(tokenizer.unk_token_id not in ids)
    known = letters.lower() if kind in ("wordpiece", "word-ends") else letters
    assert fill(tokenizer, f"{before}<mask>).", [ids]) == f"{before}{known})."


@kinds
def test_answers_are_what_follows_a_text(kind):
    tokenizer = foreign_tokenizer(kind)
    builder = Builder(tokenizer, max_length=64)
    question = {"context": "My aunt's boat left.", "question": "Who left?", "answer": "the boat"}
    example = builder.example(question, 0)
    assert example.target == encode(tokenizer, "My aunt's boat left. Who left? the boat")
    assert builder.prompt("My aunt's boat left. Who left?", append=len(example.slots)).source == example.source
    spaced = {"source": "The <mask> left <mask> here.", "target": ["boat", "Who knows!"]}
    assert builder.example(spaced, 0).target == encode(tokenizer, "The boat left Who knows! here.")
    whole = encode(tokenizer, "The boat (late) left.")
    if "▁(late)" not in tokenizer.convert_ids_to_tokens(whole):  # what a mask divides is not one token
        assert builder.example({"source": "The <mask> (<mask>) left.", "target": ["boat", "late"]}, 0).target == whole
        assert builder.example({"source": "The boat (<mask>) left.", "target": "late"}, 0).target == whole


def test_spaces_are_the_token_s_or_the_decoder_s():
    for kind, wanted in {"wordpiece": False, "word-ends": False, "metaspace": True, "bytes-prefix": True}.items():
        tokenizer = foreign_tokenizer(kind)
        [boat] = encode_piece(tokenizer, " boat")
        assert decode_piece(tokenizer, [boat]) == " boat"
        assert carries_space(tokenizer, boat) == wanted
