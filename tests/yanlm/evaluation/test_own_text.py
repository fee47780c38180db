"""Whole texts of an evaluation are the rows' own, also where the tokenizer would not give them back."""

import pytest
from foreign import FOREIGN, foreign_tokenizer

from yanlm.evaluation.items import filled, items, masked_source
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masked_text import fill
from yanlm.tokenization.masking import Masking

TEXT = "My AUNT's boat (the old, 😀 one) isn't here.\tZoé left; who knows?"
ROWS = {
    "infill": ({"text": TEXT}, TEXT),
    "qa": ({"context": TEXT, "question": "Who LEFT?", "answer": "Zoé"}, f"{TEXT} Who LEFT? Zoé"),
    "sentence": ({"source": "My AUNT <mask>\tWho knows?", "target": "left."}, "My AUNT left.\tWho knows?"),
    "completion": ({"source": "My AUNT's  old", "target": "boat"}, "My AUNT's  old boat"),
    "classify": ({"text": TEXT, "label": "SAD"}, f"{TEXT} SAD"),
}


@pytest.mark.parametrize("task", ROWS)
@pytest.mark.parametrize("kind", FOREIGN)
def test_whole_texts_are_the_row_s_own(kind, task):
    builder = Builder(foreign_tokenizer(kind), max_length=128, masking=Masking(rate=(0.3, 0.3)))
    row, text = ROWS[task]
    [item] = items(builder, [row], task)
    assert item.text == text and item.references[0] in text
    source, written = masked_source(builder, item), filled(builder, item, item.truth).text
    assert source.count("<mask>") == len(item.truth)
    if item.masked is not None:  # else the ids give the text back
        assert written == fill(builder.tokenizer, item.masked, item.truth).strip()
    if "\ufffd" not in source:  # a mask may divide a character of several bytes
        assert all(piece in written for piece in source.replace(" <mask>", "<mask>").split("<mask>"))


def test_a_window_of_a_long_text_is_its_own_too():
    tokenizer = foreign_tokenizer("wordpiece")
    [item] = items(Builder(tokenizer, max_length=8), [{"text": TEXT}], "infill")
    assert item.cut and item.text in TEXT and any(letter.isupper() or letter == "\t" for letter in item.text)
