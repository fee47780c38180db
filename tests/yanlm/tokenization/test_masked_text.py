"""Text with masks: filled, with what stands around them as it was."""

import pytest

from yanlm.tokenization.masked_text import fill
from yanlm.tokenization.tokenizer import encode, train_tokenizer

CORPUS = ["Mary went to the kitchen. John went to the garden. Where is Mary? Where is John?"] * 3


TOKENIZER = train_tokenizer(CORPUS, vocab_size=340)


def ids(text):
    return encode(TOKENIZER, text)


def test_filling_puts_spans_in_their_places():
    assert fill(TOKENIZER, "Mary <mask>.", [ids("a"), ids("cd")]) == "Mary a.cd"
    assert fill(TOKENIZER, "Mary<mask>.", [ids("a")]) == "Marya."
    assert fill(TOKENIZER, "Mary <mask>.", [ids("\n\na")]) == "Mary\n\na."
    assert fill(TOKENIZER, "Mary <mask>.", [[]]) == "Mary."
    assert fill(TOKENIZER, " <mask> went\t", [ids(" Mary"), ids(" home")]) == " Mary went\thome"
    half, other = ids("é")[:1], ids("é")[1:]
    assert fill(TOKENIZER, "a<mask><mask>b", [half, other]) == "aéb", "a character may go on in the next span"


@pytest.mark.parametrize("spans", [[], [[1], [1], [1]]])
def test_wrong_fillings_are_explained(spans):
    with pytest.raises(ValueError, match=f"one for each of the 1 masks, or one more, got {len(spans)}"):
        fill(TOKENIZER, "Mary <mask>", spans)
