"""Text with masks: slots where the masks are, and the text with the masks filled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.tokenization.collation import Example, collapse
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masked_text import fill
from yanlm.tokenization.prompts import encode_with_masks
from yanlm.tokenization.tokenizer import decode, encode, mask_id, pad_id, train_tokenizer

CORPUS = ["Mary went to the kitchen. John went to the garden. Where is Mary? Where is John?"] * 3


TOKENIZER = train_tokenizer(CORPUS, vocab_size=340)
MASK, PAD = mask_id(TOKENIZER), pad_id(TOKENIZER)


QA = {"context": "Mary went to the kitchen.", "question": "Where is Mary?", "answer": "the kitchen"}


def builder(form="slots", max_length=32, **options):
    return Builder(TOKENIZER, form=form, max_length=max_length, **options)


def ids(text):
    return encode(TOKENIZER, text)


def test_prompts_have_slots_where_the_masks_are():
    build = builder()
    text = "Mary <mask> to the <|mask|>."
    source, target, slots, spans = build.prompt(text)
    assert source == target == encode_with_masks(TOKENIZER, text)
    assert [source[i] for i in slots] == [MASK, MASK] and spans == [1, 1]
    source, _, slots, spans = build.prompt(text, slots_per_mask=[2, 3], append=1)
    assert len(slots) == 6 and spans == [2, 3, 1] and source[-1] == MASK
    assert fill(TOKENIZER, text, [ids("ab"), ids("cde"), ids("f")]) == "Mary ab to the cde.f"


def test_a_space_at_the_end_belongs_to_what_is_appended():
    assert builder().prompt("Mary went ", append=2) == builder().prompt("Mary went", append=2)
    assert builder().prompt("Mary went ", append=1).source == builder().prompt("Mary went <mask>").source


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.sampled_from(["", " ", " the "]))
def test_each_mask_of_a_prompt_is_a_span_of_its_own(counts, between):
    build = builder(max_length=100)
    example = build.prompt(between.join(["<mask>"] * len(counts)), slots_per_mask=counts)
    batch = build.collate([example], with_lengths=True)
    assert batch["span_lengths"].tolist() == [counts]
    assert collapse(example, build.form) == encode_with_masks(TOKENIZER, between.join(["<mask>"] * len(counts)))


def test_prompts_agree_with_rows():
    build = builder(max_length=64)
    question = f"{QA['context']} {QA['question']}"
    row = build.example(QA, 0)
    assert build.prompt(question, append=len(row.slots)).source == row.source
    assert build.prompt(question + " <mask>", slots_per_mask=[len(row.slots)]).source == row.source


def test_separate_prompts():
    build = builder("separate")
    source, target, slots, spans = build.prompt("Mary <mask> to", slots_per_mask=[2])
    assert source == encode_with_masks(TOKENIZER, "Mary <mask> to")
    assert target == [*ids("Mary"), MASK, MASK, *ids(" to")]
    assert slots == list(range(len(target))) and spans == [2]
    assert build.prompt("Mary", append=3) == Example([*ids("Mary"), MASK], [MASK] * 3, [0, 1, 2], [3])
    with pytest.raises(ValueError, match="not both at once"):
        build.prompt("Mary <mask>", append=1)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("Mary went", {}, "nothing to fill"),
        ("", {}, "nothing to fill"),
        ("Mary <mask>", {"slots_per_mask": [1, 2]}, r"slots for 1 masks in the text, got \[1, 2\]"),
        ("Mary <mask>", {"slots_per_mask": [0]}, "slots_per_mask must be an integer of at least 1"),
        ("Mary", {"append": -1}, "append must be"),
        ("Mary", {"append": 32}, "make 3. tokens, and the model takes 32"),
    ],
)
def test_wrong_prompts_are_explained(text, options, message):
    with pytest.raises(ValueError, match=message):
        builder().prompt(text, **options)


def test_an_empty_prompt_can_be_continued():
    assert builder().prompt("", append=2) == Example([MASK, MASK], [MASK, MASK], [0, 1], [2])


@pytest.mark.parametrize(
    ("text", "around"),
    [
        ("The <mask> sat", ["The", " sat"]),
        ("The <|mask|> sat", ["The", " sat"]),
        ("The<mask>sat", ["The", "sat"]),
        ("The  <mask>  sat", ["The ", "  sat"]),
        ("The\n<mask>.", ["The\n", "."]),
        ("<mask>", ["", ""]),
        (" <mask> <mask> ", ["", "", " "]),
        ("The cat", ["The cat"]),
        ("", [""]),
    ],
)
def test_a_mask_takes_one_space_before_it(text, around):
    expected = encode(TOKENIZER, around[0])
    for part in around[1:]:
        expected += [mask_id(TOKENIZER), *encode(TOKENIZER, part)]
    assert encode_with_masks(TOKENIZER, text) == expected


@given(st.lists(st.sampled_from(["The", " cat", " sat", " on", " the", ".", "\n"]), min_size=1), st.data())
def test_masking_a_token_in_text_or_in_ids_is_the_same(words, data):
    # Away from runs of white space, where the next word decides about the token.
    ids = encode(TOKENIZER, "".join(words))
    hidden = data.draw(st.integers(0, len(ids) - 1))
    tokens = [decode(TOKENIZER, [id]) for id in ids]
    if tokens[hidden].startswith(" "):
        text = "".join([*tokens[:hidden], " <mask>", *tokens[hidden + 1 :]])
        assert encode_with_masks(TOKENIZER, text) == [*ids[:hidden], mask_id(TOKENIZER), *ids[hidden + 1 :]]
