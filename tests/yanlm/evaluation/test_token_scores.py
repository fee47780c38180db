"""Scores and baselines by token, against values computed by hand."""

from __future__ import annotations

import pytest

from yanlm.evaluation.held_out import held_out_examples, masked_positions
from yanlm.evaluation.portions import texts_of
from yanlm.evaluation.token_scores import rouge_scores, token_baselines, token_scores
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.tokenizer import decode

ROWS = [{"text": "the cat sat on the mat and the dog ran"}, {"text": "the red house near a small river"}]


QUESTIONS = [
    {"context": "Ann is in the hall . Bob is in the attic .", "question": "Where is Ann ?", "answer": "hall"},
    {"context": "Bob is in the attic . Ann is in the hall .", "question": "Where is Ann ?", "answer": "hall"},
]


def test_scores_of_the_truth_and_of_one_mistake(builder: Builder) -> None:
    examples = held_out_examples(builder, ROWS)
    truth = [list(example.target) for example in examples]
    perfect = token_scores(builder, examples, truth)
    assert perfect.pop("masked_accuracy_ci95") == [1.0, 1.0]
    assert perfect == {"masked_accuracy": 1, "exact_match": 1, "copied_accuracy": 1, "rouge1": 1, "rougeL": 1}
    hidden = sum(len(masked_positions(example, builder)) for example in examples)
    truth[0][masked_positions(examples[0], builder)[0]] = builder.pad
    wrong = token_scores(builder, examples, truth)
    assert wrong["masked_accuracy"] == pytest.approx(1 - 1 / hidden)
    assert wrong["exact_match"] == 0.5 and wrong["copied_accuracy"] == 1


def test_a_mistake_beside_the_masks_counts_among_the_copied(builder: Builder) -> None:
    examples = held_out_examples(builder, ROWS)
    written = [list(example.target) for example in examples]
    hidden = [set(masked_positions(example, builder)) for example in examples]
    written[0][next(i for i in range(len(written[0])) if i not in hidden[0])] = builder.pad
    shown = sum(len(example.target) for example in examples) - sum(map(len, hidden))
    scores = token_scores(builder, examples, written)
    assert scores["copied_accuracy"] == pytest.approx(1 - 1 / shown)
    assert scores["masked_accuracy"] == scores["exact_match"] == 1


def test_a_text_with_several_masks_is_one_of_the_interval(builder: Builder) -> None:
    rows = [{"text": f"the {noun} sat on the mat and the dog ran"} for noun in ("cat", "dog", "house", "river")]
    once, often = held_out_examples(builder, rows), held_out_examples(builder, rows * 20)
    written = [[*example.target[:-4], *[builder.pad] * 4] for example in often]
    texts = texts_of(rows * 20)
    wide, narrow = (token_scores(builder, often, written, given)["masked_accuracy_ci95"] for given in (texts, None))
    assert wide[1] - wide[0] != narrow[1] - narrow[0]
    truth = [list(example.target) for example in once]
    assert token_scores(builder, once, truth, texts_of(rows)) == token_scores(builder, once, truth)
    assert "masked_accuracy_ci95" not in token_scores(builder, once, truth, ["the same"] * 4)


def test_the_copy_of_a_source_is_the_text_without_its_masked_words(builder: Builder) -> None:
    examples = held_out_examples(builder, ROWS)
    hidden = [set(masked_positions(example, builder)) for example in examples]
    shown = [
        [token for place, token in enumerate(example.target) if place not in masked]
        for example, masked in zip(examples, hidden, strict=True)
    ]
    texts = [[decode(builder.tokenizer, ids) for ids in each] for each in (shown, [e.target for e in examples])]
    copy = token_baselines(builder, examples, ROWS, ROWS)["copy_source"]
    assert copy == {"masked_accuracy": 0.0} | rouge_scores(*texts) and 0.5 < copy["rouge1"] < 1


def test_rouge_is_in_zero_to_one() -> None:
    scores = rouge_scores(["the cat sat", "x"], ["the cat ran", "y"])
    assert scores["rouge1"] == pytest.approx((2 / 3 + 0) / 2)


def test_rouge_is_the_mean_over_references_that_it_reads() -> None:
    assert rouge_scores(["the cat", "кот", "x"], ["the cat", "кот", "В 1941 году"]) == {"rouge1": 1, "rougeL": 1}
    assert rouge_scores(["кот", "猫"], ["кот", "猫は IBM を見た。"]) == {}
    assert rouge_scores([], []) == {}


def test_baselines_of_text(builder: Builder) -> None:
    examples = held_out_examples(builder, ROWS)
    found = token_baselines(builder, examples, ROWS, [{"text": "the the the the cat"}])
    assert set(found) == {"copy_source", "unigram"}
    the = builder.tokenizer.encode(" the")
    hidden = [[example.target[i] for i in masked_positions(example, builder)] for example in examples]
    hits = sum(token == the[0] for tokens in hidden for token in tokens)
    assert found["unigram"]["masked_accuracy"] == pytest.approx(hits / sum(map(len, hidden)))
    assert found["copy_source"]["rouge1"] < 1


def test_baselines_of_questions_and_labels_together(builder: Builder) -> None:
    labelled = [{"text": "the cat sat", "label": "hall"}, {"text": "the dog ran", "label": "house"}]
    rows = [labelled[0], *QUESTIONS, labelled[1]]
    baselines = token_baselines(builder, held_out_examples(builder, rows), rows, [*QUESTIONS, *labelled[1:]])
    assert baselines == {"majority": {"exact_match": 3 / 4}, "last_mentioned": {"exact_match": 1.0}}


def test_baselines_of_questions(builder: Builder) -> None:
    train = [*QUESTIONS, {"context": "", "question": "", "answer": "attic"}]
    found = token_baselines(builder, held_out_examples(builder, QUESTIONS), QUESTIONS, train)
    assert found == {"majority": {"exact_match": 1.0}, "last_mentioned": {"exact_match": 0.5}}
