"""Evaluation of tasks: the truth scores 1, garbage 0, and small cases come out as computed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from yanlm.config import ARConfig
from yanlm.evaluation.aggregate import diversity, interval, macro_f1
from yanlm.evaluation.baselines import length_determines
from yanlm.evaluation.evaluator import Evaluation, evaluate_task
from yanlm.evaluation.items import items, masked_source
from yanlm.evaluation.predictions import read_predictions, write_predictions
from yanlm.generation.capabilities import capabilities
from yanlm.generation.options import GenerationOptions
from yanlm.generation.result import Generation
from yanlm.modeling.autoregressive import ARModel
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

TEXT = "the cat sat on the mat and the dog ran to the red house near a small river"
ROWS: dict[str, list[dict[str, Any]]] = {
    "infill": [{"text": TEXT}, {"text": "the red house near a small river in the old town"}],
    "sentence": [{"source": "the cat sat . <mask> the dog ran .", "target": "the old town near a river ."}],
    "completion": [{"source": "the cat sat on the <mask> .", "target": "mat"}, {"source": "a <mask>", "target": "dog"}],
    "qa": [
        {
            "context": "the cat sat on the mat .",
            "question": "where ?",
            "answer": "the mat",
            "answers": ["the mat", "mat"],
        },
        {"context": "the dog ran to the house .", "question": "where ?", "answer": "house"},
    ],
    "classify": [{"text": "the cat sat", "label": "mat"}, {"text": "the dog ran", "label": "red house"}],
}
TASKS = tuple(ROWS)


class Oracle:
    """Stands in for a model of any kind: writes what ``answer`` makes of the true tokens of a row."""

    def __init__(self, builder: Builder, rows: list[Any], task: str, answer: Callable[[list[int]], list[int]]) -> None:
        self.config = SimpleNamespace(
            method="mdlm", stage=1, max_length=48, pad_to=builder.pad_to or 0, form=builder.form
        )
        made = [item.example for item in items(builder, rows, task)]
        self.known = {tuple(one.source): answer([one.target[slot] for slot in one.slots]) for one in made}
        self.device, self.training = torch.device("cpu"), False
        self.can = capabilities(self.config)
        self.calls: list[tuple[int, int]] = []

    def eval(self) -> None:
        pass

    def train(self, mode: bool) -> None:
        pass

    def parameters(self) -> list[Any]:
        return [torch.zeros(3)]

    def generate(
        self, source_ids: Any, *, slots: Any, source_mask: Any, options: GenerationOptions, **_: Any
    ) -> Generation:
        self.calls.append((len(slots), options.steps))
        tokens = torch.zeros(len(slots), options.samples, slots.shape[1], dtype=torch.long)
        for i, (row, mask) in enumerate(zip(source_ids, source_mask, strict=True)):
            answer = self.known[tuple(row[mask].tolist())]
            tokens[i, :, : len(answer)] = torch.tensor(answer)
        return Generation(tokens, None, options.steps)


def metrics_of(found: Evaluation) -> dict[str, float]:
    """Metrics of the first number of steps, without speed and intervals."""
    [scores, *_] = found.report["by_steps"].values()
    out = ("nfe", "seconds", "tokens_per_second")
    return {name: value for name, value in scores.items() if isinstance(value, float) and name not in out}


EXPECTED = {
    "infill": {"masked_accuracy", "span_exact", "exact_match", "rouge1", "rougeL", "masked_rouge1", "masked_rougeL"},
    "sentence": {"masked_accuracy", "exact_match", "f1", "rouge1", "rougeL", "text_rouge1"},
    "completion": {"masked_accuracy", "exact_match"},
    "qa": {"exact_match", "f1", "rougeL"},
    "classify": {"accuracy", "macro_f1", "valid_labels"},
}


@pytest.mark.parametrize("form", ["slots", "separate"])
@pytest.mark.parametrize("task", TASKS)
def test_the_truth_scores_one(tokenizer: Any, task: str, form: str) -> None:
    builder = Builder(tokenizer, form=form, max_length=48, masking=Masking(rate=(0.3, 0.3)))
    model: Any = Oracle(builder, ROWS[task], task, lambda truth: truth)
    found = evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=(2, 3), samples=2)
    scores = metrics_of(found)
    assert EXPECTED[task] <= scores.keys()
    diverse = {name: scores.pop(name) for name in ("distinct_2", "self_bleu", "unique")}
    assert set(scores.values()) == {1.0} and diverse["unique"] == 0.5
    assert list(found.report["by_steps"]) == ["2", "3"]
    assert json.loads(json.dumps(found.report)) == found.report


@pytest.mark.parametrize("task", TASKS)
def test_garbage_scores_zero(builder: Builder, task: str) -> None:
    dots = builder.tokenizer.encode("!")[0]
    model: Any = Oracle(builder, ROWS[task], task, lambda truth: [dots] * len(truth))
    scores = metrics_of(evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=[1]))
    known = {name: scores.pop(name) for name in ("rouge1", "rougeL", "text_rouge1") if task != "qa" and name in scores}
    assert set(scores.values()) == {0.0}
    assert all(value < 1 for value in known.values())  # of whole texts: words that were never masked


def test_three_rows_by_hand(builder: Builder) -> None:
    rows = [
        {"context": "a", "question": "?", "answer": "the red house", "task": "qa1"},
        {"context": "b", "question": "?", "answer": "mat", "answers": ["mat", "a mat"], "task": "qa2"},
        {"context": "c", "question": "?", "answer": "river", "task": "qa2"},
    ]
    answers = {" the red house": " the old house", " mat": " a mat.", " river": " dog"}
    build = Builder(builder.tokenizer, max_length=48, lengths="padding", pad_to=12)

    def answer(truth: list[int]) -> list[int]:
        text = builder.tokenizer.decode(truth, skip_special_tokens=True)
        ids = builder.tokenizer.encode(answers[text])
        return ids + [builder.pad] * (12 - len(ids))

    model: Any = Oracle(build, rows, "qa", answer)
    found = evaluate_task(model, build, rows, rows, "qa", steps=[1])
    [scores] = found.report["by_steps"].values()
    assert found.report["length"] == "padding" and not found.report["length_leaks"]
    assert scores["exact_match"] == pytest.approx(1 / 3)
    assert scores["f1"] == pytest.approx((0.5 + 1 + 0) / 3)  # house of red house and old house; mat; nothing
    assert scores["rougeL"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert scores["by_task"] == {"qa1": 1.0, "qa2": 0.5}
    assert scores["mean_error"] == 0.75 and scores["failed_tasks"] == 2
    low, high = scores["exact_match_ci95"]
    assert 0 <= low <= scores["exact_match"] <= high <= 1
    assert [one["prediction"] for one in found.predictions] == ["the old house", "a mat.", "dog"]
    assert (
        found.predictions[1]["references"] == ["mat", "a mat"] and found.predictions[0]["reference"] == "the red house"
    )


def test_infilling_by_hand(builder: Builder) -> None:
    build = Builder(builder.tokenizer, max_length=48, masking=Masking(rate=(0.4, 0.4), spans=(3,)))
    wrong = builder.tokenizer.encode("!")[0]
    model: Any = Oracle(build, ROWS["infill"], "infill", lambda truth: [*truth[:-1], wrong])  # one token of each row
    scores = metrics_of(evaluate_task(model, build, ROWS["infill"], ROWS["infill"], "infill", steps=[1]))
    made = items(build, ROWS["infill"], "infill")
    lengths = [len(span) for item in made for span in item.truth]
    assert scores["masked_accuracy"] == pytest.approx(1 - 2 / sum(lengths))
    assert scores["span_exact"] == pytest.approx(1 - 2 / len(lengths))
    last = [len(item.truth[-1]) >= 3 for item in made]
    assert scores["span_exact_3"] == pytest.approx(1 - sum(last) / sum(length >= 3 for length in lengths))
    assert scores["exact_match"] == 0


def test_baselines(builder: Builder) -> None:
    model: Any = Oracle(builder, ROWS["infill"], "infill", lambda truth: truth)
    base = evaluate_task(model, builder, [{"text": "the the cat"}], ROWS["infill"], "infill", steps=[1]).report[
        "baselines"
    ]
    assert set(base) == {"copy_source", "unigram"}
    assert base["copy_source"]["masked_accuracy"] == 0 < base["copy_source"]["rouge1"] < 1
    the = builder.tokenizer.encode(" the")
    truths = [token for item in items(builder, ROWS["infill"], "infill") for span in item.truth for token in span]
    assert base["unigram"]["masked_accuracy"] == pytest.approx(sum([t] == the for t in truths) / len(truths))
    for task, names in {
        "qa": {"majority", "last_mentioned", "retrieval", "length_only"},
        "classify": {"majority", "tfidf_logreg", "length_only"},
        "completion": {"majority", "ngram"},
        "sentence": {"copy_source", "unigram", "neighbour", "frequent_words"},
    }.items():
        model = Oracle(builder, ROWS[task], task, lambda truth: truth)
        base = evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=[1]).report["baselines"]
        assert set(base) == names
        assert EXPECTED[task] <= base.popitem()[1].keys()


def test_a_given_length_may_tell_the_label(builder: Builder) -> None:
    rows = ROWS["classify"]
    model: Any = Oracle(builder, rows, "classify", lambda truth: truth)
    report = evaluate_task(model, builder, rows, rows, "classify", steps=[1]).report
    assert report["length_leaks"] and report["length_determines"] == 1.0
    assert report["baselines"]["length_only"]["accuracy"] == 1.0 > report["baselines"]["majority"]["accuracy"]
    alike = [{"text": "x", "label": "cat"}, {"text": "y", "label": "dog"}]
    sizes = {len(builder.tokenizer.encode(f" {row['label']}")) for row in alike}
    assert length_determines(builder, items(builder, alike, "classify"), "classify", alike) == (
        len(sizes) > 1,
        len(sizes) - 1.0,
    )


def test_intervals_and_summaries() -> None:
    assert interval([(1, 1)] * 5) == [1.0, 1.0]
    low, high = interval([(0, 10), (3, 3)] * 20)
    assert low < 3 / 13 < high
    assert macro_f1(["a", "b", "c"], ["A", " b", "c"]) == 1
    assert macro_f1(["x", "b"], ["a", "b"]) == 0.5
    found = diversity([["a b c", "a b c"], ["a b", "d e"]])
    assert found["unique"] == 0.75 and found["distinct_2"] == 0.5  # ab, bc, ab, bc, ab, de


def test_seeds_differ_and_masks_do_not(make_model: Callable[..., Any], builder: Builder) -> None:
    model = make_model()
    options: dict[str, Any] = {"steps": (1, 2), "samples": 2}
    found = evaluate_task(model, builder, ROWS["infill"], ROWS["infill"], "infill", seeds=(0, 1), **options)
    assert len(found.predictions) == 2 * 2 * 2 * 2
    scores = found.report["by_steps"]["2"]
    assert scores["masked_accuracy"] == pytest.approx(sum(scores["masked_accuracy_by_seed"]) / 2)
    assert {"distinct_2", "self_bleu", "unique", "best_of"} <= scores.keys() and "sem_dist" not in scores
    assert scores["nfe"] == 2 and scores["tokens_per_second"] > 0
    assert "one_pass" in found.report and found.report["model"]["num_experts"] == 4
    by_seed = {seed: [p for p in found.predictions if p["seed"] == seed] for seed in (0, 1)}
    assert [p["source"] for p in by_seed[0]] == [p["source"] for p in by_seed[1]]
    assert [p["fills"] for p in by_seed[0]] != [p["fills"] for p in by_seed[1]]
    alone = evaluate_task(model, builder, ROWS["infill"], ROWS["infill"], "infill", seeds=[1], batch_size=1, **options)
    assert alone.predictions == by_seed[1]


@pytest.mark.parametrize("form", ["slots", "separate"])
@pytest.mark.parametrize("task", TASKS)
def test_predicted_lengths(make_model: Callable[..., Any], tokenizer: Any, task: str, form: str) -> None:
    model = make_model(form=form, align=form == "slots")
    builder = Builder(tokenizer, form=form, max_length=48)
    found = evaluate_task(model, builder, ROWS[task], ROWS[task], task, steps=[1], length="predicted")
    scores = found.report["by_steps"]["1"]
    assert found.report["length"] == "predicted" and "masked_accuracy" not in scores
    assert not found.report.get("length_leaks")
    assert EXPECTED[task] - {"masked_accuracy"} <= scores.keys()


@pytest.mark.parametrize("method", ["gpt2", "bart", "mlm", "mdlm"])
def test_other_methods(make_model: Callable[..., Any], tokenizer: Any, builder: Builder, method: str) -> None:
    ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
    if method in ("gpt2", "bart"):
        sizes = {"d_model": 16, "num_heads": 2, "layers": 2, "max_length": 48}
        model: Any = ARModel(ARConfig(method=method, vocab_size=len(tokenizer), **sizes, **ids)).eval()
    else:
        model = make_model(method=method)
    rows = ROWS["infill"]
    found = evaluate_task(model, builder, rows, rows, "infill", steps=(2, 4), seeds=(0, 1))
    assert list(found.report["by_steps"]) == (["1"] if method in ("gpt2", "bart") else ["2", "4"])
    assert found.report["seeds"] == [0] and "one_pass" not in found.report  # greedy: a second seed changes nothing
    free = evaluate_task(model, builder, rows, rows, "infill", steps=[1], length="predicted", samples=2).report
    assert free["by_steps"]["1"]["unique"] == 0.5 and "masked_accuracy" not in free["by_steps"]["1"]
    drawn = evaluate_task(model, builder, rows, rows, "infill", steps=[1], seeds=(0, 1), temperature=1.0).report
    assert drawn["seeds"] == [0, 1] and drawn["temperature"] == 1.0


def test_scores_of_meaning(make_model: Callable[..., Any], builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Axes:  # stands in for an encoder: texts that differ are at right angles
        def __init__(self, path: str, device: str) -> None:
            self.known: dict[str, int] = {}

        def embed(self, texts: list[str]) -> torch.Tensor:
            return torch.eye(50)[[self.known.setdefault(text, len(self.known)) for text in texts]]

    def alike(texts: list[str], references: list[str], encoder: Any) -> list[float]:
        return [float(a == b) for a, b in zip(texts, references, strict=True)]

    monkeypatch.setattr("yanlm.evaluation.evaluator.Encoder", Axes)
    monkeypatch.setattr("yanlm.evaluation.semantic.bert_score", alike)
    truth: Any = Oracle(builder, ROWS["qa"], "qa", lambda truth: truth)
    report = evaluate_task(truth, builder, ROWS["qa"], ROWS["qa"], "qa", samples=2, steps=[1], encoder="x").report
    assert report["by_steps"]["1"]["bert_score"] == 1 and report["by_steps"]["1"]["sem_dist"] == 0
    assert report["baselines"]["majority"]["bert_score"] == 0.5
    found = evaluate_task(make_model(), builder, ROWS["qa"], ROWS["qa"], "qa", samples=2, steps=[1], encoder="x")
    differ = 2 * (1 - found.report["by_steps"]["1"]["unique"])  # of two samples 1 or 1/2 are unique
    assert found.report["by_steps"]["1"]["sem_dist"] == pytest.approx(1 - differ)


def test_progress_is_told_by_steps(builder: Builder) -> None:
    heard: list[tuple[str, int, int]] = []
    model: Any = Oracle(builder, ROWS["infill"], "infill", lambda truth: truth)
    options: dict[str, Any] = {"seeds": (0, 1), "temperature": 1.0, "batch_size": 1}
    evaluate_task(
        model, builder, [], ROWS["infill"], "infill", steps=(1, 2), hear=lambda *one: heard.append(one), **options
    )
    assert heard == [(f"T = {t}", done, 4) for t in (1, 2) for done in (1, 2, 3, 4)]
    assert model.calls == [(1, 1)] + [(1, t) for t in (1, 2) for _ in range(4)]  # the first warms up


def test_rows_that_are_too_long_are_counted(make_model: Callable[..., Any], builder: Builder) -> None:
    rows = [{"text": TEXT}, {"text": " ".join([TEXT] * 20)}]
    assert evaluate_task(make_model(), builder, rows, rows, "infill", steps=[1]).report["cut"] == 1


def test_predictions_are_json_lines(make_model: Callable[..., Any], builder: Builder, tmp_path: Path) -> None:
    found = evaluate_task(make_model(), builder, ROWS["qa"], ROWS["qa"], "qa", steps=(1, 2))
    write_predictions(tmp_path / "p.jsonl", found.predictions)
    assert read_predictions(tmp_path / "p.jsonl") == found.predictions
    first = found.predictions[0]
    assert (first["id"], first["task"], first["steps"], first["seed"], first["sample"]) == (0, "qa", 1, 0, 0)
    assert first["source"] == "the cat sat on the mat . where ? <mask>" and first["references"] == ["the mat", "mat"]
    assert set(first["scores"]) == EXPECTED["qa"]


def test_sources_have_one_mask_for_each_span(builder: Builder) -> None:
    for item in items(builder, ROWS["infill"], "infill"):
        assert masked_source(builder, item).count("<mask>") == len(item.truth)
        text = masked_source(builder, item)
        for word in item.words:
            text = text.replace("<mask>", word, 1)
        assert text == item.text


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({"task": "translate"}, "task must be one of"),
    "no rows": ({"test": []}, "no held-out rows"),
    "rows of another task": ({"test": ROWS["qa"]}, "row 1: its fields are those of qa"),
    "steps": ({"steps": [0]}, "steps must"),
    "no steps": ({"steps": []}, "at least one"),
    "seeds": ({"seeds": [-1]}, "seeds must"),
    "samples": ({"samples": 0}, "samples must"),
    "length": ({"length": "long"}, "length must be one of"),
    "routing": ({"routing": "best"}, "routing"),
    "scale": ({"z0_scale": 0.0}, "z0_scale"),
    "temperature": ({"temperature": 1.0}, "temperature goes with reread"),
    "stage": ({"stage": 1}, "stage 1 alone"),
    "option of the flow": ({"method": "mdlm", "z0_scale": 2.0}, "options of the flow"),
    "encoder": ({"encoder": "nowhere"}, "--encoder"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_in_one_line(make_model: Callable[..., Any], builder: Builder, name: str) -> None:
    options, message = MISTAKES[name]
    options = dict(options)
    config = {key: options.pop(key) for key in ("stage", "method") if key in options}
    task, test = options.pop("task", "infill"), options.pop("test", ROWS["infill"])
    with pytest.raises(ValueError, match=message) as caught:
        evaluate_task(make_model(**config), builder, ROWS["infill"], test, task, **{"steps": [1], **options})
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named_before_anything_runs(
    make_model: Callable[..., Any], builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yanlm.evaluation.protocol.find_spec", lambda name: None if name == "sacrebleu" else True)
    with pytest.raises(ValueError, match=r"sacrebleu.*pip install 'moefm\[eval\]'"):
        evaluate_task(make_model(), builder, ROWS["infill"], ROWS["infill"], "infill", samples=2)


def test_options_as_an_object_and_by_name(make_model: Callable[..., Any], builder: Builder) -> None:
    model, rows = make_model(), ROWS["infill"]
    options = GenerationOptions(routing="greedy", z0_scale=0.5)
    given = evaluate_task(model, builder, rows, rows, "infill", steps=[1], options=options, samples=2)
    named = evaluate_task(model, builder, rows, rows, "infill", steps=[1], routing="greedy", z0_scale=0.5, samples=2)
    assert given.predictions == named.predictions and given.report["routing"] == "greedy"
    assert {name: given.report[name] for name in ("z0_scale", "reread", "samples")} == {
        "z0_scale": 0.5,
        "reread": False,
        "samples": 2,
    }
    assert "solver" not in given.report and "temperature" not in given.report
    midpoint = evaluate_task(model, builder, rows, rows, "infill", steps=[1], solver="midpoint").report
    assert midpoint["solver"] == "midpoint" and midpoint["by_steps"]["1"]["nfe"] == 2


def test_unknown_options_and_seeds_in_options(make_model: Callable[..., Any], builder: Builder) -> None:
    rows = ROWS["infill"]
    with pytest.raises(ValueError, match="no option 'heat'; its options are"):
        evaluate_task(make_model(), builder, rows, rows, "infill", steps=[1], heat=1.0)
    with pytest.raises(ValueError, match="leave them out of options"):
        evaluate_task(make_model(), builder, rows, rows, "infill", options=GenerationOptions(seeds=[1, 2]))
