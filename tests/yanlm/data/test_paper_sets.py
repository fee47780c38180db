"""Stand-ins of the paper's data sets, with the fields and splits of those on the hub, as their tasks need them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.data import hub
from yanlm.data.corpus import load_corpus
from yanlm.data.rows import DataError
from yanlm.tasks.rows import load_task

datasets = pytest.importorskip("datasets")
TEXT = datasets.Value("string")
Records = list[dict[str, Any]]


def narrativeqa(split: str, n: int) -> Records:
    """Two questions on each document, whose whole text comes with each of them."""
    return [
        {
            "document": {
                "id": f"{split}{k // 2}",
                "kind": "gutenberg",
                "url": "http://a/b",
                "file_size": 9,
                "start": "S",
                "end": "E",
                "summary": {
                    "text": f" In {split} {k // 2} a man left.\n He sang. Then he  died.",
                    "tokens": ["In"],
                    "url": "u",
                    "title": "T",
                },
                "text": "<html> the whole book",
            },
            "question": {"text": f"Who {'left' if k % 2 else 'sang'}?", "tokens": ["Who"]},
            "answers": [{"text": "A man", "tokens": ["A"]}, {"text": "the man.", "tokens": ["the"]}],
        }
        for k in range(n)
    ]


def squad(split: str, n: int) -> Records:
    answers = {"text": ["Oslo", "in Oslo"], "answer_start": [12, 9]}
    return [
        {
            "id": f"{k}",
            "title": "T",
            "context": f"It lies in {split} {k // 3}.",
            "question": f"Where is {k}?",
            "answers": answers,
        }
        for k in range(n)
    ]


def babi(split: str, n: int) -> Records:
    return [
        {"passage": f"Mary went to {split}{k}.\n", "question": "Where is Mary?", "answer": f"{split}{k}", "task": 1}
        for k in range(n)
    ]


def ag_news(split: str, n: int) -> Records:
    return [{"text": f"{split} {k}: oil fell.", "label": k % 2} for k in range(n)]


def dbpedia(split: str, n: int) -> Records:
    return [{"label": k % 2, "title": f"{split} {k}", "content": f" {k} is a plant."} for k in range(n)]


def sst2(split: str, n: int) -> Records:
    secret = split == "test"
    return [{"idx": k, "sentence": f"dull {split} {k} ", "label": -1 if secret else k % 2} for k in range(n)]


def rocstories(split: str, n: int) -> Records:
    return [
        {"storyid": f"{k}", "storytitle": "T", **{f"sentence{i}": f"{split} {k} did {i}." for i in range(1, 6)}}
        for k in range(n)
    ]


def continued(split: str, n: int) -> Records:
    return [{"prompt": f"{split} {k} went out.", "continuation": " It rained.\nIt stopped."} for k in range(n)]


def simplestories(split: str, n: int) -> Records:
    return [{"story": f"Once {split} {k} woke.\n\nThe end.", "topic": "x", "word_count": 6} for k in range(n)]


def finewiki(split: str, n: int) -> Records:
    return [{"id": f"{k}", "title": "T", "url": "u", "text": f"# T\n{split} {k} is a town."} for k in range(n)]


def classes(*names: str) -> Any:
    return datasets.ClassLabel(names=list(names))


SPLITS = ("train", "validation", "test")
STORY = "In train 0 a man left. He sang. Then he died."
SETS: dict[str, tuple[Callable[[str, int], Records], dict[str, Any], tuple[str, ...], str, dict[str, Any]]] = {
    "deepmind/narrativeqa": (narrativeqa, {}, SPLITS, "infill", {"text": STORY}),
    "deepmind/narrativeqa, questions": (
        narrativeqa, {}, SPLITS, "qa",
        {
            "context": STORY, "question": "Who sang?", "answer": "A man",
            "answers": ["A man", "the man."],
        },
    ),
    "deepmind/narrativeqa, sentences": (
        narrativeqa, {}, SPLITS, "sentence",
        {"source": "In train 0 a man left. <mask> Then he died.", "target": "He sang."},
    ),
    "rajpurkar/squad": (
        squad, {}, SPLITS[:2], "qa",
        {"context": "It lies in train 0.", "question": "Where is 0?", "answer": "Oslo", "answers": ["Oslo", "in Oslo"]},
    ),
    "rajpurkar/squad, texts": (squad, {}, SPLITS[:2], "infill", {"text": "It lies in train 0."}),
    "Muennighoff/babi": (
        babi, {}, SPLITS, "qa",
        {"context": "Mary went to train0.", "question": "Where is Mary?", "answer": "train0", "task": "1"},
    ),
    "fancyzhx/ag_news": (
        ag_news, {"text": TEXT, "label": classes("World", "Business")}, ("train", "test"), "classify",
        {"text": "train 0: oil fell.", "label": "World"},
    ),
    "fancyzhx/dbpedia_14": (
        dbpedia, {"label": classes("Plant", "Film"), "title": TEXT, "content": TEXT}, ("train", "test"), "classify",
        {"text": "train 0. 0 is a plant.", "label": "Plant"},
    ),
    "stanfordnlp/sst2": (
        sst2, {"idx": datasets.Value("int32"), "sentence": TEXT, "label": classes("negative", "positive")}, SPLITS,
        "classify", {"text": "dull train 0", "label": "negative"},
    ),
    "ROCStories": (
        rocstories, {}, ("train",), "completion",
        {"source": "train 0 did 1. train 0 did 2. train 0 did 3. train 0 did 4. train 0 did <mask>.", "target": "5"},
    ),
    "Ximing/ROCStories": (
        continued, {}, SPLITS, "completion",
        {"source": "train 0 went out. It rained. It <mask>.", "target": "stopped"},
    ),
    "SimpleStories/SimpleStories": (
        simplestories, {}, ("train", "test"), "completion",
        {"source": "Once train 0 woke.\n\nThe <mask>.", "target": "end"},
    ),
    "HuggingFaceFW/finewiki": (finewiki, {}, ("train",), "infill", {"text": "# T\ntrain 0 is a town."}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_the_paper_serves_its_task(name: str, tmp_path: Path) -> None:
    records, features, splits, task, first = SETS[name]
    saved = {
        split: datasets.Dataset.from_list(
            records(split, 60), features=datasets.Features(features) if features else None
        )
        for split in splits
    }
    datasets.DatasetDict(saved).save_to_disk(tmp_path / "set")
    corpus = load_task(f"hf:{tmp_path / 'set'}", task)
    assert corpus.rows is not None and corpus.validation and corpus.test
    rows = [*corpus.rows, *corpus.validation, *corpus.test]
    assert first in rows
    texts = [str(row) for row in rows]
    assert len(texts) == len(set(texts)), "a row came twice"


def test_a_document_is_one_text_however_many_questions_it_has(tmp_path: Path) -> None:
    saved = {split: datasets.Dataset.from_list(narrativeqa(split, 60)) for split in SPLITS}
    datasets.DatasetDict(saved).save_to_disk(tmp_path / "set")
    notes: list[str] = []
    corpus = load_task(f"hf:{tmp_path / 'set'}", "infill", on_note=notes.append)
    assert [len(rows or []) for rows in (corpus.rows, corpus.validation, corpus.test)] == [30, 30, 30]
    assert any("of 60 train" in note and "are the 30 texts" in note for note in notes)


@pytest.mark.parametrize("name", sorted(hub.SCRIPTED))
def test_sets_that_are_scripts_have_a_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **options: Any) -> None:
        raise RuntimeError("Dataset scripts are no longer supported, but found babi_qa.py")

    monkeypatch.setattr(datasets, "load_dataset", refused)
    monkeypatch.setattr(hub, "reachable", lambda address: True)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    with pytest.raises(DataError, match=r"scripts are no longer supported.*; it is a script.*use hf:"):
        load_corpus(f"hf:{name}")


def test_a_split_that_is_cut_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanlm.data.sources.WHOLE_MOST", 40)
    saved = {split: datasets.Dataset.from_list(finewiki(split, 60)) for split in ("train", "test")}
    datasets.DatasetDict(saved).save_to_disk(tmp_path / "set")
    notes: list[str] = []
    corpus = load_task(f"hf:{tmp_path / 'set'}", "infill", on_note=notes.append)
    assert len(corpus.test) == 40
    cut = [note for note in notes if "longer than 40 rows; the first 40 are used" in note]
    assert [("train split" in note, "test split" in note) for note in cut] == [(True, False), (False, True)]
