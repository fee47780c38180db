import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from yanlm.data.rows import kind_of
from yanlm.tokenization.collation import Example, collapse
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.tokenizer import decode, encode, load_tokenizer, mask_id, pad_id, train_tokenizer, wrapped

CORPUS = ["Mary went to the kitchen. John went to the garden. Where is Mary? Where is John?"] * 3
TOKENIZER = train_tokenizer(CORPUS, vocab_size=340)
MASK, PAD = mask_id(TOKENIZER), pad_id(TOKENIZER)

TEXT = {"text": "Mary went to the kitchen. John went to the garden."}
QA = {"context": "Mary went to the kitchen.", "question": "Where is Mary?", "answer": "the kitchen"}
CLASSIFY = {"text": "John went to the garden.", "label": "garden"}
SEQ2SEQ = {"source": "Mary went to the", "target": "kitchen"}
LAST_WORD = {"source": "Mary went to the <mask>.", "target": "kitchen"}
ROWS = [TEXT, QA, CLASSIFY, SEQ2SEQ, LAST_WORD]

seeds = st.integers(0, 2**64 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
word = text.filter(str.strip)
rows = st.one_of(
    st.fixed_dictionaries({"text": text}),
    st.fixed_dictionaries({"context": st.just("") | text, "question": word, "answer": word}),
    st.fixed_dictionaries({"text": word, "label": word}),
    st.fixed_dictionaries({"source": word, "target": word}),
)
maskings = st.sampled_from(
    [
        Masking(),
        Masking(rate=(0.2, 0.6)),
        Masking(clean=0.5),
        Masking(tail=0.5, tail_max=5),
        Masking(clean=0.3, tail=0.7),
        Masking(context=0.8, context_rate=(0.1, 0.5)),
        Masking(context=0.3, drop=0.8),
    ]
)


def builder(form="slots", max_length=32, **options):
    return Builder(TOKENIZER, form=form, max_length=max_length, **options)


def ids(text):
    return encode(TOKENIZER, text)


@st.composite
def builders(draw, form=None):
    options = {"lengths": "padding", "pad_to": draw(st.integers(1, 6))} if draw(st.booleans()) else {}
    return builder(
        form or draw(st.sampled_from(["slots", "separate"])),
        max_length=draw(st.integers(8, 40)),
        masking=draw(maskings),
        reserve=draw(st.none() | st.integers(1, 6)),
        **options,
    )


# What holds for every row


@given(rows, seeds, builders("slots"))
def test_source_and_target_differ_at_the_slots_alone(row, seed, build):
    source, target, slots, spans = build.example(row, seed)
    assert 1 <= len(source) == len(target) <= build.max_length
    assert [i for i, id in enumerate(source) if id == MASK] == slots
    assert all(a == b for i, (a, b) in enumerate(zip(source, target, strict=True)) if i not in slots)
    assert MASK not in target
    assert sum(spans) == len(slots)


@given(rows, seeds, builders("separate"))
def test_separate_targets_are_slots_throughout_and_each_span_is_one_mask(row, seed, build):
    source, target, slots, spans = build.example(row, seed)
    assert 1 <= len(source) <= build.max_length and 1 <= len(target) <= build.max_length
    assert MASK not in target
    assert source.count(MASK) == len(spans)
    if spans:
        assert slots == list(range(len(target)))
    else:
        assert source == target and not slots


@given(rows, seeds, builders())
def test_the_seed_decides(row, seed, build):
    fresh = Builder(
        TOKENIZER, form=build.form, max_length=build.max_length, masking=build.masking,
        lengths=build.lengths, pad_to=build.pad_to, reserve=build.reserve,
    )  # fmt: skip
    random.seed(0)
    first = build.example(row, seed)
    random.seed(1)
    assert build.example(row, seed) == first == fresh.example(row, seed)


def test_other_seeds_mask_otherwise():
    assert len({tuple(builder().example(TEXT, seed).slots) for seed in range(30)}) > 5


@given(st.lists(rows, min_size=1, max_size=4), seeds, builders())
def test_a_row_alone_is_the_row_in_a_batch_up_to_padding(group, seed, build):
    many = build.batch(group, [seed + i for i in range(len(group))], with_lengths=True)
    for i, row in enumerate(group):
        one = build.batch([row], [seed + i], with_lengths=True)
        for name, tensor in one.items():
            width = tensor.shape[1]
            assert torch.equal(many[name][i, :width], tensor[0]), name
            rest = many[name][i, width:]
            padding = PAD if name in ("source_ids", "target_ids", "collapsed_ids") else 0
            assert bool((rest == padding).all()), name


@given(rows, seeds, builders())
def test_batches_hold_the_examples(row, seed, build):
    example, batch = build.example(row, seed), build.batch([row, TEXT], [seed, 0], with_lengths=True)
    for ids_name, mask_name, expected in (
        ("source_ids", "source_mask", example.source),
        ("target_ids", "target_mask", example.target),
        ("slots", "slot_mask", example.slots),
    ):
        assert batch[ids_name].dtype == torch.long and batch[mask_name].dtype == torch.bool
        assert batch[ids_name][0][batch[mask_name][0]].tolist() == expected
    collapsed = batch["collapsed_ids"][0][batch["collapsed_mask"][0]]
    positions, counts = batch["span_positions"][0], batch["span_lengths"][0]
    assert counts[counts > 0].tolist() == example.spans
    assert positions[counts > 0].tolist() == torch.nonzero(collapsed == MASK).flatten().tolist()
    if build.form == "slots":
        assert len(collapsed) == len(example.source) - sum(example.spans) + len(example.spans)
        assert collapsed[collapsed != MASK].tolist() == [id for id in example.source if id != MASK]
    else:
        assert collapsed.tolist() == example.source


# Infilling


def test_infilling_masks_the_text_itself():
    example = builder().example(TEXT, 0)
    assert example.target == ids(TEXT["text"])


@given(seeds)
def test_separate_infilling_masks_the_same_spans(seed):
    masking = Masking(rate=(0.2, 0.4))
    slots, separate = (builder(form, masking=masking).example(TEXT, seed) for form in ("slots", "separate"))
    assert separate.target == slots.target and separate.spans == slots.spans
    assert separate.source == collapse(slots)


@given(st.integers(1, 200), seeds, builders("slots"))
def test_long_texts_give_a_window(words, seed, build):
    row = {"text": " ".join(str(n) for n in range(words))}
    whole, target = ids(row["text"]), build.example(row, seed).target
    while target[-1] == PAD:
        target.pop()
    assert any(whole[i : i + len(target)] == target for i in range(len(whole)))


def test_windows_come_from_everywhere():
    row = {"text": " ".join(str(n) for n in range(100))}
    starts = {decode(TOKENIZER, builder(max_length=8).example(row, seed).target)[:4] for seed in range(50)}
    assert len(starts) > 25


@pytest.mark.parametrize("row", [{"text": "M"}, {"text": " "}, {"text": "\n"}])
@pytest.mark.parametrize("masking", [Masking(), Masking(tail=1.0)])
@pytest.mark.parametrize("form", ["slots", "separate"])
def test_a_text_of_one_token_is_masked_whole(row, masking, form):
    example = builder(form, masking=masking).example(row, 0)
    assert example == Example([MASK], ids(row["text"]), [0], [1])


def test_tails_are_masked_as_often_as_asked():
    build = builder(masking=Masking(tail=0.4, tail_max=3, clean=0.2))
    kinds = {"clean": 0, "tail": 0, "infill": 0}
    for seed in range(2000):
        _, target, slots, _ = build.example(TEXT, seed)
        end = slots == list(range(len(target) - len(slots), len(target)))
        kinds["clean" if not slots else "tail" if end else "infill"] += 1
    assert 340 <= kinds["clean"] <= 460
    assert 740 <= kinds["tail"] <= 960  # and spans that happen to be at the end


def test_a_tail_is_a_continuation():
    source, target, slots, spans = builder("separate", masking=Masking(tail=1.0, tail_max=3)).example(TEXT, 3)
    assert source[-1] == MASK and source[:-1] + target == ids(TEXT["text"])
    assert slots == list(range(len(target))) and spans == [len(target)]


# Answers


@pytest.mark.parametrize(
    ("row", "before", "answer", "after"),
    [
        (QA, "Mary went to the kitchen. Where is Mary?", " the kitchen", ""),
        ({**QA, "answer": " the kitchen\n", "context": f"{QA['context']}\n"},
         "Mary went to the kitchen. Where is Mary?", " the kitchen", ""),
        ({**QA, "context": " "}, "Where is Mary?", " the kitchen", ""),
        ({**QA, "question": ""}, "Mary went to the kitchen.", " the kitchen", ""),
        ({**QA, "task": 1, "answers": ["a"]}, "Mary went to the kitchen. Where is Mary?", " the kitchen", ""),
        (CLASSIFY, "John went to the garden.", " garden", ""),
        (SEQ2SEQ, "Mary went to the", " kitchen", ""),
        (LAST_WORD, "Mary went to the", " kitchen", "."),
        ({"source": "<|mask|> went", "target": "Mary"}, "", "Mary", " went"),
        ({"source": "un<mask>", "target": "able"}, "un", "able", ""),
    ],
)  # fmt: skip
def test_answers_follow_with_a_leading_space(row, before, answer, after):
    before, answer, after = ids(before), ids(answer), ids(after)
    slots = list(range(len(before), len(before) + len(answer)))
    whole = before + answer + after
    masked = before + [MASK] * len(answer) + after
    assert builder(max_length=64).example(row, 0) == Example(masked, whole, slots, [len(answer)])
    separate = Example([*before, MASK, *after], answer, list(range(len(answer))), [len(answer)])
    assert builder("separate", max_length=64).example(row, 0) == separate
    assert builder(max_length=64, masking=Masking(clean=1.0)).example(row, 0) == Example(whole, whole, [], [])


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 30), st.sampled_from(["slots", "separate"]))
def test_the_context_gives_way_to_question_and_answer(context, question, answer, form):
    row = {"context": "a" + " b" * context, "question": "c" * question, "answer": "d" * answer}
    source, target, slots, _ = builder(form, max_length=32, reserve=10).example(row, 0)
    assert len(source) <= 32
    answered = decode(TOKENIZER, [target[i] for i in slots])
    assert answered == (" " + "d" * answer)[: len(answered)]
    assert len(slots) == min(10, len(ids(" " + row["answer"])))
    known = [id for id in source if id != MASK]
    assert (ids(row["context"]) + ids(" " + row["question"]))[-len(known) :] == known
    assert len(known) >= min(20, question)


def test_contexts_are_masked_as_often_and_as_much_as_asked():
    row = {"context": "Mary went to the garden. " * 4, "question": "Where is Mary?", "answer": "garden"}
    build = builder(max_length=200, masking=Masking(context=0.7, context_rate=(0.1, 0.3), clean=0.1))
    answer = len(ids(" garden"))
    hidden = []
    for seed in range(1000):
        source, target, slots, spans = build.example(row, seed)
        assert [source[i] for i in slots] == [MASK] * len(slots) and sum(spans) == len(slots)
        if slots:
            assert slots[-answer:] == list(range(len(target) - answer, len(target)))
            hidden.append((len(slots) - answer) / (len(target) - answer))
    assert 850 <= len(hidden) <= 950
    masked = [share for share in hidden if share]
    assert 0.6 <= len(masked) / len(hidden) <= 0.8
    assert max(masked) <= 0.35 and 0.15 <= sum(masked) / len(masked) <= 0.25
    assert builder(max_length=200).example(row, 3).spans == [answer]


def test_words_of_a_context_are_dropped_as_often_as_asked_and_answers_never():
    row = {"context": "Mary went to the garden. " * 4, "question": "Where is Mary?", "answer": "garden"}
    build = builder(max_length=200, masking=Masking(drop=0.6))
    whole = builder(max_length=200).example(row, 0)
    answer = ids(" garden")
    left = []
    for seed in range(500):
        source, target, slots, spans = build.example(row, seed)
        assert slots == list(range(len(source) - len(answer), len(source))) and spans == [len(answer)]
        assert target[slots[0] :] == answer
        rest = iter(whole.source)
        assert all(id in rest for id in source[: slots[0]]), "what is left keeps its order"
        left.append(slots[0] / whole.slots[0])
    assert 0.65 <= sum(left) / len(left) <= 0.75
    assert 0.2 <= min(left) <= 0.5 and max(left) == 1
    assert builder(masking=Masking(drop=1.0)).example({"text": "a", "label": "b"}, 1).source[0] == ids("a")[0]


def test_a_text_to_classify_keeps_its_start():
    row = {"text": "a b c d e f g h" * 20, "label": "garden"}
    source, _, slots, _ = builder(max_length=32).example(row, 0)
    assert source[: slots[0]] == ids(row["text"])[: slots[0]] and len(source) == 32


def test_what_comes_after_an_answer_stays_near_it():
    row = {"source": "a" * 50 + "b <mask>c" + "a" * 50, "target": "d"}
    source, _, slots, _ = builder(max_length=32).example(row, 0)
    assert len(source) == 32
    assert decode(TOKENIZER, [source[slots[0] - 1], source[slots[-1] + 1]]) == "bc"


# Lengths from padding


@pytest.mark.parametrize("form", ["slots", "separate"])
@pytest.mark.parametrize("row", [QA, CLASSIFY, SEQ2SEQ, LAST_WORD])
def test_padding_ends_an_answer(row, form):
    given_slots = builder(form, max_length=64).example(row, 0)
    answer = [given_slots.target[i] for i in given_slots.slots]
    source, target, slots, spans = builder(form, max_length=64, lengths="padding", pad_to=9).example(row, 0)
    assert [target[i] for i in slots] == answer + [PAD] * (9 - len(answer))
    assert spans == [9] and source.count(MASK) == (9 if form == "slots" else 1)


def test_padded_targets_count():
    batch = builder(max_length=64, lengths="padding", pad_to=9).batch([QA], [0])
    assert batch["target_mask"].all() and batch["slot_mask"].sum() == 9


def test_infilling_ignores_the_policy():
    assert builder(lengths="padding", pad_to=9).example(TEXT, 0) == builder().example(TEXT, 0)


@given(seeds)
def test_a_text_that_goes_on_is_not_ended(seed):
    row = {"text": "a b c d e f g h i j k l m n o p z"}
    build = builder(max_length=8, lengths="padding", pad_to=4, masking=Masking(tail=1.0))
    source, target, slots, _ = build.example(row, seed)
    assert len(slots) == 4 and slots[-1] == len(source) - 1
    assert (PAD in target) <= ("z" in decode(TOKENIZER, target))


# Mistakes in rows and options


@pytest.mark.parametrize(
    ("row", "kind"),
    [(TEXT, "text"), (QA, "qa"), (CLASSIFY, "classify"), (SEQ2SEQ, "seq2seq"), ({"text": "a", "url": "b"}, "text")],
)
def test_fields_name_the_kind(row, kind):
    assert kind_of(row) == kind


@pytest.mark.parametrize(("row", "given"), [({"title": "a", "body": "b"}, "got title, body"), ({}, "got none")])
def test_other_fields_are_named(row, given):
    with pytest.raises(ValueError, match=given):
        kind_of(row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": ""}, "'text' is empty"),
        ({"text": None}, "'text' must be text, got NoneType None"),
        ({**QA, "answer": " "}, "'answer' is empty"),
        ({**QA, "answer": ["a"]}, "'answer' must be text, got list"),
        ({**QA, "context": "", "question": " "}, "context and question are both empty"),
        ({**CLASSIFY, "label": 3}, "'label' must be text, got int 3"),
        ({**CLASSIFY, "label": ""}, "'label' is empty"),
        ({**CLASSIFY, "text": " "}, "text' is empty"),
        ({**SEQ2SEQ, "target": ""}, "'target' is empty"),
        ({**SEQ2SEQ, "source": ""}, "'source' is empty"),
        ({**SEQ2SEQ, "source": "<mask> <mask>"}, "source holds 2 masks"),
        ({"source": "<mask> <mask>", "target": ["a"]}, "source holds 2 masks and target 1 texts; give one for each"),
        ({"source": "<mask>", "target": ["a", "b"]}, "source holds 1 masks and target 2 texts"),
        ({"source": "<mask>" + " and on" * 99, "target": ["a"]}, "source and targets make .* the model takes 32"),
    ],
)
@pytest.mark.parametrize("form", ["slots", "separate"])
def test_wrong_rows_name_the_field(row, message, form):
    with pytest.raises(ValueError, match=message):
        builder(form).example(row, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "joint"}, "form must be one of separate, slots, got 'joint'"),
        ({"max_length": 1}, "max_length must be an integer of at least 2"),
        ({"lengths": "predicted"}, "lengths must be one of"),
        ({"lengths": "padding"}, "pad_to goes with"),
        ({"pad_to": 3}, "pad_to goes with"),
        ({"lengths": "padding", "pad_to": 32}, "below max_length = 32"),
        ({"reserve": 32}, "below max_length = 32"),
        ({"reserve": 0}, "reserve must be"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        builder(**options)


def test_wrong_batches_are_explained():
    with pytest.raises(ValueError, match="seeds must hold one integer for each of the 2 rows, got 1"):
        builder().batch([TEXT, QA], [0])
    with pytest.raises(ValueError, match="at least one row"):
        builder().batch([], [])


def test_text_without_tokens_is_refused(tmp_path):
    words = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    words.normalizer = normalizers.Replace("!", "")
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "tokenizer.json"))
    build = Builder(load_tokenizer(tmp_path / "tokenizer.json"), max_length=8)
    assert build.example({"text": "a"}, 0).target == [0]
    with pytest.raises(ValueError, match="'text' gives no token with this tokenizer: ' '; leave"):
        build.example({"text": " "}, 0)
    with pytest.raises(ValueError, match="'label' gives no token"):
        build.example({"text": "a", "label": "!"}, 0)


ASKED = {"context": "a", "question": "a", "answer": "!"}


@pytest.mark.parametrize(
    ("row", "target"),
    [
        ({"text": "!"}, [1]),
        ({"text": "a", "label": "!"}, [0, 1]),
        (ASKED, [0, 0, 1]),
        ({"source": "a", "target": "!"}, [0, 1]),
        ({"source": "a <mask> a", "target": "!"}, [0, 1, 0]),
        ({"source": "a <mask> a", "target": ["!"]}, [0, 1, 0]),
        ({**ASKED, "context": "!", "question": ""}, [1]),
    ],
)
def test_what_the_tokenizer_drops_is_unknown(row, target):
    words = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    words.normalizer = normalizers.Replace("!", "")
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    example = Builder(wrapped(words, unk_token="?"), max_length=8).example(row, 0)
    assert example.target == target and example.slots
